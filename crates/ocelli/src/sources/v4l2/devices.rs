//! What video devices there are, and what they offer: for `ocelli devices`.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::controls::{self, Control, text};
use super::negotiate::{FourCc, Offer, SizeOffer};
use super::sys::{Device, FrameInterval, FrameSize};

/// More than any device has; a driver whose list has no end is stopped here.
const MOST_ENTRIES: u32 = 256;

/// A capture device.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoDevice {
    /// Its node, `/dev/video0`.
    pub path: PathBuf,
    /// What is known of it, or in words why nothing is.
    pub details: Result<Details, String>,
}

/// What a capture device says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Details {
    /// Its name: "HD Pro Webcam C920".
    pub card: String,
    /// The kernel's driver: "uvcvideo".
    pub driver: String,
    /// Where it is plugged in: "usb-0000:00:14.0-1".
    pub bus: String,
    /// What it offers, usable here or not.
    pub formats: Vec<Offer>,
    /// Its controls.
    pub controls: Vec<Control>,
}

/// The capture devices of this machine by number, with those that cannot be opened. Nodes that do not capture
/// (a webcam's second one, for metadata) are left out. May take some 10 ms a device.
pub fn devices() -> Vec<VideoDevice> {
    let Ok(entries) = std::fs::read_dir("/dev") else { return Vec::new() };
    let mut numbers: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("video")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.into_iter().filter_map(|number| describe(&PathBuf::from(format!("/dev/video{number}")))).collect()
}

fn describe(path: &Path) -> Option<VideoDevice> {
    let details = match Device::open(path).and_then(|device| details(&device)) {
        Ok(details) => Ok(details?),
        Err(error) => Err(super::cause(path, error).cause().to_owned()),
    };
    Some(VideoDevice { path: path.to_owned(), details })
}

/// `None` for a node that does not capture.
fn details(device: &Device) -> Result<Option<Details>, Errno> {
    let capability = device.capability()?;
    if !capability.captures() {
        return Ok(None);
    }
    Ok(Some(Details {
        card: text(&capability.card),
        driver: text(&capability.driver),
        bus: text(&capability.bus),
        formats: offers(device)?,
        controls: controls::list(device).unwrap_or_default(),
    }))
}

/// What the device offers.
pub(super) fn offers(device: &Device) -> Result<Vec<Offer>, Errno> {
    let mut offers = Vec::new();
    for index in 0..MOST_ENTRIES {
        let Some(format) = device.format_at(index)? else { break };
        let fourcc = FourCc(format.fourcc);
        offers.push(Offer {
            fourcc,
            description: text(&format.description),
            // The many formats of a test driver would take seconds to list to no use.
            sizes: if fourcc.is_usable() { sizes(device, fourcc)? } else { Vec::new() },
        });
    }
    Ok(offers)
}

fn sizes(device: &Device, fourcc: FourCc) -> Result<Vec<SizeOffer>, Errno> {
    let mut sizes = Vec::new();
    for index in 0..MOST_ENTRIES {
        let Some(FrameSize { kind, values, .. }) = device.frame_size_at(fourcc.0, index)? else { break };
        let [a, b, c, d, e, f] = values;
        let (width, height) = if kind == 1 { ((a, a, 0), (b, b, 0)) } else { ((a, b, c), (d, e, f)) };
        sizes.push(SizeOffer { width, height, rates: rates(device, fourcc, (width.1, height.1))? });
        if kind != 1 {
            break;
        }
    }
    Ok(sizes)
}

fn rates(device: &Device, fourcc: FourCc, size: (u32, u32)) -> Result<Vec<f64>, Errno> {
    let mut rates = Vec::new();
    for index in 0..MOST_ENTRIES {
        let Some(FrameInterval { kind, values, .. }) = device.interval_at(fourcc.0, size, index)? else {
            break;
        };
        let mut add = |numerator: u32, denominator: u32| {
            if numerator > 0 && denominator > 0 {
                rates.push(f64::from(denominator) / f64::from(numerator));
            }
        };
        add(values[0], values[1]);
        if kind != 1 {
            add(values[2], values[3]);
            break;
        }
    }
    rates.sort_by(|a, b| b.total_cmp(a));
    rates.dedup();
    Ok(rates)
}

impl fmt::Display for VideoDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = match &self.details {
            Ok(details) => details,
            Err(cause) => return writeln!(f, "{}  {cause}", self.path.display()),
        };
        writeln!(f, "{}  {} ({}, {})", self.path.display(), details.card, details.driver, details.bus)?;
        for format in details.formats.iter().filter(|format| format.fourcc.is_usable()) {
            writeln!(f, "  {}  {}", format.fourcc, format.description)?;
            for size in &format.sizes {
                writeln!(f, "    {size}")?;
            }
        }
        let others: Vec<String> = details
            .formats
            .iter()
            .filter(|format| !format.fourcc.is_usable())
            .map(|format| format.fourcc.to_string())
            .collect();
        if !others.is_empty() {
            writeln!(f, "  not usable here: {}", others.join(" "))?;
        }
        for control in &details.controls {
            let value = control.value.map(|value| format!(" = {value}")).unwrap_or_default();
            writeln!(f, "  ctrl.{}{value}  {}", control.name, control.kind)?;
        }
        Ok(())
    }
}

impl fmt::Display for SizeOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((least_width, width, _), (least_height, height, _)) = (self.width, self.height);
        let size = if (least_width, least_height) == (width, height) {
            format!("{width}x{height}")
        } else {
            format!("{least_width}x{least_height} to {width}x{height}")
        };
        let rates: Vec<String> =
            self.rates.iter().map(|rate| format!("{}", (rate * 100.0).round() / 100.0)).collect();
        match rates.is_empty() {
            true => f.write_str(&size),
            false => write!(f, "{size:<12} {} pictures a second", rates.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::v4l2::controls::ControlKind;

    #[test]
    fn a_device_is_a_short_table() {
        let size = SizeOffer { width: (1280, 1280, 0), height: (720, 720, 0), rates: vec![30.0, 7.5] };
        let range = SizeOffer { width: (32, 640, 16), height: (32, 480, 16), rates: vec![] };
        let offer = |name: &[u8; 4], sizes| Offer {
            fourcc: FourCc(u32::from_le_bytes(*name)),
            description: "Motion-JPEG".to_owned(),
            sizes,
        };
        let details = Details {
            card: "HD Pro Webcam C920".to_owned(),
            driver: "uvcvideo".to_owned(),
            bus: "usb-0000:00:14.0-1".to_owned(),
            formats: vec![offer(b"MJPG", vec![size, range]), offer(b"H264", vec![])],
            controls: vec![Control::for_test(
                "gain",
                ControlKind::Integer { least: 0, most: 255, step: 1 },
                9,
            )],
        };
        let device = VideoDevice { path: "/dev/video0".into(), details: Ok(details) };
        let lines = [
            "/dev/video0  HD Pro Webcam C920 (uvcvideo, usb-0000:00:14.0-1)",
            "  MJPG  Motion-JPEG",
            "    1280x720     30 7.5 pictures a second",
            "    32x32 to 640x480",
            "  not usable here: H264",
            "  ctrl.gain = 9  0 to 255",
        ];
        assert_eq!(device.to_string(), lines.join("\n") + "\n");
    }
}
