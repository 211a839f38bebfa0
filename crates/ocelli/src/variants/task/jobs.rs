//! Pictures that somebody wants once: each asked of the worker once, however many want it, and kept while others may.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use ocelli_codec::worker::protocol::{Input, Request};

use super::super::orders::{Job, Made, Shared, What, is_same, overtaken};
use crate::transcode::{Failure, Head};

/// What was made last is kept for others who want the same of the same picture: so many, and if there is more than one so
/// many bytes, those included that it was made of.
const MOST_KEPT: usize = 8;
const MOST_KEPT_BYTES: usize = 4 << 20;
/// How many the worker is given at a time: one that it is lost with takes no other along.
const MOST_GIVEN: usize = 1;

#[derive(Default)]
pub(super) struct Jobs {
    waiting: VecDeque<Job>,
    given: Vec<(u32, Job)>,
    kept: VecDeque<Kept>,
    /// The last that was given was a still.
    last_is_still: bool,
}

struct Kept {
    picture: Bytes,
    what: What,
    made: Made,
}

impl Jobs {
    /// Nobody waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.given.is_empty()
    }

    /// Answers at once, where the same was made already.
    pub(super) fn add(&mut self, job: Job, shared: &Shared) {
        let is_it = |other: &Job| other.is(&job.picture, job.what);
        let kept =
            self.kept.iter().find(|kept| kept.what == job.what && is_same(&kept.picture, &job.picture));
        if let Some(Kept { made, .. }) = kept {
            let made = made.clone();
            answer(job, &made, shared);
        } else if let Some(known) = self.waiting.iter_mut().find(|known| is_it(known)) {
            known.answers.extend(job.answers);
        } else if let Some((_, known)) = self.given.iter_mut().find(|(_, known)| is_it(known)) {
            known.answers.extend(job.answers);
        } else {
            self.waiting.push_back(job);
            if let Some(oldest) = overtaken(&mut self.waiting) {
                answer(oldest, &Err(Failure::Overtaken), shared);
            }
        }
    }

    /// What has to be decoded for those that wait.
    pub(super) fn inputs(&self) -> impl Iterator<Item = Input> {
        self.waiting.iter().map(|job| match job.what {
            What::Recode(_) => Input::Jpeg,
            What::Still(still) => still.input,
        })
    }

    /// What the worker is to be asked next: its number, and the message.
    pub(super) fn next(&mut self, number: &mut u32) -> Option<(u32, Head, Bytes)> {
        while self.given.len() < MOST_GIVEN {
            let job = self.take_next()?;
            let next = number.wrapping_add(1);
            let bytes = job.picture.len();
            let head = match job.what {
                What::Recode(wish) => {
                    Request::recode_head(next, &wish, bytes).map(|head| Head::Other(head.to_vec()))
                }
                What::Still(still) => {
                    Request::still_head(next, &still, bytes).map(|head| Head::Other(head.to_vec()))
                }
            };
            // Longer than any message: nobody waits for it any more.
            let Some(head) = head else { continue };
            *number = next;
            let picture = job.picture.clone();
            self.given.push((next, job));
            return Some((next, head, picture));
        }
        None
    }

    /// One of the other kind than the last, if there is one: neither kind holds up the other.
    fn take_next(&mut self) -> Option<Job> {
        let is_other = |job: &Job| job.what.is_still() != self.last_is_still;
        let job = self.waiting.remove(self.waiting.iter().position(is_other).unwrap_or(0))?;
        self.last_is_still = job.what.is_still();
        Some(job)
    }

    /// What came of a question.
    pub(super) fn made(&mut self, number: u32, made: &Made, shared: &Shared) {
        let Some(at) = self.given.iter().position(|(given, _)| *given == number) else { return };
        let (_, job) = self.given.remove(at);
        self.kept.push_front(Kept { picture: job.picture.clone(), what: job.what, made: made.clone() });
        while self.kept.len() > MOST_KEPT || self.kept.len() > 1 && self.kept_bytes() > MOST_KEPT_BYTES {
            self.kept.pop_back();
        }
        answer(job, made, shared);
    }

    fn kept_bytes(&self) -> usize {
        let made = |kept: &Kept| kept.made.as_ref().map_or(0, Bytes::len);
        self.kept.iter().map(|kept| kept.picture.len() + made(kept)).sum()
    }

    /// The worker is gone with what it was given. That says nothing of the pictures, so nothing is kept. Whether somebody was
    /// told.
    pub(super) fn lost(&mut self, failure: &Failure, shared: &Shared) -> bool {
        let is_told = !self.given.is_empty();
        for (_, job) in self.given.drain(..) {
            answer(job, &Err(failure.clone()), shared);
        }
        is_told
    }

    /// There is no worker for those that wait. Whether somebody was told.
    pub(super) fn fail(&mut self, failure: &Failure, shared: &Shared) -> bool {
        let is_told = !self.waiting.is_empty();
        for job in self.waiting.drain(..) {
            answer(job, &Err(failure.clone()), shared);
        }
        is_told
    }
}

/// Tells all who wait, counts, and says in the log what has changed.
fn answer(job: Job, made: &Made, shared: &Shared) {
    let (numbers, camera) = (&shared.numbers, shared.camera.name());
    let cause = match made {
        Ok(_) => {
            numbers.pictures.fetch_add(1, Ordering::Relaxed);
            None
        }
        Err(Failure::Overtaken) => {
            numbers.overtaken.fetch_add(1, Ordering::Relaxed);
            None
        }
        Err(failure) => {
            numbers.failed.fetch_add(1, Ordering::Relaxed);
            Some(failure.to_string())
        }
    };
    let is_new = {
        let mut orders = shared.orders();
        if orders.cause.as_deref() != cause.as_deref() {
            orders.cause = cause.as_deref().map(Into::into);
        }
        // Some cameras' pictures are of one kind and another by turns.
        orders.told_cause.is_news(cause.as_deref(), Instant::now())
    };
    match cause {
        Some(cause) if is_new => tracing::warn!(%camera, "re-encoding fails: {cause}"),
        None if is_new => tracing::info!(%camera, "re-encoding works again"),
        _ => {}
    }
    for answer in job.answers {
        let _ = answer.send(made.clone());
    }
}
