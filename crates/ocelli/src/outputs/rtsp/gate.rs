//! Who may do what: everybody may watch, and nobody may send.

use ocelli_proto::rtsp::auth::{Access, Gate, Verdict};

/// The server's gate.
pub(super) struct Door;

impl Gate for Door {
    fn check(&self, access: &Access<'_>) -> Verdict {
        if access.publish { Verdict::Forbidden } else { Verdict::Allowed }
    }
}
