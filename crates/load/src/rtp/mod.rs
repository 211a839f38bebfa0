//! `ocelli-load rtp`: what pictures in RTP cost their sender (`watch`) and their receiver (`feed`), with the kernel's own
//! price beside it (`send` for the one, `receive` for the other).
//!
//! The kernel delivers over loopback within the sender's own system call, up to the receiver's socket. So the receiver is
//! part of a sender's figure, and is the same for all senders that are compared. It is asked for nothing while it
//! sends: the sockets are emptied every few milliseconds and nobody waits at them, so no sender pays for waking anybody.

mod cli;
mod feed;
mod film;
pub(crate) mod flow;
mod latency;
mod peer;
mod receive;
mod report;
mod send;
mod sink;
pub(crate) mod udp;
mod watch;

pub(crate) use cli::Command;

/// Runs one of its commands.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Watch(options) => watch::run(&options),
        Command::Feed(options) => feed::run(&options),
        Command::Send(options) => send::run(&options),
        Command::Receive(options) => receive::run(&options),
    }
}

#[cfg(test)]
const TEST_JPEG: &[u8] = include_bytes!("../../../media/testdata/baseline.jpg");
