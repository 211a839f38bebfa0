//! Whether a datagram is somebody else's, our own come back, or somebody's who has our name (RFC 3550 section 8.2).

use std::time::Duration;

use super::{Compound, Packet};

/// How soon another collision is told of: whoever collides on purpose is not to have names changed all the time.
const COLLISIONS_APART: Duration = Duration::from_secs(10);

/// Whose a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Others'.
    Others,
    /// Our own: a group's packets come back to their sender, and loops happen.
    Own,
    /// Somebody else's who uses our SSRC.
    Collision,
}

/// Decides by SSRC and CNAME, not by address: which one the own packets come back from is not known behind a translator.
pub(super) fn origin(compound: &Compound<'_>, ssrc: u32, cname: &str) -> Origin {
    let mut origin = Origin::Others;
    for packet in compound.packets() {
        match packet {
            Packet::SenderReport { ssrc: from, .. }
            | Packet::ReceiverReport { ssrc: from, .. }
            | Packet::PictureLoss { ssrc: from, .. }
            | Packet::FullIntraRequest { ssrc: from, .. }
                if from == ssrc =>
            {
                origin = Origin::Collision;
            }
            Packet::Bye { ssrc: Some(from) } if from == ssrc => origin = Origin::Collision,
            Packet::Description(mut names) => {
                if let Some((_, name)) = names.find(|(from, _)| *from == ssrc) {
                    return if name == cname.as_bytes() { Origin::Own } else { Origin::Collision };
                }
            }
            _ => {}
        }
    }
    origin
}

/// When a collision was last told of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Collisions(Option<Duration>);

impl Collisions {
    /// Whether the one that is seen at `now` is told of.
    pub(super) fn is_told(&mut self, now: Duration) -> bool {
        let is_told = self.0.is_none_or(|before| now >= before.saturating_add(COLLISIONS_APART));
        if is_told {
            self.0 = Some(now);
        }
        is_told
    }
}
