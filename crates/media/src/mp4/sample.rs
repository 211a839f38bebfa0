//! From a sample's bytes to what is passed on: NAL units behind lengths of 4 bytes, keyframes with their parameter sets (ISO/IEC
//! 14496-15 section 5), a whole JPEG, a packet of sound.

use bytes::{BufMut, Bytes, BytesMut};

use super::boxes::Entry;
use crate::annexb::AccessUnit;
use crate::annexb::unit::{Kind, kind};
use crate::jpeg::{JpegError, Walker};
use crate::{Codec, ParameterSets};

/// The length before each NAL unit that is passed on.
const LENGTH_BYTES: usize = 4;

/// What was in a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpacked {
    /// A picture of H.264 or H.265.
    AccessUnit(AccessUnit),
    /// A JPEG.
    Jpeg(Bytes),
    /// A packet of sound.
    Sound(Bytes),
}

/// Why a sample is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// Its NAL units do not fill it, or it has no picture in it.
    #[error("a damaged picture: a sample that is not whole NAL units of one (ISO/IEC 14496-15 5.3)")]
    Damaged,
    /// It is no JPEG.
    #[error("a damaged picture: {0}")]
    Jpeg(JpegError),
    /// It needs a picture that was not there.
    #[error("a keyframe must come first")]
    NeedsKey,
    /// It is coded in another way than the track was said to be.
    #[error("a sample of another codec than the first")]
    OtherCodec,
}

/// What is known of a track while its samples are unpacked.
pub(crate) struct Unpacker {
    sets: Option<ParameterSets>,
    /// The sample entry whose sets were taken.
    entry: u32,
    new_sets: bool,
    needs_key: bool,
}

impl Unpacker {
    /// For a track that begins with `entry`.
    pub(crate) fn new(entry: Option<&Entry>) -> Self {
        let mut unpacker = Self { sets: None, entry: 1, new_sets: true, needs_key: true };
        if let Some(Entry::Nal { codec, parameter_sets, .. }) = entry {
            unpacker.sets = Some(ParameterSets::new(*codec));
            unpacker.take(parameter_sets);
        }
        unpacker
    }

    pub(crate) fn parameter_sets(&self) -> Option<&ParameterSets> {
        self.sets.as_ref()
    }

    /// A sample could not be read.
    pub(crate) fn lost(&mut self) {
        self.needs_key = true;
    }

    /// Unpacks a sample that `entry` describes, which is the track's `number`th.
    pub(crate) fn unpack(&mut self, entry: &Entry, number: u32, data: Bytes) -> Result<Unpacked, DropReason> {
        match entry {
            Entry::Sound { .. } => Ok(Unpacked::Sound(data)),
            Entry::Jpeg => match Walker::new().end(&data) {
                Ok(Some(length)) => Ok(Unpacked::Jpeg(data.slice(..length))),
                Ok(None) => Err(DropReason::Jpeg(JpegError::Truncated { at: data.len() })),
                Err(error) => Err(DropReason::Jpeg(error)),
            },
            Entry::Nal { codec, length_bytes, parameter_sets } => {
                if self.sets.as_ref().is_none_or(|sets| sets.codec() != *codec) {
                    return Err(DropReason::OtherCodec);
                }
                if std::mem::replace(&mut self.entry, number) != number {
                    self.take(parameter_sets);
                }
                let unit = self.access_unit(*codec, *length_bytes, data);
                self.needs_key |= unit.is_err();
                unit.map(Unpacked::AccessUnit)
            }
            Entry::Other(_) => Err(DropReason::OtherCodec),
        }
    }

    fn take(&mut self, sets: &[Vec<u8>]) {
        for set in sets {
            self.new_sets |= self.sets.as_mut().is_some_and(|known| known.take(set));
        }
    }

    fn access_unit(
        &mut self,
        codec: Codec,
        length_bytes: usize,
        data: Bytes,
    ) -> Result<AccessUnit, DropReason> {
        let (mut picture, mut key, mut has_sets, mut empty) = (false, false, false, false);
        let mut rest = &data[..];
        while !rest.is_empty() {
            let (unit, behind) = split(rest, length_bytes).ok_or(DropReason::Damaged)?;
            rest = behind;
            match kind(codec, unit) {
                Kind::Picture { key: unit_key, .. } => (picture, key) = (true, key | unit_key),
                Kind::ParameterSet => has_sets = true,
                Kind::Damaged => return Err(DropReason::Damaged),
                Kind::Unknown => empty |= unit.is_empty(),
                Kind::Before | Kind::Other => {}
            }
        }
        if !picture {
            return Err(DropReason::Damaged);
        }
        if self.needs_key && !key {
            return Err(DropReason::NeedsKey);
        }
        let data = if length_bytes == LENGTH_BYTES && !empty { data } else { relaid(&data, length_bytes) };
        let sets = self.sets.as_mut().ok_or(DropReason::OtherCodec)?;
        if has_sets {
            self.new_sets |= sets.take_all(&data);
        }
        if key && !sets.is_complete() {
            return Err(DropReason::NeedsKey);
        }
        self.needs_key = false;
        let data = if key { sets.complete(data) } else { data };
        Ok(AccessUnit { data, key, new_parameter_sets: std::mem::take(&mut self.new_sets) })
    }
}

/// The first NAL unit of a sample, and what stands behind it.
fn split(bytes: &[u8], length_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (length, behind) = bytes.split_at_checked(length_bytes)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    behind.split_at_checked(length)
}

/// The same units behind lengths of 4 bytes, without those that are empty.
fn relaid(data: &[u8], length_bytes: usize) -> Bytes {
    let mut whole = BytesMut::with_capacity(data.len() * 2);
    let mut rest = data;
    while let Some((unit, behind)) = split(rest, length_bytes).filter(|_| !rest.is_empty()) {
        rest = behind;
        if !unit.is_empty() {
            whole.put_u32(unit.len() as u32);
            whole.put_slice(unit);
        }
    }
    whole.freeze()
}
