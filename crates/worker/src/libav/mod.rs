//! libavcodec's decoders and libswscale, through the C functions of `shim.c`, which alone know FFmpeg's structures. All
//! that is unsafe about them is here.
//!
//! Not by a crate: those that build without libclang say nothing of damage, of colours or of how a decoder forgets.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;
use std::{ptr, slice};

use ocelli_codec::Range;
use ocelli_media::Size;

use crate::picture::{Buffer, Layout, Matrix, Plane, View};

const LAYOUTS: [Layout; 4] = [Layout::Yuv420, Layout::Yuv422, Layout::Yuv444, Layout::Gray];

/// One of FFmpeg's errors, in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LibavError(String);

impl LibavError {
    fn of(error: i32) -> Self {
        let mut words = [0_u8; 128];
        // SAFETY: writes a string, with its end, into the room that it is given.
        unsafe { ocelli_words(error, words.as_mut_ptr().cast(), words.len()) }
        let length = words.iter().position(|byte| *byte == 0).unwrap_or(words.len());
        Self(String::from_utf8_lossy(&words[..length]).into_owned())
    }
}

/// "libavcodec 59.37.100".
pub(crate) fn version() -> String {
    // SAFETY: gives a number.
    let version = unsafe { ocelli_libavcodec() };
    format!("libavcodec {}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}

/// A decoder of H.264 or H.265. One thread; pictures come out as soon as their order allows.
#[derive(Debug)]
pub(crate) struct Decoder {
    raw: NonNull<RawDecoder>,
    /// The picture that was received last, while it is there.
    last: Option<RawPicture>,
}

/// A picture that a decoder has given.
#[derive(Debug)]
pub(crate) struct Decoded<'a> {
    /// Its planes.
    pub(crate) view: View<'a>,
    /// Something of it was missing and has been made up.
    pub(crate) is_damaged: bool,
    /// What was given with its access unit.
    pub(crate) tag: i64,
}

impl Decoder {
    /// The decoder of this name. `None` where the library has none such, it does not work here, or there is no memory.
    /// Pictures of more than `most_pixels` are errors.
    pub(crate) fn new(name: &CStr, most_pixels: u32) -> Option<Self> {
        // SAFETY: takes a string and a number, and gives a decoder or null.
        let raw = unsafe { ocelli_decoder_new(name.as_ptr(), most_pixels.into()) };
        NonNull::new(raw).map(|raw| Self { raw, last: None })
    }

    /// Gives one access unit in Annex B. Then pictures are to be received until there is none. Whether one was missing to
    /// which it refers, or something of it could not be decoded.
    pub(crate) fn send(&mut self, annex_b: &[u8], tag: i64) -> Result<bool, LibavError> {
        self.last = None;
        // SAFETY: the decoder is valid, and copies what it is given. The count is the library's own.
        let (result, missing) = unsafe {
            let before = ocelli_decoder_missing();
            let result = ocelli_decoder_send(self.raw.as_ptr(), annex_b.as_ptr(), annex_b.len(), tag);
            (result, ocelli_decoder_missing() != before)
        };
        if result < 0 { Err(LibavError::of(result)) } else { Ok(missing) }
    }

    /// Says that nothing more is coming, so that all pictures come out. Then it must be flushed.
    pub(crate) fn end(&mut self) -> Result<(), LibavError> {
        self.last = None;
        // SAFETY: the decoder is valid; null stands for the end.
        let result = unsafe { ocelli_decoder_send(self.raw.as_ptr(), ptr::null(), 0, 0) };
        if result < 0 { Err(LibavError::of(result)) } else { Ok(()) }
    }

    /// The next picture, which is overwritten by the next call.
    pub(crate) fn receive(&mut self) -> Result<Option<Decoded<'_>>, LibavError> {
        let mut raw = RawPicture::default();
        self.last = None;
        // SAFETY: the decoder is valid, and the picture has the layout of `struct ocelli_picture`.
        match unsafe { ocelli_decoder_receive(self.raw.as_ptr(), &raw mut raw) } {
            0 => Ok(None),
            result if result < 0 => Err(LibavError::of(result)),
            _ => {
                self.last = Some(raw);
                self.view(&raw).map(Some)
            }
        }
    }

    /// The picture that was received last, once more. `None` when something else has been done since.
    pub(crate) fn again(&self) -> Option<Decoded<'_>> {
        self.last.as_ref().and_then(|raw| self.view(raw).ok())
    }

    fn view(&self, raw: &RawPicture) -> Result<Decoded<'_>, LibavError> {
        let size = u32::try_from(raw.width).ok().zip(u32::try_from(raw.height).ok());
        let size = size.and_then(|(width, height)| Size::new(width, height));
        let layout = LAYOUTS.get(raw.layout as usize).copied();
        let (Some(size), Some(layout)) = (size, layout) else {
            return Err(LibavError("a picture of no size".to_owned()));
        };
        let mut planes = [Plane { samples: &[], stride: 0 }; 3];
        for (index, plane) in planes.iter_mut().enumerate() {
            let (columns, rows) = layout.plane(size, index);
            if columns == 0 {
                continue;
            }
            let (stride, room) = (raw.strides[index], raw.room[index]);
            let least = stride.checked_mul(rows - 1).and_then(|bytes| bytes.checked_add(columns));
            if stride < columns || least.is_none_or(|least| least > room) {
                return Err(LibavError("a picture in too little memory".to_owned()));
            }
            // SAFETY: `room` bytes are allocated there, which the decoder leaves alone until it is used again, and that
            // takes it mutably. All have been written: the pool's memory is zeroed when it is made.
            let samples = unsafe { slice::from_raw_parts(raw.planes[index], room.min(stride * rows)) };
            *plane = Plane { samples, stride };
        }
        let range = if raw.full_range != 0 { Range::Full } else { Range::Limited };
        let matrix = if raw.matrix == 1 { Matrix::Bt709 } else { Matrix::Bt601 };
        let view = View { size, layout, range, matrix, planes };
        Ok(Decoded { view, is_damaged: raw.damaged != 0, tag: raw.tag })
    }

    /// Forgets all pictures: what comes next must be a keyframe.
    pub(crate) fn flush(&mut self) {
        self.last = None;
        // SAFETY: the decoder is valid.
        unsafe { ocelli_decoder_flush(self.raw.as_ptr()) }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the decoder is valid and not used again.
        unsafe { ocelli_decoder_free(self.raw.as_ptr()) }
    }
}

