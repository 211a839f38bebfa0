//! Who takes part in a session (RFC 3550 sections 6.2.1 and 6.3), bounded: anybody can send reports in any number of names.

use std::time::Duration;

/// As many as are remembered. Where more take part, the least recently heard is forgotten.
pub(super) const MOST: usize = 64;

/// Participants other than this one.
#[derive(Clone, Debug)]
pub(super) struct Members<T> {
    list: Vec<Member<T>>,
    forgotten: u64,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Member<T> {
    pub(super) ssrc: u32,
    /// When its last packet came.
    pub(super) heard: Duration,
    /// Whether its last report was a sender's.
    pub(super) sends: bool,
    /// What is known of it beside.
    pub(super) about: T,
}

impl<T: Default> Members<T> {
    pub(super) fn new() -> Self {
        Self { list: Vec::new(), forgotten: 0 }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Member<T>> {
        self.list.iter()
    }

    /// How many were forgotten for want of room.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn count(&self) -> u32 {
        self.list.len() as u32
    }

    pub(super) fn senders(&self) -> u32 {
        self.list.iter().filter(|member| member.sends).count() as u32
    }

    /// The member of that name, who was heard at `now`, and perhaps for the first time.
    pub(super) fn hear(&mut self, now: Duration, ssrc: u32) -> &mut Member<T> {
        let index = self.list.iter().position(|member| member.ssrc == ssrc).unwrap_or_else(|| {
            if self.list.len() >= MOST {
                let oldest = (0..self.list.len()).min_by_key(|index| self.list[*index].heard);
                self.list.swap_remove(oldest.unwrap_or(0));
                self.forgotten += 1;
            }
            self.list.push(Member { ssrc, heard: now, sends: false, about: T::default() });
            self.list.len() - 1
        });
        let member = &mut self.list[index];
        member.heard = now;
        member
    }

    /// Takes out one that left. Whether it was there.
    pub(super) fn leave(&mut self, ssrc: u32) -> bool {
        let before = self.list.len();
        self.list.retain(|member| member.ssrc != ssrc);
        self.list.len() < before
    }

    /// Takes out those not heard for longer than `timeout`. Whether there were any.
    pub(super) fn expire(&mut self, now: Duration, timeout: Duration) -> bool {
        let before = self.list.len();
        self.list.retain(|member| now.saturating_sub(member.heard) <= timeout);
        self.list.len() < before
    }
}
