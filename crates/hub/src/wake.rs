//! Wakes many tasks as one, so that the machine's other workers are woken once.
//!
//! Whoever wakes a task wakes a sleeping worker too, by a system call. On a busy machine that worker goes first, does the one task
//! that is there, and sleeps again before the next is woken: 18 to 28 such rounds for one picture to 100 readers. What is woken by the
//! runtime itself, between two tasks, is not told to other workers before all of it is there; and a future that yields
//! ([`tokio::task::yield_now`]) is woken by the runtime itself. So the waker that such a future is polled with wakes all others.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use crate::sync::lock;

/// Fewer are woken at once: waking many together takes an allocation, which fewer do not make up for.
const LEAST: usize = 16;

/// Wakers that are woken together.
#[derive(Default)]
pub(crate) struct Together {
    all: Arc<All>,
    /// Has promised to wake `all`; kept until it may have.
    promise: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

#[derive(Default)]
struct All(Mutex<Vec<Waker>>);

impl Together {
    /// Wakes all of `wakers` when the worker that calls this has nothing else to do, or soon; few of them at once.
    pub(crate) fn wake(&mut self, wakers: &mut Vec<Waker>) {
        if wakers.len() < LEAST {
            wakers.drain(..).for_each(Waker::wake);
            return;
        }
        lock(&self.all.0).append(wakers);
        let waker = Waker::from(self.all.clone());
        let mut promise: Pin<Box<dyn Future<Output = ()> + Send + Sync>> = Box::pin(tokio::task::yield_now());
        if promise.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            waker.wake();
        }
        self.promise = Some(promise);
    }

    /// Wakes those who still wait to be woken.
    pub(crate) fn finish(&mut self) {
        self.promise = None;
        self.all.wake_all();
    }
}

impl All {
    fn wake_all(&self) {
        let mut wakers = mem::take(&mut *lock(&self.0));
        wakers.drain(..).for_each(Waker::wake);
        let mut kept = lock(&self.0);
        // The room is used again.
        if kept.capacity() < wakers.capacity() {
            wakers.append(&mut kept);
            *kept = wakers;
        }
    }
}

impl Wake for All {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn woken(count: &Count) -> usize {
        count.0.load(Ordering::Relaxed)
    }

    #[test]
    fn without_a_runtime_all_are_woken_at_once() {
        let count = Arc::new(Count::default());
        let mut together = Together::default();
        for wakers in [0, 1, LEAST, 1000] {
            let before = woken(&count);
            together.wake(&mut vec![Waker::from(count.clone()); wakers]);
            assert_eq!(woken(&count) - before, wakers);
        }
    }

    #[test]
    fn many_are_woken_between_two_tasks_and_at_the_end() {
        for workers in [0, 2] {
            let mut builder = match workers {
                0 => tokio::runtime::Builder::new_current_thread(),
                _ => tokio::runtime::Builder::new_multi_thread(),
            };
            let runtime = builder.build().unwrap();
            let task = runtime.spawn(async {
                let (count, mut together) = (Arc::new(Count::default()), Together::default());
                for round in 1..4 {
                    together.wake(&mut vec![Waker::from(count.clone()); 100]);
                    assert_eq!(woken(&count), (round - 1) * 100);
                    tokio::task::yield_now().await;
                    assert_eq!(woken(&count), round * 100);
                }
                together.wake(&mut vec![Waker::from(count.clone()); 100]);
                together.finish();
                assert_eq!(woken(&count), 400);
            });
            runtime.block_on(task).unwrap();
        }
    }
}
