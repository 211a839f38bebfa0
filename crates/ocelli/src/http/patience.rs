//! Patience with clients, and its end: one that takes none of its answer, and one that is still talking when it has
//! been answered for the last time.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use crate::outputs::mjpeg::STALLED;

/// How long a client may take to read the last answer and close.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How much it may send meanwhile.
const LAST_BYTES: u64 = 4 << 20;

/// A connection that fails when its peer has taken nothing for [`STALLED`]. Without, as many unread snapshots as there
/// may be connections keep everybody else out for ever. Reading is not limited here.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    /// Runs while the peer takes nothing.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, waiting: None }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn watch<T>(&mut self, poll: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.waiting = None;
            return poll;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALLED)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(poll, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(poll, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Closes a connection whose last answer is written. Closing while there is something to read would reset it, and a
/// client that is still sending would lose the answer: what it sends is thrown away for a second at most.
pub(crate) async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let closing = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LAST_BYTES), &mut tokio::io::sink()).await
    };
    // Whatever goes wrong, it is closed after this.
    let _ = tokio::time::timeout(LAST_WORDS, closing).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up_and_who_takes_slowly_is_not() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Patient::new(near);
        let slow = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(STALLED - Duration::from_secs(1)).await;
                far.read_exact(&mut [0; 64]).await.unwrap();
            }
            far
        });
        near.write_all(&[0; 11 * 64]).await.unwrap();
        let far = slow.await.unwrap();
        let began = tokio::time::Instant::now();
        let error = near.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, STALLED));
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_talking_is_closed_after_a_second() {
        let (near, mut far) = tokio::io::duplex(64);
        let closing = tokio::spawn(close(near));
        let began = tokio::time::Instant::now();
        while far.write_all(&[0; 64]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        closing.await.unwrap();
        assert!(began.elapsed() < LAST_WORDS + Duration::from_millis(100), "{:?}", began.elapsed());
    }
}
