//! One try to play a camera: its connection and its packets in, frames and reports out.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use ocelli_hub::{NetworkPath, Publisher, SourceError};
use ocelli_proto::rtp::receive::IN_ORDER;
use ocelli_proto::rtp::reorder::Limits;
use ocelli_proto::rtsp::client::{
    Carrier, Cause, Client, Described, Event, Input, Lessons, TEARDOWN_TIMEOUT, Way,
};
use ocelli_proto::sdp::Kind;
use tokio::time::{Instant, sleep_until, timeout};

use super::link::{Link, connect};
use super::ports::{Came, EMPTY_RTCP, Ports, RtcpBuffer, TRACKS};
use crate::sources::received::{Chosen, Intake, IntakeSetup, Moment};
use crate::sources::tls::Trust;

/// How often the numbers are told when no picture comes.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Where nothing is due at all, it is looked again after this time.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The source ends a little before it is said that it is silent.
const PART_OF_SILENCE: f64 = 0.98;
/// How long packets of pictures may come without a whole picture: cameras that save bandwidth have keyframes this far apart.
pub(in crate::sources) const MOST_WAIT_FOR_PICTURE: Duration = Duration::from_secs(30);
/// How long after its farewell a camera may yet change its mind.
const FAREWELL: Duration = Duration::from_secs(1);
/// What is waited for where packets may overtake each other. See the same of `rtp:`.
const DATAGRAMS: Limits = Limits { wait: Duration::from_millis(50), packets: 512 };

/// What a try needs to know.
#[derive(Clone, Debug)]
pub(super) struct Try {
    /// How long the camera may be silent.
    pub(super) silence: Duration,
    /// Whose certificate is believed.
    pub(super) trust: Trust,
    /// Longest picture, in bytes.
    pub(super) max_frame_bytes: usize,
    /// The receiver's name in reports.
    pub(super) cname: String,
    /// What was counted before.
    pub(super) before: NetworkPath,
}

/// One try.
pub(super) struct Session {
    settings: Try,
    /// All times are since then.
    origin: Instant,
    client: Client,
    link: Option<Link>,
    described: Option<Box<Described>>,
    /// For the tracks of the description, once it is known how the first of them travels.
    intake: Option<Intake>,
    ports: Ports,
    carrier: Option<Carrier>,
    /// When packets of pictures came last, and how many had come then.
    heard: (Duration, u64),
    /// When a whole picture came last, or the stream began.
    last_picture: Duration,
    told: Duration,
    /// Bytes that were said to belong to nothing.
    garbage: u64,
    playing: bool,
}

/// What became of a try.
pub(super) struct Ended {
    /// Why, in words.
    pub(super) error: SourceError,
    /// Another way for packets to travel is worth a try.
    pub(super) is_of_transport: bool,
}

impl From<Cause> for Ended {
    fn from(cause: Cause) -> Self {
        let words = cause.to_string();
        let error = if cause.is_lasting() { SourceError::refused(words) } else { SourceError::lost(words) };
        Self { error, is_of_transport: is_of_transport(&cause) }
    }
}

impl From<SourceError> for Ended {
    fn from(error: SourceError) -> Self {
        Self { error, is_of_transport: false }
    }
}

/// Whether the camera may send by the next transport: nothing came, or it refused to set a track up in words of its own. Where it
/// refused by the right ones, the client has asked for the others already.
fn is_of_transport(cause: &Cause) -> bool {
    match cause {
        Cause::NothingCame(_) => true,
        Cause::Refused { method: "SETUP", status, .. } => {
            !matches!(status, 401 | 403 | 404 | 453 | 454 | 503)
        }
        _ => false,
    }
}

fn lost(words: impl Into<String>) -> Ended {
    SourceError::lost(words).into()
}

impl Session {
    pub(super) fn new(client: Client, origin: Instant, settings: Try) -> Self {
        Self {
            settings,
            origin,
            client,
            link: None,
            described: None,
            intake: None,
            ports: Ports::default(),
            carrier: None,
            heard: (Duration::ZERO, 0),
            last_picture: Duration::ZERO,
            told: Duration::ZERO,
            garbage: 0,
            playing: false,
        }
    }

