//! Which pictures of the camera a variant waits for, so that each that was wanted comes out or is counted as missed.
//!
//! Holds numbers only, in the order in which the worker was given the pictures; who adds them bounds them.

use std::collections::VecDeque;

/// The pictures that the worker was given for a variant and that have not come out.
#[derive(Debug, Default)]
pub(super) struct Expected(VecDeque<u32>);

impl Expected {
    /// The worker was given the picture of this number, for the variant among others.
    pub(super) fn add(&mut self, number: u32) {
        self.0.push_back(number);
    }

    /// It has come out.
    pub(super) fn came(&mut self, number: u32) {
        // Where no B-frames are it is the first.
        if let Some(at) = self.0.iter().position(|expected| *expected == number) {
            self.0.remove(at);
        }
    }

    /// Neither the picture of this number comes any more nor one that was given before it. How many these are.
    pub(super) fn none_up_to(&mut self, number: u32) -> u64 {
        // Numbers begin anew behind the last.
        let is_later = |expected: &u32| expected.wrapping_sub(number).wrapping_sub(1) < u32::MAX / 2;
        let count = self.0.iter().position(is_later).unwrap_or(self.0.len());
        self.0.drain(..count).count() as u64
    }

    /// None of them comes any more. How many they are.
    pub(super) fn none(&mut self) -> u64 {
        self.0.drain(..).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_out_or_is_missed_once() {
        for start in [0, u32::MAX - 2] {
            let number = |index: u32| start.wrapping_add(index);
            let mut expected = Expected::default();
            [0, 1, 3, 4, 6].into_iter().for_each(|index| expected.add(number(index)));
            expected.came(number(1));
            expected.came(number(2));
            assert_eq!(expected.none_up_to(number(3)), 2);
            assert_eq!(expected.none_up_to(number(5)), 1);
            assert_eq!((expected.none(), expected.none()), (1, 0));
        }
    }
}
