//! `publish:` — a camera that comes to us: somebody sends it to the RTSP server by ANNOUNCE and RECORD (RFC 2326 sections 10.3 and
//! 10.11), as FFmpeg, GStreamer and OBS do.
//!
//! The connection and the camera meet on the [`Stage`]: one publisher at a time has the place, and what it sends goes through the
//! same [`Intake`](super::received::Intake) as the packets of a camera that is dialled ([`session`]). Between two publishers the
//! camera waits, however long.
//!
//! Refused: a second publisher, one without the password, one that sends no pictures.

use std::sync::Arc;

use ocelli_hub::{BoxFuture, NetworkPath, Publisher, Source, SourceError};

mod session;
mod stage;

pub use stage::{Occupied, Packet, Place, Ports, Publication, PublishedTrack, Seat, Stage};

use self::session::Session;
use super::{SourceKind, SourceOptions, SourceUrl, SpecError};

/// The kind's line in the registry.
pub(super) const KIND: SourceKind = SourceKind {
    scheme: "publish",
    about: "a camera that is published to this server by RTSP: publish:?user=me&password=secret",
    build,
};

/// One that nobody can reach, for those who have no server: it says so.
fn build(url: &SourceUrl, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    let stage = Arc::new(Stage::new(url)?);
    stage.close("only a running server can be published to");
    Ok(stage.source(options))
}

struct PublishSource {
    stage: Arc<Stage>,
    options: SourceOptions,
    /// Its name for RTCP, as long as the program runs (RFC 7022 4.1).
    name: String,
    /// What was counted so far.
    counted: NetworkPath,
}

impl Stage {
    /// The stage of a camera with this source; `None` if it is of another kind, or its text is wrong.
    pub fn of(source: &str) -> Option<Arc<Self>> {
        let url = SourceUrl::parse(source).ok().filter(|url| url.scheme() == KIND.scheme)?;
        Self::new(&url).ok().map(Arc::new)
    }

    /// The source of a camera whose publishers come here.
    pub fn source(self: &Arc<Self>, options: &SourceOptions) -> Box<dyn Source> {
        Box::new(PublishSource {
            stage: self.clone(),
            options: options.clone(),
            name: format!("{:024x}", fastrand::u128(..) >> 32),
            counted: NetworkPath::default(),
        })
    }
}

impl Source for PublishSource {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            match self.stage.door().await {
                Ok(address) => out.waits(&format!("waits for somebody to publish to {address}")),
                Err(closed) => return Err(SourceError::refused(closed)),
            }
            let publication = self.stage.next().await;
            let (from, program) = (publication.from, publication.program.as_deref().unwrap_or("unknown"));
            tracing::info!(camera = %out.name(), %from, program, "a publisher came");
            let session = Session::new(publication, &self.options, &self.name, &mut self.counted);
            Err(SourceError::silent(session.run(out).await))
        })
    }
}

#[cfg(test)]
mod tests;
