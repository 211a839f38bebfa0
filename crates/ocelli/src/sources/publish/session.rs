//! One publisher: its packets in, frames out, reports back.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ocelli_hub::{NetworkPath, Publisher};
use ocelli_proto::rtp::receive::IN_ORDER;
use ocelli_proto::rtp::reorder::Limits;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::{Packet, Publication};
use crate::sources::SourceOptions;
use crate::sources::received::{Intake, IntakeSetup, Moment};
use crate::sources::rtsp::MOST_WAIT_FOR_PICTURE;
use crate::udp::Inbox;

/// How often the numbers are told.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// A publisher is given up a little before the time that is said.
const PART_OF_SILENCE: f64 = 0.98;
/// How long packets by UDP are waited for that others have overtaken, and how many wait for them.
const BY_UDP: Limits = Limits { wait: Duration::from_millis(50), packets: 512 };
/// Packets that are taken from the connection before what is whole is published.
const TURN: usize = 32;
/// Longest RTCP datagram that is read.
const RTCP_BYTES: usize = 2048;

/// One run.
pub(super) struct Session<'a> {
    /// All times are since then.
    origin: Instant,
    from: SocketAddr,
    silence: Duration,
    intake: Intake,
    way: Way,
    inlets: [Option<Inlet>; 2],
    passed_over: Option<String>,
    ended: oneshot::Receiver<String>,
    over: oneshot::Sender<String>,
    last_picture: Duration,
    /// When packets of pictures came last, and how many had come then.
    heard: (Duration, u64),
    told: Duration,
    /// Packets of others than the publisher.
    strange: u64,
    before: NetworkPath,
    counted: &'a mut NetworkPath,
}

/// What comes and goes within the connection.
struct Way {
    packets: mpsc::Receiver<Packet>,
    reports: mpsc::Sender<Packet>,
    heard: Arc<AtomicBool>,
}

