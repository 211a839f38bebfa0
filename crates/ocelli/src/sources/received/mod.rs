//! What all that receives RTP has in common: from packets to frames, and what is said back by RTCP.
//!
//! [`TrackIntake`] is one track. [`Intake`] is all tracks of a session description, for cameras that are dialled by RTSP and for those
//! who publish to us: packets are given to it by the number of their track, however they came. A packet goes from where it was
//! received into its picture. Sockets, and who may send, are the caller's; time is an argument.
//!
//! Refuses media that no depacketiser speaks, and sound without pictures; of several of a kind the first that is spoken is taken.

use std::net::SocketAddr;
use std::time::Duration;

use ocelli_hub::{NetworkPath, Publisher};
use ocelli_proto::rtp::receive::Setup;
use ocelli_proto::rtp::reorder::Limits;
use ocelli_proto::sdp::{self, Description, Kind};

mod clock;
mod frames;
mod track;

pub use clock::{CameraClock, Moment};
pub use frames::Announced;
pub use track::{Asking, TrackIntake, TrackSetup};

/// A medium that is received.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Its place in the description, from 0.
    pub medium: usize,
    /// What it carries.
    pub codec: sdp::Codec,
    /// The payload type that says so.
    pub payload_type: u8,
    /// The sender expects to be asked for keyframes (RFC 4585).
    pub feedback: bool,
}

/// Of the description's media, the first pictures and the first sound that can be received: the pictures first.
///
/// # Errors
/// There are none, in words that say what there is instead.
pub fn choose(description: &Description) -> Result<Vec<Chosen>, String> {
    let first = |kind: Kind| {
        description.media.iter().enumerate().find_map(|(index, medium)| {
            let (payload_type, codec) = medium.codec().ok()?;
            let feedback = medium.protocol.to_ascii_uppercase().contains("AVPF");
            (codec.kind() == kind).then_some(Chosen { medium: index, codec, payload_type, feedback })
        })
    };
    let chosen: Vec<Chosen> = [Kind::Video, Kind::Audio].into_iter().filter_map(first).collect();
    match chosen.first() {
        Some(first) if first.codec.kind() == Kind::Video => Ok(chosen),
        _ => Err(description.nothing_understood()),
    }
}

/// How packets come.
#[derive(Clone, Debug)]
pub struct IntakeSetup {
    /// How long they are waited for: [`IN_ORDER`](ocelli_proto::rtp::receive::IN_ORDER) within a connection.
    pub limits: Limits,
    /// Longest picture, in bytes.
    pub max_frame_bytes: usize,
    /// The receiver's name in reports.
    pub cname: String,
    /// Whether sender and receiver are alone; otherwise they are in a group.
    pub unicast: bool,
}

/// All tracks of a camera.
#[derive(Debug)]
pub struct Intake {
    /// In the order in which they were chosen, which numbers them.
    tracks: Vec<TrackIntake>,
    clock: CameraClock,
    announced: Announced,
    /// Reused.
    report: Vec<u8>,
}

impl Intake {
    /// For the media that were chosen, which are its tracks 0, 1 and so on. Nothing has come at `now`.
    pub fn new(now: Duration, chosen: &[Chosen], setup: &IntakeSetup) -> Self {
        let tracks: Vec<_> = chosen.iter().map(|chosen| chosen.codec.track()).collect();
        let announced = Announced::new(&tracks);
        let intake = |(chosen, track): (&Chosen, _)| {
            let packets = Setup {
                payload: chosen.codec.payload(),
                payload_type: chosen.payload_type,
                from: None,
                limits: setup.limits,
                most_bytes: setup.max_frame_bytes,
            };
            let asking = if chosen.feedback { Asking::EXPECTED } else { Asking::UNEXPECTED };
            let cname = setup.cname.clone();
            TrackIntake::new(now, TrackSetup { track, packets, cname, unicast: setup.unicast, asking })
        };
        let tracks = chosen.iter().zip(tracks).map(intake).collect();
        Self { tracks, clock: CameraClock::default(), announced, report: Vec::new() }
    }

