//! What an address asks of a camera: its parameters, put over one of the camera's named variants or over what its
//! configuration has for all who watch.
//!
//! Numbers of an address are [rounded](Shape::rounded), so that near requests share one encoder; those of the configuration
//! are exact. Parameters that say nothing of pictures are passed over: people add them to defeat caches.

use ocelli_media::{Codec, Track};

use super::shape::{BadParameter, Shape};
use crate::config::PixelOptions;

/// Parameters that say something of pictures.
pub const PARAMETERS: [&str; 9] =
    ["variant", "width", "height", "quality", "fps", "codec", "bitrate", "rotate", "flip"];

/// What is asked of a camera.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Asked {
    /// What is made: the configuration's, and over it what the address says, rounded.
    pub shape: Shape,
    /// The same before it was rounded.
    pub exact: Shape,
    /// What the address itself says, its variant included.
    pub own: Shape,
    /// It names a variant.
    pub by_name: bool,
}

/// What an address asks that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// A parameter's value.
    #[error(transparent)]
    Parameter(#[from] BadParameter),
    /// The camera has no variant of this name.
    #[error("there is no variant `{found}`: {}", self.expected())]
    Variant {
        /// What was asked for, cut to what may be shown.
        found: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A codec in which pictures cannot go this way.
    #[error("codec={found}: expected {expected}")]
    Codec {
        /// What was asked for, by the address or by the variant that it names.
        found: Codec,
        /// What can be, in words.
        expected: &'static str,
    },
    /// A parameter that is there twice.
    #[error("`{0}` is there twice")]
    Twice(&'static str),
}

impl BadAddress {
    /// What is allowed, in words.
    pub fn expected(&self) -> String {
        match self {
            Self::Parameter(bad) => format!("expected {}", bad.expected),
            Self::Variant { known, .. } if known.is_empty() => {
                "expected none: the camera has no variants".to_owned()
            }
            Self::Variant { known, .. } => format!("expected one of {}", known.join(", ")),
            Self::Codec { expected, .. } => format!("expected {expected}"),
            Self::Twice(_) => "expected once".to_owned(),
        }
    }
}

impl Asked {
    /// What `pairs` of an address ask of a camera with `options`.
    ///
    /// # Errors
    /// The first of them that cannot be.
    pub fn read<'a>(
        options: &PixelOptions,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<Self, BadAddress> {
        for name in PARAMETERS {
            if pairs.clone().into_iter().filter(|pair| pair.0 == name).count() > 1 {
                return Err(BadAddress::Twice(name));
            }
        }
        let variant = pairs.clone().into_iter().find(|pair| pair.0 == "variant").map(|pair| pair.1);
        let named = variant.map(|name| named(options, name)).transpose()?.unwrap_or_default();
        let over = Shape::parse(pairs)?;
        let own = over.over(named);
        Ok(Self {
            shape: over.rounded().over(named).over(options.shape),
            exact: own.over(options.shape),
            own,
            by_name: variant.is_some(),
        })
    }

    /// The same, where it can go by RTP, which carries no raw pictures.
    ///
    /// # Errors
    /// It cannot.
    pub fn by_rtp(self) -> Result<Self, BadAddress> {
        match self.shape.codec {
            Some(found @ (Codec::Rgb24 | Codec::Yuv420)) => {
                let expected = "mjpeg, h264 or the camera's own: RTP carries no raw pictures here";
                Err(BadAddress::Codec { found, expected })
            }
            _ => Ok(self),
        }
    }

    /// As [`read`](Self::read), of what stands behind an address's question mark.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_query(options: &PixelOptions, query: Option<&str>) -> Result<Self, BadAddress> {
        let pairs = query.unwrap_or_default().split('&');
        Self::read(options, pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))))
    }

    /// What is made of `track`, as an address would say it, with spaces between; `None` if the address asks for nothing.
    pub fn made_of(&self, track: Option<&Track>) -> Option<String> {
        let asks = self.by_name || self.own != Shape::default();
        let shape = track.map_or(self.shape, |track| self.shape.of(track));
        let words = Shape { codec: None, ..shape }.to_string().replace('&', " ");
        (asks && !words.is_empty()).then_some(words)
    }
}

