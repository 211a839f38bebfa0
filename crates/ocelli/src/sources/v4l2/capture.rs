//! The thread that a camera has to itself: opens the device, settles format, rate and controls, and takes pictures until
//! the camera is gone or it is told to stop.
//!
//! Four mapped buffers. Whenever the camera has a picture, all that are ready are taken and only the newest is used; the
//! others, and those that the driver says it had no buffer for, are counted as late. JPEG is copied out of its buffer
//! (the camera needs it back); raw pictures are encoded straight from it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ocelli_codec::{EncodeError, Encoder, Picture, PixelFormat, Range};
use ocelli_hub::{DropReason, SourceError};
use ocelli_media::jpeg::{Header, Walker};
use ocelli_media::{Frame, MediaTime, Size, Track, TrackId};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::negotiate::{Ask, Got, Kind, choose, differences};
use super::slot::Slot;
use super::sys::{Capture, Device, Filled};
use super::{cause, controls, devices, negotiate};

const BUFFERS: u32 = 4;

/// What the source's text says.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) path: PathBuf,
    pub(super) ask: Ask,
    /// Quality of what is encoded here, 1 to 100.
    pub(super) quality: u8,
    /// Quality to ask of a camera that makes JPEG itself; `None` leaves the camera's own.
    pub(super) camera_quality: Option<u8>,
    /// What the numbers of a raw picture stand for; `None` asks the driver.
    pub(super) range: Option<Range>,
    /// Controls to set, in order.
    pub(super) controls: Vec<(String, String)>,
    pub(super) max_frame_bytes: usize,
}

/// Captures until the camera is lost or `stop` becomes readable. The device is closed on return.
pub(super) fn run(settings: &Settings, stop: &OwnedFd, slot: &Slot) -> SourceError {
    match open(settings, slot).and_then(|camera| camera.run(settings, stop, slot)) {
        Ok(()) => SourceError::lost("stopped"),
        Err(error) => error,
    }
}

struct Camera {
    capture: Capture,
    maker: Maker,
    size: Size,
}

/// What makes a JPEG file of a filled buffer.
enum Maker {
    Copy,
    Encode { encoder: Encoder, format: PixelFormat, range: Range, stride: usize },
}

fn open(settings: &Settings, slot: &Slot) -> Result<Camera, SourceError> {
    let path = &settings.path;
    let lost = |error| cause(path, error);
    let device = Device::open(path).map_err(lost)?;
    if !device.capability().map_err(lost)?.captures() {
        return Err(SourceError::refused(format!("{} does not capture pictures", path.display())));
    }
    let offers = devices::offers(&device).map_err(lost)?;
    let Some(fourcc) = choose(&offers, &settings.ask) else {
        let offered: Vec<String> = offers.iter().map(|offer| offer.fourcc.to_string()).collect();
        let asked = settings.ask.fourcc.map(|fourcc| format!(" {fourcc}")).unwrap_or_default();
        let offered = offered.join(" ");
        return Err(SourceError::refused(format!(
            "{} offers no format{asked} that can be shown, only: {offered}",
            path.display()
        )));
    };
    let pixels = device.set_format(fourcc.0, settings.ask.width(), settings.ask.height()).map_err(lost)?;
    let fps = device.set_rate(settings.ask.fps()).map_err(lost)?;
    let got =
        Got { fourcc: negotiate::FourCc(pixels.fourcc), width: pixels.width, height: pixels.height, fps };
    set_controls(&device, settings)?;
    report(settings, &got, slot);
    let (Some(kind), Some(size)) = (got.fourcc.kind(), size(&got)) else {
        return Err(SourceError::refused(format!("{} gives {got:?}, which cannot be shown", path.display())));
    };
    let maker = match kind {
        Kind::Jpeg => Maker::Copy,
        Kind::Raw(format) => Maker::Encode {
            encoder: Encoder::new(settings.quality).map_err(|e| SourceError::refused(e.to_string()))?,
            format,
            range: settings.range.unwrap_or(if pixels.is_full_range() {
                Range::Full
            } else {
                Range::Limited
            }),
            // Some drivers leave it at 0 where rows touch.
            stride: (pixels.stride as usize).max(format.row_bytes(size.width)),
        },
    };
    Ok(Camera { capture: device.start(BUFFERS).map_err(lost)?, maker, size })
}

fn size(got: &Got) -> Option<Size> {
    let side = |value: u32| u16::try_from(value).ok().filter(|value| *value > 0);
    Some(Size { width: side(got.width)?, height: side(got.height)? })
}

fn set_controls(device: &Device, settings: &Settings) -> Result<(), SourceError> {
    const JPEG_COMPRESSION_QUALITY: u32 = 0x009d_0903;
    if let Some(quality) = settings.camera_quality {
        // Few cameras have it; those that have not go on with their own.
        let _ = device.set_control(JPEG_COMPRESSION_QUALITY, quality.into());
    }
    if settings.controls.is_empty() {
        return Ok(());
    }
    let known = controls::list(device).map_err(|error| cause(&settings.path, error))?;
    settings.controls.iter().try_for_each(|(name, value)| controls::set(device, &known, name, value))
}

fn report(settings: &Settings, got: &Got, slot: &Slot) {
    let device = settings.path.display();
    let rate = got.fps.map(|fps| format!(" at {} pictures a second", (fps * 100.0).round() / 100.0));
    let (fourcc, width, height, rate) = (got.fourcc, got.width, got.height, rate.unwrap_or_default());
    match differences(&settings.ask, got) {
        Some(differences) => {
            let note = format!("{differences}; capturing {fourcc} {width}x{height}{rate}");
            tracing::warn!("{device}: {note}");
            slot.note(note);
        }
        None => tracing::info!("{device}: capturing {fourcc} {width}x{height}{rate}"),
    }
}