    /// Takes a packet of `track` that came to its RTP from `from` at `arrived`. One of another number is passed over. RTCP is
    /// known by its type (RFC 5761 4), and goes where that goes; `reply` is then given what is to be sent back at once.
    pub fn packet(
        &mut self,
        arrived: Duration,
        track: usize,
        from: SocketAddr,
        bytes: &[u8],
        reply: impl FnMut(usize, &[u8]),
    ) {
        if is_rtcp(bytes) {
            self.report(arrived, track, bytes, reply);
        } else if let Some(track) = self.tracks.get_mut(track) {
            track.packet(arrived, from, bytes);
        }
    }

    /// Takes RTCP about `track` that came at `now`. `reply` is given what is to be sent back at once.
    pub fn report(&mut self, now: Duration, track: usize, bytes: &[u8], mut reply: impl FnMut(usize, &[u8])) {
        let Some(intake) = self.tracks.get_mut(track) else { return };
        self.report.clear();
        // What is none is counted.
        let _ = intake.report(now, bytes, &mut self.report);
        if !self.report.is_empty() {
            reply(track, &self.report);
        }
    }

    /// Publishes what has become whole, and whether there were pictures.
    pub fn publish(&mut self, now: Moment, out: &mut Publisher) -> bool {
        let mut came = false;
        for track in &mut self.tracks {
            track.expire(now.since);
            let published = track.publish(now, &mut self.clock, &mut self.announced, out);
            came |= published && track.codec().is_video();
        }
        came
    }

    /// This track will not come: the others do without.
    pub fn forget(&mut self, track: usize) {
        if let Some(track) = self.tracks.get(track) {
            self.announced.forget(track.codec());
        }
    }

    /// When [`publish`](Self::publish) or [`poll`](Self::poll) has something to do though no packet comes.
    pub fn deadline(&mut self) -> Duration {
        self.tracks.iter_mut().map(|track| track.deadline(true)).min().unwrap_or(Duration::MAX)
    }

    /// Gives `send` the reports that are due at `now`, each with the number of its track.
    pub fn poll(&mut self, now: Duration, mut send: impl FnMut(usize, &[u8])) {
        for (index, track) in self.tracks.iter_mut().enumerate() {
            self.report.clear();
            if track.poll(now, &mut self.report) {
                send(index, &self.report);
            }
        }
    }

    /// Gives `send` the farewells.
    pub fn bye(&mut self, now: Duration, mut send: impl FnMut(usize, &[u8])) {
        for (index, track) in self.tracks.iter_mut().enumerate() {
            self.report.clear();
            if track.bye(now, &mut self.report) {
                send(index, &self.report);
            }
        }
    }

    /// Somebody who watches wants a keyframe.
    pub fn want_keyframe(&mut self) {
        self.tracks.iter_mut().for_each(TrackIntake::want_keyframe);
    }

    /// The senders of pictures have said that they end, and nothing came since.
    pub fn has_ended(&self) -> bool {
        self.tracks.iter().filter(|track| track.codec().is_video()).all(TrackIntake::has_left)
    }

    /// What was wrong with what became no frame, if none came since.
    pub fn fault(&self) -> Option<&str> {
        self.tracks.iter().find_map(TrackIntake::fault)
    }

    /// Packets of pictures that were taken.
    pub fn packets(&self) -> u64 {
        self.tracks.iter().filter(|track| track.codec().is_video()).map(|track| track.counts().packets).sum()
    }

    /// The payload type of packets that were not taken for it.
    pub fn other_payload_type(&self) -> Option<u8> {
        self.tracks.iter().find_map(TrackIntake::other_payload_type)
    }

    /// What was counted, and `before` that.
    pub fn path(&self, before: &NetworkPath) -> NetworkPath {
        let mut path = NetworkPath { jitter: Duration::ZERO, ..*before };
        // The pictures' sender is the one that is told: theirs comes last.
        self.tracks.iter().rev().for_each(|track| track.add_to(&mut path));
        path
    }
}

/// Whether what came to RTP's port or channel is RTCP: packet types from 192 to 223 are no payload types (RFC 5761 4).
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, 192..=223, ..] if first >> 6 == 2)
}

#[cfg(test)]
mod tests;
