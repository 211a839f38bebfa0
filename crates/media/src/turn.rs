//! How a picture lies: the eight ways to turn and mirror a rectangle, and what each does to its size.

use crate::Size;

/// One of the eight ways in which a picture can be turned and mirrored. Their numbers, 0 to 7 in this order, are those of
/// GStreamer's `videoflip`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Turn {
    /// As it is.
    #[default]
    None = 0,
    /// A quarter turn clockwise.
    Clockwise = 1,
    /// Half a turn.
    Half = 2,
    /// A quarter turn counterclockwise.
    Counterclockwise = 3,
    /// Left and right exchanged.
    LeftRight = 4,
    /// Top and bottom exchanged.
    TopBottom = 5,
    /// Mirrored along the line from the upper left corner: rows become columns.
    Transposed = 6,
    /// Mirrored along the line from the upper right corner.
    Transverse = 7,
}

impl Turn {
    /// Every way, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Clockwise,
        Self::Half,
        Self::Counterclockwise,
        Self::LeftRight,
        Self::TopBottom,
        Self::Transposed,
        Self::Transverse,
    ];

    /// The way with a number, 0 to 7.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number, 0 to 7.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Columns become rows.
    pub fn swaps_sides(self) -> bool {
        matches!(self, Self::Clockwise | Self::Counterclockwise | Self::Transposed | Self::Transverse)
    }

    /// The size of a picture of `size` that was turned so.
    pub fn of(self, size: Size) -> Size {
        if self.swaps_sides() { Size { width: size.height, height: size.width } } else { size }
    }

    /// Left and right of the picture that was turned so are exchanged as well.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::None => Self::LeftRight,
            Self::Clockwise => Self::Transposed,
            Self::Half => Self::TopBottom,
            Self::Counterclockwise => Self::Transverse,
            Self::LeftRight => Self::None,
            Self::TopBottom => Self::Half,
            Self::Transposed => Self::Clockwise,
            Self::Transverse => Self::Counterclockwise,
        }
    }

    /// Top and bottom of the picture that was turned so are exchanged as well.
    #[must_use]
    pub fn upside_down(self) -> Self {
        match self {
            Self::None => Self::TopBottom,
            Self::Clockwise => Self::Transverse,
            Self::Half => Self::LeftRight,
            Self::Counterclockwise => Self::Transposed,
            Self::LeftRight => Self::Half,
            Self::TopBottom => Self::None,
            Self::Transposed => Self::Counterclockwise,
            Self::Transverse => Self::Clockwise,
        }
    }

    /// What becomes of a picture that is turned so first, and then as `next` has it.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let quarter = |turn: Self| match turn {
            Self::None => Self::Clockwise,
            Self::Clockwise => Self::Half,
            Self::Half => Self::Counterclockwise,
            Self::Counterclockwise => Self::None,
            Self::LeftRight => Self::Transverse,
            Self::Transverse => Self::TopBottom,
            Self::TopBottom => Self::Transposed,
            Self::Transposed => Self::LeftRight,
        };
        let (quarters, mirrors) = match next {
            Self::None => (0, false),
            Self::Clockwise => (1, false),
            Self::Half => (2, false),
            Self::Counterclockwise => (3, false),
            Self::LeftRight => (0, true),
            Self::Transposed => (1, true),
            Self::TopBottom => (2, true),
            Self::Transverse => (3, true),
        };
        let turned = (0..quarters).fold(self, |turn, _| quarter(turn));
        if mirrors { turned.mirrored() } else { turned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the pixel at column `x` and row `y` of a square of side 3 goes.
    fn pixel(turn: Turn, (x, y): (u8, u8)) -> (u8, u8) {
        match turn {
            Turn::None => (x, y),
            Turn::Clockwise => (2 - y, x),
            Turn::Half => (2 - x, 2 - y),
            Turn::Counterclockwise => (y, 2 - x),
            Turn::LeftRight => (2 - x, y),
            Turn::TopBottom => (x, 2 - y),
            Turn::Transposed => (y, x),
            Turn::Transverse => (2 - y, 2 - x),
        }
    }

    #[test]
    fn numbers_name_the_ways_and_what_follows_on_one_is_what_it_says() {
        for (number, turn) in Turn::ALL.into_iter().enumerate() {
            assert_eq!((turn.number(), Turn::from_number(number as u8)), (number as u8, Some(turn)));
            for at in [(0, 0), (1, 0), (2, 1)] {
                let (x, y) = pixel(turn, at);
                assert_eq!(pixel(turn.mirrored(), at), (2 - x, y), "{turn:?}");
                assert_eq!(pixel(turn.upside_down(), at), (x, 2 - y), "{turn:?}");
            }
            assert_eq!(turn.swaps_sides(), pixel(turn, (1, 0)).0 != 1, "{turn:?}");
        }
        for first in Turn::ALL {
            for second in Turn::ALL {
                for at in [(0, 0), (1, 0), (2, 1)] {
                    let both = pixel(second, pixel(first, at));
                    assert_eq!(pixel(first.then(second), at), both, "{first:?} {second:?}");
                }
            }
        }
        assert_eq!(Turn::from_number(8), None);
        assert_eq!(Turn::Clockwise.of(Size { width: 4, height: 3 }), Size { width: 3, height: 4 });
    }
}