impl Camera {
    fn run(mut self, settings: &Settings, stop: &OwnedFd, slot: &Slot) -> Result<(), SourceError> {
        let lost = |error| cause(&settings.path, error);
        slot.tracks(vec![Track::jpeg(Some(self.size))]);
        let mut last_sequence = None;
        while wait(&self.capture, stop).map_err(lost)? {
            let Some((filled, stale)) = self.newest().map_err(lost)? else { continue };
            let late = stale + missed(&mut last_sequence, filled.sequence, stale);
            if late > 0 {
                slot.dropped(late, DropReason::Late);
            }
            match self.frame(&filled, settings, slot) {
                Ok(frame) => slot.picture(frame),
                Err(reason) => slot.dropped(1, reason),
            }
            self.capture.give_back(filled).map_err(lost)?;
        }
        Ok(())
    }

    /// The newest of the pictures that are ready, and how many older ones went back unused.
    fn newest(&mut self) -> Result<Option<(Filled, u64)>, Errno> {
        let Some(mut newest) = self.capture.take()? else { return Ok(None) };
        let mut stale = 0;
        while let Some(newer) = self.capture.take()? {
            self.capture.give_back(std::mem::replace(&mut newest, newer))?;
            stale += 1;
        }
        Ok(Some((newest, stale)))
    }

    fn frame(&mut self, filled: &Filled, settings: &Settings, slot: &Slot) -> Result<Frame, DropReason> {
        if filled.damaged {
            return Err(DropReason::Damaged);
        }
        let now = (monotonic(), SystemTime::now());
        let data = self.capture.bytes(filled);
        let data = match &mut self.maker {
            Maker::Copy if data.len() > settings.max_frame_bytes => return Err(DropReason::TooLarge),
            Maker::Copy => {
                let (jpeg, size) = jpeg_file(data).ok_or(DropReason::Damaged)?;
                if size != self.size {
                    self.size = size;
                    slot.tracks(vec![Track::jpeg(Some(size))]);
                }
                Bytes::copy_from_slice(jpeg)
            }
            Maker::Encode { encoder, format, range, stride } => {
                let picture =
                    Picture { format: *format, range: *range, size: self.size, stride: *stride, data };
                encoder.encode(&picture).map_err(|error| {
                    if !matches!(error, EncodeError::Short { .. }) {
                        tracing::debug!("{}: {error}", settings.path.display());
                    }
                    DropReason::Damaged
                })?
            }
        };
        let taken = filled.taken.filter(|taken| now.0.saturating_sub(*taken) < Duration::from_secs(10));
        let age = taken.map(|taken| now.0.saturating_sub(taken)).unwrap_or_default();
        Ok(Frame {
            track: TrackId::VIDEO,
            time: MediaTime::video(taken.unwrap_or(now.0)),
            captured: now.1.checked_sub(age),
            key: true,
            data,
        })
    }
}

/// Waits for a picture; `false` when it is time to stop.
fn wait(capture: &Capture, stop: &OwnedFd) -> Result<bool, Errno> {
    loop {
        let device = capture.fd();
        let mut fds =
            [PollFd::new(&device, PollFlags::IN), PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        }
        let (device, stop) = (fds[0].revents(), fds[1].revents());
        if !stop.is_empty() {
            return Ok(false);
        }
        // An error together with a picture: the picture first, the next round finds the error again.
        if device.contains(PollFlags::IN) {
            return Ok(true);
        }
        if device.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
            return Err(Errno::NODEV);
        }
    }
}

/// Pictures between the last one and this that never reached us, beyond the `stale` ones that did.
fn missed(last: &mut Option<u32>, sequence: u32, stale: u64) -> u64 {
    let before = last.replace(sequence);
    let step = before.map_or(1, |before| u64::from(sequence.wrapping_sub(before)));
    // A counter that jumps further has been reset, or never counted pictures.
    if (1..1000).contains(&step) { (step - 1).saturating_sub(stale) } else { 0 }
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// A camera's JPEG without the bytes that drivers pad it with, and its size; `None` if it is cut off or none at all.
fn jpeg_file(data: &[u8]) -> Option<(&[u8], Size)> {
    let end = Walker::new().end(data).ok()??;
    let jpeg = data.get(..end)?;
    Some((jpeg, Header::parse(jpeg).ok()?.size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::pictures::tests::BASELINE;

    #[test]
    fn padding_is_cut_and_half_pictures_are_refused() {
        let padded = [BASELINE, &[0; 100]].concat();
        assert_eq!(jpeg_file(&padded), Some((BASELINE, Size { width: 64, height: 48 })));
        assert_eq!(jpeg_file(&BASELINE[..BASELINE.len() - 2]), None);
        assert_eq!(jpeg_file(&BASELINE[1..]), None);
        assert_eq!(jpeg_file(b""), None);
    }

    #[test]
    fn gaps_in_the_drivers_count_are_pictures_missed() {
        let mut last = None;
        assert_eq!(missed(&mut last, 7, 0), 0);
        assert_eq!(missed(&mut last, 8, 0), 0);
        assert_eq!(missed(&mut last, 12, 1), 2);
        assert_eq!(missed(&mut last, 0, 0), 0);
        last = Some(u32::MAX);
        assert_eq!(missed(&mut last, 1, 0), 1);
    }
}