    /// What is known of the camera's oddities.
    pub(super) fn lessons(&self) -> Lessons {
        self.client.lessons()
    }

    /// What carries the packets, as far as that was agreed.
    pub(super) fn carrier(&self) -> Option<Carrier> {
        self.carrier
    }

    /// What was counted, up to here.
    pub(super) fn counted(&self) -> NetworkPath {
        let mut path = match &self.intake {
            Some(intake) => intake.path(&self.settings.before),
            None => self.settings.before,
        };
        path.listens = self.ports.listens();
        path.transport = self.carrier.map(name);
        path.strange += self.ports.strange + self.client.strays();
        path
    }

    /// Plays until there is nothing to play.
    pub(super) async fn run(&mut self, out: &mut Publisher) -> Ended {
        let mut rtcp = EMPTY_RTCP;
        let mut timer = pin!(sleep_until(self.origin));
        loop {
            if let Err(ended) = self.take_events(out).await {
                self.tell(out);
                return ended;
            }
            if let Err(ended) = self.step(out) {
                self.tell(out);
                return ended;
            }
            let deadline = self.origin + self.deadline().min(self.origin.elapsed() + LONGEST_WAIT);
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            tokio::select! {
                read = exchange(&mut self.link, &mut self.client) => {
                    if !matches!(read, Ok(1..)) {
                        self.link = None;
                        self.client.input(self.origin.elapsed(), Input::Disconnected);
                    }
                }
                came = self.ports.receive(&mut rtcp) => {
                    if let Err(error) = came.and_then(|came| self.take(came, &rtcp)) {
                        return lost(format!("receiving failed: {error}"));
                    }
                }
                () = out.keyframe_wanted() => {
                    if let Some(intake) = &mut self.intake {
                        intake.want_keyframe();
                    }
                }
                () = &mut timer => self.client.expire(self.origin.elapsed()),
            }
        }
    }

    /// Does what the client says, and takes the packets that it gives out.
    async fn take_events(&mut self, out: &mut Publisher) -> Result<(), Ended> {
        let mut now = self.origin.elapsed();
        while let Some(event) = self.client.next_event(now) {
            match event {
                Event::Data { track, rtcp, packet } => self.take_interleaved(now, track, rtcp, &packet),
                Event::Connect(place) => {
                    self.link = None;
                    self.link = Some(connect(&place, self.settings.trust).await.map_err(lost)?);
                    now = self.origin.elapsed();
                    self.client.input(now, Input::Connected);
                }
                Event::Described(described) => self.described(described)?,
                Event::PortsNeeded { track } => {
                    let local = self.link.as_ref().map(|link| link.local);
                    let bound = local.map(|local| self.ports.bind(track.into(), local));
                    let input = match bound {
                        Some(Ok((rtp, rtcp))) => Input::Ports { rtp, rtcp },
                        _ => Input::NoPorts,
                    };
                    self.client.input(now, input);
                }
                Event::SetUp { track, way, .. } => self.set_up(now, track.into(), way)?,
                Event::Refused { track, cause } => self.refused(track.into(), &cause, out)?,
                Event::StartedOver => {
                    self.ports.clear();
                    (self.intake, self.carrier) = (None, None);
                }
                Event::Playing(_) => self.begin(now, out),
                Event::Closed(cause) => return Err(self.closed(cause)),
            }
        }
        Ok(())
    }

    /// Publishes, reports, and looks for silence.
    fn step(&mut self, out: &mut Publisher) -> Result<(), Ended> {
        let Some(intake) = &mut self.intake else { return Ok(()) };
        let now = Moment::now(self.origin);
        let came = intake.publish(now, out);
        let (client, ports) = (&mut self.client, &self.ports);
        intake.poll(now.since, |track, report| send(client, ports, track, report));
        let now = now.since;
        let packets = intake.packets();
        if packets != self.heard.1 {
            self.heard = (now, packets);
        }
        if came {
            self.last_picture = now;
        }
        if came || now >= self.told + TELL_EVERY {
            self.tell(out);
            self.told = now;
        }
        self.silent(now).map_or(Ok(()), Err)
    }

