//! The kernel's side: the structures and requests of `linux/videodev2.h` that are needed, and the mapped buffers. All
//! the `unsafe` of this room is here; what is `pub(super)` is safe.
//!
//! Only the single-planar capture API, which every webcam and capture card has. Structures are written without unions:
//! the one member that is used, then room for the others.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::ioctl::{self, Updater, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const CAPTURE: u32 = 1;
const MEMORY_MMAP: u32 = 1;

/// `v4l2_capability`
#[repr(C)]
#[derive(Default)]
pub(super) struct Capability {
    pub(super) driver: [u8; 16],
    pub(super) card: [u8; 32],
    pub(super) bus: [u8; 32],
    version: u32,
    capabilities: u32,
    device: u32,
    reserved: [u32; 3],
}

impl Capability {
    /// Whether this node, rather than its device's others, captures by mapped buffers.
    pub(super) fn captures(&self) -> bool {
        const VIDEO_CAPTURE: u32 = 0x1;
        const STREAMING: u32 = 0x0400_0000;
        const HAS_DEVICE: u32 = 0x8000_0000;
        let caps = if self.capabilities & HAS_DEVICE != 0 { self.device } else { self.capabilities };
        caps & VIDEO_CAPTURE != 0 && caps & STREAMING != 0
    }
}

/// `v4l2_fmtdesc`
#[repr(C)]
#[derive(Default)]
pub(super) struct FormatDescription {
    index: u32,
    kind: u32,
    flags: u32,
    pub(super) description: [u8; 32],
    pub(super) fourcc: u32,
    bus_code: u32,
    reserved: [u32; 3],
}

/// `v4l2_pix_format`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fourcc: u32,
    pub(super) field: u32,
    pub(super) stride: u32,
    pub(super) bytes: u32,
    colorspace: u32,
    private: u32,
    flags: u32,
    encoding: u32,
    quantization: u32,
    transfer: u32,
}

impl Pixels {
    /// Whether YUV is in full range. Where the driver does not say, only JPEG's own colours are: that is the kernel's
    /// rule, and what other programs go by.
    pub(super) fn is_full_range(&self) -> bool {
        const JPEG_COLOURS: u32 = 7;
        const DEFAULT: u32 = 0;
        const FULL: u32 = 1;
        self.quantization == FULL || (self.quantization == DEFAULT && self.colorspace == JPEG_COLOURS)
    }
}

/// `v4l2_format`, whose union holds pointers and is aligned like one.
#[repr(C)]
struct Format {
    kind: u32,
    align: [usize; 0],
    pixels: Pixels,
    others: [u8; 200 - size_of::<Pixels>()],
}

/// `v4l2_frmsizeenum`: discrete (1): width, height; else least, greatest and step of each.
#[repr(C)]
#[derive(Default)]
pub(super) struct FrameSize {
    index: u32,
    fourcc: u32,
    pub(super) kind: u32,
    pub(super) values: [u32; 6],
    reserved: [u32; 2],
}

/// `v4l2_frmivalenum`: discrete (1): numerator and denominator of seconds; else of least, greatest and step.
#[repr(C)]
#[derive(Default)]
pub(super) struct FrameInterval {
    index: u32,
    fourcc: u32,
    width: u32,
    height: u32,
    pub(super) kind: u32,
    pub(super) values: [u32; 6],
    reserved: [u32; 2],
}

/// `v4l2_streamparm` with its `v4l2_captureparm`.
#[repr(C)]
struct Parameters {
    kind: u32,
    capability: u32,
    mode: u32,
    numerator: u32,
    denominator: u32,
    extended: u32,
    read_buffers: u32,
    reserved: [u32; 4],
    others: [u32; 40],
}

/// `v4l2_requestbuffers`
#[repr(C)]
#[derive(Default)]
struct RequestBuffers {
    count: u32,
    kind: u32,
    memory: u32,
    capabilities: u32,
    flags: u32,
}

