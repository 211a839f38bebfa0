//! Where a camera and who publishes it meet.
//!
//! The connection of a publisher takes the one [`Seat`], and gives the source a [`Publication`]: what will come, and the ends of two
//! short queues. Whoever of the two ends first, the other notices: the connection by [`Seat::over`], the source by the end of the
//! packets. A publisher that comes while its camera's source is being started again is kept until that runs.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ocelli_proto::rtsp::auth::Credentials;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SetOnce, mpsc, oneshot};

use crate::sources::received::Chosen;
use crate::sources::{SourceUrl, SpecError};

/// Packets between a connection and its camera: with the longest that a connection can carry 8 MiB. A connection reads no more while
/// it is full, so that its publisher waits.
const MOST_PACKETS: usize = 128;
/// Publishers that have ports and do not send yet.
const MOST_PREPARING: usize = 8;
/// Reports on their way back. One more is left out: the next tells the same.
const MOST_REPORTS: usize = 8;

/// The place where a camera's publishers come.
#[derive(Debug)]
pub struct Stage {
    /// Without it, anybody may publish.
    login: Option<Login>,
    /// Where to publish to, or why nobody can.
    door: SetOnce<Result<String, String>>,
    held: Mutex<Held>,
    came: Notify,
    preparing: Arc<Semaphore>,
}

/// Who may publish. Not printed.
struct Login {
    user: String,
    password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Who has the place.
#[derive(Debug, Default)]
struct Held {
    by: Option<SocketAddr>,
    /// What the source has not taken yet.
    next: Option<Publication>,
}

/// Somebody publishes already, from this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupied(pub SocketAddr);

/// What a publisher sends, and by what ways.
#[derive(Debug)]
pub struct Publication {
    /// Where its connection comes from. Packets of others are not taken.
    pub from: SocketAddr,
    /// What it says it is.
    pub program: Option<String>,
    /// The pictures, and the sound if there is any: one or two.
    pub tracks: Vec<PublishedTrack>,
    /// What it sends that is not understood, in words.
    pub passed_over: Option<String>,
    /// What comes within the connection.
    pub packets: mpsc::Receiver<Packet>,
    /// What goes back within the connection: RTCP.
    pub reports: mpsc::Sender<Packet>,
    /// Set when a packet has come by other ways than the connection.
    pub heard: Arc<AtomicBool>,
    /// Why the connection has ended, if that is known.
    pub ended: oneshot::Receiver<String>,
    /// Tells the connection that the camera takes no more, and why.
    pub over: oneshot::Sender<String>,
}

/// A track that is published.
#[derive(Debug)]
pub struct PublishedTrack {
    /// What it is.
    pub chosen: Chosen,
    /// Where its packets come; `None` within the connection.
    pub ports: Option<Ports>,
}

/// Both ends of a track's packets by UDP.
#[derive(Debug)]
pub struct Ports {
    /// Takes RTP. Does not block.
    pub rtp: UdpSocket,
    /// Takes RTCP, and sends it. Does not block.
    pub rtcp: UdpSocket,
    /// Where RTCP is sent to.
    pub peer_rtcp: SocketAddr,
}

/// A packet of a track.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The track's place in [`Publication::tracks`].
    pub track: usize,
    /// It is RTCP.
    pub rtcp: bool,
    /// The packet.
    pub bytes: Bytes,
}

/// What a publisher's connection says of it when it takes the place.
#[derive(Debug)]
pub struct Place {
    /// As [`Publication::from`].
    pub from: SocketAddr,
    /// As [`Publication::program`].
    pub program: Option<String>,
    /// As [`Publication::tracks`].
    pub tracks: Vec<PublishedTrack>,
    /// As [`Publication::passed_over`].
    pub passed_over: Option<String>,
}

/// The place of a publisher, until it is dropped; and the connection's ends of the queues.
#[derive(Debug)]
pub struct Seat {
    stage: Arc<Stage>,
    packets: mpsc::Sender<Packet>,
    /// What is to be sent to the publisher.
    pub reports: mpsc::Receiver<Packet>,
    /// Ready when the camera takes no more, with why; also where it was stopped, without.
    pub over: oneshot::Receiver<String>,
    heard: Arc<AtomicBool>,
    ended: Option<oneshot::Sender<String>>,
}