    /// Why the camera counts as silent, if it does.
    fn silent(&self, now: Duration) -> Option<Ended> {
        let intake = self.intake.as_ref().filter(|_| self.playing)?;
        if intake.has_ended() && now >= self.last_picture + FAREWELL {
            return Some(lost("the camera has ended its stream"));
        }
        if now < self.silent_at() {
            return None;
        }
        let fault = intake.fault().map_or_else(String::new, |fault| format!(": {fault}"));
        if now >= self.last_picture + self.most_wait() {
            let seconds = self.most_wait().as_secs();
            return Some(lost(format!("packets come, but no whole picture in {seconds} s{fault}")));
        }
        let seconds = self.settings.silence.as_secs_f64();
        let instead = match intake.other_payload_type() {
            Some(other) => format!("; packets of payload type {other} come, which it has not described"),
            None => String::new(),
        };
        Some(lost(format!("the camera has sent no pictures for {seconds} s{instead}")))
    }

    fn most_wait(&self) -> Duration {
        self.settings.silence.max(MOST_WAIT_FOR_PICTURE)
    }

    fn silent_at(&self) -> Duration {
        let packets = self.heard.0 + self.settings.silence.mul_f64(PART_OF_SILENCE);
        packets.min(self.last_picture + self.most_wait())
    }

    /// When there is something to do though nothing comes.
    fn deadline(&mut self) -> Duration {
        let client = self.client.deadline().unwrap_or(Duration::MAX);
        let Some(intake) = &mut self.intake else { return client };
        let intake = intake.deadline();
        let silent_at = if self.playing { self.silent_at() } else { Duration::MAX };
        client.min(intake).min(silent_at).min(self.told + TELL_EVERY)
    }

    fn described(&mut self, described: Box<Described>) -> Result<(), Ended> {
        let has_pictures = described.tracks.iter().any(|track| track.codec.kind() == Kind::Video);
        if !has_pictures || described.tracks.len() > TRACKS {
            let why = described.description.nothing_understood();
            return Err(SourceError::refused(format!("the camera offers {why}")).into());
        }
        self.described = Some(described);
        Ok(())
    }

    /// A track's way is agreed: with the first one it is known how all will come.
    fn set_up(&mut self, now: Duration, track: usize, way: Way) -> Result<(), Ended> {
        let ends = self.link.as_ref().map(|link| (link.peer, link.local));
        let Some((peer, local)) = ends else { return Ok(()) };
        self.carrier = Some(match way {
            Way::Interleaved => Carrier::Tcp,
            Way::Udp { .. } => Carrier::Udp,
            Way::Multicast { .. } => Carrier::Multicast,
        });
        if let Way::Multicast { group, rtp, rtcp, .. } = way {
            self.ports.join(track, local, group, (rtp, rtcp)).map_err(lost)?;
        }
        self.ports.agree(track, peer, &way);
        if let (None, Some(described)) = (&self.intake, &self.described) {
            let setup = IntakeSetup {
                limits: if way == Way::Interleaved { IN_ORDER } else { DATAGRAMS },
                max_frame_bytes: self.settings.max_frame_bytes,
                cname: self.settings.cname.clone(),
                unicast: !matches!(way, Way::Multicast { .. }),
            };
            self.intake = Some(Intake::new(now, &chosen(described), &setup));
        }
        Ok(())
    }

    fn refused(&mut self, track: usize, cause: &Cause, out: &mut Publisher) -> Result<(), Ended> {
        let medium = self.described.as_ref().and_then(|described| described.tracks.get(track));
        if medium.is_some_and(|medium| medium.codec.kind() == Kind::Video) {
            return Err(cause.clone().into());
        }
        if let Some(intake) = &mut self.intake {
            intake.forget(track);
        }
        tracing::warn!(camera = %out.name(), "the camera keeps its sound to itself: {cause}");
        out.note(&format!("without sound: {cause}"));
        Ok(())
    }

    fn begin(&mut self, now: Duration, out: &mut Publisher) {
        self.playing = true;
        (self.heard.0, self.last_picture) = (now, now);
        // Those before PLAY may have come too early for the camera.
        self.ports.open_ways();
        let codecs = self.described.iter().flat_map(|described| &described.tracks);
        let codecs: Vec<String> = codecs.map(|track| track.codec.media().to_string()).collect();
        let (transport, server) = (self.carrier.map(name), self.client.server());
        tracing::info!(camera = %out.name(), tracks = codecs.join(", "), transport, server, "plays");
        self.tell(out);
    }