/// What comes and goes by UDP, of one track.
struct Inlet {
    rtp: Inbox,
    rtcp: UdpSocket,
    peer_rtcp: SocketAddr,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        publication: Publication,
        options: &SourceOptions,
        name: &str,
        counted: &'a mut NetworkPath,
    ) -> Self {
        let Publication { from, tracks, passed_over, packets, reports, heard, ended, over, .. } = publication;
        let by_udp = tracks.iter().any(|track| track.ports.is_some());
        let setup = IntakeSetup {
            limits: if by_udp { BY_UDP } else { IN_ORDER },
            max_frame_bytes: options.max_frame_bytes,
            cname: name.to_owned(),
            unicast: true,
        };
        let mut inlets = [None, None];
        let mut chosen = Vec::new();
        for (track, inlet) in tracks.into_iter().zip(&mut inlets) {
            chosen.push(track.chosen);
            *inlet = track.ports.and_then(|ports| {
                let opened =
                    Inbox::new(ports.rtp).and_then(|rtp| Ok((rtp, UdpSocket::from_std(ports.rtcp)?)));
                let (rtp, rtcp) =
                    opened.inspect_err(|error| tracing::warn!("no port for RTP: {error}")).ok()?;
                Some(Inlet { rtp, rtcp, peer_rtcp: ports.peer_rtcp })
            });
        }
        Self {
            origin: Instant::now(),
            from,
            silence: options.silence_timeout,
            intake: Intake::new(Duration::ZERO, &chosen, &setup),
            way: Way { packets, reports, heard },
            inlets,
            passed_over,
            ended,
            over,
            last_picture: Duration::ZERO,
            heard: (Duration::ZERO, 0),
            told: Duration::ZERO,
            strange: 0,
            before: *counted,
            counted,
        }
    }

    /// Takes what comes until it ends; why, in words.
    pub(super) async fn run(mut self, out: &mut Publisher) -> String {
        if let Some(note) = &self.passed_over {
            tracing::warn!(camera = %out.name(), "{note}");
            out.note(note);
        }
        let why = self.take_all(out).await;
        self.tell(out);
        let now = self.origin.elapsed();
        let Self { mut intake, way, inlets, over, .. } = self;
        intake.bye(now, |track, report| send(&way, &inlets, track, report));
        // The connection may be gone.
        let _ = over.send(why.clone());
        why
    }

    async fn take_all(&mut self, out: &mut Publisher) -> String {
        let mut timer = pin!(sleep_until(self.origin));
        loop {
            let deadline = self.origin + self.deadline();
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            let [first, second] = &mut self.inlets;
            let (first, first_rtcp) = ends(first);
            let (second, second_rtcp) = ends(second);
            let by_udp = tokio::select! {
                packet = self.way.packets.recv() => match packet {
                    Some(packet) => {
                        self.take_from_connection(packet);
                        None
                    }
                    None => return self.why_it_left(),
                },
                received = receive(first) => Some((0, received)),
                received = receive(second) => Some((1, received)),
                () = readable(first_rtcp) => {
                    self.hear(0);
                    None
                }
                () = readable(second_rtcp) => {
                    self.hear(1);
                    None
                }
                () = out.keyframe_wanted() => {
                    self.intake.want_keyframe();
                    None
                }
                () = &mut timer => None,
            };
            match by_udp {
                Some((track, Ok(()))) => self.take_datagrams(track),
                Some((_, Err(error))) => {
                    return format!("receiving from the publisher at {} failed: {error}", self.from);
                }
                None => {}
            }
            if let Some(why) = self.turn(out) {
                return why;
            }
        }
    }

    /// What is due now that packets have come, or time has passed. Why it is over, if it is.
    fn turn(&mut self, out: &mut Publisher) -> Option<String> {
        let now = Moment::now(self.origin);
        if self.intake.publish(now, out) {
            self.last_picture = now.since;
        }
        let packets = self.intake.packets();
        if packets != self.heard.1 {
            self.heard = (now.since, packets);
        }
        let Self { intake, way, inlets, .. } = self;
        intake.poll(now.since, |track, report| send(way, inlets, track, report));
        if now.since >= self.told + TELL_EVERY {
            self.tell(out);
            self.told = now.since;
        }
        (now.since >= self.silent_at()).then(|| self.why_it_is_silent(now.since))
    }

    fn deadline(&mut self) -> Duration {
        self.silent_at().min(self.told + TELL_EVERY).min(self.intake.deadline())
    }

    fn silent_at(&self) -> Duration {
        let packets = self.heard.0 + self.silence.mul_f64(PART_OF_SILENCE);
        packets.min(self.last_picture + self.most_wait())
    }

    /// How long there may be no whole picture while packets come: up to the next keyframe, where one was lost.
    fn most_wait(&self) -> Duration {
        self.silence.max(MOST_WAIT_FOR_PICTURE)
    }

    /// Takes a packet, and those that wait behind it.
    fn take_from_connection(&mut self, mut packet: Packet) {
        let now = self.origin.elapsed();
        let mut taken = 1;
        loop {
            let Packet { track, rtcp, bytes } = packet;
            let Self { intake, way, inlets, from, .. } = self;
            let reply = |track, report: &[u8]| send(way, inlets, track, report);
            if rtcp {
                intake.report(now, track, &bytes, reply);
            } else {
                intake.packet(now, track, *from, &bytes, reply);
            }
            // What is received has to be taken, so the bound comes first.
            if taken == TURN {
                return;
            }
            let Ok(next) = way.packets.try_recv() else { return };
            (packet, taken) = (next, taken + 1);
        }
    }

    /// Takes the datagrams that have come to a track's port.
    fn take_datagrams(&mut self, track: usize) {
        let Self { intake, way, inlets, from, strange, .. } = self;
        let Some(inlet) = &inlets[track] else { return };
        let now = self.origin.elapsed();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for datagram in inlet.rtp.datagrams() {
            if !is_same(datagram.from, *from) {
                *strange += 1;
                continue;
            }
            // How long it has waited in the kernel; a clock that was set meanwhile tells nothing.
            let waited = datagram.arrived.map_or(Duration::ZERO, |at| since_1970.saturating_sub(at));
            let arrived = now.saturating_sub(if waited < TELL_EVERY { waited } else { Duration::ZERO });
            let reply = |track, report: &[u8]| send(way, inlets, track, report);
            intake.packet(arrived, track, datagram.from, datagram.bytes, reply);
            way.heard.store(true, Ordering::Relaxed);
        }
    }

    /// Reads the RTCP that has come to a track's port.
    fn hear(&mut self, track: usize) {
        let Self { intake, way, inlets, from, strange, .. } = self;
        let Some(inlet) = &inlets[track] else { return };
        let mut buffer = [0; RTCP_BYTES];
        for _ in 0..TURN {
            // A port where nobody listens may be reported here, and is no reason to stop.
            let Ok((length, sender)) = inlet.rtcp.try_recv_from(&mut buffer) else { return };
            if !is_same(sender, *from) {
                *strange += 1;
                continue;
            }
            let reply = |track, report: &[u8]| send(way, inlets, track, report);
            intake.report(self.origin.elapsed(), track, &buffer[..length], reply);
            way.heard.store(true, Ordering::Relaxed);
        }
    }

    /// Tells the numbers.
    fn tell(&mut self, out: &mut Publisher) {
        let listens = self.inlets.iter().flatten().find_map(|inlet| inlet.rtp.socket().local_addr().ok());
        let path = self.intake.path(&self.before);
        let sender = path.sender.or(Some(self.from));
        // The pictures' way: sound may have another.
        let transport = Some(if self.inlets[0].is_some() { "udp" } else { "tcp" });
        let strange = path.strange + self.strange;
        *self.counted = NetworkPath { listens, sender, strange, transport, ..path };
        out.network(*self.counted);
    }

    fn why_it_left(&mut self) -> String {
        match self.ended.try_recv() {
            Ok(why) => format!("the publisher at {} is gone: {why}", self.from),
            Err(_) => format!("the publisher at {} is gone", self.from),
        }
    }

    /// Why no picture came since the last one.
    fn why_it_is_silent(&self, now: Duration) -> String {
        let (from, seconds) = (self.from, self.silence.as_secs_f64());
        if now >= self.last_picture + self.most_wait() {
            let seconds = self.most_wait().as_secs();
            let why = self.intake.fault().map_or_else(String::new, |fault| format!(": {fault}"));
            return format!(
                "packets come from the publisher at {from}, but no whole picture in {seconds} s{why}"
            );
        }
        match self.intake.other_payload_type() {
            Some(other) => format!(
                "packets come from the publisher at {from}, but not of the payload type that it has announced, and of {other}"
            ),
            None => format!("the publisher at {from} sent no pictures for {seconds} s"),
        }
    }
}

