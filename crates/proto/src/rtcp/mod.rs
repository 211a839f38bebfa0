//! RTCP (RFC 3550 section 6, feedback by RFC 4585 and RFC 5104): what sender and receiver tell each other about the packets.
//!
//! [`Compound`] is checked once and then read; [`mod@write`] appends packets to a buffer; [`Reception`] counts what a receiver
//! reports; [`Clock`] turns a sender's reports into wall clock times; [`interval()`] says how long to wait between reports.
//!
//! Built on these: [`SenderSession`] and [`ReceiverSession`] are all that a sender and a receiver of a stream say and hear,
//! and [`adapt`] decides from reports how much of a stream is sent.
//!
//! Packets of other kinds (APP, XR, transport feedback) are passed over. No authentication: that is SRTCP's.

pub mod adapt;
mod clock;
mod interval;
mod listener;
mod members;
mod origin;
mod read;
mod receiver;
mod reception;
mod schedule;
mod sender;
pub mod write;

pub use clock::{Clock, NtpTime, round_trip};
pub use interval::{Membership, interval};
pub use read::{Blocks, Compound, Descriptions, Packet, RtcpError, Rules};
pub use receiver::{ReceiverHeard, ReceiverSession, ReceiverSetup};
pub use reception::Reception;
pub use sender::{Audience, Report, SenderCounts, SenderHeard, SenderSession, SenderSetup, SentPicture};

/// Sender report.
const SENDER_REPORT: u8 = 200;
/// Receiver report.
const RECEIVER_REPORT: u8 = 201;
/// Source description.
const DESCRIPTION: u8 = 202;
/// End of participation.
const BYE: u8 = 203;
/// Feedback that depends on the payload (RFC 4585 6.3).
const PAYLOAD_FEEDBACK: u8 = 206;
/// Picture loss indication, a format of [`PAYLOAD_FEEDBACK`].
const PICTURE_LOSS: u8 = 1;
/// Full intra request, a format of [`PAYLOAD_FEEDBACK`] (RFC 5104 4.3.1).
const FULL_INTRA: u8 = 4;
/// The item of a source description that names a participant.
const CNAME: u8 = 1;

/// What a sender says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// The wall clock when this was sent.
    pub ntp: NtpTime,
    /// The same time on the clock of its RTP timestamps.
    pub timestamp: u32,
    /// RTP packets sent so far, modulo 2³².
    pub packets: u32,
    /// Payload bytes sent so far, modulo 2³².
    pub bytes: u32,
}

/// What a receiver says of one sender's packets.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                           SSRC of sender                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | fraction lost |       cumulative number of packets lost       |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |           extended highest sequence number received           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                      interarrival jitter                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                         last SR (LSR)                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                   delay since last SR (DLSR)                  |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The sender.
    pub ssrc: u32,
    /// Lost since the last report, in 256ths of what was expected.
    pub fraction_lost: u8,
    /// Lost since the beginning, -2²³ to 2²³ - 1; below zero where packets came twice.
    pub lost: i32,
    /// The highest number received, with the count of wraps in the upper half.
    pub highest: u32,
    /// Mean deviation of the packets' spacing, in ticks of the payload's clock.
    pub jitter: u32,
    /// The middle half of the NTP time in the sender's last report; 0 if none came.
    pub last_report: u32,
    /// Time since that came, in 1/65536 s.
    pub delay: u32,
}

#[cfg(test)]
mod tests;
