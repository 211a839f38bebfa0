//! Pictures of 12 bits a sample (T.81's extended process), decoded to RGB of 8 bits. libjpeg-turbo does it, and the safe
//! functions around it do not: the calls are here, and nothing else is.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use turbojpeg::{ScalingFactor, raw};

use super::RecodeError;

/// Greatest sample.
const WHITE: u32 = 4095;

/// A decoder of 12 bits. Keeps its buffer.
#[derive(Debug)]
pub(super) struct Decoder {
    handle: NonNull<std::ffi::c_void>,
    wide: Vec<i16>,
}

// SAFETY: a handle belongs to no thread, and is only used through `&mut`.
unsafe impl Send for Decoder {}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the handle is valid and not used again.
        unsafe { raw::tj3Destroy(self.handle.as_ptr()) }
    }
}

impl Decoder {
    /// One that follows at most `scans` scans of a progressive picture.
    ///
    /// # Errors
    /// There is no memory.
    pub(super) fn new(scans: u32) -> Result<Self, RecodeError> {
        // SAFETY: takes a number, and gives a handle or null.
        let handle = unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as c_int) };
        let handle = NonNull::new(handle).ok_or_else(|| RecodeError::Library("no memory".to_owned()))?;
        let mut decoder = Self { handle, wide: Vec::new() };
        // SAFETY: the handle is valid.
        let result =
            unsafe { raw::tj3Set(handle.as_ptr(), raw::TJPARAM_TJPARAM_SCANLIMIT as c_int, scans as c_int) };
        decoder.succeeded(result)?;
        Ok(decoder)
    }

    /// Decodes `jpeg` at `factor` of its size into `rgb`, which becomes `width` x `height` pixels of 3 bytes.
    ///
    /// # Errors
    /// The picture is damaged, or is not of that size or of 12 bits.
    pub(super) fn decode(
        &mut self,
        jpeg: &[u8],
        factor: ScalingFactor,
        (width, height): (usize, usize),
        rgb: &mut Vec<u8>,
    ) -> Result<(), RecodeError> {
        let handle = self.handle.as_ptr();
        let scale = raw::tjscalingfactor { num: factor.num() as c_int, denom: factor.denom() as c_int };
        // SAFETY: the handle is valid, and the pointer to so many bytes is for the time of the call.
        let result = unsafe { raw::tj3DecompressHeader(handle, jpeg.as_ptr(), jpeg.len() as raw::size_t) };
        self.succeeded(result)?;
        let found = [
            self.parameter(raw::TJPARAM_TJPARAM_JPEGWIDTH).map(|width| factor.scale(width)),
            self.parameter(raw::TJPARAM_TJPARAM_JPEGHEIGHT).map(|height| factor.scale(height)),
            self.parameter(raw::TJPARAM_TJPARAM_PRECISION),
        ];
        if found != [Some(width), Some(height), Some(12)] {
            return Err(RecodeError::Library("the picture's headers do not agree".to_owned()));
        }
        // SAFETY: the handle is valid.
        let result = unsafe { raw::tj3SetScalingFactor(handle, scale) };
        self.succeeded(result)?;
        let row = width * 3;
        self.wide.resize(row * height, 0);
        // SAFETY: the handle is valid, the pointers are for the time of the call, and the second one is to as many samples
        // as the header, read above from the same bytes, makes libjpeg-turbo write: `height` rows of `row` each.
        let result = unsafe {
            raw::tj3Decompress12(
                handle,
                jpeg.as_ptr(),
                jpeg.len() as raw::size_t,
                self.wide.as_mut_ptr(),
                row as c_int,
                raw::TJPF_TJPF_RGB,
            )
        };
        self.succeeded(result)?;
        rgb.clear();
        rgb.extend(
            self.wide.iter().map(|sample| ((sample.cast_unsigned() as u32 * 255 + WHITE / 2) / WHITE) as u8),
        );
        Ok(())
    }

    fn parameter(&mut self, parameter: raw::TJPARAM) -> Option<usize> {
        // SAFETY: the handle is valid.
        unsafe { raw::tj3Get(self.handle.as_ptr(), parameter as c_int) }.try_into().ok()
    }

    fn succeeded(&mut self, result: c_int) -> Result<(), RecodeError> {
        if result == 0 {
            return Ok(());
        }
        // SAFETY: the handle is valid, and its text is one that ends in a zero until the next call.
        let words = unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.handle.as_ptr())) };
        Err(RecodeError::Library(words.to_string_lossy().into_owned()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A picture of 12 bits: `pixels` of 8, 16 times as bright.
    pub(in super::super) fn encode(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
        let wide: Vec<i16> = pixels.iter().map(|sample| (u32::from(*sample) * WHITE / 255) as i16).collect();
        assert_eq!(wide.len(), width * height * 3);
        let (mut out, mut length) = (std::ptr::null_mut(), 0);
        // SAFETY: the handle is checked, `wide` is of that size, and what libjpeg-turbo allocated is copied and freed.
        unsafe {
            let handle = raw::tj3Init(raw::TJINIT_TJINIT_COMPRESS as c_int);
            assert!(!handle.is_null());
            for (parameter, value) in
                [(raw::TJPARAM_TJPARAM_QUALITY, 90), (raw::TJPARAM_TJPARAM_SUBSAMP, raw::TJSAMP_TJSAMP_420)]
            {
                assert_eq!(raw::tj3Set(handle, parameter as c_int, value as c_int), 0);
            }
            let row = (width * 3) as c_int;
            let result = raw::tj3Compress12(
                handle,
                wide.as_ptr(),
                width as c_int,
                row,
                height as c_int,
                raw::TJPF_TJPF_RGB,
                &mut out,
                &mut length,
            );
            assert_eq!(result, 0);
            let jpeg = std::slice::from_raw_parts(out, length as usize).to_vec();
            raw::tj3Free(out.cast());
            raw::tj3Destroy(handle);
            jpeg
        }
    }
}
