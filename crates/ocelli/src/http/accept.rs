//! The listener and its connections: limits, timeouts, and the socket options that keep viewers live.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::patience::{self, Patient};
use super::socket;
use super::takeover::Takeover;
use crate::connections::Connections;

/// What hyper needs at least to read a head.
const MIN_HEAD_BYTES: usize = 8 * 1024;
/// Header fields in a request.
const MAX_HEADERS: usize = 64;
/// How long to wait when the machine has no file descriptor left for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Refused clients that are told so at the same time; more are closed without a word.
const REFUSALS: usize = 64;

/// What the listener allows.
#[derive(Clone, Copy, Debug)]
pub struct ListenerLimits {
    /// Connections open at once; further ones are answered 503 and closed.
    pub connections: usize,
    /// The longest head of a request, at least 8 KiB; a longer one is answered 431.
    pub head_bytes: usize,
    /// How long the head of a request may take, and how long a kept-alive connection may be idle.
    pub head_timeout: Duration,
}

/// Serves `router` on `listener` within `limits`. Dropping the future closes every connection.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: Arc<Connections>,
    limits: ListenerLimits,
) {
    let mut tasks = JoinSet::new();
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    loop {
        while tasks.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        connections.accept();
        if connections.open() >= limits.connections {
            connections.refuse();
            tracing::debug!(%peer, limit = limits.connections, "connection refused: too many are open");
            if let Ok(place) = refusals.clone().try_acquire_owned() {
                tasks.spawn(refuse(stream, place));
            }
            continue;
        }
        let open = connections.clone().enter();
        let router = router.clone();
        tasks.spawn(async move {
            connection(stream, peer, router, limits).await;
            drop(open);
        });
    }
}

async fn accept_failed(error: &io::Error) {
    // What the kernel reports of one connection that is gone already says nothing of the next.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!("a connection could not be accepted: {error}");
    tokio::time::sleep(EXHAUSTED_PAUSE).await;
}

/// Tells a client that there are too many.
async fn refuse(mut stream: TcpStream, place: OwnedSemaphorePermit) {
    let body = "{\"error\":\"too many connections\",\"hint\":\"try again later\"}\n";
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // A fresh socket's buffer takes an answer of this size at once; a client that is gone needs none.
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(answer.as_bytes())).await;
    patience::close(stream).await;
    drop(place);
}

/// One connection's life: ordinary requests through hyper, until one of them takes the socket over.
async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, limits: ListenerLimits) {
    if let Err(error) = socket::tune(&stream) {
        tracing::debug!(%peer, "socket options refused: {error}");
    }
    let taken = Arc::new(Mutex::new(None));
    let service = {
        let taken = taken.clone();
        hyper::service::service_fn(move |request| {
            Box::pin(answer(request, peer, router.clone(), taken.clone()))
        })
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes.max(MIN_HEAD_BYTES))
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let taken = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (taken, ended) {
        (Some((run, head)), _) => {
            let stream = connection.into_parts().io.into_inner().into_inner();
            // hyper's buffers are freed before the stream begins, which may take days.
            let running: super::takeover::Running = run(stream, head);
            running.await;
        }
        (None, ended) => {
            if let Err(error) = ended {
                tracing::debug!(%peer, "connection ended: {error}");
            }
            patience::close(connection.into_parts().io.into_inner()).await;
        }
    }
}

/// The socket is no longer hyper's.
#[derive(Debug, thiserror::Error)]
#[error("the connection was taken over")]
struct TakenOver;

type Slot = Arc<Mutex<Option<(super::takeover::Run, bytes::Bytes)>>>;

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    router: Router,
    taken: Slot,
) -> Result<Response, TakenOver> {
    let version = request.version();
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let answered: Result<Response, Infallible> = router.oneshot(request).await;
    let mut response = answered.unwrap_or_else(|never| match never {});
    match Takeover::of(&mut response, version) {
        None => Ok(response),
        Some(takeover) => {
            *taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(takeover);
            Err(TakenOver)
        }
    }
}
