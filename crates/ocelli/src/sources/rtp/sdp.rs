//! `sdp:` — the same as `rtp:`, told by a session description (RFC 8866), as a sender's operator has it in a file.
//!
//! The file is read when the camera is started, so a new one is taken at the next try. Of its media the first video is taken; the
//! address that it names is this machine's, or a group's. Refuses codecs that are not received, and port 0.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ocelli_hub::{Source, SourceError};
use ocelli_media::Codec;
use ocelli_proto::rtp::reorder::Limits;
use ocelli_proto::sdp::{self, Description, Host, Kind, Medium, Rtcp, SourceFilter};

use super::RtpSource;
use super::settings::{self, Settings};
use crate::sources::{SourceKind, SourceOptions, SourceUrl, SpecError};
use crate::udp::{Interface, Listen};

/// Why a file cannot be read that is not there.
const MISSING: &str = "there is no such file";

/// The kind's line in the registry.
pub(crate) const KIND: SourceKind = SourceKind {
    scheme: "sdp",
    about: "a camera that sends by RTP as a session description says: sdp:camera.sdp",
    build,
};

fn build(url: &SourceUrl, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    Ok(Box::new(RtpSource::new(super::Told::ByFile(File::parse(url)?), options)))
}

/// A description's file, and what the camera's owner says beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    path: PathBuf,
    from: Option<IpAddr>,
    interface: Option<Interface>,
    limits: Limits,
    rtcp: bool,
}

impl File {
    fn parse(url: &SourceUrl) -> Result<Self, SpecError> {
        url.only(&["interface", "from", "wait", "packets", "rtcp"])?;
        if url.path().is_empty() {
            return Err(SpecError::new("`sdp:` needs the name of a file: sdp:camera.sdp"));
        }
        Ok(Self {
            path: PathBuf::from(url.path()),
            from: settings::from(url)?,
            interface: url.text("interface").map(Interface::from),
            limits: settings::limits(url)?,
            rtcp: url.flag("rtcp")?.unwrap_or(true),
        })
    }

