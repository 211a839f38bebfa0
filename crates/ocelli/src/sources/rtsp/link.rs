//! The connection to a camera: opened, or why not in words that its owner can do something with.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use ocelli_proto::rtsp::client::{Client, Place};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::sources::tls::{self, Trust};

/// How long all addresses of a host together may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection, encrypted or not.
pub(super) struct Link {
    stream: Box<dyn Stream>,
    /// The other end.
    pub(super) peer: SocketAddr,
    /// This end.
    pub(super) local: SocketAddr,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Opens a connection to `place`; if it is encrypted, to who is trusted.
///
/// # Errors
/// Why there is none, in words.
pub(super) async fn connect(place: &Place, trust: Trust) -> Result<Link, String> {
    let Place { host, port, tls } = place;
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let no_answer = || format!("the host {host} does not answer");
    let addresses = timeout_at(deadline, lookup_host((&host[..], *port))).await;
    let addresses: Vec<SocketAddr> = match addresses {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) => return Err(format!("no such host: {host}")),
        Err(_) => return Err(format!("the name {host} could not be looked up in time")),
    };
    let mut failure = format!("no such host: {host}");
    for (index, address) in addresses.iter().enumerate() {
        // Each address gets its part of what is left.
        let left = deadline.saturating_duration_since(Instant::now()) / (addresses.len() - index) as u32;
        let until = Instant::now() + left;
        failure = match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let opening = Link::open(stream, host, tls.then_some(trust));
                return timeout_at(deadline, opening).await.unwrap_or_else(|_| Err(no_answer()));
            }
            Ok(Err(error)) => in_words(host, *port, &error),
            Err(_) => no_answer(),
        };
    }
    Err(failure)
}

fn in_words(host: &str, port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("the host {host} answers but port {port} is closed"),
        io::ErrorKind::NetworkUnreachable => format!("there is no way to the host {host}"),
        // The former comes where nobody has the address, on this network or behind a router.
        io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => {
            format!("the host {host} does not answer")
        }
        _ => format!("no connection to {host} port {port}: {}", plain(error)),
    }
}

/// The error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

impl Link {
    async fn open(stream: TcpStream, host: &str, tls: Option<Trust>) -> Result<Self, String> {
        let ends = stream.set_nodelay(true).and_then(|()| Ok((stream.peer_addr()?, stream.local_addr()?)));
        let (peer, local) =
            ends.map_err(|error| format!("the connection to {host} broke off: {}", plain(&error)))?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(trust) => Box::new(tls::connect(stream, host, trust).await?),
        };
        Ok(Self { stream, peer, local })
    }

    /// Sends what the client has to send, and reads what has come for it, by one call as much as it has room for. Ready when
    /// something was read, and how many bytes: 0 at the end of the connection. Cancel-safe.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn exchange(&mut self, client: &mut Client) -> io::Result<usize> {
        std::future::poll_fn(|context| {
            self.poll_send(client, context)?;
            if client.wants_bytes() { self.poll_read(client.room(), context) } else { Poll::Pending }
        })
        .await
    }

    /// Sends until nothing is left, or the socket takes no more; then the task is woken when it does.
    fn poll_send(&mut self, client: &mut Client, context: &mut Context<'_>) -> io::Result<()> {
        while !client.output().is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, client.output()) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(sent) => client.sent(sent?),
                Poll::Pending => break,
            }
        }
        // What was encrypted may not be sent yet.
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    fn poll_read(&mut self, room: &mut BytesMut, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = ready!(pin!(self.stream.read_buf(room)).poll(context));
        Poll::Ready(read)
    }

    /// Reads what comes, whatever it is.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer).await
    }

    /// Sends what can be sent at once.
    pub(super) fn send_now(&mut self, client: &mut Client) {
        // Where that fails nobody is there to hear it.
        let _ = self.poll_send(client, &mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(host: &str, port: u16) -> String {
        let place = Place { host: host.to_owned(), port, tls: false };
        connect(&place, Trust::System).await.err().expect("nobody listens")
    }

    #[tokio::test]
    async fn what_keeps_a_connection_from_being_opened_is_said() {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let words = refused("127.0.0.1", port).await;
        assert_eq!(words, format!("the host 127.0.0.1 answers but port {port} is closed"));
        assert_eq!(refused("no such name", 554).await, "no such host: no such name");
        let other = |kind| in_words("camera", 554, &io::Error::from(kind));
        assert_eq!(other(io::ErrorKind::TimedOut), "the host camera does not answer");
        assert_eq!(other(io::ErrorKind::HostUnreachable), "the host camera does not answer");
        assert_eq!(other(io::ErrorKind::NetworkUnreachable), "there is no way to the host camera");
    }
}