/// Scales pictures of one size and layout to another. Each pixel becomes the mean of what it covers: the sharpest that
/// does not flicker, and the cheapest of what looks well (1080p to 640x360: 0.3 ms; bicubic 0.75).
#[derive(Debug)]
pub(crate) struct Scaler {
    raw: NonNull<RawScaler>,
    from: (Size, Layout),
    to: (Size, Layout),
}

/// The library writes rows of a picture in whole vectors, but for the last two: of 8 bytes here (5.1 on x86-64), and of no more than
/// so many anywhere.
const VECTOR_BYTES: usize = 32;

impl Scaler {
    /// Whether what it writes behind a row is overwritten by the rows that follow, and none is written behind a plane: not where
    /// pictures are too narrow.
    pub(crate) fn writes_rows_of(size: Size, layout: Layout) -> bool {
        (0..3).map(|plane| layout.plane(size, plane).0).all(|columns| columns == 0 || columns >= VECTOR_BYTES)
    }

    /// `None` if there is no memory, or the sizes are such that the library will not, or writes beyond a row.
    pub(crate) fn new(from: (Size, Layout), to: (Size, Layout)) -> Option<Self> {
        if !Self::writes_rows_of(to.0, to.1) {
            return None;
        }
        let number =
            |layout| LAYOUTS.iter().position(|other| *other == layout).map_or(0, |index| index as i32);
        let side = i32::from;
        // SAFETY: takes numbers, and gives a scaler or null.
        let raw = unsafe {
            ocelli_scaler_new(
                side(from.0.width),
                side(from.0.height),
                number(from.1),
                side(to.0.width),
                side(to.0.height),
                number(to.1),
            )
        };
        NonNull::new(raw).map(|raw| Self { raw, from, to })
    }

