//! PLAY, what keeps the session alive, and how silence is noticed (RFC 2326 sections 10.5 and 12.37).

use std::time::Duration;

use super::connection::{Client, State};
use super::request::{Keepalive, Step};
use super::steps::refusal;
use super::{Cause, Event, MOST_KEEPALIVE_PAUSE, Playing, PlayingTrack, SESSION_TIMEOUT, Settings};
use crate::rtsp::target::without_host;
use crate::rtsp::{Method, Range, Response, RtpInfo};

/// What is known while the tracks come.
#[derive(Debug)]
pub(super) struct Play {
    since: Duration,
    /// When the last packet came.
    last: Option<Duration>,
    pub(super) next_keepalive: Duration,
    pause: Duration,
    keepalive: Keepalive,
    /// The camera says that it does not know the session.
    lost: bool,
}

impl Play {
    /// A packet came.
    pub(super) fn heard(&mut self, now: Duration) {
        self.last = Some(now);
    }

    /// When it has been silent for too long.
    pub(super) fn silent_at(&self, settings: &Settings) -> Duration {
        match self.last {
            Some(last) => last + settings.silence_timeout,
            None => self.since + settings.first_packet_timeout,
        }
    }

    /// What to say of it then.
    pub(super) fn silence(&self, settings: &Settings) -> Cause {
        match self.last {
            _ if self.lost => Cause::SessionLost,
            Some(_) => Cause::Silent(settings.silence_timeout),
            None => Cause::NothingCame(settings.first_packet_timeout),
        }
    }
}

impl Client {
    pub(super) fn playing(&mut self, now: Duration, response: &Response) {
        self.take_session(response);
        let infos: Vec<_> = response.fields.all("RTP-Info").flat_map(RtpInfo::parse).collect();
        let range = response.fields.first("Range").and_then(|value| Range::parse(value).ok());
        let ready: Vec<_> = self.tracks.iter().zip(0_u8..).filter(|(track, _)| track.is_ready()).collect();
        let tracks = ready
            .iter()
            .enumerate()
            .map(|(place, (setup, track))| {
                let info = find_info(&infos, setup.url(), place, ready.len());
                let (sequence, rtp_time) = info.map_or((None, None), |info| (info.sequence, info.rtp_time));
                PlayingTrack { track: *track, sequence, rtp_time }
            })
            .collect();
        let timeout = self.session.as_ref().map_or(SESSION_TIMEOUT, |session| session.timeout);
        let pause = (timeout / 2).clamp(Duration::from_secs(1), MOST_KEEPALIVE_PAUSE);
        let keepalive = self.best_keepalive();
        self.state = State::Playing(Play {
            since: now,
            last: None,
            next_keepalive: now + pause,
            pause,
            keepalive,
            lost: false,
        });
        self.events.push_back(Event::Playing(Playing { range, tracks }));
    }

    /// Tries what else may name the stream, and then the same without a range: what is live has no beginning.
    pub(super) fn play_refused(&mut self, now: Duration, response: &Response) {
        let is_of_url = matches!(response.status, 400 | 404 | 405 | 451 | 459);
        if is_of_url && self.aggregate + 1 < self.aggregates.len() {
            self.aggregate += 1;
            return self.ask(now, Step::Play);
        }
        if self.ranged && (is_of_url || matches!(response.status, 456 | 457 | 501)) {
            (self.ranged, self.aggregate) = (false, 0);
            return self.ask(now, Step::Play);
        }
        self.close(refusal(Step::Play, response));
    }

    fn best_keepalive(&self) -> Keepalive {
        let can = |method: &Method| self.methods.as_ref().is_none_or(|methods| methods.contains(method));
        match self.settings.lessons.keepalive {
            Some(keepalive) => keepalive,
            None if self.methods.is_some() && can(&Method::GetParameter) => Keepalive::GetParameter,
            None if can(&Method::Options) || !can(&Method::SetParameter) => Keepalive::Options,
            None => Keepalive::SetParameter,
        }
    }

    pub(super) fn keep_alive(&mut self, now: Duration) {
        let State::Playing(play) = &mut self.state else { return };
        play.next_keepalive = now + play.pause;
        let step = Step::KeepAlive(play.keepalive);
        self.ask(now, step);
    }

    /// Takes the answer to a keepalive, 0 for none: who refuses it is asked in another way the next time, and plays on.
    pub(super) fn kept_alive(&mut self, keepalive: Keepalive, status: u16) {
        let State::Playing(play) = &mut self.state else { return };
        play.lost = status == 454;
        if !matches!(status, 200..300) {
            play.keepalive = keepalive.next();
        }
    }
}

/// What is said of a track: by its URL, without the host, which servers get wrong; or by its place, where as many are said.
fn find_info<'a>(infos: &'a [RtpInfo], url: &str, place: usize, tracks: usize) -> Option<&'a RtpInfo> {
    let path = |url: &'a str| -> &'a str {
        if url.contains("://") { without_host(url).trim_matches('/') } else { url.trim_matches('/') }
    };
    let own = without_host(url).trim_matches('/');
    let is_end = |end: &str| {
        !end.is_empty()
            && own
                .strip_suffix(end)
                .is_some_and(|before| before.is_empty() || before.ends_with(['/', '?', '&']))
    };
    let same = infos.iter().find(|info| path(&info.url) == own);
    same.or_else(|| infos.iter().find(|info| is_end(path(&info.url))))
        .or_else(|| infos.get(place).filter(|_| infos.len() == tracks))
}