    /// Reads the file.
    pub(super) async fn read(&self) -> Result<Settings, SourceError> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let bytes = read.unwrap_or_else(|error| Err(error.to_string()));
        let settings = bytes.and_then(|bytes| self.settings(&bytes));
        settings.map_err(|why| {
            let cause = format!("{}: {why}", self.path.display());
            // Its sender may be about to write it.
            if why == MISSING { SourceError::lost(cause) } else { SourceError::refused(cause) }
        })
    }

    fn settings(&self, bytes: &[u8]) -> Result<Settings, String> {
        let description = Description::parse(bytes).map_err(|error| error.to_string())?;
        let medium = description.media.iter().find(|medium| medium.kind == Kind::Video);
        let medium = medium.ok_or("the description has no video")?;
        let (payload_type, codec) = medium.codec().map_err(|error| error.to_string())?;
        let (codec, parameter_sets) = match codec {
            sdp::Codec::Jpeg => (Codec::Jpeg, Vec::new()),
            sdp::Codec::H264 { parameter_sets, .. } => (Codec::H264, parameter_sets),
            sdp::Codec::H265 { parameter_sets } => (Codec::H265, parameter_sets),
            other => return Err(format!("{other:?} is no video")),
        };
        if medium.port == 0 {
            return Err(
                "the description leaves the port open: expected one to listen on in `m=video`".to_owned()
            );
        }
        let source = self.from.or_else(|| only_source(medium));
        Ok(Settings {
            listen: Listen {
                address: SocketAddr::new(address(medium), medium.port),
                rtcp_port: match medium.rtcp {
                    Rtcp::At { port, .. } => Some(port),
                    Rtcp::NextPort | Rtcp::SamePort => None,
                },
                interface: self.interface.clone(),
                source,
            },
            from: source,
            codec,
            payload_type,
            limits: self.limits,
            rtcp: self.rtcp,
            rtcp_on_rtp: medium.rtcp == Rtcp::SamePort,
            parameter_sets: parameter_sets.into_iter().filter(|unit: &Bytes| !unit.is_empty()).collect(),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => MISSING.to_owned(),
        _ => error.to_string(),
    };
    // A pipe would keep this thread until somebody writes to it.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more than may be says that there are too many.
    file.take(sdp::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// A group and loopback as they stand. Anything else is this machine's address as its sender sees it, and a router may have given
/// it another: then all of its family are listened to.
fn address(medium: &Medium) -> IpAddr {
    match medium.connection.as_ref().map(|connection| &connection.host) {
        Some(Host::Address(address)) if address.is_multicast() || address.is_loopback() => *address,
        Some(Host::Address(IpAddr::V6(_))) => Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// The one sender that a source filter names (RFC 4570).
fn only_source(medium: &Medium) -> Option<IpAddr> {
    match medium.source_filter.as_ref()? {
        SourceFilter { include: true, sources } => match sources[..] {
            [Host::Address(address)] => Some(address),
            _ => None,
        },
        SourceFilter { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, description: &str) -> Result<Settings, String> {
        File::parse(&SourceUrl::parse(url).unwrap()).unwrap().settings(description.as_bytes())
    }

    #[test]
    fn ffmpegs_description_tells_all() {
        let description = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 192.168.1.5\r\nt=0 0\r\n\
            m=audio 5002 RTP/AVP 0\r\nm=video 5000 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n\
            a=fmtp:97 packetization-mode=1; sprop-parameter-sets=Z0LAHtkDxWhAAAADAEAAAAwDxYuS,aMuMsg==; profile-level-id=42C01E\r\n";
        let told = settings("sdp:x.sdp?wait=7&rtcp=0", description).unwrap();
        assert_eq!(told.listen.address, "0.0.0.0:5000".parse().unwrap());
        assert_eq!(
            (told.codec, told.payload_type, told.rtcp, told.rtcp_on_rtp),
            (Codec::H264, 97, false, false)
        );
        assert_eq!((told.limits.wait.as_millis(), told.parameter_sets.len()), (7, 2));
        assert_eq!(told.parameter_sets[0][0], 0x67);
    }

    #[test]
    fn groups_sources_and_ports_of_rtcp_are_heeded() {
        let description = "v=0\nc=IN IP4 239.1.2.3/15\nm=video 6000 RTP/AVP 26\na=rtcp:7001\n\
            a=source-filter: incl IN IP4 239.1.2.3 10.0.0.7\n";
        let told = settings("sdp:x.sdp", description).unwrap();
        let from = Some("10.0.0.7".parse().unwrap());
        assert_eq!((told.listen.address, told.listen.source), ("239.1.2.3:6000".parse().unwrap(), from));
        assert_eq!((told.listen.rtcp_port, told.from, told.codec), (Some(7001), from, Codec::Jpeg));
        let mux = settings("sdp:x.sdp", "c=IN IP6 ::1\nm=video 6000 RTP/AVP 26\na=rtcp-mux\n").unwrap();
        assert_eq!((mux.listen.address, mux.rtcp_on_rtp), ("[::1]:6000".parse().unwrap(), true));
    }

    #[test]
    fn what_cannot_be_received_is_refused_by_name() {
        let error = |description: &str| settings("sdp:x.sdp", description).unwrap_err();
        assert_eq!(error("m=audio 5000 RTP/AVP 0\n"), "the description has no video");
        assert!(error("m=video 5000 RTP/AVP 96\na=rtpmap:96 VP8/90000\n").contains("VP8"));
        assert!(error("m=video 0 RTP/AVP 26\n").contains("leaves the port open"));
        assert!(error("hello").contains("no session description"));
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused_at_once() {
        let folder = std::env::temp_dir().join(format!("ocelli-sdp-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let pipe = folder.join("pipe.sdp");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [&folder, &pipe] {
            let file = File::parse(&SourceUrl::parse(&format!("sdp:{}", path.display())).unwrap()).unwrap();
            let error = file.read().await.unwrap_err();
            assert_eq!(error, SourceError::refused(format!("{}: it is no file", path.display())));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_missing_file_is_soon_looked_for_again() {
        let file = File::parse(&SourceUrl::parse("sdp:/no/such.sdp").unwrap()).unwrap();
        let error = file.read().await.unwrap_err();
        assert_eq!(error, SourceError::lost("/no/such.sdp: there is no such file"));
    }
}