    fn closed(&mut self, cause: Cause) -> Ended {
        if let Some(link) = &mut self.link {
            link.send_now(&mut self.client);
        }
        self.link = None;
        cause.into()
    }

    fn take_interleaved(&mut self, now: Duration, track: u8, rtcp: bool, packet: &[u8]) {
        let (Some(intake), Some(link)) = (&mut self.intake, &self.link) else { return };
        let (client, ports) = (&mut self.client, &self.ports);
        let reply = |track, report: &[u8]| send(client, ports, track, report);
        if rtcp {
            intake.report(now, track.into(), packet, reply);
        } else {
            intake.packet(now, track.into(), link.peer, packet, reply);
        }
    }

    /// Takes what came by UDP.
    fn take(&mut self, came: Came, rtcp: &RtcpBuffer) -> std::io::Result<()> {
        let Some(intake) = &mut self.intake else { return Ok(()) };
        let client = &mut self.client;
        match came {
            Came::Rtcp(track, length) => {
                let mut replies = Vec::new();
                let now = self.origin.elapsed();
                intake.report(now, track, &rtcp[..length], |_, report| replies.extend_from_slice(report));
                if !replies.is_empty() {
                    self.ports.report(track, &replies);
                }
            }
            Came::Rtp(track) => {
                let origin = self.origin;
                let mut heard = false;
                let each = |arrived: Duration, from: SocketAddr, bytes: &[u8]| {
                    heard = true;
                    // A new name for collisions is said with the next report.
                    intake.packet(arrived, track, from, bytes, |_, _| {});
                };
                self.ports.take(track, || origin.elapsed(), each)?;
                if heard {
                    client.input(origin.elapsed(), Input::Heard);
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, out: &mut Publisher) {
        out.network(self.counted());
        let garbage = self.client.garbage();
        out.garbage(garbage - std::mem::replace(&mut self.garbage, garbage));
    }
}

impl Drop for Session {
    /// Says farewell, and lets the camera answer to it for a moment, so that it is not met with a reset.
    fn drop(&mut self) {
        let now = self.origin.elapsed();
        let Some(mut link) = self.link.take() else { return };
        if let Some(intake) = &mut self.intake {
            let (client, ports) = (&mut self.client, &self.ports);
            intake.bye(now, |track, report| send(client, ports, track, report));
        }
        self.client.input(now, Input::End);
        link.send_now(&mut self.client);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(timeout(TEARDOWN_TIMEOUT, async move {
            // Its own answer, or the end of the connection: either will do.
            let mut buffer = [0; 4096];
            while link.read(&mut buffer).await.is_ok_and(|read| read > 0 && !is_answer(&buffer[..read])) {}
        }));
    }
}

/// Whether there is the beginning of an answer in it: what was on the way before it is not looked at.
fn is_answer(bytes: &[u8]) -> bool {
    bytes.windows(9).any(|window| window == b"RTSP/1.0 ")
}

/// What carries packets, in a word.
fn name(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Tcp => "tcp",
        Carrier::Udp => "udp",
        Carrier::Multicast => "multicast",
    }
}

fn send(client: &mut Client, ports: &Ports, track: usize, report: &[u8]) {
    if !u8::try_from(track).is_ok_and(|track| client.report(track, report)) {
        ports.report(track, report);
    }
}

fn chosen(described: &Described) -> Vec<Chosen> {
    let of = |track: &ocelli_proto::rtsp::client::Track| {
        let medium = described.description.media.get(track.medium);
        Chosen {
            medium: track.medium,
            codec: track.codec.clone(),
            payload_type: track.payload_type,
            feedback: medium.is_some_and(|medium| medium.protocol.to_ascii_uppercase().contains("AVPF")),
        }
    };
    described.tracks.iter().map(of).collect()
}

/// Of the connection; for ever where there is none.
async fn exchange(link: &mut Option<Link>, client: &mut Client) -> std::io::Result<usize> {
    match link {
        Some(link) => link.exchange(client).await,
        None => std::future::pending().await,
    }
}
