//! Who may do what: everybody may watch; a camera is published to by whoever has its password, or by anybody where it has none.

use std::sync::Arc;

use ocelli_proto::rtsp::auth::{Access, Gate, Verdict};

use crate::app::App;

/// The server's gate.
pub(super) struct Door(pub(super) Arc<App>);

impl Gate for Door {
    fn check(&self, access: &Access<'_>) -> Verdict {
        let stage = self.0.camera(access.path).filter(|_| access.publish).and_then(|camera| camera.stage());
        // What is not published to at all is refused with the reason, whoever asks.
        match stage {
            Some(stage) if !stage.admits(access.credentials) => Verdict::Unauthorized,
            _ => Verdict::Allowed,
        }
    }
}
