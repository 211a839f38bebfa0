//! The two pipes of a worker: whole messages out of the one, and a queue of messages into the other. What was begun goes on
//! where it was, whenever a future of these is dropped.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use ocelli_codec::worker::protocol::{FrameHead, message_bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::link::Lost;

/// What goes before a message's own bytes.
#[derive(Debug)]
pub(crate) enum Head {
    /// A frame's.
    Frame(FrameHead),
    /// Any other.
    Other(Vec<u8>),
}

impl Head {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Frame(head) => head.as_bytes(),
            Self::Other(head) => head,
        }
    }
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    messages: VecDeque<(Head, Bytes)>,
    /// Bytes of the first message that are written.
    written: usize,
}

impl Outgoing {
    pub(super) fn push(&mut self, head: Head, data: Bytes) {
        self.messages.push_back((head, data));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Writes what there is.
    pub(super) async fn flush(&mut self, pipe: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while let Some((head, data)) = self.messages.front() {
            let mut slices = &mut [IoSlice::new(head.as_bytes()), IoSlice::new(data)][..];
            let total = head.as_bytes().len() + data.len();
            IoSlice::advance_slices(&mut slices, self.written);
            match pipe.write_vectored(slices).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                bytes => self.written += bytes,
            }
            if self.written == total {
                self.messages.pop_front();
                self.written = 0;
            }
        }
        Ok(())
    }
}

/// What is read.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    head: Vec<u8>,
    message: Vec<u8>,
    /// How long `message` becomes, once that is known.
    bytes: Option<usize>,
}

impl Incoming {
    /// Kind and body of the next message.
    pub(super) async fn next(&mut self, pipe: &mut (impl AsyncRead + Unpin)) -> Result<Bytes, Lost> {
        let bytes = match self.bytes {
            Some(bytes) => bytes,
            None => {
                fill(pipe, &mut self.head, 4).await?;
                let head = self.head.first_chunk().expect("four bytes were read");
                let bytes = message_bytes(*head)?;
                self.head.clear();
                // Untouched memory costs nothing, so a length that lies costs nothing.
                self.message = Vec::with_capacity(bytes);
                self.bytes = Some(bytes);
                bytes
            }
        };
        fill(pipe, &mut self.message, bytes).await?;
        self.bytes = None;
        Ok(std::mem::take(&mut self.message).into())
    }
}

async fn fill(pipe: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>, bytes: usize) -> Result<(), Lost> {
    while buffer.len() < bytes {
        let left = (bytes - buffer.len()) as u64;
        if (&mut *pipe).take(left).read_buf(buffer).await? == 0 {
            return Err(Lost::Pipe(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::duplex;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_reading_that_was_given_up_goes_on_where_it_was() {
        let (mut near, mut far) = duplex(64);
        let mut incoming = Incoming::default();
        let message = [0, 0, 0, 3, 132, 1, 2, 0, 0, 0, 1, 9];
        for byte in &message[..6] {
            far.write_all(&[*byte]).await.unwrap();
            assert!(timeout(Duration::from_millis(1), incoming.next(&mut near)).await.is_err());
        }
        far.write_all(&message[6..]).await.unwrap();
        assert_eq!(incoming.next(&mut near).await.unwrap(), [132, 1, 2][..]);
        assert_eq!(incoming.next(&mut near).await.unwrap(), [9][..]);
        drop(far);
        assert!(matches!(incoming.next(&mut near).await, Err(Lost::Pipe(_))));
    }

    #[tokio::test]
    async fn a_writing_that_was_given_up_goes_on_where_it_was() {
        let (mut near, mut far) = duplex(7);
        let mut outgoing = Outgoing::default();
        outgoing.push(Head::Other(vec![1, 2, 3]), Bytes::from_static(&[4; 20]));
        outgoing.push(Head::Other(vec![5]), Bytes::new());
        let mut read = Vec::new();
        while read.len() < 24 {
            let _ = timeout(Duration::from_millis(1), outgoing.flush(&mut near)).await;
            let mut some = [0; 5];
            let bytes = far.read(&mut some).await.unwrap();
            read.extend_from_slice(&some[..bytes]);
        }
        assert!(outgoing.is_empty());
        assert_eq!(read, [&[1, 2, 3][..], &[4; 20], &[5]].concat());
    }
}
