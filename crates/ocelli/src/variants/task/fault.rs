//! A panic of the task: a fault of this program's own, which is not to leave anybody waiting for ever. Those who read a variant
//! are sent away and those who wait for a picture answered; what is held is made again after a pause.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use ocelli_hub::Backoff;

use super::super::orders::Shared;

/// What is said of it.
pub(in super::super) const WORDS: &str = "a fault of the server itself ended this, which its log shows";

/// Does `work`, and again after a pause whenever it panics, until it ends by itself. The pause is longer each time, for the same
/// picture may bring it about again.
pub(super) async fn bear<F: Future<Output = ()>>(shared: &Arc<Shared>, work: impl Fn() -> F) {
    let (backoff, mut failures) = (Backoff::default(), 0_u32);
    let mut began = Instant::now();
    while panics(work()).await {
        tracing::error!(camera = %shared.camera.name(), "variants and stills: {WORDS}");
        shared.end_all(WORDS);
        failures = if began.elapsed() < backoff.reset_after { failures.saturating_add(1) } else { 1 };
        tokio::time::sleep(backoff.wait(failures, fastrand::f64())).await;
        began = Instant::now();
    }
}

/// Whether `work`, of which nothing is left then, panicked.
async fn panics(work: impl Future<Output = ()>) -> bool {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        // It is not looked at again.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(false),
            Err(_) => Poll::Ready(true),
        }
    })
    .await
}
