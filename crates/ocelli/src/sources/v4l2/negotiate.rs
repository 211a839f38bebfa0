//! Which of the formats that a camera offers is taken, as a pure function; and in words, how what was got differs from
//! what was asked.

use std::fmt;

use ocelli_codec::PixelFormat;

/// What a format's bytes are to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A JPEG file for each picture: passed on as it is.
    Jpeg,
    /// Pixels, encoded here.
    Raw(PixelFormat),
}

/// Best first: what the camera has compressed itself costs nothing here and the least on the USB cable; then the
/// formats with the fewest bytes and the least to separate.
const KNOWN: [(&[u8; 4], &str, Kind); 7] = [
    (b"MJPG", "mjpg", Kind::Jpeg),
    (b"JPEG", "jpeg", Kind::Jpeg),
    (b"YU12", "yu12", Kind::Raw(PixelFormat::Yu12)),
    (b"NV12", "nv12", Kind::Raw(PixelFormat::Nv12)),
    (b"YUYV", "yuyv", Kind::Raw(PixelFormat::Yuyv)),
    (b"UYVY", "uyvy", Kind::Raw(PixelFormat::Uyvy)),
    (b"RGB3", "rgb24", Kind::Raw(PixelFormat::Rgb24)),
];

/// A format's four letters, as the kernel has them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub(super) u32);

impl FourCc {
    /// The format that `name` stands for in a source's text.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let found = KNOWN.iter().find(|(_, known, _)| *known == name)?;
        Some(Self(u32::from_le_bytes(*found.0)))
    }

    /// The names that [`named`](Self::named) knows, best first.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(_, name, _)| *name)
    }

    /// What its bytes are to us, if we can do anything with them.
    pub(super) fn kind(self) -> Option<Kind> {
        self.rank().map(|rank| KNOWN[rank].2)
    }

    /// Whether its pictures can be shown.
    pub fn is_usable(self) -> bool {
        self.rank().is_some()
    }

    fn rank(self) -> Option<usize> {
        KNOWN.iter().position(|(code, _, _)| u32::from_le_bytes(**code) == self.0)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printable = |b: u8| if b.is_ascii_graphic() { char::from(b) } else { ' ' };
        let text: String = self.0.to_le_bytes().map(printable).iter().collect();
        f.write_str(text.trim_end())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A format that a camera offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Its four letters.
    pub fourcc: FourCc,
    /// The driver's name for it.
    pub description: String,
    /// Its sizes; empty where the driver lists none.
    pub sizes: Vec<SizeOffer>,
}

/// A size, or a range of sizes, in which a format is offered.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeOffer {
    /// Least and greatest width, and the step between.
    pub width: (u32, u32, u32),
    /// Least and greatest height, and the step between.
    pub height: (u32, u32, u32),
    /// Pictures a second, greatest first; of a continuous range its ends. Empty where the driver lists none.
    pub rates: Vec<f64>,
}

impl SizeOffer {
    fn has(&self, width: u32, height: u32) -> bool {
        let within = |(least, most, step): (u32, u32, u32), value: u32| {
            (least..=most).contains(&value) && (value - least).is_multiple_of(step.max(1))
        };
        within(self.width, width) && within(self.height, height)
    }

    fn reaches(&self, fps: f64) -> bool {
        self.rates.is_empty() || self.rates.iter().any(|rate| *rate > fps * 0.99)
    }
}

/// What the configuration asks for; `None` is whatever suits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ask {
    pub(super) fourcc: Option<FourCc>,
    pub(super) width: Option<u16>,
    pub(super) height: Option<u16>,
    pub(super) fps: Option<f64>,
}

impl Ask {
    pub(super) fn width(&self) -> u32 {
        self.width.unwrap_or(1280).into()
    }
    pub(super) fn height(&self) -> u32 {
        self.height.unwrap_or(720).into()
    }
    pub(super) fn fps(&self) -> f64 {
        self.fps.unwrap_or(30.0)
    }
}

/// What the driver settled on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Got {
    pub(super) fourcc: FourCc,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fps: Option<f64>,
}

/// The best offer: one that has the size before one that has not, one that reaches the rate before one that does not,
/// the cheapest of those. `None` if there is no usable one of the format asked for.
pub(super) fn choose(offers: &[Offer], ask: &Ask) -> Option<FourCc> {
    let wanted = |offer: &&Offer| match ask.fourcc {
        Some(wanted) => offer.fourcc == wanted,
        None => offer.fourcc.is_usable(),
    };
    let merit = |offer: &&Offer| {
        let sized = || offer.sizes.iter().filter(|size| size.has(ask.width(), ask.height()));
        let size = offer.sizes.is_empty() || sized().next().is_some();
        let rate = offer.sizes.is_empty() || sized().any(|size| size.reaches(ask.fps()));
        (size, rate, std::cmp::Reverse(offer.fourcc.rank()))
    };
    offers.iter().filter(wanted).max_by_key(merit).map(|offer| offer.fourcc)
}

