//! What the server says.

use ocelli_media::jpeg::rewrite::Sampling;
use ocelli_media::{Size, Turn};

use super::fields::Fields;
use super::output::quality;
use super::{
    END, FRAME, INPUT, Input, OUTPUT, Output, OutputId, ProtocolError, RECODE, STILL, length_of, message,
    put_length,
};
use crate::recode::Wish;

/// Most outputs that one frame can be wanted for.
pub const MOST_WANTED: usize = 64;
/// Bytes of what goes before a frame's outputs, the message's length included.
const FRAME_BYTES: usize = 4 + 1 + 4 + 8 + 1 + 1;
/// Bytes of each of a frame's outputs.
const WANTED_BYTES: usize = 3;

/// What the server asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Re-encode a JPEG.
    Recode {
        /// Number of the request.
        number: u32,
        /// What is wanted.
        wish: Wish,
        /// The picture.
        jpeg: &'a [u8],
    },
    /// The frames that follow are so coded, and nothing before them is needed any more.
    Input(Input),
    /// Make an output, or change it.
    Output {
        /// Which.
        id: OutputId,
        /// What it is to be.
        output: Output,
    },
    /// An output is not wanted any more.
    End(OutputId),
    /// The next access unit.
    Frame {
        /// Its number.
        number: u32,
        /// When it is shown, in microseconds of a clock of the server's.
        time_us: i64,
        /// It stands for itself.
        key: bool,
        /// For what its picture is wanted.
        wanted: Wanted<'a>,
        /// Its bytes.
        data: &'a [u8],
    },
    /// Make a JPEG of one keyframe.
    Still {
        /// Number of the request.
        number: u32,
        /// What is wanted.
        still: Still,
        /// The keyframe: as a frame's bytes.
        data: &'a [u8],
    },
}

/// What is wanted of a keyframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Still {
    /// How the keyframe is coded.
    pub input: Input,
    /// Quality, sampling and greatest size of the turned picture.
    pub wish: Wish,
    /// How it is turned.
    pub turn: Turn,
}

impl<'a> Request<'a> {
    /// The bytes that go before the JPEG of `jpeg_bytes` bytes. `None` if it is too long for a message.
    pub fn recode_head(number: u32, wish: &Wish, jpeg_bytes: usize) -> Option<[u8; 15]> {
        let mut head = [0; 15];
        put_length(&mut head, jpeg_bytes)?;
        head[4] = RECODE;
        head[5..9].copy_from_slice(&number.to_be_bytes());
        head[9..].copy_from_slice(&write_wish(wish));
        Some(head)
    }

    /// The bytes that go before the keyframe of `bytes` bytes. `None` if it is too long for a message.
    pub fn still_head(number: u32, still: &Still, bytes: usize) -> Option<[u8; 17]> {
        let mut head = [0; 17];
        put_length(&mut head, bytes)?;
        head[4] = STILL;
        head[5..9].copy_from_slice(&number.to_be_bytes());
        head[9] = still.input.number();
        head[10..16].copy_from_slice(&write_wish(&still.wish));
        head[16] = still.turn.number();
        Some(head)
    }

    /// The whole message that says what the frames are.
    pub fn write_input(input: Input) -> Vec<u8> {
        message(INPUT, &[&[input.number()]])
    }

    /// The whole message that makes or changes an output.
    pub fn write_output(id: OutputId, output: &Output) -> Vec<u8> {
        output.write(id).to_vec()
    }

    /// The whole message that ends an output.
    pub fn write_end(id: OutputId) -> Vec<u8> {
        message(END, &[&id.0.to_be_bytes()])
    }

    /// Reads a message's kind and body.
    ///
    /// # Errors
    /// A kind that this version does not know, a body too short or too long, or a field outside its range.
    pub fn read(message: &'a [u8]) -> Result<Self, ProtocolError> {
        let (kind, mut fields) = Fields::of(message)?;
        match kind {
            RECODE => {
                Ok(Self::Recode { number: fields.u32()?, wish: read_wish(&mut fields)?, jpeg: fields.rest() })
            }
            INPUT => {
                let input = fields.choice("the codec", Input::of_number)?;
                fields.end()?;
                Ok(Self::Input(input))
            }
            OUTPUT => Output::read(fields).map(|(id, output)| Self::Output { id, output }),
            END => {
                let id = OutputId(fields.u16()?);
                fields.end()?;
                Ok(Self::End(id))
            }
            FRAME => {
                let (number, time_us) = (fields.u32()?, fields.i64()?);
                let key = fields.flag("the mark of a keyframe")?;
                let wanted = Wanted::read(&mut fields)?;
                Ok(Self::Frame { number, time_us, key, wanted, data: fields.rest() })
            }
            STILL => Ok(Self::Still {
                number: fields.u32()?,
                still: Still {
                    input: fields.choice("the codec", Input::of_number)?,
                    wish: read_wish(&mut fields)?,
                    turn: fields.choice("the turn", Turn::from_number)?,
                },
                data: fields.rest(),
            }),
            kind => Err(ProtocolError::Kind(kind)),
        }
    }

