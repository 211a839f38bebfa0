//! Why there was no picture, from what came instead: the words that a camera's owner can do something with.

use std::net::SocketAddr;
use std::time::Duration;

use ocelli_proto::rtp::receive::Counts;

use super::settings::Settings;

/// What came since a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came<'a> {
    /// Packets of the camera's own pictures, which came back.
    pub(super) own: u64,
    /// Since then.
    pub(super) counts: Counts,
    /// The payload type of the last packet with another one than expected.
    pub(super) other_payload_type: Option<u8>,
    /// What was wrong with the last picture that was dropped.
    pub(super) fault: Option<&'a str>,
}

/// Why no picture came for so long.
pub(super) fn cause(settings: &Settings, listens: SocketAddr, silence: Duration, came: Came<'_>) -> String {
    let Came { own, counts, other_payload_type, fault } = came;
    let seconds = silence.as_secs_f64();
    let (payload, payload_type) = (settings.payload(), settings.payload_type);
    if counts.packets > 0 {
        let why = fault.map_or_else(String::new, |fault| format!(": {fault}"));
        return format!("packets come to {listens}, but no whole picture in {seconds} s{why}");
    }
    if own > 0 {
        return format!(
            "nothing comes to {listens} but this camera's own pictures: one of its push targets leads here"
        );
    }
    if let (1.., Some(other)) = (counts.other_payload, other_payload_type) {
        return format!(
            "packets come to {listens}, but their payload type is {other}, not {payload_type} ({payload}): is \
             codec= or payload_type= missing?"
        );
    }
    match (counts.strange, settings.from) {
        (1.., Some(from)) => {
            return format!("packets come to {listens}, but none from {from}, as from= wants");
        }
        (1.., None) => return format!("single packets come to {listens}, but no two in sequence"),
        _ => {}
    }
    if counts.not_rtp > 0 {
        return format!("datagrams come to {listens}, but they are no RTP packets");
    }
    format!("no RTP packet came to {listens} for {seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::SourceUrl;

    fn words(url: &str, counts: Counts, fault: Option<&str>) -> String {
        let settings = Settings::parse(&SourceUrl::parse(url).unwrap()).unwrap();
        let came = Came { own: 0, counts, other_payload_type: Some(96), fault };
        cause(&settings, settings.listen.address, Duration::from_secs(10), came)
    }

    #[test]
    fn what_came_instead_is_named() {
        let none = Counts::default();
        let url = "rtp://0.0.0.0:5000";
        assert_eq!(words(url, none, None), "no RTP packet came to 0.0.0.0:5000 for 10 s");
        assert_eq!(
            words(url, Counts { other_payload: 3, not_rtp: 1, ..none }, None),
            "packets come to 0.0.0.0:5000, but their payload type is 96, not 26 (JPEG): is codec= or payload_type= missing?"
        );
        assert!(words(url, Counts { not_rtp: 3, ..none }, None).ends_with("but they are no RTP packets"));
        let from = "rtp://0.0.0.0:5000?from=10.0.0.7";
        assert!(words(from, Counts { strange: 1, ..none }, None).contains("none from 10.0.0.7"));
        let settings = Settings::parse(&SourceUrl::parse(url).unwrap()).unwrap();
        let own = Came { own: 3, counts: none, other_payload_type: None, fault: None };
        let why = cause(&settings, settings.listen.address, Duration::from_secs(10), own);
        assert!(why.contains("but this camera's own pictures"), "{why}");
        assert_eq!(
            words(url, Counts { packets: 9, ..none }, Some("a packet was lost")),
            "packets come to 0.0.0.0:5000, but no whole picture in 10 s: a packet was lost"
        );
    }
}
