//! From datagrams to pictures or sound: who is listened to, in which order the packets belong, what they make.
//!
//! The first sender is listened to until it is silent. A datagram of another address is strange while the sender was heard
//! within [`SILENCE`], so nobody takes over a camera by sending to its port; and another sender at the same address must be
//! believed by [`Reorder`]. A sender that begins anew from the same port is heard again at once.
//!
//! A packet in order goes to the depacketiser from the buffer that it was received into; one that must wait is copied. So
//! nothing is allocated for a packet as long as the network keeps the order. Memory is bounded: by the longest picture, and
//! by as many datagrams as [`Limits`] let wait. Packets within a connection are taken in the same way: there each call has the
//! address of its other end, and nothing is to wait ([`IN_ORDER`]).
//!
//! Refuses what is no RTP (RTCP, STUN, garbage) and every payload type but the one; counts it, and goes on. It reads no clock:
//! every time here is one since an origin of the caller's, the same for all calls.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Packet;
use super::reorder::{Item, Limits, Reorder};

mod assembly;
mod timeline;

use assembly::Assembly;
pub use assembly::{Cause, Dropped, Payload, Picture, Sound};
pub use timeline::Timeline;

/// How long a sender is the only one after each of its packets.
pub const SILENCE: Duration = Duration::from_secs(1);

/// For packets that cannot overtake each other: a gap is a gap at once.
pub const IN_ORDER: Limits = Limits { wait: Duration::ZERO, packets: 1 };

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What the packets carry.
    pub payload: Payload,
    /// The payload type that says so, 0 to 127.
    pub payload_type: u8,
    /// The only address that is listened to; `None`: whoever comes first.
    pub from: Option<IpAddr>,
    /// How long, and how much, to wait for a missing packet.
    pub limits: Limits,
    /// Longest picture, in bytes.
    pub most_bytes: usize,
}

/// What came of the datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A sender's packets begin: another one, or the same that has begun its numbers anew.
    Started {
        /// Its name.
        ssrc: u32,
        /// Where its packets come from.
        from: SocketAddr,
    },
    /// A picture that came whole.
    Picture(Picture),
    /// Sound that came whole.
    Sound(Sound),
    /// A picture or sound that did not.
    Dropped(Dropped),
}

/// A packet as it came, early, late and twice alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its sender.
    pub ssrc: u32,
    /// Its number.
    pub sequence: u16,
    /// When its payload was sampled, in ticks of the payload's clock.
    pub timestamp: u32,
}

/// What was counted, over all senders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets in order that went into pictures, or would have if the rest of those had come.
    pub packets: u64,
    /// Bytes of all packets that were listened to.
    pub bytes: u64,
    /// Packets that did not come, or too late.
    pub lost: u64,
    /// Packets that came too late.
    pub late: u64,
    /// Packets that came a second time.
    pub duplicate: u64,
    /// Datagrams of others than the sender.
    pub strange: u64,
    /// Datagrams that are no RTP packets.
    pub not_rtp: u64,
    /// RTP packets of another payload type.
    pub other_payload: u64,
    /// How often a sender began.
    pub senders: u64,
}

/// Takes one sender's datagrams at a time.
#[derive(Debug)]
pub struct Receiver {
    setup: Setup,
    reorder: Reorder<Held>,
    assembly: Assembly,
    sender: Option<Sender>,
    counts: Counts,
    other_payload_type: Option<u8>,
    /// Reused.
    items: Vec<Item<Held>>,
}

#[derive(Clone, Copy, Debug)]
struct Sender {
    address: SocketAddr,
    heard: Duration,
}

/// A packet on its way through the reorder buffer.
#[derive(Debug)]
enum Held {
    /// In order: it passes while its bytes are still where they were received.
    Here,
    /// It waits.
    Kept { bytes: Box<[u8]>, arrived: Duration },
}

