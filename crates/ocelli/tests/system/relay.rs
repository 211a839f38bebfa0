//! A network between two programs that loses, delays and repeats packets, the same ones in each run.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How many packets of 1000 meet which fate.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    /// Sent on behind one to four that came later.
    pub(crate) late: u64,
    pub(crate) twice: u64,
}

/// What it has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
    /// Sequence numbers, and timestamps, that were less than half as large as the one before.
    pub(crate) sequence_wraps: u64,
    pub(crate) timestamp_wraps: u64,
}

/// Sends on what comes to a socket, until it is dropped.
pub(crate) struct Relay {
    counts: Arc<Mutex<Counts>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// From `socket` to `to`. Packets of other senders than `ssrc`, if one is named, go nowhere.
    pub(crate) fn start(socket: UdpSocket, ssrc: Option<u32>, to: Vec<SocketAddr>, faults: Faults) -> Self {
        let by = socket.try_clone().unwrap();
        Self::between(socket, by, ssrc, to, faults)
    }

    /// The same, but what comes to `socket` is sent on from the socket `by`.
    pub(crate) fn between(
        socket: UdpSocket,
        by: UdpSocket,
        ssrc: Option<u32>,
        to: Vec<SocketAddr>,
        faults: Faults,
    ) -> Self {
        let (counts, ended) = (Arc::<Mutex<Counts>>::default(), Arc::<AtomicBool>::default());
        let dice = fastrand::Rng::with_seed(1);
        let network = Network { by, out: to, held: Vec::new(), faults, dice, seen: 0, late: 0 };
        let (shared, end) = (counts.clone(), ended.clone());
        let thread = std::thread::spawn(move || network.run(&socket, ssrc, &shared, &end));
        Self { counts, ended, thread: Some(thread) }
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Network {
    by: UdpSocket,
    out: Vec<SocketAddr>,
    /// Packets with the number of others that are to go before each.
    held: Vec<(u8, Vec<u8>)>,
    faults: Faults,
    dice: fastrand::Rng,
    seen: u64,
    late: u64,
}

impl Network {
    fn run(mut self, socket: &UdpSocket, ssrc: Option<u32>, counts: &Mutex<Counts>, end: &AtomicBool) {
        // Nothing that is held waits for longer than a picture's packets come.
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let (mut buffer, mut last) = (vec![0; 65_536], None);
        while !end.load(Ordering::Relaxed) {
            let Ok(length) = socket.recv(&mut buffer) else {
                self.held.drain(..).for_each(|(_, packet)| send(&self.by, &self.out, &packet));
                continue;
            };
            let packet = &buffer[..length];
            if packet.len() < 12 || ssrc.is_some_and(|ssrc| packet[8..12] != ssrc.to_be_bytes()) {
                continue;
            }
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
            let mut counts = counts.lock().unwrap();
            if let Some((before, earlier)) = last.replace((sequence, timestamp)) {
                counts.sequence_wraps += u64::from(sequence < before / 2);
                counts.timestamp_wraps += u64::from(timestamp < earlier / 2);
            }
            let passes = self.pass(packet);
            counts.late = self.late;
            if passes {
                counts.passed += 1;
            } else {
                counts.lost += 1;
            }
        }
    }

    /// Whether it is not lost. The first ones pass as they are: receivers believe a sender by two packets in sequence.
    fn pass(&mut self, packet: &[u8]) -> bool {
        let is_young = self.seen < 10;
        self.seen += 1;
        let mut falls = |per_mille: u64| self.dice.u64(0..1000) < per_mille && !is_young;
        let (lost, late, twice) =
            (falls(self.faults.lost), falls(self.faults.late), falls(self.faults.twice));
        self.late += u64::from(late && !lost);
        if late && !lost {
            self.held.push((self.dice.u8(1..=4), packet.to_vec()));
        } else if !lost {
            send(&self.by, &self.out, packet);
        }
        if twice && !lost {
            send(&self.by, &self.out, packet);
        }
        for (others, _) in &mut self.held {
            *others = others.saturating_sub(1);
        }
        self.held.retain(|(others, packet)| {
            if *others == 0 {
                send(&self.by, &self.out, packet);
            }
            *others > 0
        });
        !lost
    }
}

fn send(socket: &UdpSocket, to: &[SocketAddr], packet: &[u8]) {
    for address in to {
        // Refused until somebody listens.
        let _ = socket.send_to(packet, address);
    }
}
