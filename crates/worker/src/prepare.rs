//! What several outputs need of one picture is made once: each size, range and turn.
//!
//! A smaller picture is made of the smallest larger one that is there already and half as large again, since scaling costs
//! what it reads. Buffers are kept from picture to picture, as many as the last one needed.

use ocelli_codec::Range;
use ocelli_media::{Size, Turn};

use crate::matrix;
use crate::picture::{Buffer, Layout, Matrix, View};
use crate::range::copy_in_range;
use crate::scale::{ScaleError, Scaling};
use crate::turn::turn;

/// How a picture has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Size before it is turned.
    pub size: Size,
    /// How its planes lie to each other.
    pub layout: Layout,
    /// Range of its samples.
    pub range: Range,
    /// What luma and colour are made of: the source's own, or that of BT.601 in full range.
    pub matrix: Matrix,
    /// How it is turned.
    pub turn: Turn,
}

/// The forms that have been made of one picture.
#[derive(Debug, Default)]
pub struct Prepared {
    scaling: Scaling,
    room: matrix::Room,
    made: Vec<(Form, Buffer)>,
    /// Buffers of the picture before.
    spare: Vec<(Form, Buffer)>,
}

/// Where a form is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Source,
    Made(usize),
}

impl Prepared {
    /// Another picture comes.
    pub fn next(&mut self) {
        self.spare.clear();
        std::mem::swap(&mut self.made, &mut self.spare);
    }

    /// The picture in a form. `source` must be the same since [`Prepared::next`].
    ///
    /// # Errors
    /// It cannot be scaled so.
    pub fn get<'a>(&'a mut self, source: &'a View<'a>, form: &Form) -> Result<View<'a>, ScaleError> {
        Ok(match self.find(source, form)? {
            Place::Source => *source,
            Place::Made(index) => self.made[index].1.view(),
        })
    }

    fn find(&mut self, source: &View<'_>, form: &Form) -> Result<Place, ScaleError> {
        let View { size, layout, range, matrix, .. } = *source;
        let as_it_is = Form { size, layout, range, matrix, turn: Turn::None };
        if *form == as_it_is {
            return Ok(Place::Source);
        }
        if let Some(index) = self.made.iter().position(|(made, _)| made == form) {
            return Ok(Place::Made(index));
        }
        // The buffer that held the same form of the last picture fits at once.
        let spare = self.spare.iter().position(|(spare, _)| spare == form);
        let mut buffer = spare.map(|index| self.spare.swap_remove(index).1).unwrap_or_default();
        if form.turn != Turn::None {
            let place = self.find(source, &Form { turn: Turn::None, ..*form })?;
            turn(&self.at(source, place), form.turn, &mut buffer);
        } else if form.range != source.range || form.matrix != source.matrix {
            // In one go: nobody wants what lies between.
            let place = self.find(source, &Form { range: source.range, matrix: source.matrix, ..*form })?;
            copy_in_range(&self.at(source, place), form.range, &mut buffer);
            if form.matrix != source.matrix {
                matrix::to_bt601(&mut buffer, &mut self.room);
            }
        } else {
            let place = self.cheapest(source, form);
            let from = match place {
                Place::Source => *source,
                Place::Made(index) => self.made[index].1.view(),
            };
            self.scaling.scale(&from, form.size, form.layout, &mut buffer)?;
        }
        self.made.push((*form, buffer));
        Ok(Place::Made(self.made.len() - 1))
    }

    fn at<'a>(&'a self, source: &'a View<'a>, place: Place) -> View<'a> {
        match place {
            Place::Source => *source,
            Place::Made(index) => self.made[index].1.view(),
        }
    }

    /// Of what a size is made.
    fn cheapest(&self, source: &View<'_>, form: &Form) -> Place {
        let enough = |from: u16, to: u16| u32::from(from) * 2 >= u32::from(to) * 3;
        let made = self.made.iter().enumerate().filter(|(_, (made, _))| {
            made.turn == Turn::None
                && made.range == source.range
                && made.matrix == source.matrix
                && made.layout == form.layout
                && enough(made.size.width, form.size.width)
                && enough(made.size.height, form.size.height)
        });
        match made.min_by_key(|(_, (made, _))| u32::from(made.size.width) * u32::from(made.size.height)) {
            Some((index, (made, _))) if made.size.width < source.size.width => Place::Made(index),
            _ => Place::Source,
        }
    }
}
