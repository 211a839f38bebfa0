//! The SSRCs that each camera's pictures are sent with, so that a camera that is pushed to the port at which it listens does not
//! take its own pictures for a sender's, and those again (loops, RFC 3550 section 8.2).
//!
//! A sender elsewhere may have the same number: that was asked for then, as where a stream is passed on. Two cameras that are pushed to each other have each a sender that is another's, and are not found out here.

use std::net::{IpAddr, UdpSocket};
use std::sync::{PoisonError, RwLock};

use ocelli_hub::StreamName;

static SENT: RwLock<Vec<(StreamName, u32)>> = RwLock::new(Vec::new());

/// One that is in use until this is dropped.
#[derive(Debug)]
pub struct OwnSsrc {
    camera: StreamName,
    ssrc: u32,
}

impl OwnSsrc {
    /// `camera` is sent with `ssrc` from here on.
    pub fn new(camera: &StreamName, ssrc: u32) -> Self {
        SENT.write().unwrap_or_else(PoisonError::into_inner).push((camera.clone(), ssrc));
        Self { camera: camera.clone(), ssrc }
    }
}

impl Drop for OwnSsrc {
    fn drop(&mut self) {
        let mut sent = SENT.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = sent.iter().position(|(camera, ssrc)| (camera, *ssrc) == (&self.camera, self.ssrc))
        {
            sent.swap_remove(at);
        }
    }
}

/// Whether a packet with `ssrc` from `address` is one of those by which this program sends `camera`.
pub fn is_own(camera: &StreamName, ssrc: u32, address: IpAddr) -> bool {
    let is_sent = || {
        let sent = SENT.read().unwrap_or_else(PoisonError::into_inner);
        sent.iter().any(|(name, own)| *own == ssrc && name == camera)
    };
    // What can be bound to is this machine's.
    is_sent() && UdpSocket::bind((address.to_canonical(), 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_its_cameras_while_it_is_in_use() {
        let [front, yard] = ["own-front", "own-yard"].map(|name| name.parse::<StreamName>().unwrap());
        let first = OwnSsrc::new(&front, 7);
        let second = OwnSsrc::new(&front, 7);
        let here = IpAddr::from([127, 0, 0, 1]);
        assert!(is_own(&front, 7, here) && !is_own(&front, 8, here) && !is_own(&yard, 7, here));
        assert!(!is_own(&front, 7, [192, 0, 2, 77].into()), "somebody else's");
        drop(first);
        assert!(is_own(&front, 7, here));
        drop(second);
        assert!(!is_own(&front, 7, here));
    }
}
