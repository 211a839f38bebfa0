//! Taking a connection over from the HTTP library.
//!
//! hyper polls a response's body ahead of the socket and keeps up to 400 KB of it: pictures would wait there and grow
//! old, and each would be copied into chunks. So a handler that streams answers with [`Takeover::response`]; the
//! connection's driver stops hyper before it writes anything, serialises the head itself, and hands the bare socket
//! to the handler's future.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Version, header};
use tokio::net::TcpStream;

/// What runs on the socket.
pub(super) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Starts it: takes the socket and the serialised head of the response.
pub(super) type Run = Box<dyn FnOnce(TcpStream, Bytes) -> Running + Send>;

/// What takes the connection over. Travels as an extension of the response whose head it sends.
#[derive(Clone)]
pub(super) struct Takeover(Arc<Mutex<Option<Run>>>);

impl Takeover {
    /// A response that is not written by the HTTP library: `run` gets the socket and the serialised head of `response`,
    /// whose body is ignored.
    pub(super) fn response<F, Fut>(mut response: Response, run: F) -> Response
    where
        F: FnOnce(TcpStream, Bytes) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let run: Run = Box::new(move |socket, head| Box::pin(run(socket, head)));
        response.extensions_mut().insert(Self(Arc::new(Mutex::new(Some(run)))));
        *response.body_mut() = Body::empty();
        response
    }

    /// What `response` wants to run, if it is a takeover, with its head as bytes.
    pub(super) fn of(response: &mut Response, version: Version) -> Option<(Run, Bytes)> {
        let takeover = response.extensions_mut().remove::<Self>()?;
        let run = takeover.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some((run, head(response, version)))
    }
}

/// The head of a response that ends with its connection (RFC 9112 §6.3, case 8).
fn head(response: &Response, version: Version) -> Bytes {
    let version = if version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let status = response.status();
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(
        format!("{version} {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("")).as_bytes(),
    );
    // The router states the length of the body that is ignored: 0, after which a client reads no further.
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"connection: close\r\n\r\n");
    head.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_states_no_length() {
        let response =
            Response::builder().header("content-length", "0").header("x-a", "b").body(Body::empty());
        let head = head(&response.unwrap(), Version::HTTP_10);
        assert_eq!(head, "HTTP/1.0 200 OK\r\nx-a: b\r\nconnection: close\r\n\r\n");
    }
}