/// `v4l2_buffer`. On systems with 32-bit time this is the kernel's older layout, which it tells apart by its length.
#[repr(C)]
struct Buffer {
    index: u32,
    kind: u32,
    used: u32,
    flags: u32,
    field: u32,
    timestamp: libc::timeval,
    timecode: [u32; 4],
    sequence: u32,
    memory: u32,
    align: [usize; 0],
    offset: u32,
    rest_of_pointer: [u32; size_of::<usize>() / 4 - 1],
    length: u32,
    reserved: u32,
    request: u32,
}

/// `v4l2_control`
#[repr(C)]
#[derive(Default)]
struct ControlValue {
    id: u32,
    value: i32,
}

/// `v4l2_queryctrl`
#[repr(C)]
#[derive(Default)]
pub(super) struct ControlDescription {
    pub(super) id: u32,
    pub(super) kind: u32,
    pub(super) name: [u8; 32],
    pub(super) least: i32,
    pub(super) most: i32,
    pub(super) step: i32,
    pub(super) default: i32,
    pub(super) flags: u32,
    reserved: [u32; 2],
}

/// `v4l2_querymenu`, packed there; its fields leave no gaps here either.
#[repr(C)]
#[derive(Default)]
struct MenuItem {
    id: u32,
    index: u32,
    name: [u8; 32],
    reserved: u32,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(
    size_of::<Capability>() == 104
        && size_of::<FormatDescription>() == 64
        && size_of::<Format>() == 208
        && size_of::<FrameSize>() == 44
        && size_of::<FrameInterval>() == 52
        && size_of::<Parameters>() == 204
        && size_of::<RequestBuffers>() == 20
        && size_of::<Buffer>() == 88
        && size_of::<ControlValue>() == 8
        && size_of::<ControlDescription>() == 68
        && size_of::<MenuItem>() == 44
);

macro_rules! request {
    ($name:ident, $direction:ident, $number:literal, $type:ty) => {
        fn $name(fd: BorrowedFd<'_>, argument: &mut $type) -> Result<()> {
            // SAFETY: `$number` of group `V` is the request whose argument is `$type`, laid out as the kernel has it
            // (lengths are asserted above); the kernel keeps no pointer to it.
            unsafe {
                ioctl::ioctl(
                    fd,
                    Updater::<{ opcode::$direction::<$type>(b'V', $number) }, $type>::new(argument),
                )
            }
        }
    };
}
request!(query_capability, read, 0, Capability);
request!(enumerate_formats, read_write, 2, FormatDescription);
request!(set_format, read_write, 5, Format);
request!(request_buffers, read_write, 8, RequestBuffers);
request!(query_buffer, read_write, 9, Buffer);
request!(queue_buffer, read_write, 15, Buffer);
request!(dequeue_buffer, read_write, 17, Buffer);
request!(stream_on, write, 18, u32);
request!(stream_off, write, 19, u32);
request!(read_parameters, read_write, 21, Parameters);
request!(set_parameters, read_write, 22, Parameters);
request!(read_control, read_write, 27, ControlValue);
request!(write_control, read_write, 28, ControlValue);
request!(query_control, read_write, 36, ControlDescription);
request!(query_menu, read_write, 37, MenuItem);
request!(enumerate_sizes, read_write, 74, FrameSize);
request!(enumerate_intervals, read_write, 75, FrameInterval);

/// An open video device.
#[derive(Debug)]
pub(super) struct Device {
    fd: OwnedFd,
}

impl Device {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let fd = rustix::fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn capability(&self) -> Result<Capability> {
        let mut out = Capability::default();
        query_capability(self.fd(), &mut out)?;
        Ok(out)
    }

    /// The format at `index`, `None` past the last.
    pub(super) fn format_at(&self, index: u32) -> Result<Option<FormatDescription>> {
        let mut out = FormatDescription { index, kind: CAPTURE, ..Default::default() };
        past_the_last(enumerate_formats(self.fd(), &mut out)).map(|there| there.then_some(out))
    }

    /// The frame size of `fourcc` at `index`, `None` past the last and for drivers that list none.
    pub(super) fn frame_size_at(&self, fourcc: u32, index: u32) -> Result<Option<FrameSize>> {
        let mut out = FrameSize { index, fourcc, ..Default::default() };
        past_the_last(enumerate_sizes(self.fd(), &mut out)).map(|there| there.then_some(out))
    }

