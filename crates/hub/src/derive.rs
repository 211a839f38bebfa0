//! Derived streams: what is made from a stream once and shared by all who want the same.
//!
//! A derived stream is one task that subscribes to a stream and writes a ring of its own. It is found by a typed key,
//! started by the first who asks, shared by all, and stopped with the last.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, Weak};

use tokio::task::AbortHandle;

use crate::ring::{Piece, Reader, Ring, RingSender, Want, ring};
use crate::stream::{Stream, Subscriber};
use crate::sync::lock;

/// How one kind of derived stream is made. Its value is the key: two that are equal share one task and one ring.
pub trait Derivation: Clone + Debug + Eq + Hash + Send + Sync + 'static {
    /// What its ring holds.
    type Piece: Piece;

    /// What it wants of the stream when it is slow itself.
    fn want(&self) -> Want;

    /// Makes pieces out of frames until `input` is closed.
    fn run(
        self,
        input: Subscriber,
        output: RingSender<Self::Piece>,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// A reader of a derived stream. The last one dropped stops it.
#[derive(Debug)]
pub struct DerivedReader<P: Piece> {
    reader: Reader<P>,
    running: Arc<Running<P>>,
}

impl<P: Piece> DerivedReader<P> {
    /// Another reader of the same ring, which begins at its newest key.
    pub fn sibling(&self, want: Want) -> Self {
        Self { reader: self.running.ring.subscribe(want), running: self.running.clone() }
    }

    /// The same for all readers of one ring, and for no other ring while somebody reads it.
    pub fn ring_id(&self) -> RingId {
        RingId(Arc::as_ptr(&self.running) as usize)
    }
}

/// Tells the rings of derived streams apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingId(usize);

impl<P: Piece> Deref for DerivedReader<P> {
    type Target = Reader<P>;
    fn deref(&self) -> &Reader<P> {
        &self.reader
    }
}

impl<P: Piece> DerefMut for DerivedReader<P> {
    fn deref_mut(&mut self) -> &mut Reader<P> {
        &mut self.reader
    }
}

/// The derived streams of one stream, by kind and key.
#[derive(Debug, Default)]
pub(crate) struct DerivedStreams {
    kinds: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
}

#[derive(Debug)]
struct Running<P: Piece> {
    ring: Ring<P>,
    task: AbortHandle,
}

impl<P: Piece> Drop for Running<P> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream {
    /// A reader of what `derivation` makes of this stream, started if nobody shares it yet.
    ///
    /// Must be called within a tokio runtime.
    pub fn derive<D: Derivation>(&self, derivation: &D, want: Want) -> DerivedReader<D::Piece> {
        let mut kinds = lock(&self.derived.kinds);
        let kind = kinds.entry(TypeId::of::<D>()).or_insert_with(|| Box::new(Shared::<D>::new()));
        let shared =
            kind.downcast_mut::<Shared<D>>().expect("a kind's map is kept under the kind's own type");
        shared.retain(|_, running| running.strong_count() > 0);
        let running =
            shared.get(derivation).and_then(Weak::upgrade).filter(|running| !running.ring.is_closed());
        let running = running.unwrap_or_else(|| {
            let running = self.start(derivation.clone());
            shared.insert(derivation.clone(), Arc::downgrade(&running));
            running
        });
        DerivedReader { reader: running.ring.subscribe(want), running }
    }

    fn start<D: Derivation>(&self, derivation: D) -> Arc<Running<D::Piece>> {
        let (sender, ring) = ring(self.bounds());
        let input = self.subscribe(derivation.want());
        let task = tokio::spawn(derivation.run(input, sender)).abort_handle();
        Arc::new(Running { ring, task })
    }
}

type Shared<D> = HashMap<D, Weak<Running<<D as Derivation>::Piece>>>;

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use super::*;
    use crate::{Bounds, Item, Next};
    use bytes::Bytes;
    use ocelli_media::{Frame, MediaTime, Track, TrackId};

    /// Repeats each picture's bytes this many times.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Repeat(usize);

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Text(Vec<u8>);

    impl Piece for Text {
        fn key(&self) -> bool {
            true
        }
        fn size(&self) -> usize {
            self.0.len()
        }
    }

    impl Derivation for Repeat {
        type Piece = Text;
        fn want(&self) -> Want {
            Want::Latest
        }
        async fn run(self, mut input: Subscriber, mut output: RingSender<Text>) {
            while let Ok(item) = input.next().await {
                if let Item::Frame(frame) = item {
                    output.push(Text(frame.data.repeat(self.0)));
                }
            }
        }
    }

    #[tokio::test]
    async fn equal_requests_share_one_task_that_ends_with_the_last() {
        let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 4, bytes: 1 << 20 });
        let mut publisher = stream.publish().unwrap();
        publisher.set_tracks(vec![Track::jpeg(None)]);
        publisher.push(Frame {
            track: TrackId::VIDEO,
            time: MediaTime::new(0, MediaTime::VIDEO_RATE),
            captured: None,
            key: true,
            data: Bytes::from_static(b"ab"),
        });
        let mut readers =
            vec![stream.derive(&Repeat(2), Want::Latest), stream.derive(&Repeat(2), Want::Latest)];
        assert_eq!(stream.viewers(), 1, "one task for both");
        for reader in &mut readers {
            assert_eq!(reader.next().await, Ok(Next::Piece(Text(b"abab".to_vec()))));
        }
        let mut other = stream.derive(&Repeat(1), Want::Latest);
        assert_eq!(stream.viewers(), 2);
        assert_eq!(other.next().await, Ok(Next::Piece(Text(b"ab".to_vec()))));
        drop((readers, other));
        while stream.viewers() > 0 {
            tokio::task::yield_now().await;
        }
        let mut again = stream.derive(&Repeat(2), Want::Live);
        let mut sibling = again.sibling(Want::Live);
        assert_eq!(again.ring_id(), sibling.ring_id());
        let before = (again.position(), sibling.position());
        assert_eq!(sibling.next().await, Ok(Next::Piece(Text(b"abab".to_vec()))));
        assert_eq!((again.position(), sibling.position()), (before.0, before.1 + 1));
        assert_eq!(again.next().await, Ok(Next::Piece(Text(b"abab".to_vec()))));
    }
}
