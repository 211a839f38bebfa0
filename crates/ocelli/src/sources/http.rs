//! `http:` — a camera with a web server: an endless multipart answer, or a JPEG that is asked for again and again.
//!
//! What the answer is, its Content-Type says: `multipart/` is read part by part; images, and what has no useful type
//! (FFmpeg's own server), are split by the pictures in them. An answer that ends with pictures in it is asked for again
//! unless it was multipart. Refuses text. Bytes are copied once, from the connection's buffer into the picture's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use ocelli_hub::{BoxFuture, Publisher, Source, SourceError};
use ocelli_media::mjpeg::{DropReason, Framer};
use ocelli_media::{mjpeg, multipart};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Pictures, SourceKind, SourceOptions, SourceUrl, SpecError};

mod address;
mod auth;
mod client;

use address::{Address, Credentials};
use client::Client;

/// The kind's line in the registry.
pub(super) const KIND: SourceKind = SourceKind {
    scheme: "http",
    about: "a camera's MJPEG stream or its snapshot, polled: http://user:password@host/video#fps=5&timeout=5",
    build,
};

/// Refuses `https:` by name, so that nobody wonders.
pub(super) const SECURE_KIND: SourceKind = SourceKind {
    scheme: "https",
    about: "not supported yet",
    build: |_, _| Err(SpecError::new("https: cameras are not supported yet; use the camera's http: address")),
};

/// How often a snapshot is asked for, where nothing else is configured.
const POLL_FPS: f64 = 1.0;

/// How long an answer's head may take, where nothing else is configured.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How far from our own time a camera's X-Timestamp may lie to be believed: cameras without a clock count from their
/// start, and a picture is not older than a network's worst delay.
const OLDEST_PICTURE: Duration = Duration::from_secs(5);

fn build(url: &SourceUrl, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    url.only(&["fps", "timeout"])?;
    let (address, credentials) = Address::parse(url.rest())?;
    let timeout = url.number("timeout", 0.1..=300.0_f64)?.map(Duration::from_secs_f64);
    Ok(Box::new(HttpSource {
        address,
        credentials,
        fps: url.number("fps", 0.01..=100.0_f64)?.unwrap_or(POLL_FPS),
        time_limit: timeout.unwrap_or(TIME_LIMIT),
        // A little before the supervisor's own limit, which knows less about the cause.
        silence: timeout.unwrap_or(options.silence_timeout.mul_f64(0.9)),
        options: options.clone(),
    }))
}

struct HttpSource {
    address: Address,
    credentials: Option<Credentials>,
    fps: f64,
    time_limit: Duration,
    silence: Duration,
    options: SourceOptions,
}

impl Source for HttpSource {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.watch(out))
    }
}

impl HttpSource {
    async fn watch(&self, out: &mut Publisher) -> Result<(), SourceError> {
        let mut client = Client::new(self.address.clone(), self.credentials.clone(), self.time_limit);
        let mut pictures = Pictures::new(&self.options);
        let mut pace = interval(Duration::from_secs_f64(1.0 / self.fps));
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            pace.tick().await;
            let response = client.get().await?;
            let mut splitter = Splitter::of(&response, self.options.max_frame_bytes)?;
            let published = self.read(response, &mut splitter, &mut pictures, out).await?;
            if let Splitter::Parts(_) = splitter {
                return Err(SourceError::lost(match (published, pictures.fault()) {
                    (0, Some(fault)) => format!("the camera sent no picture: {fault}"),
                    _ => "the camera ended the stream".to_owned(),
                }));
            }
            if published == 0 {
                let fault = pictures.fault().unwrap_or("its answer is empty");
                return Err(SourceError::lost(format!("the camera sent no picture: {fault}")));
            }
            client.settle().await;
        }
    }

    /// Publishes the pictures of one answer until it ends, and how many there were.
    async fn read(
        &self,
        response: Response<Incoming>,
        splitter: &mut Splitter,
        pictures: &mut Pictures,
        out: &mut Publisher,
    ) -> Result<u64, SourceError> {
        let mut body = response.into_body();
        let mut published = 0;
        loop {
            let frame = timeout(self.silence, body.frame()).await.map_err(|_| {
                let seconds = self.silence.as_secs_f64();
                let fault =
                    pictures.fault().map(|fault| format!("; before that: {fault}")).unwrap_or_default();
                SourceError::lost(format!("the camera sent nothing for {seconds} s{fault}"))
            })?;
            match frame {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    published += splitter.split(&data, |found| match found {
                        Ok((jpeg, timestamp)) => pictures.publish(out, jpeg, timestamp.and_then(believable)),
                        Err((reason, bytes)) => {
                            pictures.drop_picture(out, reason, bytes);
                            false
                        }
                    });
                }
                Some(Err(_)) => {
                    return Err(SourceError::lost("the connection to the camera broke off"));
                }
                None => {
                    if let Some((reason, bytes)) = splitter.finish() {
                        pictures.drop_picture(out, reason, bytes);
                    }
                    return Ok(published);
                }
            }
        }
    }
}

