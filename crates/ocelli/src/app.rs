//! The running program: its cameras, its viewers, and what every request may ask of them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ocelli_hub::{Bounds, Camera, CameraParts, OnLost, Policy, Source, Status, Stream, StreamName, Want};
use ocelli_media::{Codec, Tracks, video_track};

use crate::config::PixelOptions;
use crate::connections::Connections;
use crate::notice;
use crate::outputs::rtp::{Push, PushAddress, Reencode, RtpOptions};
use crate::outputs::rtsp::Rtsp;
use crate::sources::publish::Stage;
use crate::transcode::Failure;
use crate::variants::{Encoders, Fps, Pixels, Rules, Shape, Shaped, StillPicture, Unshaped};
use crate::viewers::{SentTotals, Viewers};

/// Everything that a request can reach.
#[derive(Debug)]
pub struct App {
    /// In the order of the configuration: the first is the one that addresses without a name mean.
    pub cameras: Vec<Arc<CameraEntry>>,
    /// Who watches.
    pub viewers: Arc<Viewers>,
    /// The RTSP server.
    pub rtsp: Rtsp,
    /// The listener's connections.
    pub connections: Arc<Connections>,
    /// The places for encoders.
    pub encoders: Arc<Encoders>,
    /// When the program started.
    pub started: Instant,
}

/// One camera.
pub struct CameraEntry {
    source: String,
    camera: Camera,
    /// What its viewers got.
    pub totals: Arc<SentTotals>,
    stage: Option<Arc<Stage>>,
    rtp: RtpOptions,
    pixels: Pixels,
    pixel_options: PixelOptions,
    pushes: Mutex<Vec<Arc<Push>>>,
}

/// What a camera is started from.
pub struct CameraSetup {
    /// Its name.
    pub name: StreamName,
    /// Its source as the configuration names it, without user and password.
    pub source_text: String,
    /// Its source.
    pub source: Box<dyn Source>,
    /// Where its publishers come, if it is published to.
    pub stage: Option<Arc<Stage>>,
    /// When it runs.
    pub policy: Policy,
    /// What viewers see while it is lost.
    pub on_lost: OnLost,
    /// How many pictures its ring keeps at most.
    pub bounds: Bounds,
    /// Where it is pushed to.
    pub push: Vec<PushAddress>,
    /// How, where an address does not say otherwise.
    pub rtp: RtpOptions,
    /// What holds for its variants.
    pub pixels: Rules,
    /// How its pictures are made anew, where they are.
    pub pixel_options: PixelOptions,
}

impl CameraEntry {
    /// Starts the camera. Must be called within a tokio runtime.
    pub fn start(setup: CameraSetup) -> Arc<Self> {
        let parts = CameraParts {
            stream: Stream::new(setup.name, setup.bounds),
            source: setup.source,
            policy: setup.policy,
            on_lost: setup.on_lost,
            draw: Arc::new(notice::draw),
        };
        let camera = Camera::start(parts).expect("a new stream has no publisher");
        let pixels = Pixels::new(camera.stream().clone(), camera.status_reader(), setup.pixels);
        let entry = Self {
            source: setup.source_text,
            camera,
            totals: Arc::default(),
            stage: setup.stage,
            rtp: setup.rtp,
            pixels,
            pixel_options: setup.pixel_options,
            pushes: Mutex::default(),
        };
        entry.set_push(setup.push);
        Arc::new(entry)
    }

    /// Its name.
    pub fn name(&self) -> &StreamName {
        self.stream().name()
    }

    /// Its source as the configuration names it, without user and password.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its pictures.
    pub fn stream(&self) -> &Arc<Stream> {
        self.camera.stream()
    }

    /// How its pictures are made anew, where they are.
    pub fn pixel_options(&self) -> &PixelOptions {
        &self.pixel_options
    }

    /// How its source codes pictures, where that is known.
    pub fn codec(&self) -> Option<Codec> {
        let tracks = self.stream().stats().tracks?;
        video_track(&tracks).map(|track| track.codec)
    }

    /// What its source gives, once it has said so: waited for as long as `patience`. Counts as one who watches meanwhile.
    ///
    /// Must be called within a tokio runtime.
    pub async fn tracks_within(&self, patience: Duration) -> Option<Arc<Tracks>> {
        if let Some(tracks) = self.stream().stats().tracks {
            return Some(tracks);
        }
        let _demand = self.stream().subscribe(Want::Latest);
        tokio::time::timeout(patience, self.stream().tracks_known(|_| true)).await.ok()
    }

