//! What a JPEG's headers say: size, coding process, components, restart interval (T.81 B.2.2 to B.2.4).

use std::fmt;

use super::{Item, Items, JpegError, marker};
use crate::Size;

/// How a JPEG is coded (T.81 table B.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Process {
    /// SOF0: the one that every decoder knows.
    Baseline,
    /// SOF1: sequential with more tables or 12 bits a sample.
    Extended,
    /// SOF2: several scans, each of which refines the picture.
    Progressive,
    /// SOF3: lossless.
    Lossless,
    /// Anything else (hierarchical, arithmetic coding), by its SOF number, 5 to 15.
    Other(u8),
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline => f.write_str("baseline"),
            Self::Extended => f.write_str("extended"),
            Self::Progressive => f.write_str("progressive"),
            Self::Lossless => f.write_str("lossless"),
            Self::Other(number) => write!(f, "SOF{number}"),
        }
    }
}

/// One colour component of a frame header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Component {
    /// The name by which scans call it.
    pub id: u8,
    /// Horizontal sampling factor, 1 to 4.
    pub horizontal: u8,
    /// Vertical sampling factor, 1 to 4.
    pub vertical: u8,
    /// Which quantisation table it uses, 0 to 3.
    pub quantisation_table: u8,
}

/// How much coarser colour is sampled than brightness, whatever factors say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chroma {
    /// One component.
    Grey,
    /// 4:4:4, as fine.
    Yuv444,
    /// 4:2:2, half the columns. Both `2x1,1x1,1x1` and FFmpeg's `2x2,1x2,1x2` are.
    Yuv422,
    /// 4:4:0, half the rows.
    Yuv440,
    /// 4:2:0, half of both.
    Yuv420,
    /// 4:1:1, a quarter of the columns.
    Yuv411,
    /// Anything else.
    Other,
}

impl fmt::Display for Chroma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grey => "grey",
            Self::Yuv444 => "4:4:4",
            Self::Yuv422 => "4:2:2",
            Self::Yuv440 => "4:4:0",
            Self::Yuv420 => "4:2:0",
            Self::Yuv411 => "4:1:1",
            Self::Other => "other",
        })
    }
}

/// What the segments before a JPEG's first scan say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Width and height.
    pub size: Size,
    /// How it is coded.
    pub process: Process,
    /// Bits a sample: 8, seldom 12; 2 to 16 if lossless.
    pub precision_bits: u8,
    /// Minimum coded units between two restart markers; `None` if there are none.
    pub restart_interval: Option<u16>,
    /// Whether it brings its Huffman tables. Webcams often leave them out and mean those of T.81 annex K.3.
    pub has_dht: bool,
    components: [Component; MOST_COMPONENTS],
    component_count: u8,
}

const MOST_COMPONENTS: usize = 4;

impl Header {
    /// Reads the headers of `picture` up to its first scan. What follows is not looked at, and need not be there.
    ///
    /// # Errors
    /// The segments break T.81 annex B, there is no frame header before the first scan, or a value is outside its
    /// range. A height of 0 (given later, by a DNL segment) and more than 4 components are refused too.
    pub fn parse(picture: &[u8]) -> Result<Self, JpegError> {
        let mut header = None;
        let mut restart_interval = None;
        let mut has_dht = false;
        for item in Items::new(picture) {
            let Item::Segment { code, at, payload } = item? else { break };
            match code {
                marker::DHT => has_dht = true,
                marker::DRI => restart_interval = read_restart_interval(at, payload)?,
                marker::SOS => break,
                code if marker::is_frame(code) => header = Some(Self::parse_frame(code, at, payload)?),
                _ => {}
            }
        }
        match header {
            Some(header) => Ok(Self { restart_interval, has_dht, ..header }),
            None => Err(JpegError::Truncated { at: picture.len() }),
        }
    }

    /// The components in the order of the frame header: 1 to 4.
    pub fn components(&self) -> &[Component] {
        &self.components[..usize::from(self.component_count)]
    }

