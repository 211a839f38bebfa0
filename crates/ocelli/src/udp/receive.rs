//! Datagrams from a socket, as many by one system call as have come.
//!
//! A message that the kernel gives is one datagram, or up to 64 of equal length that it has put together on the way (generic
//! receive offload), each as long as its stride says. So a sender's burst of a hundred packets is three messages, or with a
//! sender that cuts its packets itself a hundred, of which one call takes [`MESSAGES`].

use std::array;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use quinn_udp::{RecvMeta, UdpSocketState};
use tokio::io::Interest;

/// Messages by one call.
const MESSAGES: usize = 16;
/// As long as a message can be. A page more apart than that, or all of them would want the same lines of the cache.
const STRIDE_BYTES: usize = 68 << 10;

/// A socket, and what came last.
#[derive(Debug)]
pub struct Inbox {
    socket: tokio::net::UdpSocket,
    state: UdpSocketState,
    /// Only the pages that something was received into are memory.
    buffer: Vec<u8>,
    messages: [RecvMeta; MESSAGES],
    count: usize,
}

/// One datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// When the kernel got it, since 1970, where it says so.
    pub arrived: Option<Duration>,
    /// What is in it.
    pub bytes: &'a [u8],
}

impl Inbox {
    /// What comes to `socket`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system refuses an option, or the runtime the socket.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self {
            socket: tokio::net::UdpSocket::from_std(socket)?,
            state,
            buffer: vec![0; MESSAGES * STRIDE_BYTES],
            messages: [RecvMeta::default(); MESSAGES],
            count: 0,
        })
    }

    /// The socket, to send by.
    pub fn socket(&self) -> &tokio::net::UdpSocket {
        &self.socket
    }

    /// Waits for datagrams, which [`datagrams`](Self::datagrams) then has in the place of those before. Cancel-safe.
    ///
    /// # Errors
    /// The system's.
    pub async fn receive(&mut self) -> io::Result<()> {
        let Self { socket, state, buffer, messages, count } = self;
        *count = 0;
        *count = socket.async_io(Interest::READABLE, || take(socket, state, buffer, messages)).await?;
        Ok(())
    }

    /// The same without waiting: whether there were any.
    ///
    /// # Errors
    /// The system's.
    pub fn receive_more(&mut self) -> io::Result<bool> {
        let Self { socket, state, buffer, messages, count } = self;
        *count = 0;
        match socket.try_io(Interest::READABLE, || take(socket, state, buffer, messages)) {
            Ok(taken) => *count = taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(*count > 0)
    }

    /// What came last, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let messages = self.messages[..self.count].iter().zip(self.buffer.chunks_exact(STRIDE_BYTES));
        messages.flat_map(|(meta, buffer)| {
            let of = |bytes| Datagram { from: meta.addr, arrived: meta.timestamp, bytes };
            // An empty datagram has no strides, and nothing to say.
            buffer[..meta.len].chunks(meta.stride.max(1)).map(of)
        })
    }
}

fn take(
    socket: &tokio::net::UdpSocket,
    state: &UdpSocketState,
    buffer: &mut [u8],
    messages: &mut [RecvMeta; MESSAGES],
) -> io::Result<usize> {
    let mut rest = buffer.chunks_exact_mut(STRIDE_BYTES);
    let mut slices: [IoSliceMut<'_>; MESSAGES] =
        array::from_fn(|_| IoSliceMut::new(rest.next().unwrap_or_default()));
    state.recv(socket.into(), &mut slices, messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_of_all_lengths_come_in_order_by_few_calls() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut inbox = Inbox::new(socket).unwrap();
        let lengths = [1400, 1400, 0, 7, 60_000, 1400, 1, 900];
        for (index, length) in lengths.iter().enumerate() {
            sender.send_to(&vec![index as u8; *length], to).unwrap();
        }
        inbox.receive().await.unwrap();
        let came: Vec<_> = inbox.datagrams().map(|one| (one.bytes.len(), one.bytes[0])).collect();
        let sent = lengths.iter().enumerate().map(|(index, length)| (*length, index as u8));
        assert_eq!(came, sent.filter(|(length, _)| *length > 0).collect::<Vec<_>>());
        assert!(inbox.datagrams().all(|one| one.from == sender.local_addr().unwrap()));
        assert!(!inbox.receive_more().unwrap() && inbox.datagrams().count() == 0);
    }
}
