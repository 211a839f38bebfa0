//! A camera that this build cannot run: always refused, with the cause.

use ocelli_hub::{BoxFuture, Publisher, Source, SourceError};

struct Unavailable {
    cause: String,
}

impl Source for Unavailable {
    fn run<'a>(&'a mut self, _out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async { Err(SourceError::refused(self.cause.clone())) })
    }
}

/// A source that is refused whenever it is dialled, for `cause`, which must hold no password.
pub fn unavailable(cause: impl Into<String>) -> Box<dyn Source> {
    Box::new(Unavailable { cause: cause.into() })
}
