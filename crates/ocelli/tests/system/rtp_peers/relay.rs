//! A network between two programs that loses, delays and repeats packets, the same ones in each run.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How many packets of 1000 meet which fate.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    pub(super) lost: u64,
    /// Sent on behind one to four that came later.
    pub(super) late: u64,
    pub(super) twice: u64,
}

/// What it has done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) lost: u64,
    /// Sequence numbers, and timestamps, that were less than half as large as the one before.
    pub(super) sequence_wraps: u64,
    pub(super) timestamp_wraps: u64,
}

/// Sends on what comes to a socket, until it is dropped.
pub(super) struct Relay {
    counts: Arc<Mutex<Counts>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// From `socket` to `to`. Packets of other senders than `ssrc`, if one is named, go nowhere.
    pub(super) fn start(socket: UdpSocket, ssrc: Option<u32>, to: Vec<SocketAddr>, faults: Faults) -> Self {
        let (counts, ended) = (Arc::<Mutex<Counts>>::default(), Arc::<AtomicBool>::default());
        let network =
            Network { out: to, held: Vec::new(), faults, dice: fastrand::Rng::with_seed(1), seen: 0 };
        let (shared, end) = (counts.clone(), ended.clone());
        let thread = std::thread::spawn(move || network.run(&socket, ssrc, &shared, &end));
        Self { counts, ended, thread: Some(thread) }
    }

    pub(super) fn counts(&self) -> Counts {
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
    out: Vec<SocketAddr>,
    /// Packets with the number of others that are to go before each.
    held: Vec<(u8, Vec<u8>)>,
    faults: Faults,
    dice: fastrand::Rng,
    seen: u64,
}

impl Network {
    fn run(mut self, socket: &UdpSocket, ssrc: Option<u32>, counts: &Mutex<Counts>, end: &AtomicBool) {
        // Nothing that is held waits for longer than a picture's packets come.
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let (mut buffer, mut last) = (vec![0; 65_536], None);
        while !end.load(Ordering::Relaxed) {
            let Ok(length) = socket.recv(&mut buffer) else {
                self.held.drain(..).for_each(|(_, packet)| send(socket, &self.out, &packet));
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
            if self.pass(socket, packet) {
                counts.passed += 1;
            } else {
                counts.lost += 1;
            }
        }
    }

    /// Whether it is not lost. The first ones pass as they are: receivers believe a sender by two packets in sequence.
    fn pass(&mut self, socket: &UdpSocket, packet: &[u8]) -> bool {
        let is_young = self.seen < 10;
        self.seen += 1;
        let mut falls = |per_mille: u64| self.dice.u64(0..1000) < per_mille && !is_young;
        let (lost, late, twice) =
            (falls(self.faults.lost), falls(self.faults.late), falls(self.faults.twice));
        if late && !lost {
            self.held.push((self.dice.u8(1..=4), packet.to_vec()));
        } else if !lost {
            send(socket, &self.out, packet);
        }
        if twice && !lost {
            send(socket, &self.out, packet);
        }
        for (others, _) in &mut self.held {
            *others = others.saturating_sub(1);
        }
        self.held.retain(|(others, packet)| {
            if *others == 0 {
                send(socket, &self.out, packet);
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
