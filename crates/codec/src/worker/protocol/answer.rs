//! What the worker says, but for its hello.

use ocelli_media::Size;

use super::fields::{Fields, words};
use super::{DONE, NOTE, OutputId, PICTURE, PIECE, ProtocolError, REFUSED, message, put_length};

/// What the worker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The picture. Its JPEG follows the first [`Answer::PICTURE_HEAD_BYTES`] of the message.
    Picture {
        /// Number of the request.
        number: u32,
        /// Its size in pixels.
        size: Size,
    },
    /// There is none.
    Refused {
        /// Number of the request.
        number: u32,
        /// Why, in words.
        reason: String,
    },
    /// A picture of an output. It follows the first [`Answer::PIECE_HEAD_BYTES`] of the message.
    Piece(Piece),
    /// A frame has been decoded, and the pieces that came of it have been given.
    Done {
        /// The frame's number.
        number: u32,
        /// What came of it.
        outcome: Outcome,
        /// What decoding took, in microseconds.
        decode_us: u32,
        /// What all outputs together took, in microseconds.
        outputs_us: u32,
        /// What is wrong with it, in words; empty where nothing is, or nobody knows.
        words: String,
    },
    /// Something about an output.
    Note {
        /// Which.
        id: OutputId,
        /// What it says.
        kind: NoteKind,
        /// In words.
        words: String,
    },
}

/// A picture of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The output.
    pub id: OutputId,
    /// Number of the frame that it shows.
    pub number: u32,
    /// That frame's time, in microseconds.
    pub time_us: i64,
    /// It stands for itself.
    pub key: bool,
    /// Its size in pixels.
    pub size: Size,
    /// What scaling and turning took for this output alone, in microseconds.
    pub scale_us: u32,
    /// What encoding took, in microseconds.
    pub encode_us: u32,
}

/// What came of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The decoder gave a picture.
    Shown,
    /// The decoder has taken it and gives pictures later.
    Later,
    /// It, or what it refers to, is damaged: nothing is shown until the next keyframe, which is wanted.
    Damaged,
    /// Nothing is shown before the first whole keyframe, which is wanted.
    NeedsKeyframe,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Shown, Self::Later, Self::Damaged, Self::NeedsKeyframe];
}

/// What a note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoteKind {
    /// How the output is made: said when it is, and when it changes.
    Way,
    /// It is made, but not as asked.
    Warning,
    /// It cannot be made, and has ended.
    Ended,
}

impl NoteKind {
    const ALL: [Self; 3] = [Self::Way, Self::Warning, Self::Ended];
}

impl Answer {
    /// Bytes of a picture's message, its length not counted, before the JPEG.
    pub const PICTURE_HEAD_BYTES: usize = 9;
    /// Bytes of a piece's message, its length not counted, before the coded picture.
    pub const PIECE_HEAD_BYTES: usize = 28;

    /// The bytes that go before a JPEG of `jpeg_bytes` bytes. `None` if it is too long for a message.
    pub fn picture_head(number: u32, size: Size, jpeg_bytes: usize) -> Option<[u8; 13]> {
        let mut head = [0; 13];
        put_length(&mut head, jpeg_bytes)?;
        head[4] = PICTURE;
        head[5..9].copy_from_slice(&number.to_be_bytes());
        head[9..11].copy_from_slice(&size.width.to_be_bytes());
        head[11..].copy_from_slice(&size.height.to_be_bytes());
        Some(head)
    }

    /// The bytes that go before a coded picture of `bytes` bytes. `None` if it is too long for a message.
    pub fn piece_head(piece: &Piece, bytes: usize) -> Option<[u8; 32]> {
        let mut head = [0; 32];
        put_length(&mut head, bytes)?;
        head[4] = PIECE;
        head[5..7].copy_from_slice(&piece.id.0.to_be_bytes());
        head[7..11].copy_from_slice(&piece.number.to_be_bytes());
        head[11..19].copy_from_slice(&piece.time_us.to_be_bytes());
        head[19] = piece.key.into();
        head[20..22].copy_from_slice(&piece.size.width.to_be_bytes());
        head[22..24].copy_from_slice(&piece.size.height.to_be_bytes());
        head[24..28].copy_from_slice(&piece.scale_us.to_be_bytes());
        head[28..].copy_from_slice(&piece.encode_us.to_be_bytes());
        Some(head)
    }

    /// The whole message that a frame is done.
    pub fn write_done(number: u32, outcome: Outcome, decode_us: u32, outputs_us: u32, text: &str) -> Vec<u8> {
        let (decode, outputs) = (decode_us.to_be_bytes(), outputs_us.to_be_bytes());
        message(DONE, &[&number.to_be_bytes(), &[outcome as u8], &decode, &outputs, words(text)])
    }

    /// The whole message of a refusal.
    pub fn write_refused(number: u32, reason: &str) -> Vec<u8> {
        message(REFUSED, &[&number.to_be_bytes(), words(reason)])
    }

    /// The whole message of a note.
    pub fn write_note(id: OutputId, kind: NoteKind, text: &str) -> Vec<u8> {
        message(NOTE, &[&id.0.to_be_bytes(), &[kind as u8], words(text)])
    }

    /// Reads a message's kind and body.
    ///
    /// # Errors
    /// An unknown kind, a body too short or too long, or a field outside its range.
    pub fn read(message: &[u8]) -> Result<Self, ProtocolError> {
        let (kind, mut fields) = Fields::of(message)?;
        match kind {
            PICTURE => Ok(Self::Picture { number: fields.u32()?, size: size(&mut fields)? }),
            REFUSED => Ok(Self::Refused { number: fields.u32()?, reason: fields.text() }),
            PIECE => Ok(Self::Piece(Piece {
                id: OutputId(fields.u16()?),
                number: fields.u32()?,
                time_us: fields.i64()?,
                key: fields.flag("the mark of a keyframe")?,
                size: size(&mut fields)?,
                scale_us: fields.u32()?,
                encode_us: fields.u32()?,
            })),
            DONE => {
                let number = fields.u32()?;
                let outcome =
                    fields.choice("the outcome", |number| Outcome::ALL.get(usize::from(number)).copied())?;
                let (decode_us, outputs_us) = (fields.u32()?, fields.u32()?);
                Ok(Self::Done { number, outcome, decode_us, outputs_us, words: fields.text() })
            }
            NOTE => Ok(Self::Note {
                id: OutputId(fields.u16()?),
                kind: fields
                    .choice("what a note says", |number| NoteKind::ALL.get(usize::from(number)).copied())?,
                words: fields.text(),
            }),
            kind => Err(ProtocolError::Kind(kind)),
        }
    }
}

fn size(fields: &mut Fields<'_>) -> Result<Size, ProtocolError> {
    Ok(Size { width: fields.u16()?, height: fields.u16()? })
}