    /// The number of a request that could not be read, as far as it can be told.
    pub fn number(message: &[u8]) -> u32 {
        message.get(1..5).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
    }
}

/// For which outputs a frame's picture is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a>(&'a [[u8; WANTED_BYTES]]);

impl<'a> Wanted<'a> {
    fn read(fields: &mut Fields<'a>) -> Result<Self, ProtocolError> {
        let count = fields.choice("the number of outputs", |count| {
            Some(usize::from(count)).filter(|count| *count <= MOST_WANTED)
        })?;
        let wanted = Self(fields.slice(count * WANTED_BYTES)?.as_chunks().0);
        match wanted.0.iter().find(|[.., flags]| *flags > 1) {
            None => Ok(wanted),
            Some(&[.., found]) => Err(ProtocolError::Field { what: "an output's flags", found }),
        }
    }

    /// Each output, and whether a keyframe is wanted of it.
    pub fn iter(self) -> impl Iterator<Item = (OutputId, bool)> + 'a {
        self.0.iter().map(|&[high, low, flags]| (OutputId(u16::from_be_bytes([high, low])), flags == 1))
    }
}

/// The bytes that go before a frame's own, made on the stack.
#[derive(Clone, Debug)]
pub struct FrameHead {
    bytes: [u8; FRAME_BYTES + MOST_WANTED * WANTED_BYTES],
    length: usize,
}

impl FrameHead {
    /// For a frame of which `data_bytes` bytes follow. Beyond [`MOST_WANTED`] outputs, the rest is left out. `None` if it
    /// is too long for a message.
    pub fn new(
        number: u32,
        time_us: i64,
        key: bool,
        wanted: impl IntoIterator<Item = (OutputId, bool)>,
        data_bytes: usize,
    ) -> Option<Self> {
        let mut bytes = [0; FRAME_BYTES + MOST_WANTED * WANTED_BYTES];
        let mut count = 0;
        let (fixed, outputs) = bytes.split_at_mut(FRAME_BYTES);
        for ((id, keyframe), room) in wanted.into_iter().zip(outputs.as_chunks_mut().0) {
            let [high, low] = id.0.to_be_bytes();
            *room = [high, low, keyframe.into()];
            count += 1;
        }
        let length = FRAME_BYTES + count * WANTED_BYTES;
        fixed[..4].copy_from_slice(&length_of(length, data_bytes)?);
        fixed[4] = FRAME;
        fixed[5..9].copy_from_slice(&number.to_be_bytes());
        fixed[9..17].copy_from_slice(&time_us.to_be_bytes());
        fixed[17] = key.into();
        fixed[18] = count as u8;
        Some(Self { bytes, length })
    }

    /// What goes before the frame's own bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn write_wish(wish: &Wish) -> [u8; 6] {
    let sampling = match wish.sampling {
        None => 0,
        Some(Sampling::Yuv420) => 1,
        Some(Sampling::Yuv422) => 2,
    };
    let [[w1, w0], [h1, h0]] = [wish.most.width, wish.most.height].map(u16::to_be_bytes);
    [wish.quality.unwrap_or(0), sampling, w1, w0, h1, h0]
}

fn read_wish(fields: &mut Fields<'_>) -> Result<Wish, ProtocolError> {
    let quality = fields.choice("the quality", quality)?;
    let sampling = fields.choice("the sampling", |number| match number {
        0 => Some(None),
        1 => Some(Some(Sampling::Yuv420)),
        2 => Some(Some(Sampling::Yuv422)),
        _ => None,
    })?;
    Ok(Wish { quality, sampling, most: Size { width: fields.u16()?, height: fields.u16()? } })
}
