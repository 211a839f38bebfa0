//! The functions of `encode.c`, made safe.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::{self, NonNull};

use ocelli_media::Size;

use crate::picture::Matrix;

/// How many bits are spent. Has the layout of `ocelli_rates` in encode.c.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Rates {
    /// Bits a second.
    pub(super) bit_rate: i64,
    /// Most bits a second over the time in which `buffer_bits` fills.
    pub(super) most_bit_rate: i64,
    /// See [`Rates::most_bit_rate`].
    pub(super) buffer_bits: c_int,
    /// x264's constant quality, less than 0 for none.
    pub(super) rate_factor: f32,
}

#[repr(C)]
struct Raw {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn ocelli_encoder_open(
        opened: *mut *mut Raw,
        name: *const c_char,
        width: c_int,
        height: c_int,
        rate: c_int,
        matrix: c_int,
        rates: *const Rates,
        options: *const *const c_char,
    ) -> c_int;
    fn ocelli_encoder_spend(encoder: *mut Raw, rates: *const Rates);
    fn ocelli_encoder_picture(encoder: *mut Raw, planes: *mut *mut u8, strides: *mut c_int) -> c_int;
    fn ocelli_encoder_send(encoder: *mut Raw, tick: i64, key: c_int) -> c_int;
    fn ocelli_encoder_drain(encoder: *mut Raw) -> c_int;
    fn ocelli_encoder_receive(
        encoder: *mut Raw,
        tick: *mut i64,
        data: *mut *const u8,
        size: *mut usize,
    ) -> c_int;
    fn ocelli_encoder_words(error: c_int, words: *mut c_char, size: usize);
    fn ocelli_encoder_close(encoder: *mut Raw);
}

/// An open encoder of libavcodec.
pub(super) struct Encoder {
    raw: NonNull<Raw>,
    rows: [usize; 3],
}

impl Encoder {
    /// Opens the encoder of this name for 4:2:0 pictures of `size`, `rate` of which come in 1000 s. Options that it does
    /// not know are ignored.
    ///
    /// # Errors
    /// It is not part of this libavcodec, or does not work here, in its own words.
    pub(super) fn open(
        name: &CStr,
        size: Size,
        rate: u32,
        matrix: Matrix,
        rates: &Rates,
        options: &[(CString, CString)],
    ) -> Result<Self, String> {
        let mut raw = ptr::null_mut();
        let pairs = options.iter().flat_map(|(name, value)| [name.as_ptr(), value.as_ptr()]);
        let options: Vec<_> = pairs.chain([ptr::null()]).collect();
        let (width, height) = (c_int::from(size.width), c_int::from(size.height));
        let rate = c_int::try_from(rate).unwrap_or(c_int::MAX);
        // Rec. ITU-T H.273, MatrixCoefficients.
        let matrix = match matrix {
            Matrix::Bt601 => 6,
            Matrix::Bt709 => 1,
        };
        // SAFETY: all pointers are to what lives longer than this call; the options end with a null.
        let result = unsafe {
            ocelli_encoder_open(&mut raw, name.as_ptr(), width, height, rate, matrix, rates, options.as_ptr())
        };
        check(result)?;
        let raw = NonNull::new(raw).ok_or_else(|| "no encoder".to_owned())?;
        let (high, half) = (usize::from(size.height), usize::from(size.height.div_ceil(2)));
        Ok(Self { raw, rows: [high, half, half] })
    }

    /// Spends so many bits from the next picture on. x264 and nvenc do so while they run, others may not.
    pub(super) fn spend(&mut self, rates: &Rates) {
        // SAFETY: `raw` is open as long as this lives, and nobody else has it.
        unsafe { ocelli_encoder_spend(self.raw.as_ptr(), rates) }
    }

    /// Memory for the next picture: its planes, and the bytes from one row to the next of each.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) fn picture(&mut self) -> Result<([&mut [u8]; 3], [usize; 3]), String> {
        let (mut planes, mut strides) = ([ptr::null_mut(); 3], [0; 3]);
        // SAFETY: both arrays have the three places that are written.
        check(unsafe {
            ocelli_encoder_picture(self.raw.as_ptr(), planes.as_mut_ptr(), strides.as_mut_ptr())
        })?;
        let strides = strides.map(|stride| usize::try_from(stride).unwrap_or(0));
        let lengths = [0, 1, 2].map(|plane| strides[plane] * self.rows[plane]);
        // SAFETY: each plane has as many rows of its stride, all of them written when they were allocated; planes do not
        // overlap; and nobody else reads or writes them while this is borrowed, since `av_frame_is_writable` says
        // that no other frame has them.
        let planes =
            [0, 1, 2].map(|plane| unsafe { std::slice::from_raw_parts_mut(planes[plane], lengths[plane]) });
        Ok((planes, strides))
    }

    /// Codes the picture whose memory [`Encoder::picture`] gave. `false` if something must be received before.
    ///
    /// # Errors
    /// The encoder has failed.
    pub(super) fn send(&mut self, tick: i64, key: bool) -> Result<bool, String> {
        // SAFETY: as in `spend`.
        check(unsafe { ocelli_encoder_send(self.raw.as_ptr(), tick, key.into()) }).map(|result| result == 1)
    }

    /// Says that no picture follows.
    ///
    /// # Errors
    /// The encoder has failed.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        // SAFETY: as in `spend`.
        check(unsafe { ocelli_encoder_drain(self.raw.as_ptr()) }).map(drop)
    }

    /// The next coded picture, if there is one, and its tick.
    ///
    /// # Errors
    /// The encoder has failed.
    pub(super) fn receive(&mut self) -> Result<Option<(i64, &[u8])>, String> {
        let (mut tick, mut data, mut size) = (0, ptr::null(), 0);
        // SAFETY: as in `spend`; the places live longer than the call.
        let result = unsafe { ocelli_encoder_receive(self.raw.as_ptr(), &mut tick, &mut data, &mut size) };
        if check(result)? == 0 || data.is_null() {
            return Ok(None);
        }
        // SAFETY: a packet's data are `size` bytes, which last until the next call with this encoder.
        Ok(Some((tick, unsafe { std::slice::from_raw_parts(data, size) })))
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is closed only here.
        unsafe { ocelli_encoder_close(self.raw.as_ptr()) }
    }
}

/// A result, or what it means if it is less than 0.
fn check(result: c_int) -> Result<c_int, String> {
    if result >= 0 {
        return Ok(result);
    }
    let mut words = [0_u8; 256];
    // SAFETY: at most so many bytes are written, the last of them 0.
    unsafe { ocelli_encoder_words(result, words.as_mut_ptr().cast(), words.len()) };
    let words = CStr::from_bytes_until_nul(&words).map(CStr::to_string_lossy);
    Err(words.map_or_else(|_| "unknown error".to_owned(), |words| words.trim().to_owned()))
}