    /// It is for these sizes and layouts.
    pub(crate) fn is_for(&self, from: (Size, Layout), to: (Size, Layout)) -> bool {
        (self.from, self.to) == (from, to)
    }

    /// Scales a picture of the size and layout that this is for into one such.
    pub(crate) fn run(&mut self, from: &View<'_>, to: &mut Buffer) -> Result<(), LibavError> {
        assert_eq!((from.size, from.layout), self.from, "the picture is not the scaler's");
        assert_eq!((to.size(), to.layout()), self.to, "nor is the other one");
        for (index, plane) in from.planes.iter().enumerate() {
            let (columns, rows) = from.layout.plane(from.size, index);
            let least = (plane.stride * rows.saturating_sub(1)) + columns;
            assert!(plane.samples.len() >= least && plane.stride >= columns, "a plane is too short");
        }
        let planes = from.planes.map(|plane| plane.samples.as_ptr());
        let strides = from.planes.map(|plane| plane.stride);
        let mut targets = to.planes_mut();
        let target_strides = targets.each_ref().map(|(columns, _)| *columns);
        let targets = targets.each_mut().map(|(_, samples)| samples.as_mut_ptr());
        let rows = i32::from(from.size.height);
        // SAFETY: each plane has been found to hold what its size and layout need, and so do the buffer's own, by its
        // making. Nobody else has the buffer. Up to 16 bytes behind a plane may be read (libavutil/frame.h,
        // `AVFrame.data`): there is another plane of the same memory, or what a `Buffer` or a decoder's frame has behind
        // its last. What is written behind a row is overwritten by the next, since it is not wider (`writes_rows_of`, which
        // `new` has looked at).
        let result = unsafe {
            ocelli_scaler_run(
                self.raw.as_ptr(),
                planes.as_ptr(),
                strides.as_ptr(),
                rows,
                targets.as_ptr(),
                target_strides.as_ptr(),
            )
        };
        if result < 0 { Err(LibavError::of(result)) } else { Ok(()) }
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: the scaler is valid and not used again.
        unsafe { ocelli_scaler_free(self.raw.as_ptr()) }
    }
}

#[repr(C)]
struct RawDecoder {
    _opaque: [u8; 0],
}

#[repr(C)]
struct RawScaler {
    _opaque: [u8; 0],
}

/// `struct ocelli_picture`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct RawPicture {
    planes: [*const u8; 3],
    strides: [usize; 3],
    room: [usize; 3],
    width: i32,
    height: i32,
    layout: i32,
    full_range: i32,
    matrix: i32,
    damaged: i32,
    tag: i64,
}

impl Default for RawPicture {
    fn default() -> Self {
        Self {
            planes: [ptr::null(); 3],
            strides: [0; 3],
            room: [0; 3],
            width: 0,
            height: 0,
            layout: 0,
            full_range: 0,
            matrix: 0,
            damaged: 0,
            tag: 0,
        }
    }
}

unsafe extern "C" {
    fn ocelli_words(error: i32, words: *mut c_char, room: usize);
    fn ocelli_libavcodec() -> u32;
    fn ocelli_decoder_new(name: *const c_char, most_pixels: i64) -> *mut RawDecoder;
    fn ocelli_decoder_free(decoder: *mut RawDecoder);
    fn ocelli_decoder_send(decoder: *mut RawDecoder, data: *const u8, bytes: usize, tag: i64) -> i32;
    fn ocelli_decoder_receive(decoder: *mut RawDecoder, picture: *mut RawPicture) -> i32;
    fn ocelli_decoder_flush(decoder: *mut RawDecoder);
    fn ocelli_decoder_missing() -> u32;
    fn ocelli_scaler_new(fw: i32, fh: i32, fl: i32, tw: i32, th: i32, tl: i32) -> *mut RawScaler;
    fn ocelli_scaler_free(scaler: *mut RawScaler);
    fn ocelli_scaler_run(
        scaler: *mut RawScaler,
        from: *const *const u8,
        from_strides: *const usize,
        from_height: i32,
        to: *const *mut u8,
        to_strides: *const usize,
    ) -> c_int;
}
