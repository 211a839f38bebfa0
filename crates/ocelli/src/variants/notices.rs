//! The pictures that viewers of JPEG variants see while there are none to make: that the camera is lost, or its worker.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ocelli_hub::{Lost, OnLost, State, StatusReader};
use ocelli_media::Size;

use super::output::Output;
use crate::notice;

/// How often a notice is repeated, so that its clock moves and a dead connection is noticed.
const EVERY: Duration = Duration::from_secs(1);
/// How long a worker may be away before it is told: the next one shows pictures at once.
const WORKER_AWAY: Duration = Duration::from_secs(1);

/// What is told, and when it was told last.
#[derive(Debug)]
pub(super) struct Notices {
    camera: String,
    status: Option<StatusReader>,
    on_lost: OnLost,
    told: Option<Instant>,
    away_since: Option<Instant>,
}

/// Why nothing is made, and when that is tried again.
#[derive(Clone, Debug)]
pub(super) struct Away {
    pub(super) cause: Arc<str>,
    pub(super) retry: Retry,
}

/// When something is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// After so long, or now.
    In(Option<Duration>),
    /// With each picture of the camera.
    Always,
}

impl Notices {
    pub(super) fn new(camera: String, status: Option<StatusReader>, on_lost: OnLost) -> Self {
        Self { camera, status, on_lost, told: None, away_since: None }
    }

    /// `worker` once it has been away for so long that it is to be told. To be asked several times a second.
    pub(super) fn lasting(&mut self, worker: Option<Away>, now: Instant) -> Option<Away> {
        self.away_since = worker.as_ref().map(|_| self.away_since.unwrap_or(now));
        worker.filter(|_| self.away_since.is_some_and(|since| now.duration_since(since) >= WORKER_AWAY))
    }

    /// What is to be told now, if anything is, where `away` says why nothing is made of the camera's pictures. To be asked
    /// several times a second.
    pub(super) fn due(&mut self, away: Option<&Away>, now: Instant) -> Option<Lost> {
        let Some(lost) = self.camera_lost(now).or_else(|| away.map(|away| self.nothing_made(away))) else {
            self.told = None;
            return None;
        };
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= EVERY);
        if !is_due || self.on_lost != OnLost::Picture {
            return None;
        }
        self.told = Some(now);
        Some(lost)
    }

    fn camera_lost(&self, now: Instant) -> Option<Lost> {
        let status = self.status.as_ref()?.status();
        let retry_in = match status.state {
            State::Lost { retry_at, .. } => Some(retry_at.saturating_duration_since(now)),
            State::Starting { .. } | State::Waiting { .. } => None,
            State::Idle | State::Ready { .. } | State::Closing { .. } => return None,
        };
        let waits = matches!(status.state, State::Waiting { .. });
        Some(Lost { waits, ..self.lost(status.cause?, retry_in) })
    }

    fn nothing_made(&self, away: &Away) -> Lost {
        let cause = away.cause.clone();
        match away.retry {
            Retry::In(wait) => self.lost(cause, wait),
            Retry::Always => Lost { waits: true, ..self.lost(cause, None) },
        }
    }

    fn lost(&self, cause: Arc<str>, retry_in: Option<Duration>) -> Lost {
        let camera = self.camera.clone();
        Lost { camera, cause, retry_in, waits: false, size: None, now: SystemTime::now() }
    }
}

/// Shows `lost` to all who can be shown it, drawn once for each size. `camera` is the size of the camera's pictures.
pub(super) async fn show(lost: Lost, outputs: &mut [Output], camera: Option<Size>) {
    let mut drawn: Vec<(Option<Size>, _)> = Vec::new();
    for output in outputs.iter_mut().filter(|output| output.shows_notices()) {
        let size = output.size(camera);
        if !drawn.iter().any(|(known, _)| *known == size) {
            let lost = Lost { size, ..lost.clone() };
            let picture = tokio::task::spawn_blocking(move || notice::draw(&lost)).await;
            drawn.push((size, picture.ok().flatten()));
        }
        let picture = drawn.iter().find(|(known, _)| *known == size).and_then(|(_, picture)| picture.clone());
        if let Some((frame, tracks)) = picture {
            output.publisher.notice(frame, tracks);
            output.begins();
        }
    }
}
