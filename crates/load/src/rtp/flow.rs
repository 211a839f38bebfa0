//! What arrived at one port: packets, pictures, and what is missing between them.
//!
//! Looks at the RTP header alone (RFC 3550 section 5.1), so that it is cheap and takes any payload that marks the last
//! packet of a picture. A picture counts as whole when its marker came and no number is missing since the one before.

const HEADER_BYTES: usize = 12;
/// Numbers further ahead than this are a sender that began anew (RFC 3550 A.1).
const MOST_AHEAD: u16 = 3000;

/// Sums since the measurement began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Whole ones.
    pub(crate) pictures: u64,
    /// Pictures whose end came and that lack something.
    pub(crate) damaged: u64,
    /// Numbers that were skipped.
    pub(crate) lost: u64,
    /// Numbers that came again or out of order.
    pub(crate) late: u64,
    /// Datagrams that are no RTP.
    pub(crate) strange: u64,
}

/// One port.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) counts: Counts,
    source: Option<u32>,
    next: u16,
    damaged: bool,
    /// The last packet was a picture's last.
    between: bool,
}

impl Flow {
    /// Takes the beginning of a datagram of `length` bytes. True with the last packet of a picture, whole or not.
    pub(crate) fn packet(&mut self, beginning: &[u8], length: usize) -> bool {
        self.packet_of(beginning, length, false)
    }

    /// The same, of a payload of which it is known whether a picture can begin with it: then whole pictures that are missing damage
    /// no other.
    pub(crate) fn packet_of(&mut self, beginning: &[u8], length: usize, begins: bool) -> bool {
        let Some(&[_, second, s1, s0, _, _, _, _, i3, i2, i1, i0]) =
            beginning.first_chunk::<HEADER_BYTES>().filter(|header| header[0] >> 6 == 2)
        else {
            self.counts.strange += 1;
            return false;
        };
        let marker = second & 0x80 != 0;
        self.counts.packets += 1;
        self.counts.bytes += length as u64;
        let begins = begins && self.between;
        if !self.follow(u32::from_be_bytes([i3, i2, i1, i0]), u16::from_be_bytes([s1, s0]), begins) {
            return false;
        }
        self.between = marker;
        if marker {
            let damaged = std::mem::take(&mut self.damaged);
            *if damaged { &mut self.counts.damaged } else { &mut self.counts.pictures } += 1;
        }
        marker
    }

    /// False for a packet that comes too late.
    fn follow(&mut self, source: u32, sequence: u16, begins: bool) -> bool {
        let ahead = sequence.wrapping_sub(self.next);
        if self.source != Some(source) || (MOST_AHEAD..u16::MAX - MOST_AHEAD).contains(&ahead) {
            // Joined in the middle of a picture, as far as anybody can know.
            self.damaged = self.source.is_some() && !begins;
            self.source = Some(source);
        } else if ahead > MOST_AHEAD {
            self.counts.late += 1;
            return false;
        } else if ahead > 0 {
            self.counts.lost += u64::from(ahead);
            self.damaged |= !begins;
        }
        self.next = sequence.wrapping_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(flow: &mut Flow, source: u32, sequence: u16, marker: bool) -> bool {
        let mut bytes = [0_u8; HEADER_BYTES];
        bytes[0] = 0x80;
        bytes[1] = 26 | u8::from(marker) << 7;
        bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
        bytes[8..].copy_from_slice(&source.to_be_bytes());
        flow.packet(&bytes, 100)
    }

    #[test]
    fn whole_pictures_across_the_wrap() {
        let mut flow = Flow::default();
        for (sequence, marker) in [(65_534, false), (65_535, true), (0, false), (1, true)] {
            assert_eq!(packet(&mut flow, 1, sequence, marker), marker);
        }
        assert_eq!(flow.counts, Counts { packets: 4, bytes: 400, pictures: 2, ..Counts::default() });
    }

    #[test]
    fn a_gap_damages_one_picture() {
        let mut flow = Flow::default();
        for (sequence, marker) in [(10, true), (13, false), (12, false), (14, true), (15, true)] {
            packet(&mut flow, 1, sequence, marker);
        }
        let wanted =
            Counts { packets: 5, bytes: 500, pictures: 2, damaged: 1, lost: 2, late: 1, ..Counts::default() };
        assert_eq!(flow.counts, wanted);
    }

    #[test]
    fn a_lost_marker_damages_the_next_picture_too() {
        let mut flow = Flow::default();
        for (sequence, marker) in [(1, true), (2, false), (4, false), (5, true)] {
            packet(&mut flow, 1, sequence, marker);
        }
        assert_eq!((flow.counts.pictures, flow.counts.damaged, flow.counts.lost), (1, 1, 1));
    }

    #[test]
    fn whole_pictures_that_are_missing_damage_no_other() {
        let mut flow = Flow::default();
        let mut packet = |sequence, marker, begins| {
            let bytes = [0x80, u8::from(marker) << 7, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 1];
            flow.packet_of(&bytes, 100, begins);
            (flow.counts.lost, flow.counts.pictures, flow.counts.damaged)
        };
        assert_eq!(packet(1, true, true), (0, 1, 0));
        assert_eq!((packet(5, false, true), packet(6, true, false)), ((3, 1, 0), (3, 2, 0)));
        assert_eq!((packet(9, false, false), packet(10, true, false)), ((5, 2, 0), (5, 2, 1)));
        assert_eq!((packet(11, false, true), packet(13, true, true)), ((5, 2, 1), (6, 2, 2)));
    }

    #[test]
    fn another_sender_is_no_loss() {
        let mut flow = Flow::default();
        for (source, sequence) in [(1, 7), (2, 40_000), (2, 40_001), (2, 9)] {
            packet(&mut flow, source, sequence, true);
        }
        assert_eq!((flow.counts.lost, flow.counts.pictures, flow.counts.damaged), (0, 2, 2));
    }

    #[test]
    fn what_is_no_rtp_is_counted_apart() {
        let mut flow = Flow::default();
        assert!(!flow.packet(b"GET / HTTP/1.1", 14) && !flow.packet(&[0x80; 4], 4));
        assert_eq!(flow.counts, Counts { strange: 2, ..Counts::default() });
    }
}
