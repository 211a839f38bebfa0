//! The connection to a camera: opened, or why not in words that its owner can do something with.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use ocelli_proto::rtsp::client::{Client, Place};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// How long all addresses of a host together may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection.
pub(super) struct Link {
    stream: TcpStream,
    /// The other end.
    pub(super) peer: SocketAddr,
    /// This end.
    pub(super) local: SocketAddr,
}

/// Opens a connection to `place`.
///
/// # Errors
/// Why there is none, in words.
pub(super) async fn connect(place: &Place) -> Result<Link, String> {
    let Place { host, port, tls } = place;
    if *tls {
        return Err("rtsps: cameras are not supported yet".to_owned());
    }
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
            Ok(Ok(stream)) => match Link::new(stream) {
                Ok(link) => return Ok(link),
                Err(error) => format!("the connection to {host} broke off: {}", plain(&error)),
            },
            Ok(Err(error)) => in_words(host, *port, &error),
            Err(_) => no_answer(),
        };
    }
    Err(failure)
}

fn in_words(host: &str, port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("the host {host} answers but port {port} is closed"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("there is no way to the host {host}")
        }
        io::ErrorKind::TimedOut => format!("the host {host} does not answer"),
        _ => format!("no connection to {host} port {port}: {}", plain(error)),
    }
}

/// The error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

impl Link {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { peer: stream.peer_addr()?, local: stream.local_addr()?, stream })
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
                Poll::Ready(sent) => client.sent(sent?),
                Poll::Pending => break,
            }
        }
        Ok(())
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
        while let Ok(sent @ 1..) = self.stream.try_write(client.output()) {
            client.sent(sent);
            if client.output().is_empty() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(host: &str, port: u16) -> String {
        let place = Place { host: host.to_owned(), port, tls: false };
        connect(&place).await.err().expect("nobody listens")
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
        assert_eq!(other(io::ErrorKind::HostUnreachable), "there is no way to the host camera");
    }
}
