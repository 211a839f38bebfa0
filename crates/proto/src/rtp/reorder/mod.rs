//! Puts packets back into the order in which they were sent, and says which ones are lost.
//!
//! A packet is lost when what was sent behind it has waited for `wait`, or when it would need more than `packets` places. A
//! new sender, and one that begins its numbers anew, must send two packets in sequence to be believed (RFC 3550 A.1): one
//! stray packet changes nothing. Memory is bounded by `packets`.
//!
//! It reads no clock: every time here is one since an origin of the caller's, the same for all calls.

use std::collections::VecDeque;
use std::time::Duration;

/// A number farther ahead than this is no gap but a jump (RFC 3550 A.1).
const MOST_DROPOUT: u16 = 3000;
/// A number farther back than this is no late packet but a jump (RFC 3550 A.1).
const MOST_MISORDER: u16 = 100;

/// How long the sender must be silent for the one before it to be heard again.
const SUPERSEDED: Duration = Duration::from_secs(1);

/// How long, and how much, to wait for a missing packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time from the arrival of a packet behind the gap. Zero: nothing is sorted, gaps are only told.
    pub wait: Duration,
    /// Places from the first missing packet on, 1 to 3000; what is beyond counts as the nearest of these.
    pub packets: usize,
}

/// What comes out, in the order in which it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<P> {
    /// A sender's packets begin: another one, or the same that has begun its numbers anew.
    Started {
        /// The sender.
        ssrc: u32,
    },
    /// A packet.
    Packet {
        /// Its number, which does not wrap: the RTP sequence number and, above it, how often that has wrapped.
        extended: u64,
        /// What was put in.
        packet: P,
    },
    /// Packets that will not come, or come too late.
    Lost {
        /// How many: 1 or more.
        packets: u64,
    },
}

/// What was counted, over all senders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets given out.
    pub passed: u64,
    /// Packets told as lost, the late ones included.
    pub lost: u64,
    /// Packets that came after they were told as lost, or after their successors; dropped.
    pub late: u64,
    /// Packets that had come before; dropped.
    pub duplicate: u64,
    /// Packets of senders, or with numbers, that were not believed; dropped.
    pub strange: u64,
    /// How often a sender began.
    pub started: u64,
}

/// Sorts the packets of one sender at a time.
#[derive(Debug)]
pub struct Reorder<P> {
    limits: Limits,
    counts: Counts,
    sender: Option<Sender<P>>,
    candidate: Option<Candidate<P>>,
    /// Whom the sender has taken over from. It does not take over again while the sender is heard: servers go on for a while to
    /// send what an ended session wanted where the next one is.
    superseded: Option<u32>,
}

#[derive(Debug)]
struct Sender<P> {
    ssrc: u32,
    /// The number that is to be given out next.
    next: u64,
    /// From `next` on; the last is a packet.
    places: VecDeque<Option<P>>,
    /// When each of these came, in the order in which they did; also of some that have been given out.
    arrivals: VecDeque<(u64, Duration)>,
    /// Bit n: packet `next - 1 - n` was given out.
    passed: u128,
    heard: Duration,
}

/// One who has sent one packet that does not fit, or more while the sender was still heard.
#[derive(Debug)]
struct Candidate<P> {
    ssrc: u32,
    sequence: u16,
    packet: P,
    arrived: Duration,
}

impl<P> Reorder<P> {
    /// One that has seen no packet.
    pub fn new(limits: Limits) -> Self {
        let packets = limits.packets.clamp(1, MOST_DROPOUT.into());
        Self {
            limits: Limits { packets, ..limits },
            counts: Counts::default(),
            sender: None,
            candidate: None,
            superseded: None,
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The sender whose packets come out.
    pub fn ssrc(&self) -> Option<u32> {
        self.sender.as_ref().map(|sender| sender.ssrc)
    }

    /// Whether this is the packet that comes next: pushed at the time of the last [`expire`](Self::expire), it is given out at
    /// once, and need not be kept.
    pub fn is_next(&self, ssrc: u32, sequence: u16) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.ssrc == ssrc && sender.next as u16 == sequence)
    }

    /// Takes a packet that came at `now`, and adds to `out` what can be given out now.
    pub fn push(&mut self, now: Duration, ssrc: u32, sequence: u16, packet: P, out: &mut Vec<Item<P>>) {
        self.expire(now, out);
        let own = self.sender.as_mut().filter(|sender| sender.ssrc == ssrc);
        if let Some(sender) = own {
            let ahead = sequence.wrapping_sub(sender.next as u16);
            let behind = ahead.wrapping_neg();
            if ahead < MOST_DROPOUT {
                sender.insert(now, ahead.into(), packet, self.limits.packets, &mut self.counts, out);
                self.refuse_candidate();
                self.expire(now, out);
                return;
            }
            if behind <= MOST_MISORDER {
                sender.heard = now;
                let passed = sender.passed >> (behind - 1) & 1 == 1;
                *(if passed { &mut self.counts.duplicate } else { &mut self.counts.late }) += 1;
                return;
            }
        }
        self.consider(Candidate { ssrc, sequence, packet, arrived: now }, out);
    }

