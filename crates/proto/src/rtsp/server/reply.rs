//! The bytes of an answer.

use std::fmt::{Display, Write as _};

use crate::rtsp::Status;

/// An answer that is being written behind those that wait to be sent.
pub(super) struct Reply<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Reply<'a> {
    /// Begins one. `detail` says more than the status; it stands behind its phrase.
    pub(super) fn new(
        out: &'a mut Vec<u8>,
        status: Status,
        detail: &str,
        cseq: Option<u32>,
        server: &str,
    ) -> Self {
        let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        let mut reply = Self { out };
        reply.line(format_args!("RTSP/1.0 {status}{detail}"));
        if let Some(cseq) = cseq {
            reply = reply.field("CSeq", cseq);
        }
        reply.field("Server", server)
    }

    /// Adds a field.
    pub(super) fn field(mut self, name: &str, value: impl Display) -> Self {
        self.line(format_args!("{name}: {value}"));
        self
    }

    /// Ends it without a body.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends it with this body.
    pub(super) fn body(self, kind: &str, body: &str) {
        let reply = self.field("Content-Type", kind).field("Content-Length", body.len());
        reply.out.extend_from_slice(b"\r\n");
        reply.out.extend_from_slice(body.as_bytes());
    }

    /// Writes a line, and no second one: what was taken over from somewhere cannot end it.
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let mut line = String::new();
        let _ = line.write_fmt(text);
        self.out.extend(line.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }
}
