//! What the kernel is told of a message beside its bytes (`cmsg(3)`): how it is cut, and from which address it comes.
//!
//! One of the few files that call the system directly.
#![allow(unsafe_code)]

#[cfg(any(target_os = "linux", target_os = "android"))]
use std::mem::offset_of;
use std::net::IpAddr;

/// Control data of one `UDP_SEGMENT`: a header and 16 bits, padded to its alignment as `CMSG_SPACE` has it.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct SegmentSize {
    header: libc::cmsghdr,
    bytes: u16,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl SegmentSize {
    pub(super) fn new(bytes: u16) -> Self {
        Self { header: header(libc::SOL_UDP, libc::UDP_SEGMENT, size_of::<u16>()), bytes }
    }
}

/// Control data of one `IP_PKTINFO` or `IPV6_PKTINFO`: the address of this machine that a message comes from.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    header: libc::cmsghdr,
    /// `in_pktinfo`: interface, address, another address. `in6_pktinfo`: address, interface.
    info: [u8; 20],
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Source {
    /// `None` where the destination's own scope says where it comes from.
    pub(super) fn new(from: IpAddr) -> Option<Self> {
        let mut info = [0; 20];
        let header = match from {
            IpAddr::V4(address) => {
                info[4..8].copy_from_slice(&address.octets());
                header(libc::IPPROTO_IP, libc::IP_PKTINFO, size_of::<libc::in_pktinfo>())
            }
            IpAddr::V6(address) if address.is_unicast_link_local() => return None,
            IpAddr::V6(address) => {
                info[..16].copy_from_slice(&address.octets());
                header(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size_of::<libc::in6_pktinfo>())
            }
        };
        Some(Self { header, info })
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn header(level: libc::c_int, kind: libc::c_int, bytes: usize) -> libc::cmsghdr {
    // SAFETY: a `cmsghdr` is plain numbers.
    let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
    header.cmsg_level = level;
    header.cmsg_type = kind;
    header.cmsg_len = (size_of::<libc::cmsghdr>() + bytes) as _;
    header
}

/// Both, one behind the other; either may be missing.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Control {
    segment: SegmentSize,
    source: Source,
    has_segment: bool,
    has_source: bool,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Control {
    /// `cut` is how long the packets are that a message is cut into.
    pub(super) fn new(cut: Option<u16>, source: Option<Source>) -> Self {
        let none = Source { header: header(0, 0, 0), info: [0; 20] };
        Self {
            segment: SegmentSize::new(cut.unwrap_or(0)),
            has_segment: cut.is_some(),
            source: source.unwrap_or(none),
            has_source: source.is_some(),
        }
    }

    /// Names itself in a message, which is to be sent while this stays where it is.
    pub(super) fn put(&mut self, message: &mut libc::msghdr) {
        let from = if self.has_segment { 0 } else { offset_of!(Self, source) };
        let end = offset_of!(Self, source) + if self.has_source { size_of::<Source>() } else { 0 };
        if from < end {
            // SAFETY: `from` is the offset of a field.
            message.msg_control = unsafe { (&raw mut *self).cast::<u8>().add(from) }.cast();
            message.msg_controllen = (end - from) as _;
        }
    }
}

/// Elsewhere the system cuts nothing, and its routes choose the address.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Source;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Source {
    pub(super) fn new(_: IpAddr) -> Option<Self> {
        None
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Clone, Copy)]
pub(super) struct Control;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Control {
    pub(super) fn new(_: Option<u16>, _: Option<Source>) -> Self {
        Self
    }

    pub(super) fn put(&mut self, _: &mut libc::msghdr) {}
}
