//! Writes RTCP packets, one behind another into a buffer: a compound packet is a report, then a [`cname`], then the rest.

use bytes::BufMut;

use super::{
    BYE, CNAME, DESCRIPTION, FULL_INTRA, PAYLOAD_FEEDBACK, PICTURE_LOSS, RECEIVER_REPORT, ReportBlock,
    SENDER_REPORT, SenderInfo,
};

/// As many blocks as a report has room for; what is more goes into another one behind it.
pub const MOST_BLOCKS: usize = 31;

/// Appends a sender report with the first [`MOST_BLOCKS`] of `blocks`.
pub fn sender_report(ssrc: u32, info: &SenderInfo, blocks: &[ReportBlock], out: &mut Vec<u8>) {
    let blocks = &blocks[..blocks.len().min(MOST_BLOCKS)];
    header(blocks.len() as u8, SENDER_REPORT, 6 + 6 * blocks.len(), out);
    out.put_u32(ssrc);
    out.put_u64(info.ntp.0);
    out.put_u32(info.timestamp);
    out.put_u32(info.packets);
    out.put_u32(info.bytes);
    put_blocks(blocks, out);
}

/// Appends a receiver report with the first [`MOST_BLOCKS`] of `blocks`.
pub fn receiver_report(ssrc: u32, blocks: &[ReportBlock], out: &mut Vec<u8>) {
    let blocks = &blocks[..blocks.len().min(MOST_BLOCKS)];
    header(blocks.len() as u8, RECEIVER_REPORT, 1 + 6 * blocks.len(), out);
    out.put_u32(ssrc);
    put_blocks(blocks, out);
}

/// Appends a source description with the participant's name, of which at most 255 bytes are taken: `user@host`, or better a
/// random one that stays (RFC 7022).
pub fn cname(ssrc: u32, name: &str, out: &mut Vec<u8>) {
    let name = &name.as_bytes()[..name.floor_char_boundary(255)];
    // One to four zero bytes end the items and fill up the last word.
    let item_words = (2 + name.len()) / 4 + 1;
    header(1, DESCRIPTION, 1 + item_words, out);
    out.put_u32(ssrc);
    let end = out.len() + 4 * item_words;
    out.put_slice(&[CNAME, name.len() as u8]);
    out.put_slice(name);
    out.resize(end, 0);
}

/// Appends the end of participation of `ssrc`.
pub fn bye(ssrc: u32, out: &mut Vec<u8>) {
    header(1, BYE, 1, out);
    out.put_u32(ssrc);
}

/// Appends a picture loss indication (RFC 4585 6.3.1): `media` is asked for a keyframe.
pub fn picture_loss(ssrc: u32, media: u32, out: &mut Vec<u8>) {
    header(PICTURE_LOSS, PAYLOAD_FEEDBACK, 2, out);
    out.put_u32(ssrc);
    out.put_u32(media);
}

/// Appends a full intra request (RFC 5104 4.3.1): `media` is asked for a keyframe. `number` is one more for each new request,
/// and the same where one is repeated.
pub fn full_intra_request(ssrc: u32, media: u32, number: u8, out: &mut Vec<u8>) {
    header(FULL_INTRA, PAYLOAD_FEEDBACK, 4, out);
    out.put_u32(ssrc);
    out.put_u32(0);
    out.put_u32(media);
    out.put_slice(&[number, 0, 0, 0]);
}

/// `words` are those behind the first, which is this one.
fn header(count: u8, kind: u8, words: usize, out: &mut Vec<u8>) {
    out.put_slice(&[0x80 | count, kind]);
    out.put_u16(words as u16);
}

fn put_blocks(blocks: &[ReportBlock], out: &mut Vec<u8>) {
    for block in blocks {
        let lost = block.lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0xFF_FFFF;
        out.put_u32(block.ssrc);
        out.put_u32(u32::from(block.fraction_lost) << 24 | lost);
        out.put_u32(block.highest);
        out.put_u32(block.jitter);
        out.put_u32(block.last_report);
        out.put_u32(block.delay);
    }
}