/// How what was got differs from what was asked for in so many words; `None` where it does not.
pub(super) fn differences(ask: &Ask, got: &Got) -> Option<String> {
    let mut asked = Vec::new();
    let mut given = Vec::new();
    let width = ask.width.is_some_and(|width| u32::from(width) != got.width);
    let height = ask.height.is_some_and(|height| u32::from(height) != got.height);
    if width || height {
        asked.push(format!("{}x{}", ask.width(), ask.height()));
        given.push(format!("{}x{}", got.width, got.height));
    }
    if let (Some(fps), Some(rate)) = (ask.fps, got.fps)
        && (rate / fps - 1.0).abs() > 0.01
    {
        asked.push(format!("{fps} pictures a second"));
        given.push(format!("{} a second", (rate * 100.0).round() / 100.0));
    }
    if let Some(fourcc) = ask.fourcc.filter(|fourcc| *fourcc != got.fourcc) {
        asked.push(fourcc.to_string());
        given.push(got.fourcc.to_string());
    }
    (!asked.is_empty()).then(|| format!("asked for {}, got {}", asked.join(", "), given.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(name: &str, sizes: &[(u32, u32, f64)]) -> Offer {
        let sizes = sizes.iter().map(|&(width, height, rate)| SizeOffer {
            width: (width, width, 0),
            height: (height, height, 0),
            rates: vec![rate, rate / 2.0],
        });
        let fourcc = FourCc::named(name).unwrap();
        Offer { fourcc, description: String::new(), sizes: sizes.collect() }
    }

    fn chosen(offers: &[Offer], ask: &Ask) -> Option<String> {
        choose(offers, ask).map(|fourcc| fourcc.to_string())
    }

    #[test]
    fn logitech_c920_gives_jpeg_where_raw_is_too_slow_or_too_small() {
        let c920 = [
            offer("yuyv", &[(640, 480, 30.0), (1280, 720, 10.0), (1920, 1080, 5.0)]),
            offer("mjpg", &[(640, 480, 30.0), (1280, 720, 30.0), (1920, 1080, 30.0)]),
        ];
        assert_eq!(chosen(&c920, &Ask::default()).unwrap(), "MJPG");
        let raw = Ask { fourcc: FourCc::named("yuyv"), ..Ask::default() };
        assert_eq!(chosen(&c920, &raw).unwrap(), "YUYV");
        let missing = Ask { fourcc: FourCc::named("nv12"), ..Ask::default() };
        assert_eq!(chosen(&c920, &missing), None);
    }

    #[test]
    fn size_counts_more_than_rate_and_rate_more_than_cost() {
        let camera = [
            offer("mjpg", &[(640, 480, 30.0)]),
            offer("nv12", &[(1280, 720, 15.0)]),
            offer("yuyv", &[(1280, 720, 30.0)]),
        ];
        assert_eq!(chosen(&camera, &Ask::default()).unwrap(), "YUYV");
        let slow = Ask { fps: Some(15.0), ..Ask::default() };
        assert_eq!(chosen(&camera, &slow).unwrap(), "NV12");
        let small = Ask { width: Some(640), height: Some(480), ..Ask::default() };
        assert_eq!(chosen(&camera, &small).unwrap(), "MJPG");
    }

    #[test]
    fn a_driver_that_lists_nothing_is_believed_to_have_everything() {
        let camera = [offer("yuyv", &[(640, 480, 30.0)]), offer("rgb24", &[])];
        assert_eq!(chosen(&camera, &Ask::default()).unwrap(), "RGB3");
        assert_eq!(chosen(&[], &Ask::default()), None);
    }

    #[test]
    fn ranges_keep_to_their_steps() {
        let range = SizeOffer { width: (32, 1920, 16), height: (32, 1080, 2), rates: vec![] };
        assert!(range.has(1280, 720) && range.has(32, 32) && range.has(1920, 1080));
        assert!(!range.has(1281, 720) && !range.has(1280, 1082) && !range.has(16, 32));
    }

    #[test]
    fn what_differs_is_said_and_nothing_else() {
        let ask = Ask { width: Some(1280), height: Some(720), fps: Some(30.0), fourcc: None };
        let got = Got { fourcc: FourCc::named("yuyv").unwrap(), width: 1280, height: 720, fps: Some(29.97) };
        assert_eq!(differences(&ask, &got), None);
        let less = Got { width: 640, height: 480, fps: Some(25.0), ..got };
        let text = "asked for 1280x720, 30 pictures a second, got 640x480, 25 a second";
        assert_eq!(differences(&ask, &less).unwrap(), text);
        assert_eq!(differences(&Ask::default(), &less), None);
    }
}
