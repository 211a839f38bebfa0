//! `v4l2:` — webcams and capture cards on Linux, in process.
//!
//! JPEG is passed on as the camera made it, raw pictures are encoded straight out of the driver's buffers. The device is
//! blocking by nature and has a thread to itself ([`capture`]); between it and the async side is room for one picture,
//! the newest ([`slot`]). Dropping the source's future wakes the thread, which stops the camera and closes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ocelli_codec::Range;
use ocelli_hub::{BoxFuture, Publisher, Source, SourceError};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use tokio::time::{Instant, timeout, timeout_at};

use self::capture::Settings;
use self::negotiate::{Ask, FourCc};
use self::slot::{Slot, Taken};
use super::{SourceKind, SourceOptions, SourceUrl, SpecError};

mod capture;
mod controls;
mod devices;
mod negotiate;
mod slot;
mod sys;

pub use controls::{Control, ControlKind};
pub use devices::{Details, VideoDevice, devices};
pub use negotiate::{FourCc as VideoFormat, Offer, SizeOffer};

/// The kind's line in the registry.
pub(super) const KIND: SourceKind = SourceKind {
    scheme: "v4l2",
    about: "a webcam or capture card: v4l2:///dev/video0?width=1280&height=720&fps=30&format=mjpg&ctrl.brightness=128",
    build,
};

fn build(url: &SourceUrl, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    let settings = settings(url, options)?;
    Ok(Box::new(V4l2Source { settings, silence: options.silence_timeout, last: None }))
}

fn settings(url: &SourceUrl, options: &SourceOptions) -> Result<Settings, SpecError> {
    let controls: Vec<(String, String)> = url
        .parameters()
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("ctrl.")?.to_owned(), value.clone())))
        .collect();
    let mut known = vec!["width", "height", "fps", "format", "quality", "range"];
    known.extend(url.parameters().iter().map(|(key, _)| key.as_str()).filter(|key| key.starts_with("ctrl.")));
    url.only(&known)?;
    let path = match url.path() {
        "" => PathBuf::from("/dev/video0"),
        path if path.starts_with('/') => PathBuf::from(path),
        path => {
            return Err(SpecError::new(format!(
                "`{path}` is no device; expected one such as v4l2:///dev/video0"
            )));
        }
    };
    let fourcc = match url.text("format") {
        None | Some("auto") => None,
        Some(name) => Some(FourCc::named(name).ok_or_else(|| {
            let names: Vec<&str> = FourCc::names().collect();
            SpecError::new(format!("format={name}: expected auto, {}", names.join(", ")))
        })?),
    };
    let range = match url.text("range") {
        None | Some("auto") => None,
        Some("full") => Some(Range::Full),
        Some("limited") => Some(Range::Limited),
        Some(other) => return Err(SpecError::new(format!("range={other}: expected auto, full or limited"))),
    };
    let quality = url.number("quality", 1..=100_u8)?;
    Ok(Settings {
        path,
        ask: Ask {
            fourcc,
            width: url.number("width", 16..=16_384_u16)?,
            height: url.number("height", 16..=16_384_u16)?,
            fps: url.number("fps", 0.1..=1000.0_f64)?,
        },
        quality: quality.unwrap_or(options.quality),
        camera_quality: quality,
        range,
        controls,
        max_frame_bytes: options.max_frame_bytes,
    })
}

struct V4l2Source {
    settings: Settings,
    silence: Duration,
    /// The last run's thread, which may not have closed the device yet.
    last: Option<Arc<Slot>>,
}

impl Source for V4l2Source {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let device = self.settings.path.display();
            if let Some(last) = self.last.take() {
                let ended = timeout(self.silence, last.ended()).await;
                if ended.is_err() {
                    self.last = Some(last);
                    return Err(SourceError::lost(format!("{device} does not answer and cannot be closed")));
                }
            }
            let (slot, _stop) = start(&self.settings)
                .map_err(|error| SourceError::lost(format!("no thread for {device}: {error}")))?;
            self.last = Some(slot.clone());
            let mut last_picture = Instant::now();
            loop {
                match timeout_at(last_picture + self.silence, slot.pass_on(out)).await {
                    Ok(Taken::Picture) => last_picture = Instant::now(),
                    Ok(Taken::Other) => {}
                    Ok(Taken::End(why)) => return Err(why),
                    Err(_) => {
                        let seconds = self.silence.as_secs_f32();
                        return Err(SourceError::lost(format!("no picture from {device} for {seconds} s")));
                    }
                }
            }
        })
    }
}