fn named(options: &PixelOptions, name: &str) -> Result<Shape, BadAddress> {
    let known = options.variants.iter().find(|(known, _)| known.as_str() == name);
    known.map(|(_, shape)| *shape).ok_or_else(|| BadAddress::Variant {
        found: name.chars().filter(|c| !c.is_control()).take(64).collect(),
        known: options.variants.iter().map(|(name, _)| name.to_string()).collect(),
    })
}

impl Shape {
    /// What it says, and where it says nothing what `under` does; it turns what `under` has turned.
    #[must_use]
    fn over(self, under: Self) -> Self {
        // A size is one thing: half of it from elsewhere would be another picture's.
        let (width, height) = match (self.width, self.height) {
            (None, None) => (under.width, under.height),
            own => own,
        };
        Self {
            codec: self.codec.or(under.codec),
            width,
            height,
            quality: self.quality.or(under.quality),
            fps: self.fps.or(under.fps),
            turn: under.turn.then(self.turn),
            bit_rate_kbps: self.bit_rate_kbps.or(under.bit_rate_kbps),
        }
    }
}

#[cfg(test)]
mod tests {
    use ocelli_media::{Codec, Size, Turn};

    use super::*;

    fn options() -> PixelOptions {
        let small = Shape { width: Some(333), quality: Some(55), turn: Turn::Half, ..Shape::default() };
        let film = Shape { codec: Some(Codec::H264), ..Shape::default() };
        PixelOptions {
            shape: Shape { turn: Turn::Clockwise, ..Shape::default() },
            variants: vec![("small".parse().unwrap(), small), ("film".parse().unwrap(), film)],
            ..PixelOptions::default()
        }
    }

    fn read(query: &str) -> Result<Asked, BadAddress> {
        Asked::read_query(&options(), Some(query))
    }

    #[test]
    fn an_address_that_asks_nothing_gets_what_is_configured() {
        for query in ["", "_=1700000000", "&&=&width"] {
            let asked = read(query);
            if query == "&&=&width" {
                assert!(asked.is_err(), "a width without a number");
                continue;
            }
            let asked = asked.unwrap();
            assert_eq!((asked.shape, asked.own), (options().shape, Shape::default()), "{query}");
            assert_eq!(asked.made_of(None), None);
        }
    }

    #[test]
    fn named_variants_are_exact_and_what_the_address_says_is_rounded() {
        let small = read("variant=small").unwrap();
        assert_eq!((small.shape.width, small.shape.quality), (Some(333), Some(55)));
        assert_eq!(small.shape.turn, Turn::Counterclockwise, "the camera's own turn comes first");
        let both = read("variant=small&quality=71&rotate=90&fps=11.5").unwrap();
        assert_eq!((both.shape.width, both.shape.quality), (Some(333), Some(70)));
        assert_eq!((both.exact.quality, both.exact.fps.unwrap().per_second()), (Some(71), 11.5));
        assert_eq!(both.shape.turn, Turn::None);
        let sized = read("variant=small&height=800").unwrap().shape;
        assert_eq!((sized.width, sized.height), (None, Some(720)), "another size is a whole one");
        assert_eq!(read("variant=film&width=640").unwrap().own.codec, Some(Codec::H264));
    }

    #[test]
    fn what_cannot_be_is_named_with_what_can() {
        let unknown = read("variant=tiny").unwrap_err();
        assert_eq!(unknown.to_string(), "there is no variant `tiny`: expected one of small, film");
        assert_eq!(unknown.expected(), "expected one of small, film");
        let none = Asked::read_query(&PixelOptions::default(), Some("variant=x")).unwrap_err();
        assert_eq!(none.expected(), "expected none: the camera has no variants");
        assert_eq!(read("width=1&width=2").unwrap_err().to_string(), "`width` is there twice");
        let wide = read("width=-1").unwrap_err();
        assert_eq!(
            (wide.to_string(), wide.expected()),
            ("width=-1: expected 16 to 8192".into(), "expected 16 to 8192".into())
        );
    }

    #[test]
    fn what_was_made_is_said() {
        let track = Track::video(Codec::H264, Size::new(1920, 1080), Vec::new());
        let plain = PixelOptions::default();
        let made = |query| Asked::read_query(&plain, Some(query)).unwrap().made_of(Some(&track));
        assert_eq!(made("width=641&quality=68&codec=mjpeg").unwrap(), "width=640 height=360 quality=70");
        assert_eq!(made("codec=mjpeg"), None);
        assert_eq!(made("width=4000&fps=10&codec=mjpeg").unwrap(), "fps=10");
    }
}
