//! The address given with `--url`: where to connect and what to speak there.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, bail};

use crate::protocol::Protocol;
use crate::protocol::http::MultipartStream;

/// A server's stream.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    speech: Speech,
    headers: Vec<String>,
}

/// A protocol is one variant here and one file in `protocol/`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Speech {
    Http { host: String, path: String },
    BareParts,
}

impl Target {
    /// `http://host[:port]/path?query`, or `tcp://host:port` for parts without HTTP.
    pub(crate) fn parse(url: &str, headers: &[String]) -> anyhow::Result<Self> {
        let Some((scheme, rest)) = url.split_once("://") else {
            bail!("{url:?} is no address: expected http://host:port/path or tcp://host:port");
        };
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let speech = match scheme {
            "http" => Speech::Http { host: host.to_owned(), path: path.to_owned() },
            "tcp" => Speech::BareParts,
            other => bail!("{other:?} is not spoken here: expected http or tcp"),
        };
        let with_port = if has_port(host) { host.to_owned() } else { format!("{host}:80") };
        let address = with_port
            .to_socket_addrs()
            .with_context(|| format!("cannot find {host:?}"))?
            .next()
            .with_context(|| format!("{host:?} has no address"))?;
        Ok(Self { address, speech, headers: headers.to_vec() })
    }

    /// A viewer that has said nothing yet.
    pub(crate) fn protocol(&self) -> Box<dyn Protocol> {
        match &self.speech {
            Speech::Http { host, path } => Box::new(MultipartStream::http(host, path, &self.headers)),
            Speech::BareParts => Box::new(MultipartStream::bare()),
        }
    }

    /// The server sends without being asked.
    pub(crate) fn server_speaks_first(&self) -> bool {
        self.speech == Speech::BareParts
    }

    /// Connections to open at once, from each thread: below the listen backlog of the servers of that kind. GLib's,
    /// which GStreamer uses, is 5 to 10; what does not fit waits seconds for a handshake to be repeated.
    pub(crate) fn opening_at_once(&self) -> usize {
        match self.speech {
            Speech::Http { .. } => 32,
            Speech::BareParts => 4,
        }
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let target = Target::parse("http://127.0.0.1:8080/cameras/front/stream?fps=5", &[]).unwrap();
        assert_eq!(target.address, "127.0.0.1:8080".parse().unwrap());
        let path = "/cameras/front/stream?fps=5".to_owned();
        assert_eq!(target.speech, Speech::Http { host: "127.0.0.1:8080".to_owned(), path });
        assert_eq!(Target::parse("http://[::1]", &[]).unwrap().address, "[::1]:80".parse().unwrap());
        assert_eq!(Target::parse("tcp://127.0.0.1:9", &[]).unwrap().speech, Speech::BareParts);
        for wrong in ["127.0.0.1:80", "ftp://127.0.0.1/", "tcp://"] {
            assert!(Target::parse(wrong, &[]).is_err(), "{wrong}");
        }
    }
}