impl Receiver {
    /// One that has heard nobody.
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            reorder: Reorder::new(setup.limits),
            assembly: Assembly::new(&setup),
            sender: None,
            counts: Counts::default(),
            other_payload_type: None,
            items: Vec::new(),
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let order = self.reorder.counts();
        Counts {
            packets: order.passed,
            lost: order.lost,
            late: order.late,
            duplicate: order.duplicate,
            strange: self.counts.strange + order.strange,
            senders: order.started,
            ..self.counts
        }
    }

    /// The sender that is listened to: its name, and where its packets come from.
    pub fn sender(&self) -> Option<(u32, SocketAddr)> {
        Some((self.reorder.ssrc()?, self.sender?.address))
    }

    /// The payload type of the last packet that had another one than expected.
    pub fn other_payload_type(&self) -> Option<u8> {
        self.other_payload_type
    }

    /// Whether nothing can be shown before the sender sends a keyframe: it should be asked for one.
    pub fn keyframe_wanted(&self) -> bool {
        self.sender.is_some() && self.assembly.keyframe_wanted()
    }

    /// Takes a datagram that came at `now`, and adds to `out` what can be given out now. The packet that it is, if it was
    /// listened to.
    pub fn datagram(
        &mut self,
        now: Duration,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut Vec<Event>,
    ) -> Option<Arrival> {
        if self.setup.from.is_some_and(|only| only != from.ip().to_canonical()) {
            self.counts.strange += 1;
            return None;
        }
        let Ok(packet) = Packet::parse(bytes) else {
            self.counts.not_rtp += 1;
            return None;
        };
        if packet.payload_type() != self.setup.payload_type {
            self.counts.other_payload += 1;
            self.other_payload_type = Some(packet.payload_type());
            return None;
        }
        let talks_over =
            |sender: &Sender| sender.address != from && now < sender.heard.saturating_add(SILENCE);
        if self.sender.as_ref().is_some_and(talks_over) {
            self.counts.strange += 1;
            return None;
        }
        self.counts.bytes += bytes.len() as u64;
        let (ssrc, sequence, timestamp) = (packet.ssrc(), packet.sequence(), packet.timestamp());
        self.expire(now, out);
        let held = if self.reorder.is_next(ssrc, sequence) {
            Held::Here
        } else {
            Held::Kept { bytes: bytes.into(), arrived: now }
        };
        self.reorder.push(now, ssrc, sequence, held, &mut self.items);
        if self.reorder.ssrc() == Some(ssrc) {
            self.sender = Some(Sender { address: from, heard: now });
        }
        self.pass(Some((&packet, now)), out);
        Some(Arrival { ssrc, sequence, timestamp })
    }

    /// Adds to `out` what need not wait any longer at `now`. To be called at [`deadline`](Self::deadline).
    pub fn expire(&mut self, now: Duration, out: &mut Vec<Event>) {
        self.reorder.expire(now, &mut self.items);
        self.pass(None, out);
    }

    /// When a packet has waited long enough; `None` while none waits.
    pub fn deadline(&mut self) -> Option<Duration> {
        self.reorder.deadline()
    }

    /// Gives the packets whose turn it is to the depacketiser. `here` is the one that did not have to wait.
    fn pass(&mut self, here: Option<(&Packet<'_>, Duration)>, out: &mut Vec<Event>) {
        for item in self.items.drain(..) {
            match item {
                Item::Started { ssrc } => {
                    self.assembly = Assembly::new(&self.setup);
                    if let Some(Sender { address, .. }) = self.sender {
                        out.push(Event::Started { ssrc, from: address });
                    }
                }
                Item::Packet { packet: Held::Here, .. } => {
                    if let Some((packet, arrived)) = here {
                        self.assembly.push(packet, arrived, out);
                    }
                }
                Item::Packet { packet: Held::Kept { bytes, arrived }, .. } => {
                    if let Ok(packet) = Packet::parse(&bytes) {
                        self.assembly.push(&packet, arrived, out);
                    }
                }
                // The depacketiser sees the gap.
                Item::Lost { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
