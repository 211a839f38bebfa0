//! RTSP through HTTP ([`ocelli_proto::rtsp::tunnel`]): connections whose requests come by another.
//!
//! A connection that begins with such a GET is an RTSP connection whose requests come by another: by a POST with the same cookie from
//! the same address. A POST may end and another one go on; clients open the next before they close the last. Refused: a cookie that is
//! there already, a POST without its GET, and more POSTs at once than [`MOST_POSTS`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ocelli_proto::rtsp::tunnel::{Decoder, Head};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::listen::HalfOpen;
use super::outcomes::Ended;

/// How long the first bytes of a connection may take, as for one without HTTP.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// The longest head; it comes in one piece.
const MOST_HEAD_BYTES: usize = 2048;
/// Pieces of requests that wait until they are looked at; then the POST is read no further.
const WAITING: usize = 4;
/// Bytes of a POST that are read at once.
const READ_BYTES: usize = 2048;
/// Connections that bring requests for one tunnel at the same time.
const MOST_POSTS: usize = 4;
/// A POST that brings nothing for this long is closed. What keeps a session alive comes more often.
const SILENT: Duration = Duration::from_secs(120);

const OPENED: &[u8] =
    b"HTTP/1.0 200 OK\r\nConnection: close\r\nCache-Control: no-store\r\nPragma: no-cache\r\n\
    Content-Type: application/x-rtsp-tunnelled\r\n\r\n";
const NO_GET: &[u8] = b"HTTP/1.0 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const TOO_MANY: &[u8] = b"HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const TAKEN: &[u8] = b"HTTP/1.0 409 Conflict\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The tunnels that are open, by their clients' addresses and cookies.
#[derive(Default)]
pub(super) struct Tunnels {
    open: Mutex<HashMap<Name, mpsc::Sender<Bytes>>>,
}

type Name = (IpAddr, Vec<u8>);

/// What a new connection is.
pub(super) enum Kind {
    /// RTSP, or whatever else; still half open.
    Plain(HalfOpen),
    /// The client's end of a tunnel, whose requests come from here.
    Tunnel(Tunnel),
    /// It was refused, and is to be closed.
    Refused,
    /// It has brought requests for a tunnel, or nothing: it is to be closed, for this reason.
    Done(Ended),
}

/// The way in of a tunnel, until it is dropped.
pub(super) struct Tunnel {
    tunnels: Arc<Tunnels>,
    name: Name,
    pub(super) requests: mpsc::Receiver<Bytes>,
}

impl Tunnels {
    /// Looks at how `stream` begins. A connection that brings requests is read to its end here.
    pub(super) async fn enter(
        self: &Arc<Self>,
        stream: &mut TcpStream,
        peer: SocketAddr,
        half_open: HalfOpen,
    ) -> Kind {
        let mut head = vec![0; MOST_HEAD_BYTES];
        let length = match tokio::time::timeout(FIRST_BYTES, stream.peek(&mut head)).await {
            Ok(Ok(length)) => length,
            Ok(Err(error)) => return Kind::Done(Ended::by(&error)),
            Err(_) => return Kind::Done(Ended::Silent),
        };
        let Some(head) = Head::parse(&head[..length]) else { return Kind::Plain(half_open) };
        drop(half_open);
        if let Err(error) = stream.read_exact(&mut vec![0; head.bytes]).await {
            return Kind::Done(Ended::by(&error));
        }
        let name = (peer.ip(), head.cookie.to_vec());
        let (answered, kind) = if head.brings {
            match self.way_into(&name) {
                Ok(way) => {
                    let why = bring(stream, &way).await;
                    tracing::debug!(%peer, why = why.as_str(), "a connection with requests through HTTP is over");
                    (Ok(()), Kind::Done(why))
                }
                Err(answer) => (stream.write_all(answer).await, Kind::Refused),
            }
        } else {
            match self.open(name) {
                Some(tunnel) => (stream.write_all(OPENED).await, Kind::Tunnel(tunnel)),
                None => (stream.write_all(TAKEN).await, Kind::Refused),
            }
        };
        match answered {
            Ok(()) => kind,
            Err(error) => match kind {
                Kind::Tunnel(_) => Kind::Done(Ended::by(&error)),
                kind => kind,
            },
        }
    }

    /// Where a POST of this name brings its requests, or what it is answered.
    fn way_into(&self, name: &Name) -> Result<mpsc::Sender<Bytes>, &'static [u8]> {
        let open = self.lock();
        let way = open.get(name).ok_or(NO_GET)?;
        // One is kept here.
        if way.strong_count() > MOST_POSTS { Err(TOO_MANY) } else { Ok(way.clone()) }
    }

    fn open(self: &Arc<Self>, name: Name) -> Option<Tunnel> {
        let (sender, requests) = mpsc::channel(WAITING);
        let mut open = self.lock();
        if open.contains_key(&name) {
            return None;
        }
        open.insert(name.clone(), sender);
        Some(Tunnel { tunnels: self.clone(), name, requests })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, mpsc::Sender<Bytes>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.tunnels.lock().remove(&self.name);
    }
}

/// Gives what `stream` brings to its tunnel, until either ends; then why.
async fn bring(stream: &mut TcpStream, to: &mpsc::Sender<Bytes>) -> Ended {
    let (mut decoder, mut buffer) = (Decoder::default(), vec![0; READ_BYTES]);
    loop {
        let read = tokio::select! {
            read = tokio::time::timeout(SILENT, stream.read(&mut buffer)) => read,
            () = to.closed() => return Ended::Left,
        };
        let bytes = match read {
            Ok(Ok(0)) => return Ended::Left,
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Ended::by(&error),
            Err(_) => return Ended::Silent,
        };
        let Some(decoded) = decoder.push(&buffer[..bytes]) else { return Ended::Abuse };
        if !decoded.is_empty() && to.send(decoded.into()).await.is_err() {
            return Ended::Left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_one_tunnel_of_one_address() {
        let tunnels = Arc::new(Tunnels::default());
        let name = |address: &str| (address.parse().unwrap(), b"abc".to_vec());
        let first = tunnels.open(name("127.0.0.1")).unwrap();
        assert!(tunnels.open(name("127.0.0.1")).is_none());
        assert!(tunnels.open(name("127.0.0.2")).is_some());
        drop(first);
        assert!(tunnels.open(name("127.0.0.1")).is_some());
        assert!(tunnels.lock().is_empty(), "nothing is left of those that ended");
    }

    #[test]
    fn a_tunnel_has_so_many_posts_at_once() {
        let tunnels = Arc::new(Tunnels::default());
        let name: Name = ("127.0.0.1".parse().unwrap(), b"abc".to_vec());
        assert_eq!(tunnels.way_into(&name).unwrap_err(), NO_GET);
        let _tunnel = tunnels.open(name.clone()).unwrap();
        let mut ways: Vec<_> = (0..MOST_POSTS).map(|_| tunnels.way_into(&name).unwrap()).collect();
        assert_eq!(tunnels.way_into(&name).unwrap_err(), TOO_MANY);
        ways.pop();
        assert!(tunnels.way_into(&name).is_ok());
    }
}
