//! Which camera an address means, and its description (RFC 8866, RFC 2326 appendix C).
//!
//! A camera that has not said yet what it gives is waited for, for ten seconds: being asked starts it. H.264 and H.265 are described
//! with their parameter sets, which some cameras send with their first picture only.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use ocelli_hub::{DerivedReader, Stream, Want};
use ocelli_media::{Codec as MediaCodec, Track};
use ocelli_proto::rtsp::server::{Answer, Description, Refusal};
use ocelli_proto::rtsp::{Status, control};
use ocelli_proto::sdp::{self, Codec, Connection, Law, Medium, Origin};
use tokio::time::{Instant, timeout_at};

use super::Server;
use super::bursts::{Piece, clock_rate, is_described_alike, payload_type};
use crate::app::CameraEntry;
use crate::variants::{Asked, BadParameter, Shape, Shaped, Unshaped};
use crate::viewers::Viewer;

/// How long a camera may take to say what it gives.
const PATIENCE: Duration = Duration::from_secs(10);
/// When a client is to try again whose camera has not.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A camera that a client wants, held ready: it runs, and its packets are made.
pub(super) struct Chosen {
    pub(super) camera: Arc<CameraEntry>,
    /// Its pictures as the client wants them.
    shaped: Shaped,
    pub(super) pieces: DerivedReader<Piece>,
    /// What the client calls it.
    path: String,
    query: Option<String>,
    /// What the client was told that the camera gives.
    told: OnceLock<Arc<Vec<Track>>>,
}

impl Server {
    /// What `path` and `query` name, held ready: a camera, or one in another shape.
    pub(super) async fn choose(&self, path: &str, query: Option<&str>) -> Result<Chosen, Refusal> {
        let (camera, variant) = self.find(path)?;
        let variant = variant.map(|name| format!("variant={name}"));
        let said = [variant.as_deref(), query].into_iter().flatten().collect::<Vec<_>>().join("&");
        let asked = Asked::read_query(camera.pixel_options(), Some(&said)).and_then(Asked::by_rtp);
        let asked = asked.map_err(|error| Refusal::new(Status::BAD_REQUEST, error.to_string()))?;
        let wants_own = asked.shape == Shape::default();
        if !wants_own && camera.tracks_within(PATIENCE).await.is_none() {
            return Err(silent(camera));
        }
        let gives_jpegs = asked.shape.codec.is_none() && camera.codec() == Some(MediaCodec::Jpeg);
        if let Some(kbps) = asked.own.bit_rate_kbps.filter(|_| gives_jpegs) {
            let bad = BadParameter::no_bit_rate(&kbps.to_string());
            return Err(Refusal::new(Status::BAD_REQUEST, bad.to_string()));
        }
        let shaped = camera.shaped(&asked.shape).map_err(unshaped)?;
        let pieces = shaped.stream().derive(&self.bursts(camera), Want::Live);
        let (path, query) = (path.to_owned(), query.map(str::to_owned));
        Ok(Chosen { camera: camera.clone(), shaped, pieces, path, query, told: OnceLock::new() })
    }

    /// The camera that `path` names, and the variant of it that it names behind a slash.
    fn find<'a>(&self, path: &'a str) -> Result<(&Arc<CameraEntry>, Option<&'a str>), Refusal> {
        if path.is_empty() {
            return self.app.first().map(|camera| (camera, None)).ok_or_else(|| self.unknown(path));
        }
        if let Some(camera) = self.app.camera(path) {
            return Ok((camera, None));
        }
        let split = path.split_once('/').and_then(|(name, variant)| Some((self.app.camera(name)?, variant)));
        match split {
            Some((camera, variant)) => {
                let is_known =
                    camera.pixel_options().variants.iter().any(|(name, _)| name.as_str() == variant);
                if is_known { Ok((camera, Some(variant))) } else { Err(unknown_variant(camera, variant)) }
            }
            None => Err(self.unknown(path)),
        }
    }

    fn unknown(&self, path: &str) -> Refusal {
        let path: String = path.chars().take(64).collect();
        let known: Vec<&str> = self.app.cameras.iter().map(|camera| camera.name().as_str()).collect();
        let reason = format!("there is no camera `{path}`; the cameras are: {}", known.join(", "));
        Refusal::new(Status::NOT_FOUND, reason)
    }
}

impl Chosen {
    /// The pictures that the client wants: the camera's own, or what is made of them.
    pub(super) fn stream(&self) -> &Arc<Stream> {
        self.shaped.stream()
    }

    /// Tells who watches it.
    pub(super) fn watched_by(&self, viewer: &Viewer) {
        self.shaped.watched_by(viewer.stats());
    }

    /// What stands behind the question mark of its address, if it is the one that `path` names.
    pub(super) fn query_at(&self, path: &str) -> Option<String> {
        self.query.clone().filter(|_| self.path == path)
    }

    /// Whether they are the camera's own.
    pub(super) fn is_own(&self) -> bool {
        Arc::ptr_eq(self.stream(), self.camera.stream())
    }

    /// What the camera gives, once it has said so.
    pub(super) async fn tracks(&self) -> Result<Arc<Vec<Track>>, Refusal> {
        let deadline = Instant::now() + PATIENCE;
        self.shaped.begun(deadline).await.map_err(unshaped)?;
        let known = self.stream().tracks_known(|tracks| tracks.iter().all(is_complete));
        match timeout_at(deadline, known).await {
            Ok(tracks) => Ok(self.told.get_or_init(|| tracks).clone()),
            Err(_) => Err(self.shaped.trouble().map_or_else(|| silent(&self.camera), |why| not_now(&why))),
        }
    }