    /// Adds to `out` what need not wait any longer at `now`. To be called at [`deadline`](Self::deadline).
    pub fn expire(&mut self, now: Duration, out: &mut Vec<Item<P>>) {
        let Some(sender) = &mut self.sender else { return };
        while sender.oldest().is_some_and(|arrived| now >= arrived.saturating_add(self.limits.wait)) {
            sender.skip_gap(&mut self.counts, out);
            sender.pass(&mut self.counts, out);
        }
    }

    /// When a packet has waited long enough; `None` while none waits.
    pub fn deadline(&mut self) -> Option<Duration> {
        let wait = self.limits.wait;
        self.sender.as_mut()?.oldest().map(|arrived| arrived.saturating_add(wait))
    }

    /// Whether two packets in sequence make a new sender of `next`'s.
    fn consider(&mut self, next: Candidate<P>, out: &mut Vec<Item<P>>) {
        let wait = self.limits.wait;
        // Numbers that jump are the sender's own doing; another sender must not talk over one that is still heard.
        let wait = if self.superseded == Some(next.ssrc) { wait.max(SUPERSEDED) } else { wait };
        let vacant = self.sender.as_ref().is_none_or(|sender| {
            sender.ssrc == next.ssrc || next.arrived >= sender.heard.saturating_add(wait)
        });
        let in_sequence = |first: &mut Candidate<P>| {
            vacant && first.ssrc == next.ssrc && first.sequence.wrapping_add(1) == next.sequence
        };
        let Some(first) = self.candidate.take_if(in_sequence) else {
            self.refuse_candidate();
            self.candidate = Some(next);
            return;
        };
        if let Some(mut sender) = self.sender.take() {
            if sender.ssrc != first.ssrc {
                self.superseded = Some(sender.ssrc);
            }
            while !sender.places.is_empty() {
                sender.skip_gap(&mut self.counts, out);
                sender.pass(&mut self.counts, out);
            }
        }
        self.counts.started += 1;
        out.push(Item::Started { ssrc: first.ssrc });
        let sender = self.sender.insert(Sender::new(&first));
        for Candidate { packet, arrived, .. } in [first, next] {
            sender.insert(arrived, 0, packet, self.limits.packets, &mut self.counts, out);
        }
    }

    fn refuse_candidate(&mut self) {
        self.counts.strange += u64::from(self.candidate.take().is_some());
    }
}

impl<P> Sender<P> {
    fn new(first: &Candidate<P>) -> Self {
        Self {
            ssrc: first.ssrc,
            next: first.sequence.into(),
            places: VecDeque::new(),
            arrivals: VecDeque::new(),
            passed: 0,
            heard: first.arrived,
        }
    }

    /// Puts a packet `ahead` places behind the next one, and gives out what it makes room for or completes.
    fn insert(
        &mut self,
        now: Duration,
        mut ahead: usize,
        packet: P,
        most: usize,
        counts: &mut Counts,
        out: &mut Vec<Item<P>>,
    ) {
        self.heard = now;
        let number = self.next + ahead as u64;
        while ahead >= most {
            if self.places.is_empty() {
                self.lose((ahead + 1 - most) as u64, counts, out);
            } else {
                self.skip_gap(counts, out);
                self.pass(counts, out);
            }
            // Never past the packet: what waits was sent before it, or is it.
            let Some(left) = number.checked_sub(self.next) else {
                counts.duplicate += 1;
                return;
            };
            ahead = left as usize;
        }
        while self.places.len() <= ahead {
            self.places.push_back(None);
        }
        if self.places[ahead].is_some() {
            counts.duplicate += 1;
            return;
        }
        self.places[ahead] = Some(packet);
        if ahead > 0 {
            self.arrivals.push_back((number, now));
        }
        self.pass(counts, out);
    }

    /// Gives out what is next, up to the first gap.
    fn pass(&mut self, counts: &mut Counts, out: &mut Vec<Item<P>>) {
        while let Some(packet) = self.places.front_mut().and_then(Option::take) {
            self.places.pop_front();
            out.push(Item::Packet { extended: self.next, packet });
            counts.passed += 1;
            self.next += 1;
            self.passed = self.passed << 1 | 1;
        }
    }

    /// Gives up what is missing before the first packet that waits.
    fn skip_gap(&mut self, counts: &mut Counts, out: &mut Vec<Item<P>>) {
        let missing = self.places.iter().take_while(|place| place.is_none()).count();
        self.places.drain(..missing);
        self.lose(missing as u64, counts, out);
    }

    fn lose(&mut self, packets: u64, counts: &mut Counts, out: &mut Vec<Item<P>>) {
        if packets > 0 {
            out.push(Item::Lost { packets });
            counts.lost += packets;
            self.next += packets;
            self.passed = u32::try_from(packets).ok().and_then(|by| self.passed.checked_shl(by)).unwrap_or(0);
        }
    }

    /// When the first of those that wait came.
    fn oldest(&mut self) -> Option<Duration> {
        while self.arrivals.front().is_some_and(|(number, _)| *number < self.next) {
            self.arrivals.pop_front();
        }
        self.arrivals.front().map(|(_, arrived)| *arrived)
    }
}

#[cfg(test)]
mod tests;