/// Wakes the thread when it is dropped.
struct Stop(Arc<OwnedFd>);

impl Drop for Stop {
    fn drop(&mut self) {
        // Only a counter at its greatest value could refuse, and this is its only writer.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// Says that the thread has ended however it ends.
struct Ending(Arc<Slot>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(SourceError::lost("the thread of the camera failed"));
    }
}

fn start(settings: &Settings) -> std::io::Result<(Arc<Slot>, Stop)> {
    let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let slot = Arc::new(Slot::default());
    let (settings, thread_stop, ending) = (settings.clone(), stop.clone(), Ending(slot.clone()));
    std::thread::Builder::new().name("v4l2".to_owned()).spawn(move || {
        let why = capture::run(&settings, &thread_stop, &ending.0);
        ending.0.end(why);
    })?;
    Ok((slot, Stop(stop)))
}

/// What the kernel's error means for the person who owns the camera.
fn cause(path: &Path, error: Errno) -> SourceError {
    let path = path.display();
    match error {
        Errno::NOENT => SourceError::lost(format!("there is no {path}: is the camera plugged in?")),
        Errno::ACCESS | Errno::PERM => {
            SourceError::refused(format!("no permission to open {path}: is this user in the group `video`?"))
        }
        Errno::BUSY => SourceError::lost(format!("another program is using {path}")),
        Errno::NODEV | Errno::NXIO | Errno::IO | Errno::PIPE | Errno::PROTO => {
            SourceError::lost(format!("the camera {path} was unplugged"))
        }
        Errno::NOSPC => SourceError::refused(format!(
            "not enough USB bandwidth for {path}: ask for format=mjpg, a smaller size or a lower rate, or use another port"
        )),
        Errno::NOTTY => SourceError::refused(format!("{path} is no video device")),
        error => SourceError::lost(format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use ocelli_hub::{Bounds, Stream};

    use super::*;

    fn parse(text: &str) -> Result<Settings, SpecError> {
        settings(&SourceUrl::parse(text)?, &SourceOptions::default())
    }

    #[test]
    fn parameters_have_names_and_ranges() {
        let text = "v4l2:///dev/video2?width=640&height=480&fps=7.5&format=YUYV&quality=60\
                    &range=full&ctrl.exposure_auto=1&ctrl.gain=9";
        let settings = parse(text).unwrap();
        assert_eq!(settings.path, Path::new("/dev/video2"));
        assert_eq!(
            (settings.ask.width, settings.ask.height, settings.ask.fps),
            (Some(640), Some(480), Some(7.5))
        );
        assert_eq!(settings.ask.fourcc, FourCc::named("yuyv"));
        assert_eq!((settings.quality, settings.camera_quality), (60, Some(60)));
        assert_eq!(settings.range, Some(Range::Full));
        let control = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(settings.controls, [control("exposure_auto", "1"), control("gain", "9")]);
        assert_eq!(parse("v4l2:").unwrap().path, Path::new("/dev/video0"));
        assert_eq!(parse("v4l2:/dev/v4l/by-id/usb-x").unwrap().path, Path::new("/dev/v4l/by-id/usb-x"));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text| parse(text).unwrap_err().to_string();
        assert!(error("v4l2:///dev/video0?format=h264").contains("expected auto, mjpg"));
        assert!(error("v4l2:///dev/video0?fsp=30").contains("did you mean `fps`"));
        assert!(error("v4l2:///dev/video0?width=5").contains("16 to 16384"));
        assert!(error("v4l2:?range=tv").contains("expected auto, full or limited"));
        assert!(error("v4l2:video0").contains("/dev/video0"));
    }

    async fn failure(text: &str) -> SourceError {
        let mut source = build(&SourceUrl::parse(text).unwrap(), &SourceOptions::default()).unwrap();
        let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 2, bytes: 1 << 20 });
        let mut out = stream.publish().unwrap();
        source.run(&mut out).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_camera_that_is_not_there_or_is_none_says_so() {
        let missing = failure("v4l2:///dev/no-such-camera").await;
        assert_eq!(missing, SourceError::lost("there is no /dev/no-such-camera: is the camera plugged in?"));
        assert_eq!(failure("v4l2:///dev/null").await, SourceError::refused("/dev/null is no video device"));
    }
}
