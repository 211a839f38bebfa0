//! How a picture is turned or mirrored, and how each camera program is told.

use std::str::FromStr;

use ocelli_media::Turn;

/// One of the eight ways a picture can lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flip {
    /// As the camera gives it.
    #[default]
    None,
    /// A quarter turn clockwise.
    Clockwise,
    /// Half a turn.
    Rotate180,
    /// A quarter turn counterclockwise.
    Counterclockwise,
    /// Left and right exchanged.
    Horizontal,
    /// Top and bottom exchanged.
    Vertical,
    /// Mirrored along the line from the upper left corner.
    UpperLeftDiagonal,
    /// Mirrored along the line from the upper right corner.
    UpperRightDiagonal,
}

/// Every way, in the order of GStreamer's numbers for them: what configurations call it (the `method` of `videoflip`), its
/// `video-direction`, and FFmpeg's filter. GStreamer 1.22 takes a `method` and then does nothing with it.
const WAYS: [(Flip, &str, &str, &str); 8] = [
    (Flip::None, "none", "identity", "null"),
    (Flip::Clockwise, "clockwise", "90r", "transpose=clock"),
    (Flip::Rotate180, "rotate-180", "180", "hflip,vflip"),
    (Flip::Counterclockwise, "counterclockwise", "90l", "transpose=cclock"),
    (Flip::Horizontal, "horizontal-flip", "horiz", "hflip"),
    (Flip::Vertical, "vertical-flip", "vert", "vflip"),
    (Flip::UpperLeftDiagonal, "upper-left-diagonal", "ul-lr", "transpose=cclock_flip"),
    (Flip::UpperRightDiagonal, "upper-right-diagonal", "ur-ll", "transpose=clock_flip"),
];

/// A text that names no way of turning a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {}", Flip::EXPECTED)]
pub struct FlipError;

impl Flip {
    /// What [`from_str`](Flip::from_str) takes, in words.
    pub const EXPECTED: &'static str = "none, clockwise, rotate-180, counterclockwise, horizontal-flip, \
         vertical-flip, upper-left-diagonal, upper-right-diagonal, their numbers 0 to 7, or 90, 180, 270";

    /// The same for pictures that are turned here.
    pub fn turn(self) -> Turn {
        // Both have GStreamer's numbers.
        Turn::from_number(self as u8).expect("there are as many turns as ways")
    }

    fn way(self) -> &'static (Flip, &'static str, &'static str, &'static str) {
        &WAYS[self as usize]
    }

    /// The `video-direction` of GStreamer's `videoflip`.
    pub fn gstreamer_direction(self) -> &'static str {
        self.way().2
    }

    /// FFmpeg's video filter.
    pub fn ffmpeg_filter(self) -> &'static str {
        self.way().3
    }

    /// The flags of `rpicam-vid`, which can mirror in the sensor but not turn by a quarter.
    pub fn rpicam_flags(self) -> Option<&'static [&'static str]> {
        match self {
            Self::None => Some(&[]),
            Self::Horizontal => Some(&["--hflip"]),
            Self::Vertical => Some(&["--vflip"]),
            Self::Rotate180 => Some(&["--hflip", "--vflip"]),
            _ => None,
        }
    }
}

impl FromStr for Flip {
    type Err = FlipError;

    fn from_str(text: &str) -> Result<Self, FlipError> {
        let text = text.trim().to_ascii_lowercase();
        let number = text.parse::<usize>().ok();
        let by_name = WAYS.iter().position(|(_, name, ..)| *name == text);
        match (by_name, number, text.as_str()) {
            (Some(index), _, _) | (None, Some(index @ 0..=7), _) => Ok(WAYS[index].0),
            (_, _, "" | "identity") => Ok(Self::None),
            (_, _, "90" | "90r" | "rotate-90") => Ok(Self::Clockwise),
            (_, _, "180") => Ok(Self::Rotate180),
            (_, _, "270" | "90l" | "-90" | "rotate-270") => Ok(Self::Counterclockwise),
            (_, _, "hflip" | "horizontal") => Ok(Self::Horizontal),
            (_, _, "vflip" | "vertical") => Ok(Self::Vertical),
            _ => Err(FlipError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_has_its_own_row() {
        for (index, (flip, name, ..)) in WAYS.iter().enumerate() {
            assert_eq!((*flip as usize, usize::from(flip.turn().number())), (index, index));
            assert_eq!(name.parse(), Ok(*flip));
            assert_eq!(index.to_string().parse(), Ok(*flip));
        }
        assert_eq!("180".parse(), Ok(Flip::Rotate180));
        assert_eq!("sideways".parse::<Flip>(), Err(FlipError));
    }
}