    /// How colour is sampled against brightness.
    pub fn chroma(&self) -> Chroma {
        let [y, cb, cr] = match *self.components() {
            [_] => return Chroma::Grey,
            [y, cb, cr] => [y, cb, cr],
            _ => return Chroma::Other,
        };
        if (cb.horizontal, cb.vertical) != (cr.horizontal, cr.vertical)
            || y.horizontal % cb.horizontal != 0
            || y.vertical % cb.vertical != 0
        {
            return Chroma::Other;
        }
        match (y.horizontal / cb.horizontal, y.vertical / cb.vertical) {
            (1, 1) => Chroma::Yuv444,
            (2, 1) => Chroma::Yuv422,
            (1, 2) => Chroma::Yuv440,
            (2, 2) => Chroma::Yuv420,
            (4, 1) => Chroma::Yuv411,
            _ => Chroma::Other,
        }
    }

    /// Reads a frame header's payload (T.81 B.2.2):
    ///
    /// ```text
    /// P (8) │ Y (16) │ X (16) │ Nf (8) │ Nf times: C (8) │ H (4) V (4) │ Tq (8)
    /// ```
    fn parse_frame(code: u8, at: usize, payload: &[u8]) -> Result<Self, JpegError> {
        let out_of_range = |offset, what, found, expected| JpegError::OutOfRange {
            at: at + 4 + offset,
            what,
            found,
            expected,
            rule: "B.2.2",
        };
        let &[precision_bits, y1, y0, x1, x0, count, ref specifications @ ..] = payload else {
            return Err(out_of_range(
                0,
                "the frame header's length Lf",
                payload.len() as u32 + 2,
                "11 or more",
            ));
        };
        let size = Size { width: u16::from_be_bytes([x1, x0]), height: u16::from_be_bytes([y1, y0]) };
        if !(2..=16).contains(&precision_bits) {
            return Err(out_of_range(0, "the precision P", precision_bits.into(), "2 to 16"));
        }
        if size.height == 0 {
            return Err(out_of_range(1, "the number of lines Y", 0, "1 to 65535"));
        }
        if size.width == 0 {
            return Err(out_of_range(3, "the samples a line X", 0, "1 to 65535"));
        }
        if !(1..=MOST_COMPONENTS).contains(&usize::from(count)) {
            return Err(out_of_range(5, "the number of components Nf", count.into(), "1 to 4"));
        }
        if specifications.len() != 3 * usize::from(count) {
            let length = payload.len() as u32 + 2;
            return Err(out_of_range(0, "the frame header's length Lf", length, "8 + 3 Nf"));
        }
        let mut components = [Component::default(); MOST_COMPONENTS];
        for (index, (component, bytes)) in
            components.iter_mut().zip(specifications.chunks_exact(3)).enumerate()
        {
            let (horizontal, vertical) = (bytes[1] >> 4, bytes[1] & 15);
            if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) {
                return Err(out_of_range(
                    7 + 3 * index,
                    "a pair of sampling factors HV",
                    bytes[1].into(),
                    "1 to 4 each",
                ));
            }
            if bytes[2] > 3 {
                return Err(out_of_range(8 + 3 * index, "a table selector Tq", bytes[2].into(), "0 to 3"));
            }
            *component = Component { id: bytes[0], horizontal, vertical, quantisation_table: bytes[2] };
        }
        let process = match code - marker::SOF0 {
            0 => Process::Baseline,
            1 => Process::Extended,
            2 => Process::Progressive,
            3 => Process::Lossless,
            other => Process::Other(other),
        };
        Ok(Self {
            size,
            process,
            precision_bits,
            restart_interval: None,
            has_dht: false,
            components,
            component_count: count,
        })
    }
}

/// Reads a DRI segment's payload (T.81 B.2.4.4): `Ri (16)`, where 0 means no restart markers.
fn read_restart_interval(at: usize, payload: &[u8]) -> Result<Option<u16>, JpegError> {
    let &[high, low] = payload else {
        return Err(JpegError::OutOfRange {
            at: at + 2,
            what: "the restart definition's length Lr",
            found: payload.len() as u32 + 2,
            expected: "4",
            rule: "B.2.4.4",
        });
    };
    Ok(Some(u16::from_be_bytes([high, low])).filter(|interval| *interval > 0))
}
