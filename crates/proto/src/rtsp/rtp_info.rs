//! The RTP-Info field: where in each track's packets a PLAY begins (RFC 2326 section 12.33).

use std::fmt;

/// One track's part of the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpInfo {
    /// The track's control URL.
    pub url: String,
    /// The number of the first packet.
    pub sequence: Option<u16>,
    /// The RTP timestamp that belongs to the beginning of the Range.
    pub rtp_time: Option<u32>,
}

impl RtpInfo {
    /// Reads a field's value. Entries without a URL are left out, and numbers that are none: cameras send both.
    pub fn parse(value: &str) -> Vec<Self> {
        // A URL may have commas, semicolons even: an entry begins with "url=".
        let mut starts: Vec<usize> = value
            .match_indices("url=")
            .filter(|(at, _)| value[..*at].trim_end().is_empty() || value[..*at].trim_end().ends_with(','))
            .map(|(at, _)| at)
            .collect();
        starts.push(value.len());
        starts
            .windows(2)
            .map(|pair| {
                let mut parameters = value[pair[0]..pair[1]].trim().trim_end_matches(',').split(';');
                let url = parameters.next().unwrap_or("")["url=".len()..].trim().trim_matches('"').to_owned();
                let mut info = Self { url, sequence: None, rtp_time: None };
                for (name, value) in parameters.filter_map(|parameter| parameter.split_once('=')) {
                    match name.trim() {
                        "seq" => info.sequence = value.trim().parse().ok(),
                        "rtptime" => info.rtp_time = value.trim().parse().ok(),
                        _ => {}
                    }
                }
                info
            })
            .filter(|info| !info.url.is_empty())
            .collect()
    }
}

impl fmt::Display for RtpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "url={}", self.url)?;
        self.sequence.map_or(Ok(()), |sequence| write!(f, ";seq={sequence}"))?;
        self.rtp_time.map_or(Ok(()), |time| write!(f, ";rtptime={time}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_tracks_share_a_field() {
        let text =
            "url=rtsp://a/front/trackID=0;seq=45102;rtptime=12345678,url=rtsp://a/front/trackID=1;seq=30211";
        let infos = RtpInfo::parse(text);
        assert_eq!((infos[0].sequence, infos[0].rtp_time), (Some(45_102), Some(12_345_678)));
        assert_eq!((infos[1].url.as_str(), infos[1].rtp_time), ("rtsp://a/front/trackID=1", None));
        assert_eq!(infos.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), text);
    }

    #[test]
    fn sloppy_ones_are_read_as_far_as_they_go() {
        assert_eq!(RtpInfo::parse(""), []);
        assert_eq!(RtpInfo::parse("seq=1;rtptime=2"), []);
        assert_eq!(RtpInfo::parse("url=;seq=1"), []);
        let infos = RtpInfo::parse("url=rtsp://a/?x=1,2&url=3;seq=70000;rtptime=-1 , url=\"b\";seq= 7");
        assert_eq!(infos.len(), 2);
        assert_eq!(
            (infos[0].url.as_str(), infos[0].sequence, infos[0].rtp_time),
            ("rtsp://a/?x=1,2&url=3", None, None)
        );
        assert_eq!((infos[1].url.as_str(), infos[1].sequence), ("b", Some(7)));
    }
}