    /// The frame interval at `index`, `None` past the last and for drivers that list none.
    pub(super) fn interval_at(
        &self,
        fourcc: u32,
        (width, height): (u32, u32),
        index: u32,
    ) -> Result<Option<FrameInterval>> {
        let mut out = FrameInterval { index, fourcc, width, height, ..Default::default() };
        past_the_last(enumerate_intervals(self.fd(), &mut out)).map(|there| there.then_some(out))
    }

    /// Asks for whole pictures of a format and size; gives what the driver made of it.
    pub(super) fn set_format(&self, fourcc: u32, width: u32, height: u32) -> Result<Pixels> {
        const FIELD_NONE: u32 = 1;
        let pixels = Pixels { fourcc, width, height, field: FIELD_NONE, ..Default::default() };
        let others = [0; 200 - size_of::<Pixels>()];
        let mut format = Format { kind: CAPTURE, align: [], pixels, others };
        set_format(self.fd(), &mut format)?;
        Ok(format.pixels)
    }

    /// Asks for a rate in pictures a second; gives what the driver made of it, `None` if it does not say.
    pub(super) fn set_rate(&self, fps: f64) -> Result<Option<f64>> {
        const TIME_PER_FRAME: u32 = 0x1000;
        let mut parameters = Parameters {
            kind: CAPTURE,
            capability: 0,
            mode: 0,
            numerator: 0,
            denominator: 0,
            extended: 0,
            read_buffers: 0,
            reserved: [0; 4],
            others: [0; 40],
        };
        match read_parameters(self.fd(), &mut parameters) {
            Ok(()) if parameters.capability & TIME_PER_FRAME != 0 => {}
            Ok(()) | Err(Errno::INVAL | Errno::NOTTY) => return Ok(None),
            Err(error) => return Err(error),
        }
        (parameters.numerator, parameters.denominator) = (1000, (fps * 1000.0).round() as u32);
        set_parameters(self.fd(), &mut parameters)?;
        let (seconds, frames) = (f64::from(parameters.numerator), f64::from(parameters.denominator));
        Ok((seconds > 0.0 && frames > 0.0).then(|| frames / seconds))
    }

    /// The control after `id` in the driver's order, `None` past the last.
    pub(super) fn control_after(&self, id: u32) -> Result<Option<ControlDescription>> {
        const NEXT: u32 = 0x8000_0000;
        let mut out = ControlDescription { id: id | NEXT, ..Default::default() };
        past_the_last(query_control(self.fd(), &mut out)).map(|there| there.then_some(out))
    }

    /// The name of a menu's entry, or its value as eight bytes in an integer menu; `None` if there is no such entry.
    pub(super) fn menu_item(&self, id: u32, index: u32) -> Result<Option<[u8; 32]>> {
        let mut out = MenuItem { id, index, ..Default::default() };
        past_the_last(query_menu(self.fd(), &mut out)).map(|there| there.then_some(out.name))
    }

    pub(super) fn control(&self, id: u32) -> Result<i32> {
        let mut out = ControlValue { id, value: 0 };
        read_control(self.fd(), &mut out)?;
        Ok(out.value)
    }

    pub(super) fn set_control(&self, id: u32, value: i32) -> Result<()> {
        write_control(self.fd(), &mut ControlValue { id, value })
    }

    /// Maps `count` buffers (the driver may give another number) and starts capture into them.
    pub(super) fn start(self, count: u32) -> Result<Capture> {
        let mut request = RequestBuffers { count, kind: CAPTURE, memory: MEMORY_MMAP, ..Default::default() };
        request_buffers(self.fd(), &mut request)?;
        let maps = (0..request.count.min(32)).map(|index| self.map(index)).collect::<Result<Vec<_>>>()?;
        if maps.is_empty() {
            return Err(Errno::NOMEM);
        }
        let mut capture = Capture { maps, device: self };
        for index in 0..capture.maps.len() as u32 {
            capture.queue(index)?;
        }
        stream_on(capture.device.fd(), &mut CAPTURE.clone())?;
        Ok(capture)
    }