/// A track's ends, apart.
fn ends(inlet: &mut Option<Inlet>) -> (Option<&mut Inbox>, Option<&UdpSocket>) {
    match inlet {
        Some(Inlet { rtp, rtcp, .. }) => (Some(rtp), Some(rtcp)),
        None => (None, None),
    }
}

/// Waits for datagrams; for ever where none can come.
async fn receive(inbox: Option<&mut Inbox>) -> std::io::Result<()> {
    match inbox {
        Some(inbox) => inbox.receive().await,
        None => std::future::pending().await,
    }
}

/// Waits for RTCP; for ever where none can come.
async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        Some(socket) if socket.readable().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// Sends RTCP the way that the track's packets come. What cannot be sent is repeated with the next report.
fn send(way: &Way, inlets: &[Option<Inlet>; 2], track: usize, report: &[u8]) {
    match inlets.get(track) {
        Some(Some(inlet)) => drop(inlet.rtcp.try_send_to(report, inlet.peer_rtcp)),
        _ => {
            let packet = Packet { track, rtcp: true, bytes: Bytes::copy_from_slice(report) };
            drop(way.reports.try_send(packet));
        }
    }
}

/// Whether both are of one machine. Ports may be changed on the way.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip().to_canonical() == other.ip().to_canonical()
}
