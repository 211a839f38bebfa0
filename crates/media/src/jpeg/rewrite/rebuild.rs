//! The way back: a whole JPEG file from what RTP/JPEG carries (RFC 2435 appendix B).

use bytes::{BufMut, Bytes, BytesMut};

use super::huffman::Definition;
use super::standard::{CHROMA_AC, CHROMA_DC, LUMA_AC, LUMA_DC};
use super::{QuantisationPair, RtpJpeg, Sampling};
use crate::Size;
use crate::jpeg::marker;

/// What stands before the scan of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHead {
    /// How colour is sampled.
    pub sampling: Sampling,
    /// Width and height in pixels, 1 or more.
    pub size: Size,
    /// Units between two restart markers; `None` if there are none.
    pub restart_interval: Option<u16>,
    /// The two quantisation tables.
    pub quantisation: QuantisationPair,
}

impl FileHead {
    /// No head is longer.
    pub const MOST_BYTES: usize = 800;

    /// Appends everything from the start of image to the scan's header.
    ///
    /// The components get JFIF's ids 1 to 3. Tables with values above 255 make it an extended picture (SOF1), because baseline has
    /// none; decoders do not mind either way.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_slice(&[0xFF, marker::SOI]);
        let QuantisationPair { luma, chroma } = &self.quantisation;
        for (number, table) in [(0, luma), (1, chroma)] {
            let wide = is_wide(table);
            segment(out, marker::DQT, if wide { 129 } else { 65 });
            out.put_u8(u8::from(wide) << 4 | number);
            write_quantisation(table, out);
        }
        if let Some(interval) = self.restart_interval {
            segment(out, marker::DRI, 2);
            out.put_u16(interval);
        }
        let wide = self.quantisation.precision() != 0;
        segment(out, marker::SOF0 + u8::from(wide), 15);
        out.put_u8(8);
        out.put_u16(self.size.height);
        out.put_u16(self.size.width);
        let (across, down) = self.sampling.luma_blocks();
        out.put_slice(&[3, 1, (across << 4 | down) as u8, 0, 2, 0x11, 1, 3, 0x11, 1]);
        for (selector, table) in [(0x00, &LUMA_DC), (0x10, &LUMA_AC), (0x01, &CHROMA_DC), (0x11, &CHROMA_AC)]
        {
            write_huffman(selector, table, out);
        }
        segment(out, marker::SOS, 10);
        out.put_slice(&[3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
    }
}

impl RtpJpeg {
    /// What stands before the scan of a file with this picture.
    pub fn head(&self) -> FileHead {
        FileHead {
            sampling: self.sampling,
            size: self.size,
            restart_interval: self.restart_interval,
            quantisation: self.quantisation,
        }
    }

    /// The picture as a JPEG file. Copies the scan.
    pub fn rebuild(&self) -> Bytes {
        let mut file = BytesMut::with_capacity(FileHead::MOST_BYTES + self.scan.len() + 2);
        self.head().write(&mut file);
        file.put_slice(&self.scan);
        file.put_slice(&[0xFF, marker::EOI]);
        file.freeze()
    }
}

impl QuantisationPair {
    /// RFC 2435's precision field: bit 0 is set where the table of brightness has 16-bit values, bit 1 for colour.
    pub fn precision(&self) -> u8 {
        u8::from(is_wide(&self.luma)) | u8::from(is_wide(&self.chroma)) << 1
    }

    /// Appends both tables, 64 or 128 bytes each, as RFC 2435 sends them.
    pub fn write(&self, out: &mut impl BufMut) {
        write_quantisation(&self.luma, out);
        write_quantisation(&self.chroma, out);
    }
}

fn is_wide(table: &[u16; 64]) -> bool {
    table.iter().any(|value| *value > 255)
}

fn write_quantisation(table: &[u16; 64], out: &mut impl BufMut) {
    let wide = is_wide(table);
    for &value in table {
        if wide { out.put_u16(value) } else { out.put_u8(value as u8) }
    }
}

fn write_huffman(selector: u8, table: &Definition, out: &mut BytesMut) {
    let symbols = table.symbols();
    segment(out, marker::DHT, 17 + symbols.len() as u16);
    out.put_u8(selector);
    out.put_slice(&table.counts);
    out.put_slice(symbols);
}

fn segment(out: &mut BytesMut, code: u8, payload_bytes: u16) {
    out.put_slice(&[0xFF, code]);
    out.put_u16(payload_bytes + 2);
}