    /// What the client was told that the camera gives; nothing before it was.
    pub(super) fn told(&self) -> Arc<Vec<Track>> {
        self.told.get().cloned().unwrap_or_default()
    }

    /// Takes over what the client was told of the same camera before.
    pub(super) fn remember(&mut self, described: Option<&Self>) {
        if let Some(described) = described.filter(|known| Arc::ptr_eq(known.stream(), self.stream())) {
            self.told = described.told.clone();
        }
    }

    /// Whether the camera gives what the client was told, or nothing for now.
    pub(super) fn is_as_told(&self) -> bool {
        let (Some(told), Some(now)) = (self.told.get(), self.stream().stats().tracks) else {
            return true;
        };
        told.len() == now.len()
            && told.iter().zip(now.iter()).all(|(told, now)| is_described_alike(now, told))
    }

    /// Its description, with `tracks`, for a client that knows it as `base` and `query`.
    pub(super) fn describe(
        &self,
        tracks: &[Track],
        base: &str,
        query: Option<&str>,
        is_ipv6: bool,
    ) -> Result<Answer, Refusal> {
        // JPEGs do not say it themselves.
        let framerate = (self.stream().stats().rate.frames_per_second * 100.0).round() / 100.0;
        let framerate = Some(framerate).filter(|framerate| (0.01..=1000.0).contains(framerate));
        let media: Vec<Medium> = tracks
            .iter()
            .filter_map(|track| {
                let medium = medium(track, is_ipv6)?;
                let framerate = framerate.filter(|_| track.codec == MediaCodec::Jpeg);
                let control = Some(control(base, query, track.id.0));
                Some(Medium { framerate, control, ..medium })
            })
            .collect();
        if media.is_empty() {
            let reason = format!("RTP cannot carry what camera `{}` gives", self.camera.name());
            return Err(Refusal::new(Status::UNSUPPORTED_MEDIA_TYPE, reason));
        }
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let description = sdp::Description {
            origin: Origin { session: since_1970.as_micros() as u64, version: 1, address: nowhere(is_ipv6) },
            name: self.camera.name().to_string(),
            control: Some("*".into()),
            media,
        };
        Ok(Answer::Description(Description { sdp: of_a_live_stream(&description) }))
    }
}

fn unknown_variant(camera: &CameraEntry, name: &str) -> Refusal {
    let reason = match Asked::read(camera.pixel_options(), [("variant", name)]) {
        Err(error) => format!("camera `{}`: {error}", camera.name()),
        Ok(_) => format!("camera `{}` has no such variant", camera.name()),
    };
    Refusal::new(Status::NOT_FOUND, reason)
}

/// Why there is no such stream.
fn unshaped(error: Unshaped) -> Refusal {
    match error {
        Unshaped::TooMany { .. } | Unshaped::NotNow(_) => not_now(&error.to_string()),
        Unshaped::Impossible(why) => Refusal::new(Status::NOT_IMPLEMENTED, why),
    }
}

fn silent(camera: &CameraEntry) -> Refusal {
    let cause = camera.status().cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    not_now(&format!("camera `{}` gives no pictures yet{cause}", camera.name()))
}

fn not_now(reason: &str) -> Refusal {
    Refusal { retry_after: Some(RETRY_AFTER), ..Refusal::new(Status::UNAVAILABLE, reason) }
}

/// With the program's name, and that there is nothing but the present (RFC 2326 C.1.5).
fn of_a_live_stream(description: &sdp::Description) -> String {
    const TIMES: &str = "t=0 0\r\n";
    let attributes =
        concat!("t=0 0\r\na=tool:Ocelli/", env!("CARGO_PKG_VERSION"), "\r\na=range:npt=now-\r\n");
    description.to_string().replacen(TIMES, attributes, 1)
}

/// Whether everything is known of it that its decoder needs first.
fn is_complete(track: &Track) -> bool {
    match track.codec {
        MediaCodec::H264 | MediaCodec::H265 | MediaCodec::Aac => !track.parameter_sets.is_empty(),
        _ => true,
    }
}

fn medium(track: &Track, is_ipv6: bool) -> Option<Medium> {
    let connection = Connection::to(nowhere(is_ipv6), 0);
    let medium = Medium::sent(&codec(track)?, payload_type(track), connection, 0);
    Some(Medium { size: track.size, ..medium })
}

/// Where packets go is agreed upon later.
fn nowhere(is_ipv6: bool) -> std::net::IpAddr {
    if is_ipv6 { std::net::Ipv6Addr::UNSPECIFIED.into() } else { std::net::Ipv4Addr::UNSPECIFIED.into() }
}

fn codec(track: &Track) -> Option<Codec> {
    let sets = || track.parameter_sets.clone();
    let channels = track.channels.map_or(1, |channels| channels.get());
    Some(match track.codec {
        MediaCodec::Jpeg => Codec::Jpeg,
        MediaCodec::H264 => Codec::h264(sets()),
        MediaCodec::H265 => Codec::H265 { parameter_sets: sets() },
        MediaCodec::Opus => Codec::Opus { stereo: channels > 1 },
        MediaCodec::Pcmu => Codec::G711 { law: Law::Mu, clock_hz: clock_rate(track), channels },
        MediaCodec::Pcma => Codec::G711 { law: Law::A, clock_hz: clock_rate(track), channels },
        MediaCodec::Aac => Codec::Aac {
            clock_hz: clock_rate(track),
            channels,
            config: track.parameter_sets.first()?.clone(),
        },
        _ => return None,
    })
}
