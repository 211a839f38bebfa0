//! Received pictures become frames: their tracks announced, their parameter sets kept, their time told.
//!
//! A picture's capture time is the sender's own, from its RTCP reports, where that lies within the [`OLDEST`] before the arrival;
//! else, and where the sender says none or its clock is wrong, the arrival of the picture's first packet.

use std::time::{Duration, SystemTime};

use ocelli_hub::{DropReason, Publisher};
use ocelli_media::{Codec, Frame, ParameterSets, Track, TrackId};
use ocelli_proto::rtp::nal::{self, PayloadError};
use ocelli_proto::rtp::receive::{Cause, Dropped, Picture, Timeline};

use super::settings::Settings;

/// A capture time that is farther back than this is a wrong clock's.
const OLDEST: Duration = Duration::from_secs(5);
/// What pictures need to become frames.
pub(super) struct Pictures<'a> {
    settings: &'a Settings,
    timeline: Timeline,
    sets: ParameterSets,
    /// What was announced.
    track: Option<Track>,
    /// Somebody who watches wants a keyframe.
    pub(super) wanted: bool,
    pub(super) fault: Option<String>,
    refused: bool,
}

impl<'a> Pictures<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        let mut pictures = Self {
            settings,
            timeline: Timeline::default(),
            sets: ParameterSets::new(settings.codec),
            track: None,
            wanted: false,
            fault: None,
            refused: false,
        };
        pictures.restart();
        pictures
    }

    /// What follows is another sender's.
    pub(super) fn restart(&mut self) {
        self.timeline.restart();
        self.sets = ParameterSets::new(self.settings.codec);
        for set in &self.settings.parameter_sets {
            self.sets.take(set);
        }
    }

    /// Publishes a picture, and whether it did.
    pub(super) fn publish(&mut self, picture: Picture, captured: SystemTime, out: &mut Publisher) -> bool {
        let Picture { mut data, mut size, timestamp, key, arrived } = picture;
        if self.settings.codec != Codec::Jpeg {
            self.sets.take_all(&data);
            if !self.sets.is_complete() {
                self.fault = Some("the sender sends no parameter sets".to_owned());
                out.dropped(1, DropReason::NeedsKeyframe);
                return false;
            }
            size = self.sets.size();
            if key {
                data = self.sets.complete(data);
            }
        }
        let known = self.track.as_ref();
        if known.is_none_or(|track| track.size != size || !self.sets.are(&track.parameter_sets)) {
            let track = Track::video(self.settings.codec, size, self.sets.units());
            tracing::debug!(camera = %out.name(), codec = %track.codec, ?size, "pictures");
            out.set_tracks(vec![track.clone()]);
            self.track = Some(track);
        }
        let time = self.timeline.time(timestamp, arrived);
        self.wanted &= !key;
        self.fault = None;
        out.push(Frame { track: TrackId::VIDEO, time, captured: Some(captured), key, data });
        true
    }

    pub(super) fn dropped(&mut self, reason: Dropped, out: &mut Publisher) {
        out.dropped(
            1,
            match reason.cause() {
                Cause::Lost => DropReason::Lost,
                Cause::NeedsKey => DropReason::NeedsKeyframe,
                Cause::TooLong => DropReason::TooLarge,
                Cause::Damaged => DropReason::Damaged,
            },
        );
        let words = reason.to_string();
        if let Dropped::Nal(nal::Dropped::Payload(PayloadError::Interleaved { .. } | PayloadError::Paci)) =
            reason
            && !std::mem::replace(&mut self.refused, true)
        {
            tracing::warn!(camera = %out.name(), "the sender's packets are not understood: {words}");
            out.note(&words);
        }
        self.fault = Some(words);
    }
}

/// When a picture was taken whose first packet came at `arrived`; `sent` is what the sender says.
pub(super) fn captured(now: Duration, arrived: Duration, sent: Option<SystemTime>) -> SystemTime {
    let came = SystemTime::now();
    let came = came.checked_sub(now.saturating_sub(arrived)).unwrap_or(came);
    sent.filter(|sent| came.duration_since(*sent).is_ok_and(|age| age <= OLDEST)).unwrap_or(came)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn the_senders_clock_counts_where_it_can_be_true() {
        let now = Duration::from_secs(100);
        let arrived = now - Duration::from_millis(20);
        let came = captured(now, arrived, None);
        let age = SystemTime::now().duration_since(came).unwrap();
        assert!(age >= Duration::from_millis(20) && age < Duration::from_secs(10), "{age:?}");
        let said = came - Duration::from_millis(300);
        assert_eq!(captured(now, arrived, Some(said)), said);
        for wrong in [came - Duration::from_secs(60), came + Duration::from_secs(60), UNIX_EPOCH] {
            let taken = captured(now, arrived, Some(wrong));
            assert!(taken >= came && taken < came + Duration::from_secs(10), "{wrong:?}");
        }
    }
}
