//! What is made of a camera's pictures for those who ask for another codec, size, quality, rate or turn.
//!
//! Whoever wants pictures in a [`Shape`] is given a [`Shaped`]: the camera's own stream, if that is what he asks already,
//! else a stream of the same kind that is filled for all who ask the same. So every output derives from
//! [`Shaped::stream`] as from a camera's own.

pub mod adapt;
mod shape;

use std::sync::Arc;

use ocelli_hub::Stream;
use ocelli_media::{Codec, video_track};

pub use shape::{BadParameter, Fps, Shape};

/// A stream in the shape that was asked for. It is kept for as long as this is: whoever reads the stream holds it.
#[derive(Clone, Debug)]
pub struct Shaped {
    stream: Arc<Stream>,
}

/// Why there is no such stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unshaped {
    /// As many are made as are allowed to: worth trying again.
    #[error("all {most} places of `{limit}` in `[limits]` are taken")]
    TooMany {
        /// The limit, by its name in the configuration.
        limit: &'static str,
        /// How many it allows.
        most: usize,
    },
    /// Nothing here makes such pictures: why, in words.
    #[error("{0}")]
    Impossible(String),
}

impl Shaped {
    /// The pictures, to be read as a camera's own.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// The stream of a camera in `shape`.
    pub(crate) fn of(camera: &Arc<Stream>, shape: &Shape) -> Result<Self, Unshaped> {
        let tracks = camera.stats().tracks;
        let track = tracks.as_deref().and_then(|tracks| video_track(tracks));
        let is_given = match track {
            Some(track) => shape.fps.is_none() && shape.is_given_by(track),
            // What it gives is not known before its first picture.
            None => {
                *shape
                    == Shape { codec: shape.codec.filter(|codec| *codec == Codec::Jpeg), ..Shape::default() }
            }
        };
        if is_given {
            return Ok(Self { stream: camera.clone() });
        }
        let own = track
            .map_or_else(|| "pictures that are not known yet".to_owned(), |track| track.codec.to_string());
        Err(Unshaped::Impossible(format!(
            "camera `{}` gives {own}, and making `{shape}` of that is not there yet",
            camera.name()
        )))
    }
}
