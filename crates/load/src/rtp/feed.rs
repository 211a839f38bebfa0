//! `ocelli-load rtp feed`: sends to a receiver.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::cli::FeedOptions;
use super::film::Film;
use super::peer::Peer;
use super::report::{Report, Target};
use super::send;
use crate::pace::Pace;

/// How long the receiver may take to open its port.
const START_DEADLINE: Duration = Duration::from_secs(15);

struct Feed {
    film: Film,
    target: send::Target,
    pace: Pace,
    next: usize,
    /// When counting began.
    first: usize,
}

pub(super) fn run(options: &FeedOptions) -> anyhow::Result<()> {
    let film = send::film(&options.stream)?;
    let mut peer = Peer::start(&options.peer)?;
    let dropped_before = wait_for_port(options.stream.to, &mut peer)?;
    let mut feed = Feed {
        film,
        target: send::Target::new(&options.stream, 0)?,
        pace: Pace::new(options.stream.frames_per_second, Instant::now()),
        next: 0,
        first: 0,
    };
    let measured = peer.measure(
        &options.peer,
        &mut feed,
        |feed| feed.first = feed.next,
        |feed| {
            if let Some(left) = feed.pace.wait(Instant::now()) {
                return Ok(left);
            }
            feed.target.send(&mut feed.film, feed.next)?;
            feed.next += 1;
            Ok(Duration::ZERO)
        },
    )?;
    let dropped = port_drops(options.stream.to)?.unwrap_or(0).saturating_sub(dropped_before);
    let pictures = (feed.next - feed.first) as u64;
    let target = Target { pictures, dropped_by_receiver: dropped, ..Target::default() };
    Report::new(&measured, pictures, vec![target], None).print(options.peer.json)
}

/// Returns what the port has dropped so far.
fn wait_for_port(address: SocketAddr, peer: &mut Peer) -> anyhow::Result<u64> {
    let deadline = Instant::now() + START_DEADLINE;
    loop {
        if let Some(dropped) = port_drops(address)? {
            return Ok(dropped);
        }
        peer.check()?;
        anyhow::ensure!(Instant::now() < deadline, "nobody opened {address} within {START_DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many datagrams the sockets of a port had no room for; `None` while there are none.
fn port_drops(address: SocketAddr) -> anyhow::Result<Option<u64>> {
    let mut dropped = None;
    for table in ["/proc/net/udp", "/proc/net/udp6"] {
        // A system without IPv6 has no second table.
        if let Ok(text) = std::fs::read_to_string(table) {
            dropped = sum(dropped, parse_drops(&text, address.port()));
        }
    }
    Ok(dropped)
}

/// The second column is local address and port in hexadecimal; the last is the count.
fn parse_drops(table: &str, port: u16) -> Option<u64> {
    let local = format!(":{port:04X}");
    let lines = table.lines().skip(1);
    let mut fields = lines.map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    fields.try_fold(None, |so_far, fields| {
        let ours = fields.get(1).is_some_and(|address| address.ends_with(&local));
        Some(if ours { sum(so_far, fields.last().and_then(|count| count.parse().ok())) } else { so_far })
    })?
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ports_line_is_found() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            \x20 100: 0100007F:1388 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9 2 0000000000000000 17\n\
            \x20 101: 0100007F:1389 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 9 2 0000000000000000 0\n";
        assert_eq!((parse_drops(table, 5000), parse_drops(table, 5001)), (Some(17), Some(0)));
        assert_eq!(parse_drops(table, 5002), None);
    }
}
