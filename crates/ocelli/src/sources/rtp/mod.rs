//! `rtp:` and `sdp:` — a camera that sends by RTP to a port of this machine, or to a multicast group.
//!
//! Who sends, in which order the packets belong and what they make is decided by [`ocelli_proto::rtp::receive`]; here are the
//! sockets ([`crate::udp`]) and what is said about them ([`session`]). The port stays open while nobody sends.
//!
//! Refuses interleaved H.264, payload types other than the one that is waited for, and a port that is another's.

use std::net::SocketAddr;

use ocelli_hub::{BoxFuture, NetworkPath, Publisher, Source, SourceError};
use tokio::net::UdpSocket;

use self::session::Session;
use self::settings::Settings;
use super::{SourceKind, SourceOptions, SourceUrl, SpecError};
use crate::udp::{Inbox, Opened, listen};

pub(super) mod sdp;
mod session;
mod settings;
mod silence;

/// The kind's line in the registry.
pub(super) const KIND: SourceKind = SourceKind {
    scheme: "rtp",
    about: "a camera that sends by RTP to a port here or to a group: rtp://0.0.0.0:5000?codec=h264",
    build,
};

fn build(url: &SourceUrl, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    let settings = Settings::parse(url)?;
    Ok(Box::new(RtpSource::new(Told::ByAddress(Box::new(settings)), options)))
}

/// The address that an `rtp:` source listens on, and whether it takes the next port as well, for RTCP. `None` for other sources
/// and those that say something wrong.
pub(crate) fn listens_at(source: &str) -> Option<(SocketAddr, bool)> {
    let url = SourceUrl::parse(source).ok().filter(|url| url.scheme() == KIND.scheme)?;
    let settings = Settings::parse(&url).ok()?;
    Some((settings.listen.address, settings.rtcp))
}

struct RtpSource {
    told: Told,
    options: SourceOptions,
    /// Its name for RTCP, as long as the program runs (RFC 7022 4.1).
    name: String,
    /// Kept while nobody sends, so that what comes between two tries is not lost; with what they were opened for.
    sockets: Option<(Settings, Sockets)>,
    /// What was counted so far.
    counted: NetworkPath,
}

/// How it is known what is to be received.
enum Told {
    /// By the source's own text.
    ByAddress(Box<Settings>),
    /// By a session description.
    ByFile(sdp::File),
}

/// What packets come by.
struct Sockets {
    rtp: Inbox,
    rtcp: Option<UdpSocket>,
}

impl RtpSource {
    fn new(told: Told, options: &SourceOptions) -> Self {
        Self {
            told,
            options: options.clone(),
            name: format!("{:024x}", fastrand::u128(..) >> 32),
            sockets: None,
            counted: NetworkPath::default(),
        }
    }
}

impl Source for RtpSource {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let (settings, sockets) = match self.sockets.take() {
                Some(open) => open,
                None => {
                    let settings = match &self.told {
                        Told::ByAddress(settings) => Settings::clone(settings),
                        Told::ByFile(file) => file.read().await?,
                    };
                    let sockets = Sockets::open(&settings, out)?;
                    (settings, sockets)
                }
            };
            let mut session = Session::new(&settings, &self.options, &self.name, sockets, &mut self.counted);
            let ended = session.run(out).await;
            if matches!(ended, SourceError::Silent(_)) {
                self.sockets = session.into_sockets().map(|sockets| (settings, sockets));
            }
            Err(ended)
        })
    }
}

impl Sockets {
    fn open(settings: &Settings, out: &mut Publisher) -> Result<Self, SourceError> {
        let Opened { rtp, rtcp } = listen(&settings.listen).map_err(SourceError::lost)?;
        let rtp = Inbox::new(rtp).map_err(|error| SourceError::lost(error.to_string()))?;
        if let Ok(address) = rtp.socket().local_addr() {
            tracing::info!(camera = %out.name(), %address, "waits for RTP");
        }
        let rtcp = match rtcp {
            _ if !settings.rtcp || settings.rtcp_on_rtp => None,
            Ok(socket) => UdpSocket::from_std(socket).ok(),
            Err(why) => {
                tracing::warn!(camera = %out.name(), "no RTCP: {why}");
                None
            }
        };
        Ok(Self { rtp, rtcp })
    }
}
