//! Where a camera is asked for its pictures: `//user:password@host:port/path?query`.

use std::fmt;

use http::uri::PathAndQuery;

use crate::sources::SpecError;
use crate::sources::url::percent_decode;

/// A host, a port, and what to ask for there. Says nothing of the query when displayed: cameras take passwords in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// A name or an IP address; IPv6 without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: PathAndQuery,
}

/// The user and password of a camera. Has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl Address {
    /// Reads the rest of a source's text. The user and password are percent-decoded.
    ///
    /// # Errors
    /// There is no host, the port is no number from 1 to 65535, or the path holds what no path may.
    pub(super) fn parse(rest: &str) -> Result<(Self, Option<Credentials>), SpecError> {
        let bad = |what: &str| SpecError::new(format!("an http: source {what}: http://host:port/path"));
        let text = rest.strip_prefix("//").ok_or_else(|| bad("begins with two slashes"))?;
        let end = text.find(['/', '?']).unwrap_or(text.len());
        let (authority, path) = text.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = split_port(host).ok_or_else(|| bad("has a port from 1 to 65535"))?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'%');
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(bad("names a host"));
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let path = path.parse().map_err(|_| {
            bad("has a path of letters, digits and marks, anything else as `%` and two digits")
        })?;
        let credentials = user
            .map(|user| {
                let (user, password) = user.split_once(':').unwrap_or((user, ""));
                // The error of a broken percent-encoding would show the password.
                let decode = |text| percent_decode(text).map_err(|_| bad("has `%` before two digits only"));
                Ok(Credentials { user: decode(user)?, password: decode(password)? })
            })
            .transpose()?;
        Ok((Self { host: host.to_owned(), port, path }, credentials))
    }

    /// Where `location`, a redirect from here, leads; without the user and password that it may name.
    ///
    /// # Errors
    /// It is no http: address.
    pub(super) fn follow(&self, location: &str) -> Result<Self, SpecError> {
        let location = location.split('#').next().unwrap_or_default().trim();
        let lower = location.get(..8).unwrap_or(location).to_ascii_lowercase();
        if lower.starts_with("https:") {
            return Err(SpecError::new("https: cameras are not supported yet"));
        }
        if lower.starts_with("http:") {
            return Ok(Self::parse(&location[5..])?.0);
        }
        if location.starts_with("//") {
            return Ok(Self::parse(location)?.0);
        }
        let path = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{}{location}", self.path.path())
        } else {
            let folder = self.path.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{location}")
        };
        let path = path.parse().map_err(|_| SpecError::new("the camera sent us on to no address"))?;
        Ok(Self { path, ..self.clone() })
    }

    /// Whether `other` is on the same host and port.
    pub(super) fn same_place(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// As the Host header has it.
    pub(super) fn host_header(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", self.host, self.port)
    }
}

fn split_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    match port {
        None | Some("") => Some((host, 80)),
        Some(port) => Some((host, port.parse().ok().filter(|port| *port > 0)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (String, Option<(String, String)>) {
        let (address, credentials) = Address::parse(text).unwrap();
        (format!("{address} {}", address.path), credentials.map(|c| (c.user, c.password)))
    }

    #[test]
    fn addresses_are_taken_apart() {
        assert_eq!(parse("//10.0.0.7"), ("10.0.0.7 port 80 /".into(), None));
        assert_eq!(parse("//cam.local:8080/a%20b?x=1"), ("cam.local port 8080 /a%20b?x=1".into(), None));
        assert_eq!(parse("//[fe80::1]:81?x"), ("fe80::1 port 81 /?x".into(), None));
        let user = Some(("me".into(), "p@ss:w/rd".into()));
        assert_eq!(parse("//me:p@ss:w%2Frd@h/x"), ("h port 80 /x".into(), user));
        for bad in ["10.0.0.7", "//", "//h:0/", "//h:70000", "//h/ä b", "//[::1", "//u:%zz@h/"] {
            let error = Address::parse(bad).err().unwrap().to_string();
            assert!(error.starts_with("an http: source") && !error.contains("zz"), "{bad}: {error}");
        }
    }

    #[test]
    fn redirects_are_followed_from_where_they_stand() {
        let (here, _) = Address::parse("//h:81/a/b?c").unwrap();
        let follow = |to| here.follow(to).map(|there| format!("{there} {}", there.path));
        assert_eq!(follow("/x?y#z").unwrap(), "h port 81 /x?y");
        assert_eq!(follow("x").unwrap(), "h port 81 /a/x");
        assert_eq!(follow("?x").unwrap(), "h port 81 /a/b?x");
        assert_eq!(follow("HTTP://u:p@other/x").unwrap(), "other port 80 /x");
        assert_eq!(follow("//other:82").unwrap(), "other port 82 /");
        assert!(follow("https://h/").unwrap_err().to_string().contains("not supported"));
    }
}