    /// Its pictures in `shape`: its own stream where that is what it gives already, else one that is shared by all who ask
    /// the same. Requests of viewers are to be [rounded](Shape::rounded) first.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// There is no place for another, or nothing makes such pictures.
    pub fn shaped(&self, shape: &Shape) -> Result<Shaped, Unshaped> {
        self.pixels.shaped(shape)
    }

    /// As [`shaped`](Self::shaped), for one who leaves out pictures himself: with the rate to which he is to thin them, where
    /// the camera's own stream is all that is asked but for it.
    ///
    /// # Errors
    /// As [`shaped`](Self::shaped).
    pub fn shaped_but_for_rate(&self, shape: &Shape) -> Result<(Shaped, Option<Fps>), Unshaped> {
        self.pixels.shaped_but_for_rate(shape)
    }

    /// Its newest picture that stands for itself, as a JPEG in `shape`; waits for the first of a camera that has none yet.
    /// However many ask for the same, it is decoded once.
    ///
    /// # Errors
    /// There is no such picture: why.
    pub async fn still(&self, shape: &Shape) -> Result<StillPicture, Failure> {
        self.pixels.still(shape).await
    }

    /// Where its publishers come, if it is published to.
    pub fn stage(&self) -> Option<&Arc<Stage>> {
        self.stage.as_ref()
    }

    /// Its way to the worker that decodes and encodes its pictures.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// Where pictures that RTP cannot carry are encoded anew, if they are to be.
    pub fn rtp_recoder(&self) -> Option<Pixels> {
        (self.rtp.reencode == Reencode::Auto).then(|| self.pixels.clone())
    }

    /// The targets that it is pushed to, in the order in which they were given.
    pub fn pushes(&self) -> Vec<Arc<Push>> {
        lock(&self.pushes).clone()
    }

    /// Pushes it to `targets` and to no others from here on. One that it is pushed to already goes on undisturbed,
    /// and one of which only parameters change goes on with the same stream.
    ///
    /// Must be called within a tokio runtime.
    pub fn set_push(&self, targets: Vec<PushAddress>) {
        let mut pushes = lock(&self.pushes);
        let (mut stay, mut end): (Vec<_>, Vec<_>) =
            pushes.drain(..).partition(|push| targets.contains(push.address()));
        let take = |from: &mut Vec<Arc<Push>>, is_it: &dyn Fn(&Push) -> bool| {
            from.iter().position(|push| is_it(push)).map(|index| from.swap_remove(index))
        };
        let planned: Vec<_> = targets
            .into_iter()
            .map(|target| match take(&mut stay, &|push| *push.address() == target) {
                Some(running) => (target, Some(running), None),
                None => {
                    let before = take(&mut end, &|push| push.may_become(&target));
                    (target, None, before)
                }
            })
            .collect();
        // Those that end go first: one that begins may want a port of theirs.
        drop((stay, end));
        pushes.extend(planned.into_iter().map(|(target, running, before)| {
            running.unwrap_or_else(|| {
                // Whoever names targets has checked that the camera has their variants.
                let shape =
                    target.asked(&self.pixel_options).map_or(self.pixel_options.shape, |asked| asked.exact);
                Arc::new(Push::start(
                    self.stream(),
                    target,
                    &shape,
                    self.rtp,
                    &self.pixels,
                    before.as_deref(),
                ))
            })
        }));
    }

    /// What it does now.
    pub fn status(&self) -> Status {
        self.camera.status()
    }

    /// Stops it now, without waiting for what its source has to put away.
    pub fn stop(&self) {
        lock(&self.pushes).clear();
        self.pixels.stop();
        self.camera.abort();
    }

    /// Its source and its worker have been dropped, and whatever they have to put away is known.
    pub fn has_stopped(&self) -> bool {
        self.camera.has_stopped() && self.pixels.has_stopped()
    }
}

/// A lock whose holders leave a whole list behind even if one of them panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for CameraEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CameraEntry").field("camera", &self.camera).finish_non_exhaustive()
    }
}

impl App {
    /// The camera that addresses without a name mean, if any is configured.
    pub fn first(&self) -> Option<&Arc<CameraEntry>> {
        self.cameras.first()
    }

    /// The camera called `name`.
    pub fn camera(&self, name: &str) -> Option<&Arc<CameraEntry>> {
        self.cameras.iter().find(|camera| camera.name().as_str() == name)
    }
}
