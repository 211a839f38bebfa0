//! Warns of ports that two cameras, or two push targets, of the configuration would take from each other.
//!
//! Only warned of, for cameras on demand may take turns. What names no port takes a free one, groups share theirs, and a session
//! description is not read here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ocelli_hub::StreamName;

use super::CameraConfig;
use super::reader::Reader;
use crate::outputs::rtp::PushAddress;
use crate::sources::listens_at;
use crate::udp::Interface;

/// Ports of this machine that something takes.
struct Taken<'a> {
    camera: &'a StreamName,
    /// What takes them, as it may be shown: a port may be a variable's value.
    shown: String,
    address: IpAddr,
    first: u16,
    last: u16,
}

impl Taken<'_> {
    fn clashes_with(&self, other: &Self) -> bool {
        let ports = self.first <= other.last && other.first <= self.last;
        ports
            && (self.address == other.address
                || covers(self.address, other.address)
                || covers(other.address, self.address))
    }
}

/// `[::]` hears IPv4 as well.
fn covers(any: IpAddr, other: IpAddr) -> bool {
    any.is_unspecified() && (any.is_ipv6() || other.is_ipv4())
}

/// Warns of each two that want the same port.
pub(super) fn warn(cameras: &[CameraConfig], reader: &mut Reader<'_>) {
    let enabled = cameras.iter().filter(|camera| camera.enabled);
    let taken: Vec<Taken<'_>> = enabled
        .flat_map(|camera| {
            source(camera).into_iter().chain(camera.push.iter().filter_map(|to| push(camera, to)))
        })
        .collect();
    for (index, first) in taken.iter().enumerate() {
        for second in taken[index + 1..].iter().filter(|second| first.clashes_with(second)) {
            let text = format!(
                "camera `{}` ({}) and camera `{}` ({}) want the same port of this machine: each takes the one it names and, \
                 for RTCP, the next",
                first.camera, first.shown, second.camera, second.shown
            );
            reader.warn(None, text);
        }
    }
}

fn source(camera: &CameraConfig) -> Option<Taken<'_>> {
    let (address, rtcp) = listens_at(camera.source.as_str())?;
    if address.port() == 0 || address.ip().is_multicast() {
        return None;
    }
    let first = address.port();
    Some(Taken {
        camera: &camera.name,
        shown: camera.source.to_string(),
        address: address.ip(),
        first,
        last: first.saturating_add(u16::from(rtcp)),
    })
}

fn push<'a>(camera: &'a CameraConfig, to: &PushAddress) -> Option<Taken<'a>> {
    let first = to.socket.local_port?;
    let any: IpAddr = match to.host().parse() {
        Ok(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        // Of which family a name's address is turns out when it is looked up.
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    let address = match &to.socket.interface {
        Some(Interface::Address(address)) => *address,
        _ => any,
    };
    Some(Taken { camera: &camera.name, shown: to.to_string(), address, first, last: first.saturating_add(1) })
}

#[cfg(test)]
mod tests {
    use crate::config::tests::loaded;

    #[test]
    fn ports_that_are_wanted_twice_are_warned_of() {
        let warnings = |door: &str, gate: &str| {
            let text = format!("[cameras.door]\n{door}\n[cameras.gate]\n{gate}");
            loaded(&text).warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let source = |address: &str| format!("source = \"rtp://{address}\"");
        for (door, gate) in [
            ("0.0.0.0:5000", "0.0.0.0:5000"),
            ("0.0.0.0:5000", "0.0.0.0:5001"),
            ("0.0.0.0:5001", "127.0.0.1:5000"),
            ("[::]:5000", "0.0.0.0:5000"),
        ] {
            let warnings = warnings(&source(door), &source(gate));
            assert_eq!(warnings.len(), 1, "{door} {gate} {warnings:?}");
            for part in [format!("camera `door` (rtp://{door})"), format!("camera `gate` (rtp://{gate})")] {
                assert!(warnings[0].contains(&part), "{part} in {warnings:?}");
            }
        }
        for (door, gate) in [
            ("0.0.0.0:5000", "0.0.0.0:5002"),
            ("0.0.0.0:5000?rtcp=0", "0.0.0.0:5001"),
            ("127.0.0.1:5000", "127.0.0.2:5000"),
            ("239.1.2.3:5000", "239.1.2.4:5000"),
            ("0.0.0.0:0", "0.0.0.0:0"),
        ] {
            assert_eq!(warnings(&source(door), &source(gate)), Vec::<String>::new(), "{door} {gate}");
        }
        let push = |port: u16| format!("source = \"pattern:\"\npush = \"rtp://h:1?local_port={port}\"");
        assert!(warnings(&push(6000), &push(6001))[0].contains("camera `gate` (rtp://h:1?local_port=6001)"));
        assert_eq!(warnings(&push(6000), &push(6002)), Vec::<String>::new());
        assert_eq!(warnings(&push(6000), &format!("{}\nenabled = false", push(6000))), Vec::<String>::new());
        let hidden = warnings(&source("0.0.0.0:8123"), &source("0.0.0.0:${PORT}"));
        assert!(hidden[0].contains("camera `gate` (rtp://0.0.0.0:${PORT})"), "{hidden:?}");
    }
}