    fn map(&self, index: u32) -> Result<Map> {
        let mut buffer = empty_buffer(index);
        query_buffer(self.fd(), &mut buffer)?;
        let length = buffer.length as usize;
        // SAFETY: a new mapping at an address of the kernel's choice, which only `Map` knows and unmaps.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ,
                MapFlags::SHARED,
                self.fd(),
                u64::from(buffer.offset),
            )?
        };
        Ok(Map { start: NonNull::new(start.cast()).ok_or(Errno::NOMEM)?, length })
    }
}

fn past_the_last(result: Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOTTY) => Ok(false),
        Err(error) => Err(error),
    }
}

fn empty_buffer(index: u32) -> Buffer {
    Buffer {
        index,
        kind: CAPTURE,
        used: 0,
        flags: 0,
        field: 0,
        timestamp: libc::timeval { tv_sec: 0, tv_usec: 0 },
        timecode: [0; 4],
        sequence: 0,
        memory: MEMORY_MMAP,
        align: [],
        offset: 0,
        rest_of_pointer: [0; size_of::<usize>() / 4 - 1],
        length: 0,
        reserved: 0,
        request: 0,
    }
}

/// One mapped buffer.
#[derive(Debug)]
struct Map {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Map {}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by `Device::map` with this length, and borrowed from nowhere: `bytes` borrows the owner.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// A device that captures. Dropping it stops the capture, unmaps the buffers and closes the device, in this order.
#[derive(Debug)]
pub(super) struct Capture {
    maps: Vec<Map>,
    device: Device,
}

/// A buffer that the driver has filled and handed over. It is ours until [`Capture::give_back`].
#[derive(Debug)]
pub(super) struct Filled {
    index: u32,
    used: usize,
    /// The driver says that the data may be damaged.
    pub(super) damaged: bool,
    /// Counts the pictures that the driver took, those it had no buffer for included.
    pub(super) sequence: u32,
    /// When it was taken, on `CLOCK_MONOTONIC`; `None` where the driver uses another clock.
    pub(super) taken: Option<Duration>,
}

impl Capture {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.device.fd()
    }

    /// The next filled buffer, oldest first; `None` if there is none yet.
    pub(super) fn take(&mut self) -> Result<Option<Filled>> {
        const ERROR: u32 = 0x40;
        const CLOCK: u32 = 0xe000;
        const CLOCK_MONOTONIC: u32 = 0x2000;
        let mut buffer = empty_buffer(0);
        match dequeue_buffer(self.device.fd(), &mut buffer) {
            Ok(()) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error),
        }
        let map = self.maps.get(buffer.index as usize).ok_or(Errno::IO)?;
        let time = buffer.timestamp;
        let taken = Duration::new(time.tv_sec.try_into().unwrap_or(0), 0)
            + Duration::from_micros(time.tv_usec.try_into().unwrap_or(0));
        Ok(Some(Filled {
            index: buffer.index,
            used: (buffer.used as usize).min(map.length),
            damaged: buffer.flags & ERROR != 0,
            sequence: buffer.sequence,
            taken: (buffer.flags & CLOCK == CLOCK_MONOTONIC && !taken.is_zero()).then_some(taken),
        }))
    }

    /// What the driver wrote.
    pub(super) fn bytes<'a>(&'a self, filled: &'a Filled) -> &'a [u8] {
        let map = &self.maps[filled.index as usize];
        // SAFETY: within the mapping's length; the driver does not write to a buffer that it has handed over, and
        // handing it back consumes the `Filled` that this borrows.
        unsafe { std::slice::from_raw_parts(map.start.as_ptr(), filled.used.min(map.length)) }
    }

    /// Gives a buffer back to the driver to be filled again.
    #[allow(clippy::needless_pass_by_value, reason = "taking it ends every borrow of its bytes")]
    pub(super) fn give_back(&mut self, filled: Filled) -> Result<()> {
        self.queue(filled.index)
    }

    fn queue(&mut self, index: u32) -> Result<()> {
        queue_buffer(self.device.fd(), &mut empty_buffer(index))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Fails only when the device is gone, and then there is nothing to stop.
        let _ = stream_off(self.device.fd(), &mut CAPTURE.clone());
    }
}