impl Stage {
    /// The one that `url` describes.
    ///
    /// # Errors
    /// There is more than a user and a password, or one without the other.
    pub(super) fn new(url: &SourceUrl) -> Result<Self, SpecError> {
        url.only(&["user", "password"])?;
        if !url.rest().trim_matches('/').is_empty() {
            let words = "a camera is published to under its own name: write `publish:` alone, or \
                         `publish:?user=me&password=secret`";
            return Err(SpecError::new(words));
        }
        let login = match (url.text("user"), url.text("password")) {
            (None, None) => None,
            (Some(user), Some(password)) if !user.is_empty() && !password.is_empty() => {
                Some(Login { user: user.to_owned(), password: password.to_owned() })
            }
            _ => return Err(SpecError::new("user= and password= belong together, and neither is empty")),
        };
        let preparing = Arc::new(Semaphore::new(MOST_PREPARING));
        Ok(Self { login, door: SetOnce::new(), held: Mutex::default(), came: Notify::new(), preparing })
    }

    /// Says where to publish to.
    pub fn open(&self, address: String) {
        let _ = self.door.set(Ok(address));
    }

    /// Says why nobody can publish.
    pub fn close(&self, why: &str) {
        let _ = self.door.set(Err(why.to_owned()));
    }

    /// Whether anybody may publish, without a password.
    pub fn is_open_to_all(&self) -> bool {
        self.login.is_none()
    }

    /// Whether who shows these credentials may publish.
    pub fn admits(&self, credentials: Option<&Credentials<'_>>) -> bool {
        self.login.as_ref().is_none_or(|login| {
            credentials.is_some_and(|credentials| credentials.matches(&login.user, &login.password))
        })
    }

    /// Who publishes now.
    pub fn occupied(&self) -> Option<Occupied> {
        self.lock().by.map(Occupied)
    }

    /// Leave to open ports for somebody who does not send yet; `None` while too many have it.
    pub fn prepare(&self) -> Option<OwnedSemaphorePermit> {
        self.preparing.clone().try_acquire_owned().ok()
    }

    /// Takes the place.
    ///
    /// # Errors
    /// Somebody has it.
    pub fn enter(self: &Arc<Self>, place: Place) -> Result<Seat, Occupied> {
        let mut held = self.lock();
        if let Some(by) = held.by {
            return Err(Occupied(by));
        }
        let (packets, packets_out) = mpsc::channel(MOST_PACKETS);
        let (reports_in, reports) = mpsc::channel(MOST_REPORTS);
        let (ended, ended_out) = oneshot::channel();
        let (over_in, over) = oneshot::channel();
        let heard = Arc::<AtomicBool>::default();
        held.by = Some(place.from);
        held.next = Some(Publication {
            from: place.from,
            program: place.program,
            tracks: place.tracks,
            passed_over: place.passed_over,
            packets: packets_out,
            reports: reports_in,
            heard: heard.clone(),
            ended: ended_out,
            over: over_in,
        });
        drop(held);
        self.came.notify_one();
        Ok(Seat { stage: self.clone(), packets, reports, over, heard, ended: Some(ended) })
    }

    /// Where to publish to, once that is known, or why nobody can.
    pub(super) async fn door(&self) -> Result<&str, &str> {
        self.door.wait().await.as_ref().map(String::as_str).map_err(String::as_str)
    }

    /// Waits for a publisher.
    pub(super) async fn next(&self) -> Publication {
        loop {
            if let Some(publication) = self.lock().next.take() {
                return publication;
            }
            self.came.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Gives the camera a packet; waits while it has not taken those before. Passed over if the camera takes no more.
    pub async fn give(&self, packet: Packet) {
        // `over` tells that nobody takes it.
        let _ = self.packets.send(packet).await;
    }

    /// Whether a packet has come by other ways than the connection since this was asked last.
    pub fn was_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// Leaves, and says why.
    pub fn leave(mut self, why: String) {
        if let Some(ended) = self.ended.take() {
            let _ = ended.send(why);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut held = self.stage.lock();
        (held.by, held.next) = (None, None);
    }
}
