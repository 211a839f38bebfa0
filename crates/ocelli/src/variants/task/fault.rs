//! A panic of the task: a fault of this program's own, which is not to leave anybody waiting for ever. Those who read a variant
//! are sent away and those who wait for a picture answered; what is held is made again after a pause.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::super::orders::Shared;

/// What is said of it.
pub(in super::super) const WORDS: &str = "a fault of the server itself ended this, which its log shows";
/// How long nothing is made behind it: it may come again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Does `work`, and again after a pause whenever it panics, until it ends by itself.
pub(super) async fn bear<F: Future<Output = ()>>(shared: &Arc<Shared>, work: impl Fn() -> F) {
    while panics(work()).await {
        tracing::error!(camera = %shared.camera.name(), "variants and stills: {WORDS}");
        shared.end_all(WORDS);
        tokio::time::sleep(PAUSE).await;
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
