//! `rtsp:` — an IP camera, which is dialled (RFC 2326); `rtsps:` — the same by TLS.
//!
//! What is said to it is decided by [`ocelli_proto::rtsp::client`], what its packets become by [`received`](super::received); here are
//! the connection, the ports, and the rules of what is tried in which order.
//!
//! With `transport = "auto"` its packets come within the connection, and by UDP only where the camera wants that: a packet that UDP
//! loses costs all pictures up to the next keyframe, four seconds with most cameras, and one that TCP loses is there a round trip
//! later. What has worked is tried first the next time.
//!
//! Refuses streams without pictures. Never prints user, password, or what looks like one in the query.

use std::time::Duration;

use ocelli_hub::{BoxFuture, NetworkPath, Publisher, Source, SourceError};
use ocelli_proto::rtsp::client::{Address, Carrier, Client, Lessons, Settings};
use tokio::time::Instant;

pub(super) use self::session::MOST_WAIT_FOR_PICTURE;
use self::session::{Session, Try};
use super::tls::{self, Trust};
use super::{SourceKind, SourceOptions, SourceUrl, SpecError};

mod link;
mod ports;
mod session;

/// The kind's line in the registry.
pub(super) const KIND: SourceKind =
    SourceKind { scheme: "rtsp", about: "an IP camera: rtsp://user:password@host/path", build };

/// The same, encrypted.
pub(super) const SECURE_KIND: SourceKind = SourceKind {
    scheme: "rtsps",
    about: "an IP camera by TLS: rtsps://user:password@host/path#fingerprint=sha256:…",
    build,
};

/// How long the first packet of one of several transports may take.
const FIRST_PACKET: Duration = Duration::from_secs(3);
/// How much longer the hub waits for a picture than the source does, which knows better words.
const MARGIN: Duration = Duration::from_secs(2);

/// How a camera's packets are to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// As the camera can: within the connection if it does, else by UDP.
    #[default]
    Auto,
    /// Within the connection.
    Tcp,
    /// To ports of ours.
    Udp,
    /// To a group.
    Multicast,
}

impl Transport {
    /// As the configuration has it; `None` for other words.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "tcp" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "multicast" => Some(Self::Multicast),
            _ => None,
        }
    }

    /// What is tried, in this order; what has `worked` goes first. Datagrams are not encrypted: who wants a `secure` connection
    /// gets none that he did not ask for.
    fn carriers(self, secure: bool, worked: Option<Carrier>) -> Vec<Carrier> {
        match self {
            Self::Auto if secure => vec![Carrier::Tcp],
            Self::Auto if worked == Some(Carrier::Udp) => vec![Carrier::Udp, Carrier::Tcp],
            Self::Auto => vec![Carrier::Tcp, Carrier::Udp],
            Self::Tcp => vec![Carrier::Tcp],
            Self::Udp => vec![Carrier::Udp],
            Self::Multicast => vec![Carrier::Multicast],
        }
    }
}

/// How long the hub is to wait for a picture of such a camera, or of one that is published to, which notices by itself that nothing comes, and may have its
/// keyframes far apart.
pub(super) fn hub_silence(silence: Duration) -> Duration {
    silence.max(MOST_WAIT_FOR_PICTURE) + MARGIN
}

fn build(url: &SourceUrl, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    let is_secure = url.scheme() == SECURE_KIND.scheme;
    let own = ["transport", "audio"];
    url.only(&if is_secure { [&own[..], &tls::PARAMETERS].concat() } else { own.to_vec() })?;
    let address = Address::parse(&format!("{}:{}", url.scheme(), url.rest()));
    let address = address.map_err(|error| {
        SpecError::new(format!("an {}: source: {error}: rtsp://user:password@host:554/path", url.scheme()))
    })?;
    let transport = match url.text("transport") {
        None => options.transport,
        Some(word) => Transport::parse(word).ok_or_else(|| {
            SpecError::new(format!("transport={word}: expected auto, tcp, udp or multicast"))
        })?,
    };
    Ok(Box::new(RtspSource {
        address,
        transport,
        audio: url.flag("audio")?.unwrap_or(true),
        trust: Trust::of(url)?,
        options: options.clone(),
        cname: format!("{:024x}", fastrand::u128(..) >> 32),
        lessons: Lessons::default(),
        worked: None,
        counted: NetworkPath::default(),
    }))
}

struct RtspSource {
    address: Address,
    transport: Transport,
    audio: bool,
    trust: Trust,
    options: SourceOptions,
    /// Its name for RTCP, as long as the program runs (RFC 7022 4.1).
    cname: String,
    /// What was learnt of the camera.
    lessons: Lessons,
    /// What carried packets the last time.
    worked: Option<Carrier>,
    /// What was counted so far.
    counted: NetworkPath,
}

impl Source for RtspSource {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let mut carriers = self.transport.carriers(self.address.tls(), self.worked);
            loop {
                let tried = self.play(carriers.clone(), out).await;
                let Tried { ended, carrier } = tried;
                let tried = match carrier {
                    Some(agreed) => carriers.iter().position(|asked| *asked == agreed),
                    // None was agreed: it is the first that was refused.
                    None => Some(0),
                };
                let others = tried.map(|tried| tried + 1);
                let others = others.filter(|at| ended.is_of_transport && *at < carriers.len());
                let Some(others) = others else { return Err(ended.error) };
                carriers.drain(..others);
                tracing::info!(camera = %out.name(), "tries another transport: {}", ended.error.cause());
            }
        })
    }
}

/// What became of a try.
struct Tried {
    ended: session::Ended,
    /// What was agreed to carry the packets.
    carrier: Option<Carrier>,
}

impl RtspSource {
    async fn play(&mut self, carriers: Vec<Carrier>, out: &mut Publisher) -> Tried {
        let silence = self.options.silence_timeout;
        let settings = Settings {
            first_packet_timeout: if carriers.len() > 1 { FIRST_PACKET.min(silence) } else { silence },
            carriers,
            audio: self.audio,
            lessons: self.lessons,
            // It is noticed here that no pictures come, which is sooner and says more.
            silence_timeout: silence.max(Duration::from_secs(1)),
            ..Settings::default()
        };
        let client = Client::new(self.address.clone(), settings, fastrand::u64(..), Duration::ZERO);
        let try_ = Try {
            silence,
            trust: self.trust,
            max_frame_bytes: self.options.max_frame_bytes,
            cname: self.cname.clone(),
            before: self.counted,
        };
        let session = Session::new(client, Instant::now(), try_);
        let mut kept = Kept { source: self, session };
        let ended = kept.session.run(out).await;
        Tried { ended, carrier: kept.session.carrier() }
    }
}

/// Keeps what a session has learnt and counted when it ends, also where it is dropped amid it.
struct Kept<'a> {
    source: &'a mut RtspSource,
    session: Session,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let counted = self.session.counted();
        if counted.packets > self.source.counted.packets {
            self.source.worked = self.session.carrier();
        }
        self.source.lessons = self.session.lessons();
        self.source.counted = counted;
    }
}
