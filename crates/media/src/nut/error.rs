//! Why a stream cannot be read.

/// What is wrong with a stream that was to be NUT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NutError {
    /// It does not begin as NUT does.
    #[error("what came is no NUT")]
    NoNut,
    /// Something in it makes no sense.
    #[error("damaged NUT: {0}")]
    Damaged(&'static str),
    /// It has no pictures, or none of a codec that is passed on.
    #[error("no H.264, H.265 or JPEG in it{}", others(found))]
    NoPictures {
        /// The codecs of the pictures that it has, as it names them.
        found: String,
    },
}

fn others(codecs: &str) -> String {
    if codecs.is_empty() { ", nor any other pictures".to_owned() } else { format!(", but {codecs}") }
}
