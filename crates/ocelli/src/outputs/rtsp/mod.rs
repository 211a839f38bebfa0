//! The RTSP server (RFC 2326): cameras as `rtsp://host:8554/{cam}`.
//!
//! A picture's packets are laid once for all readers of a camera ([`RtspBursts`], a derived stream). A connection is one task: it
//! drives the state machine of [`ocelli_proto::rtsp::server`], which knows no socket, and while its client plays it writes each
//! picture from the one shared buffer by one system call. What cannot be taken in time is left out by whole groups of pictures.
//!
//! | file | what is in it |
//! |---|---|
//! | `bursts` | pictures and sound as they stand in connections |
//! | `listen` | connections come, and which are refused |
//! | `connection` | one connection: what is read, and the answers |
//! | `timer` | when it is to be looked after though nothing comes |
//! | `describe` | which camera, and its description |
//! | `play` | SETUP and PLAY: places, and where a reader begins |
//! | `reader` | what a client that plays gets next |
//! | `record` | ANNOUNCE and RECORD: clients that send |
//! | `tunnel` | connections whose requests come by HTTP |
//! | `writing` | bytes on their way into a connection |
//! | `datagrams/` | readers whose packets travel by UDP |
//! | `reports` | RTCP of a session |
//! | `moments` | when pictures and sound were taken, as a session is told |
//! | `session`, `numbers` | who plays, for others to see and to end |
//! | `outcomes` | what became of all who came |
//!
//! An address may ask for other pictures than the camera's own, which are then made as for any other output
//! ([`variants`](crate::variants)). Refused: what nothing makes, and streams that clients want to send where no camera waits for
//! them.

mod bursts;
mod connection;
mod datagrams;
mod describe;
mod gate;
mod listen;
mod moments;
mod numbers;
mod outcomes;
mod play;
mod reader;
mod record;
mod reports;
mod session;
mod timer;
mod tunnel;
mod writing;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ocelli_proto::rtsp::server::Settings;

pub use bursts::{Laid, LeftOut, Piece, RtspBursts, TrackNumbers, clock_rate, payload_type};
pub use listen::serve;
pub use numbers::{Numbers, SessionDrop, TrackHeard, TrackSent};
use outcomes::Outcome;
pub use outcomes::{Ended, Endings, Refusals, Refused, SessionRefusals, SessionRefused};
pub use session::{Session, Sessions};

use crate::app::{App, CameraEntry};
use crate::connections::Connections;
use datagrams::Datagrams;
pub use datagrams::Multicast;
use gate::Door;
use listen::{Addresses, Doorway};
use tunnel::Tunnels;

/// How cameras are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtspOptions {
    /// Packets may travel within the connection.
    pub tcp: bool,
    /// Packets may travel to the client's own ports.
    pub udp: bool,
    /// The port that RTP comes from then, and RTCP from the next. `None` takes free ones.
    pub udp_port: Option<u16>,
    /// Packets may travel to groups, where they are.
    pub multicast: Option<Multicast>,
    /// A session whose client gives no sign of life for this long ends.
    pub session_timeout: Duration,
    /// Longest packet with the headers of RTP, UDP and IP, in bytes: 256 to 65535.
    pub mtu: u16,
    /// Connections at the same time.
    pub connections: usize,
    /// Connections of one address at the same time.
    pub connections_per_address: usize,
    /// Connections of one address that have sent no request for more than a second.
    pub half_open_per_address: usize,
    /// Sessions of one address at the same time.
    pub sessions_per_address: usize,
}

impl Default for RtspOptions {
    fn default() -> Self {
        Self {
            tcp: true,
            udp: true,
            udp_port: None,
            multicast: None,
            session_timeout: Settings::default().session_timeout,
            mtu: 1400,
            connections: 1024,
            connections_per_address: of_one_address(1024),
            half_open_per_address: 64,
            sessions_per_address: 100,
        }
    }
}

/// How many of so many `connections` one address may have where nobody says: a tenth is left for others.
pub fn of_one_address(connections: usize) -> usize {
    (connections - connections.div_ceil(10)).max(1)
}

/// What others may know of the server.
#[derive(Debug, Default)]
pub struct Rtsp {
    /// Where it listens; empty while it does not.
    pub listens: OnceLock<SocketAddr>,
    /// Its connections.
    pub connections: Arc<Connections>,
    /// Those of them that were refused, by why.
    pub refused: Refusals,
    /// Those that were served and are over, by why.
    pub ended: Endings,
    /// Who sent a camera's stream and does no more, by why.
    pub publishers_ended: Endings,
    /// Who plays.
    pub sessions: Arc<Sessions>,
}

impl Rtsp {
    /// Counts a connection that is refused, or over.
    fn count(&self, outcome: Outcome) {
        match outcome {
            Outcome::Refused(why) => {
                self.connections.refuse();
                self.refused.count(why as usize);
            }
            Outcome::Over(why) => self.ended.count(why as usize),
        }
    }
}

/// What IP (version 6, the longer) and UDP put before each packet.
const IP_AND_UDP_BYTES: usize = 48;

/// The server, as its connections see it.
struct Server {
    app: Arc<App>,
    options: RtspOptions,
    settings: Arc<Settings>,
    gate: Arc<Door>,
    addresses: Arc<Addresses>,
    doorway: Arc<Doorway>,
    tunnels: Arc<Tunnels>,
    datagrams: Datagrams,
    /// What the state machines' times count from.
    origin: Instant,
}

impl Server {
    fn new(app: Arc<App>, options: RtspOptions) -> Arc<Self> {
        let publish = app.cameras.iter().any(|camera| camera.stage().is_some());
        let settings = Settings {
            tcp: options.tcp,
            udp: options.udp,
            multicast: options.multicast.is_some(),
            publish,
            session_timeout: options.session_timeout,
            ..Settings::default()
        };
        Arc::new(Self {
            settings: Arc::new(settings),
            gate: Arc::new(Door(app.clone())),
            app,
            addresses: Arc::new(Addresses::new(options.connections_per_address)),
            doorway: Arc::new(Doorway::new(options.half_open_per_address)),
            tunnels: Arc::default(),
            datagrams: Datagrams::new(options.udp_port, options.multicast.clone()),
            options,
            origin: Instant::now(),
        })
    }

    fn since_origin(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.origin)
    }

    /// What readers of a camera share.
    fn bursts(&self, camera: &CameraEntry) -> RtspBursts {
        RtspBursts {
            packet_bytes: usize::from(self.options.mtu) - IP_AND_UDP_BYTES,
            recoder: camera.rtp_recoder(),
        }
    }
}

/// A number that nobody can guess.
///
/// # Errors
/// The system gives none.
fn unguessable() -> Result<u128, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(u128::from_ne_bytes(bytes))
}
