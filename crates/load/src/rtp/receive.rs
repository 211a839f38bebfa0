//! `ocelli-load rtp receive`: takes all that comes to a port, every byte of it, and throws it away.

use std::net::{Ipv4Addr, UdpSocket};

use rustix::process::{Signal, set_parent_process_death_signal};

use super::cli::{ReceiveOptions, Way};
use super::sink::RECEIVE_BUFFER_BYTES;
use super::udp::{self, Inbox, Wait};

/// Until it is ended, at the latest with the one who started it.
pub(super) fn run(options: &ReceiveOptions) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, options.port))?;
    udp::set_receive_buffer(&socket, RECEIVE_BUFFER_BYTES)?;
    let mut inbox = match options.way {
        Way::Segments => {
            udp::take_joined(&socket)?;
            Inbox::new(4, usize::from(u16::MAX))
        }
        Way::Batch => Inbox::new(64, 2048),
        Way::Single => Inbox::new(1, 2048),
    };
    loop {
        inbox.receive(&socket, Wait::ForOne)?;
    }
}