/// The time at which a camera says that it took a picture, if it can be true.
fn believable(since_epoch: Duration) -> Option<SystemTime> {
    let taken = UNIX_EPOCH.checked_add(since_epoch)?;
    let age = SystemTime::now().duration_since(taken).ok()?;
    (age <= OLDEST_PICTURE).then_some(taken)
}

/// A picture and when it was taken, or why so many bytes became none.
type Found = Result<(Bytes, Option<Duration>), (DropReason, u64)>;

/// How the pictures are found in an answer.
enum Splitter {
    Parts(Box<multipart::Reader>),
    Pictures(Box<Framer>),
}

impl Splitter {
    fn of(response: &Response<Incoming>, max_frame_bytes: usize) -> Result<Self, SourceError> {
        let kind = response.headers().get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or(""));
        if let Some(boundary) = multipart::boundary_of(kind) {
            return Ok(Self::Parts(Box::new(multipart::Reader::new(boundary, max_frame_bytes))));
        }
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let splittable = essence.is_empty()
            || essence == "application/octet-stream"
            || essence == "video/x-motion-jpeg"
            || essence.starts_with("image/")
            || (essence.starts_with("video/") && essence.ends_with("jpeg"));
        if !splittable {
            let essence: String = essence.chars().take(60).collect();
            return Err(SourceError::refused(format!(
                "the camera answered with {essence}, not with pictures"
            )));
        }
        Ok(Self::Pictures(Box::new(Framer::new(max_frame_bytes))))
    }

    /// Gives `each` what becomes complete with `bytes`; how often it said yes.
    fn split(&mut self, mut bytes: &[u8], mut each: impl FnMut(Found) -> bool) -> u64 {
        let mut count = 0;
        while !bytes.is_empty() {
            bytes = match self {
                Self::Parts(reader) => reader.feed(bytes),
                Self::Pictures(framer) => framer.feed(bytes),
            };
            while let Some(found) = self.next() {
                count += u64::from(each(found));
            }
        }
        count
    }

    fn next(&mut self) -> Option<Found> {
        loop {
            return Some(match self {
                Self::Parts(reader) => match reader.next_event()? {
                    multipart::Event::Part(part) => Ok((part.data, part.timestamp)),
                    multipart::Event::Dropped { reason, bytes } => Err((reason, bytes)),
                    multipart::Event::End => continue,
                },
                Self::Pictures(framer) => match framer.next_event()? {
                    mjpeg::Event::Frame(jpeg) => Ok((jpeg, None)),
                    mjpeg::Event::Dropped { reason, bytes } => Err((reason, bytes)),
                },
            });
        }
    }

    fn finish(&mut self) -> Option<(DropReason, u64)> {
        match self {
            Self::Parts(_) => None,
            Self::Pictures(framer) => match framer.finish()? {
                mjpeg::Event::Dropped { reason, bytes } => Some((reason, bytes)),
                mjpeg::Event::Frame(_) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests;
