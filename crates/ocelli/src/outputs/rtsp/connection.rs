//! One connection: what is read goes into the state machine, its events are answered, and while its client plays, pictures are
//! written.
//!
//! A task is woken by its socket, by the ring of pieces, by its one timer, or by somebody who ends its session. The timer is set when
//! something is due and left alone until it fires: a picture that goes out at once touches none.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ocelli_hub::Want;
use ocelli_proto::rtsp::Status;
use ocelli_proto::rtsp::server::{Answer, Close, Connection, End, Event, Offer, Refusal, Started};
use tokio::net::TcpStream;

use super::datagrams::Heard;
use super::describe::Chosen;
use super::listen::HalfOpen;
use super::outcomes::{Ended, Outcome, Refused};
use super::play::{Playback, Way, first_picture};
use super::record::{PREPARATION, Recording};
use super::timer::Timer;
use super::tunnel::{Kind, Tunnel};
use super::writing::Outlet;
use super::{Server, unguessable};
use crate::http::close;

/// A client that takes nothing for this long is closed: its machine is gone, or asleep.
const STALLED: Duration = Duration::from_secs(10);
/// How long what is left to say may take once a connection is to be closed.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Pieces that are written before others have their turn.
const TURN: usize = 32;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error("the client left")]
    Left,
    #[error("the connection broke: {0}")]
    Broke(#[from] io::Error),
    #[error("its packets could not be sent: {0}")]
    Unsendable(io::Error),
    #[error("the client read nothing for {} s", STALLED.as_secs())]
    Stalled,
    #[error("the camera's stream has ended, or is coded otherwise from here on")]
    Camera,
    #[error("the camera takes no more: {0}")]
    Unwanted(String),
    #[error("the client announced a stream and did not send it within {} s", PREPARATION.as_secs())]
    Unsent,
    #[error("another session of the same machine has its ports")]
    Displaced,
    #[error("the session was ended from outside")]
    Asked,
    #[error(transparent)]
    Closed(#[from] Close),
}

/// Why a request is not answered as it was meant.
enum Unanswered {
    Refused(Refusal),
    /// It is not answered at all: the connection ended meanwhile.
    Over(Over),
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Over> for Unanswered {
    fn from(over: Over) -> Self {
        Self::Over(over)
    }
}

impl Over {
    fn kind(&self) -> Ended {
        match self {
            Self::Left => Ended::Left,
            Self::Broke(error) => Ended::by(error),
            Self::Unsendable(_) => Ended::Broke,
            Self::Stalled => Ended::Stalled,
            Self::Camera | Self::Unwanted(_) => Ended::Camera,
            Self::Unsent => Ended::Silent,
            Self::Displaced => Ended::Displaced,
            Self::Asked => Ended::Asked,
            Self::Closed(Close::SessionTimeout(_) | Close::NoRequest(_) | Close::Idle(_)) => Ended::Silent,
            Self::Closed(_) => Ended::Abuse,
        }
    }
}

/// Serves `stream` until it is over. `half_open` is its place until its first request.
pub(super) async fn run(
    server: Arc<Server>,
    mut stream: TcpStream,
    peer: SocketAddr,
    half_open: HalfOpen,
) -> Outcome {
    // Its memory is needed for a moment, this task's for days.
    let kind = Box::pin(server.tunnels.enter(&mut stream, peer, half_open)).await;
    let (half_open, tunnel) = match kind {
        Kind::Plain(half_open) => (Some(half_open), None),
        Kind::Tunnel(tunnel) => (None, Some(tunnel)),
        Kind::Refused => {
            close(stream).await;
            return Outcome::Refused(Refused::Tunnel);
        }
        Kind::Done(why) => {
            close(stream).await;
            return Outcome::Over(why);
        }
    };
    let nonce = match unguessable() {
        Ok(nonce) => nonce,
        Err(error) => {
            tracing::error!(%peer, "RTSP connection closed: no random numbers: {error}");
            return Outcome::Over(Ended::Broke);
        }
    };
    let now = server.since_origin(Instant::now());
    let machine = Connection::new(server.settings.clone(), server.gate.clone(), nonce, now);
    let mut driver = Driver {
        server,
        stream,
        peer,
        machine,
        half_open,
        tunnel,
        chosen: None,
        playback: None,
        recording: None,
        outlet: Outlet::default(),
        timer: Timer::new(),
    };
    let over = driver.run().await;
    let why = over.kind();
    driver.end(over).await;
    Outcome::Over(why)
}

struct Driver {
    server: Arc<Server>,
    stream: TcpStream,
    peer: SocketAddr,
    machine: Connection,
    half_open: Option<HalfOpen>,
    /// Where requests come from that do not come by `stream`.
    tunnel: Option<Tunnel>,
    /// What was described last, held ready for SETUP.
    chosen: Option<Chosen>,
    playback: Option<Playback>,
    /// What the client has announced, and sends, with the name that it has given it.
    recording: Option<(String, Recording)>,
    outlet: Outlet,
    timer: Timer,
}

impl Driver {
    async fn run(&mut self) -> Over {
        loop {
            while let Some(event) = self.machine.next_event(self.now()) {
                self.half_open = None;
                if let Err(over) = self.take(event).await {
                    return over;
                }
            }
            if self.half_open.is_some() && !self.machine.output().is_empty() {
                self.half_open = None;
            }
            if let Err(over) = poll_fn(|context| self.poll(context)).await {
                return over;
            }
        }
    }

    fn now(&self) -> Duration {
        self.server.since_origin(Instant::now())
    }

    /// Does what an event asks for, and answers it.
    async fn take(&mut self, event: Event) -> Result<(), Over> {
        let plays = matches!(event, Event::Play { .. });
        let answer = match event {
            Event::Describe { path, query, base } => self.describe(&path, query.as_deref(), &base).await,
            Event::Setup { path, query, track, offers, publish: false } => {
                self.set_up(&path, query.as_deref(), track, &offers).await
            }
            Event::Play { .. } => self.play().await,
            Event::Pause => {
                if let Some(playback) = &mut self.playback {
                    playback.pause();
                    self.outlet.leave_out();
                }
                return Ok(());
            }
            Event::Ended(End::Replaced) if self.recording.is_some() => {
                // What it has announced holds for the session that begins.
                if let Some((_, recording)) = &mut self.recording
                    && recording.begin_again()
                {
                    self.server.app.rtsp.publishers_ended.count(Ended::Left as usize);
                }
                return Ok(());
            }
            Event::Ended(end) => {
                self.end_session(Ended::Left, &end);
                return Ok(());
            }
            Event::Announce { path, sdp, .. } => self.announce(path, &sdp).map_err(Into::into),
            Event::Setup { track, offers, publish: true, .. } => {
                self.set_up_to_record(track, &offers).map_err(Into::into)
            }
            Event::Record => self.record().map_err(Into::into),
            Event::Data { track, rtcp, packet } => {
                match &self.recording {
                    Some((_, recording)) => recording.give(track, rtcp, packet).await,
                    None => self.read_report(track, &packet),
                }
                return Ok(());
            }
            Event::Close(reason) => return Err(reason.into()),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(Unanswered::Refused(refusal)) => Answer::Refused(refusal),
            Err(Unanswered::Over(over)) => return Err(over),
        };
        let now = self.now();
        // The machine has just asked for it.
        let _ = self.machine.answer(now, answer);
        if plays {
            // Behind the answer and before the first packet.
            self.write_reports();
        }
        Ok(())
    }

    /// Waits for `what`, which a camera may take its time for. What plays goes on meanwhile, and that the client has gone is noticed.
    async fn attended<T>(&mut self, what: impl Future<Output = T>) -> Result<T, Over> {
        let mut what = pin!(what);
        poll_fn(|context| {
            loop {
                if let Poll::Ready(done) = what.as_mut().poll(context) {
                    return Poll::Ready(Ok(done));
                }
                ready!(self.poll(context))?;
            }
        })
        .await
    }

    async fn describe(&mut self, path: &str, query: Option<&str>, base: &str) -> Result<Answer, Unanswered> {
        self.chosen = None;
        let server = self.server.clone();
        let chosen = self.attended(server.choose(path, query)).await??;
        let tracks = self.attended(chosen.tracks()).await?;
        let is_ipv6 = self.peer.ip().to_canonical().is_ipv6();
        let answer = tracks.and_then(|tracks| chosen.describe(&tracks, base, query, is_ipv6));
        self.chosen = Some(chosen);
        Ok(answer?)
    }

    async fn set_up(
        &mut self,
        path: &str,
        query: Option<&str>,
        track: Option<u8>,
        offers: &[Offer],
    ) -> Result<Answer, Unanswered> {
        if let Some(Playback { chosen, .. }) = &self.playback {
            let kind = self.playback.as_ref().map(Playback::kind);
            let (set_up, _) = self.server.set_up(chosen, &chosen.told(), track, offers, self.peer, kind)?;
            return Ok(Answer::SetUp(set_up));
        }
        // Players leave out of a track's address what they were given of the camera's, now and then.
        let described = self.chosen.as_ref().and_then(|chosen| chosen.query_at(path));
        let server = self.server.clone();
        let mut asked = self.attended(server.choose(path, query.or(described.as_deref()))).await??;
        asked.remember(self.chosen.as_ref());
        let tracks = self.attended(asked.tracks()).await??;
        let (set_up, kind) = self.server.set_up(&asked, &tracks, track, offers, self.peer, None)?;
        let enrolled = self.server.admit(&asked, kind, self.peer, self.machine.program())?;
        self.chosen = None;
        self.playback = Some(Playback::new(enrolled, asked, kind));
        Ok(Answer::SetUp(set_up))
    }

    async fn play(&mut self) -> Result<Answer, Unanswered> {
        let not_set_up = || Refusal::new(Status::NOT_VALID_IN_STATE, "");
        let playback = self.playback.as_ref().ok_or_else(not_set_up)?;
        if playback.way.is_some() {
            return Ok(Answer::Started(Started::default()));
        }
        let (camera, stream) = (playback.chosen.camera.clone(), playback.chosen.stream().clone());
        let mut pieces = stream.derive(&self.server.bursts(&camera), Want::Live);
        let first = self.attended(first_picture(&stream, &mut pieces)).await??;
        let playback = self.playback.as_mut().ok_or_else(not_set_up)?;
        Ok(playback.play(pieces, first, self.machine.tracks()))
    }

    fn announce(&mut self, path: String, sdp: &[u8]) -> Result<Answer, Refusal> {
        let (recording, answer) = self.server.announce(&path, sdp)?;
        self.recording = Some((path, recording));
        Ok(answer)
    }

    fn set_up_to_record(&mut self, track: Option<u8>, offers: &[Offer]) -> Result<Answer, Refusal> {
        let Some((_, recording)) = &mut self.recording else {
            return Err(Refusal::new(Status::NOT_VALID_IN_STATE, "nothing was announced"));
        };
        let local = self.stream.local_addr();
        let local = local.map_err(|error| Refusal::new(Status::INTERNAL_ERROR, error.to_string()))?;
        recording.set_up(track, offers, local, self.peer).map(Answer::SetUp)
    }

    fn record(&mut self) -> Result<Answer, Refusal> {
        let Some((path, recording)) = &mut self.recording else {
            return Err(Refusal::new(Status::NOT_VALID_IN_STATE, "nothing was announced"));
        };
        recording.record(path, self.machine.tracks(), self.machine.program(), self.peer)
    }

    /// Writes what is due and reads what comes, until there is something to think about.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Over>> {
        let now = Instant::now();
        if let Some((_, recording)) = &mut self.recording
            && let Poll::Ready(why) = recording.poll(&mut self.machine, context)
        {
            return Poll::Ready(Err(Over::Unwanted(why)));
        }
        if let Poll::Ready(over) = self.poll_write(now, context) {
            return Poll::Ready(Err(over));
        }
        if let Poll::Ready(over) = self.poll_heard(context) {
            return Poll::Ready(Err(over));
        }
        if let Some(playback) = &mut self.playback
            && Pin::new(&mut playback.enrolled.asked_to_close).poll(context).is_ready()
        {
            return Poll::Ready(Err(Over::Asked));
        }
        if (self.machine.wants_bytes() || self.machine.takes_ahead())
            && let Poll::Ready(read) = self.poll_read(context)
        {
            return Poll::Ready(read);
        }
        self.poll_timer(now, context)
    }

    /// Writes until there is nothing more, or the socket takes no more. Ready when the connection is over.
    fn poll_write(&mut self, now: Instant, context: &mut Context<'_>) -> Poll<Over> {
        let mut turn = TURN;
        loop {
            match self.outlet.write(&self.stream, &mut self.machine) {
                Ok(Some(piece)) => {
                    if let Some(Playback { enrolled, .. }) = &self.playback {
                        enrolled.got(&piece, piece.packet_count(), piece.rtp_bytes());
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(error) = ready!(self.poll_writable(now, context)) {
                        return Poll::Ready(error.into());
                    }
                    continue;
                }
                Err(error) => return Poll::Ready(error.into()),
            }
            let Some(playback @ Playback { way: Some(Way::Within(_)), .. }) = &mut self.playback else {
                return self.begin_sending().map_or(Poll::Pending, Poll::Ready);
            };
            if turn == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            turn -= 1;
            match ready!(playback.poll_next(self.outlet.is_held_up(), context)) {
                Ok((piece, channel)) => {
                    if playback.begins_late(&piece) {
                        self.write_reports();
                    }
                    self.outlet.begin(piece, channel);
                }
                Err(_) => return Poll::Ready(Over::Camera),
            }
        }
    }

    /// Ready when the socket takes more. A picture of which nothing was written, and that stands for itself, is then the newest.
    fn poll_writable(&mut self, now: Instant, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outlet.block(now);
        ready!(self.stream.poll_write_ready(context))?;
        if let Some(Playback { enrolled, way: Some(Way::Within(reader)), .. }) = &mut self.playback
            && self.outlet.is_untouched()
            && let Some((piece, channel)) = reader.newer(enrolled)
        {
            self.outlet.begin(piece, channel);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends by UDP what waited until its client had its answer. Why the connection is over, if it is.
    fn begin_sending(&mut self) -> Option<Over> {
        let Some(playback @ Playback { way: Some(Way::Ready(_)), .. }) = &mut self.playback else {
            return None;
        };
        match self.stream.local_addr() {
            Ok(local) => playback.send(&self.server, local, self.peer).err().map(Over::Unsendable),
            Err(error) => Some(Over::Broke(error)),
        }
    }

    /// Takes what comes by UDP. Ready when the session is over.
    fn poll_heard(&mut self, context: &mut Context<'_>) -> Poll<Over> {
        loop {
            let Some(playback) = &mut self.playback else { return Poll::Pending };
            let Some(Way::Datagrams(sending)) = &mut playback.way else { return Poll::Pending };
            match ready!(sending.poll_heard(context)) {
                Heard::Report { track, packet } => {
                    let now = self.now();
                    self.machine.alive(now);
                    self.read_report(track, &packet);
                }
                Heard::Begins(first) => playback.begins(&first),
                Heard::Closed => return Poll::Ready(Over::Camera),
                Heard::Displaced => return Poll::Ready(Over::Displaced),
            }
        }
    }

    fn read_report(&mut self, track: u8, packet: &[u8]) {
        if let Some(Playback { enrolled, chosen, reports, .. }) = &mut self.playback
            && reports.read(track, packet, &enrolled.numbers, &enrolled.viewer.stats().receipts)
        {
            chosen.stream().ask_keyframe();
        }
    }

    /// Puts the reports that are due on their way.
    fn write_reports(&mut self) {
        let Some(Playback { enrolled, reports, way, .. }) = &mut self.playback else { return };
        match way {
            Some(Way::Within(reader)) => reports.poll(&enrolled.numbers, |track, report| {
                if let Some(channel) = reader.rtcp_channel(track)
                    && !self.outlet.report(channel, report)
                {
                    enrolled.numbers.report_dropped();
                }
            }),
            Some(Way::Datagrams(sending)) => {
                reports.poll(&enrolled.numbers, |track, report| sending.report(track, report));
            }
            Some(Way::Ready(_)) | None => {}
        }
    }

    /// When a report is due.
    fn report_due(&self) -> Option<Instant> {
        let Playback { reports, way, .. } = self.playback.as_ref()?;
        match way {
            Some(Way::Within(_)) => reports.due(),
            Some(Way::Datagrams(sending)) if sending.reports() => reports.due(),
            _ => None,
        }
    }

    /// Ready when something was read, or nothing more comes.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Over>> {
        if let Some(tunnel) = &mut self.tunnel {
            if let Poll::Ready(Some(bytes)) = tunnel.requests.poll_recv(context) {
                self.machine.room().extend_from_slice(&bytes);
                return Poll::Ready(Ok(()));
            }
            return poll_left(&self.stream, context)
                .map(|left| Err(left.map_or_else(Over::Broke, |()| Over::Left)));
        }
        loop {
            ready!(self.stream.poll_read_ready(context)).map_err(Over::Broke)?;
            match self.stream.try_read_buf(self.machine.room()) {
                Ok(0) => return Poll::Ready(Err(Over::Left)),
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Ready when a time is over that something had to come in, or to go out.
    fn poll_timer(&mut self, now: Instant, context: &mut Context<'_>) -> Poll<Result<(), Over>> {
        let stalled = self.outlet.blocked_since().map(|since| since + STALLED);
        let silent = self.machine.deadline().map(|at| self.server.origin + at);
        let report = self.report_due();
        let unsent = self.recording.as_ref().and_then(|(_, recording)| recording.send_by());
        let due = [stalled, silent, report, unsent].into_iter().flatten().min();
        let Some(due) = due else { return Poll::Pending };
        ready!(self.timer.poll_until(due, now, context));
        if unsent.is_some_and(|at| at <= now) {
            return Poll::Ready(Err(Over::Unsent));
        }
        if stalled.is_some_and(|at| at <= now) {
            return Poll::Ready(Err(Over::Stalled));
        }
        if report.is_some_and(|at| at <= now) {
            self.write_reports();
        }
        if self.recording.as_ref().is_some_and(|(_, recording)| recording.was_heard()) {
            self.machine.alive(self.server.since_origin(now));
        }
        match self.machine.expire(self.server.since_origin(now)) {
            Some(Event::Close(reason)) => Poll::Ready(Err(reason.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn end_session(&mut self, kind: Ended, why: &dyn fmt::Display) {
        if let Some((_, recording)) = self.recording.take()
            && recording.end(why.to_string())
        {
            self.server.app.rtsp.publishers_ended.count(kind as usize);
        }
        let Some(Playback { enrolled, mut reports, way, .. }) = self.playback.take() else { return };
        self.outlet.leave_out();
        if let (Some(Way::Datagrams(sending)), true) = (&way, kind != Ended::Left) {
            reports.bye(&enrolled.numbers, |track, report| sending.report(track, report));
        }
        self.server.app.rtsp.sessions.ended.count(kind as usize);
        let stats = enrolled.viewer.stats();
        let (camera, id, frames) = (&stats.camera, stats.id, stats.frames());
        if kind == Ended::Left {
            tracing::debug!(%camera, peer = %self.peer, id, frames, "RTSP session ended: {why}");
        } else {
            tracing::info!(%camera, peer = %self.peer, id, frames, "RTSP session ended: {why}");
        }
    }

    /// Says what is left to say, and closes the connection.
    async fn end(mut self, over: Over) {
        tracing::debug!(peer = %self.peer, "RTSP connection ended: {over}");
        self.end_session(over.kind(), &over);
        match over {
            Over::Left | Over::Broke(_) => {}
            // What waits in the kernel would stay there for minutes.
            Over::Stalled => drop(socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))),
            Over::Unsendable(_)
            | Over::Camera
            | Over::Unwanted(_)
            | Over::Unsent
            | Over::Displaced
            | Over::Asked
            | Over::Closed(_) => {
                let rest = async {
                    loop {
                        match self.outlet.write(&self.stream, &mut self.machine) {
                            Ok(None) => return true,
                            Ok(Some(_)) => {}
                            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return false,
                            Err(_) if self.stream.writable().await.is_err() => return false,
                            Err(_) => {}
                        }
                    }
                };
                if tokio::time::timeout(LAST_WORDS, rest).await == Ok(true) {
                    close(self.stream).await;
                }
            }
        }
    }
}

/// Ready when the client has closed its side. What it sends meanwhile is thrown away.
fn poll_left(stream: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut sink = [0; 512];
    loop {
        ready!(stream.poll_read_ready(context))?;
        match stream.try_read(&mut sink) {
            Ok(0) => return Poll::Ready(Ok(())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}
