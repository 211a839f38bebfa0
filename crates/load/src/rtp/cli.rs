//! The command line of `ocelli-load rtp`.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// See [the module](super).
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Receives what a sender sends, checks that all of it came, and tells what it cost the sender.
    Watch(WatchOptions),
    /// Sends to a receiver, and tells what it cost the receiver.
    Feed(FeedOptions),
    /// The kernel's own price of sending: a clip's packets, made beforehand, and nothing but the sending of them.
    Send(SendOptions),
    /// The kernel's own price of receiving: every byte is taken and thrown away.
    Receive(ReceiveOptions),
}

#[derive(Debug, Args)]
pub(crate) struct WatchOptions {
    /// The first target's port; the others' follow, two apart, each with the port above it for RTCP
    #[arg(long)]
    pub(crate) port: u16,
    /// How many targets
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) targets: u16,
    /// Take datagrams joined by the kernel, which spares the sender the cutting of them on loopback
    #[arg(long)]
    pub(crate) joined: bool,
    /// What `ocelli-load camera --log` writes: the time from there to the last packet's arrival is told
    #[arg(long, value_name = "FILE")]
    pub(crate) camera_log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) peer: PeerOptions,
}

#[derive(Debug, Args)]
pub(crate) struct FeedOptions {
    #[command(flatten)]
    pub(crate) stream: StreamOptions,
    #[command(flatten)]
    pub(crate) peer: PeerOptions,
}

#[derive(Debug, Args)]
pub(crate) struct SendOptions {
    #[command(flatten)]
    pub(crate) stream: StreamOptions,
    /// How many targets: their ports are two apart
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) targets: u16,
    /// Also read each picture's file anew, as a program that plays a file has to
    #[arg(long)]
    pub(crate) read: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiveOptions {
    #[arg(long)]
    pub(crate) port: u16,
    #[arg(long, value_enum, default_value_t = Way::Segments)]
    pub(crate) way: Way,
}

/// What is sent, and how.
#[derive(Debug, Args)]
pub(crate) struct StreamOptions {
    /// The first target
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: SocketAddr,
    /// A clip of JPEGs that RTP can carry
    #[arg(long, value_name = "CLIP")]
    pub(crate) file: PathBuf,
    /// Pictures a second
    #[arg(long, default_value_t = 30.0, value_name = "N")]
    pub(crate) frames_per_second: f64,
    /// The longest IP packet
    #[arg(long, default_value_t = 1400, value_name = "BYTES")]
    pub(crate) mtu: u16,
    #[arg(long, value_enum, default_value_t = Way::Segments)]
    pub(crate) way: Way,
}

/// Which system call moves the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// Some 45 a call, cut or joined by the kernel (UDP segmentation offload)
    Segments,
    /// A picture's packets by sendmmsg or recvmmsg
    Batch,
    /// One packet a call
    Single,
}

/// The process whose cost is told, and for how long.
#[derive(Debug, Args)]
pub(crate) struct PeerOptions {
    /// How long to measure
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    pub(crate) seconds: f64,
    /// How long to run before measuring
    #[arg(long, default_value_t = 3.0, value_name = "S")]
    pub(crate) warmup: f64,
    /// Report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave out what the command says on stderr
    #[arg(long)]
    pub(crate) quiet: bool,
    /// The process, when it runs already
    #[arg(long, conflicts_with = "command", required_unless_present = "command")]
    pub(crate) pid: Option<u32>,
    /// The command that starts it; it is ended with the measurement
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

impl StreamOptions {
    /// What an IP packet has room for behind its own and UDP's headers.
    pub(crate) fn packet_bytes(&self) -> usize {
        usize::from(self.mtu).saturating_sub(if self.to.is_ipv4() { 28 } else { 48 })
    }

    /// Where target number `index` is.
    pub(crate) fn target(&self, index: u16) -> SocketAddr {
        SocketAddr::new(self.to.ip(), target_port(self.to.port(), index))
    }
}

impl WatchOptions {
    /// Where target number `index` is, and its RTCP.
    pub(crate) fn target(&self, index: u16) -> [SocketAddr; 2] {
        let port = target_port(self.port, index);
        [port, port.wrapping_add(1)].map(|port| (Ipv4Addr::LOCALHOST, port).into())
    }
}

fn target_port(first: u16, index: u16) -> u16 {
    first.wrapping_add(index.wrapping_mul(2))
}
