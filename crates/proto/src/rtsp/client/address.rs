//! The address of a stream, as people write it: where to connect, what to ask for, and with which password.
//!
//! ```text
//! rtsp://user:password@host:port/path?query
//! ```
//!
//! User and password may be percent-encoded, and need not be: an `@` in them is one where another follows, and so is a `/` where
//! what stands before it can be no port. They are in no other text that is given out, and in none that is sent.

use std::fmt::Write as _;

use crate::rtsp::auth::Login;
use crate::rtsp::target::decode;

const PORT: u16 = 554;
const TLS_PORT: u16 = 322;

/// Where a stream is.
///
/// ```
/// use ocelli_proto::rtsp::client::Address;
/// let address = Address::parse("rtsp://admin:p%40ss@[::1]:8554/front").unwrap();
/// assert_eq!((address.host(), address.port(), address.url()), ("::1", 8554, "rtsp://[::1]:8554/front"));
/// assert_eq!(address.login().unwrap().password, "p@ss");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    tls: bool,
    host: String,
    port: u16,
    login: Option<Login>,
    url: String,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme.
    #[error("expected rtsp://host/path or rtsps://host/path")]
    Scheme,
    /// No host.
    #[error("the address names no host")]
    Host,
    /// A port that is none.
    #[error("the port is no number of 1 to 65535")]
    Port,
}

impl Address {
    /// Reads an address. What stands behind `#` is left out; spaces are written as `%20`.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(AddressError::Scheme)?;
        let (scheme, tls, standard) = match &scheme.to_ascii_lowercase()[..] {
            "rtsp" => ("rtsp", false, PORT),
            "rtsps" => ("rtsps", true, TLS_PORT),
            _ => return Err(AddressError::Scheme),
        };
        let (login, rest) = split_login(rest);
        let rest = rest.split('#').next().unwrap_or("");
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or(standard);
        let mut url = format!("{scheme}://{authority}");
        for letter in rest.chars() {
            match letter {
                letter if letter == ' ' || letter.is_ascii_control() => {
                    let _ = write!(url, "%{:02X}", u32::from(letter));
                }
                letter => url.push(letter),
            }
        }
        Ok(Self { tls, host: host.to_owned(), port, login, url })
    }

    /// Whether the connection is to be encrypted (`rtsps`).
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// A name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that was given, or 554, with TLS 322.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who the address says to be.
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// The address without user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same place with another user and password.
    #[must_use]
    pub fn with_login(self, login: Option<Login>) -> Self {
        Self { login, ..self }
    }
}

/// User and password, and the rest from the host on.
fn split_login(text: &str) -> (Option<Login>, &str) {
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    let at = match text[..end].rfind('@') {
        Some(at) => Some(at),
        // The end of the authority may be within a password: then what stands before it is no host with a port.
        None => text[end..].find('@').map(|at| end + at).filter(|_| split_authority(&text[..end]).is_err()),
    };
    let Some(at) = at else { return (None, text) };
    let (user, password) = text[..at].split_once(':').unwrap_or((&text[..at], ""));
    let rest = &text[at + 1..];
    if user.is_empty() && password.is_empty() {
        return (None, rest);
    }
    (Some(Login { user: decode(user), password: decode(password) }), rest)
}

/// A host without brackets, and its port if it has one.
pub(super) fn split_authority(authority: &str) -> Result<(&str, Option<u16>), AddressError> {
    let (host, behind) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or(AddressError::Host)?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(AddressError::Host);
    }
    match behind.strip_prefix(':') {
        None if behind.is_empty() => Ok((host, None)),
        None => Err(AddressError::Host),
        // "host:" is what some write who mean the usual port.
        Some("") => Ok((host, None)),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => match port.parse() {
            Ok(0) | Err(_) => Err(AddressError::Port),
            Ok(port) => Ok((host, Some(port))),
        },
        Some(_) => Err(AddressError::Port),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn login(text: &str) -> (String, String, String) {
        let address = Address::parse(text).unwrap();
        let Login { user, password } = address.login().unwrap().clone();
        (user, password, address.url().to_owned())
    }

    #[test]
    fn addresses_are_taken_apart() {
        let plain = Address::parse("rtsp://camera.lan").unwrap();
        assert_eq!((plain.host(), plain.port(), plain.tls()), ("camera.lan", 554, false));
        assert_eq!((plain.login(), plain.url()), (None, "rtsp://camera.lan"));
        let tls = Address::parse(" RTSPS://h/a b?c=d#e").unwrap();
        assert_eq!((tls.port(), tls.tls(), tls.url()), (322, true, "rtsps://h/a%20b?c=d"));
        let six = Address::parse("rtsp://[fe80::1%25eth0]:8554/").unwrap();
        assert_eq!((six.host(), six.port()), ("fe80::1%25eth0", 8554));
        assert_eq!(Address::parse("rtsp://h:/x").unwrap().port(), 554);
    }

    #[test]
    fn passwords_may_have_any_letter() {
        let wanted = |user: &str, password: &str| {
            (user.to_owned(), password.to_owned(), "rtsp://h:8554/x?a=b@c".to_owned())
        };
        for (text, user, password) in [
            ("admin:secret", "admin", "secret"),
            ("admin:p@ss:word", "admin", "p@ss:word"),
            ("admin:p%40ss%3Aword%2F", "admin", "p@ss:word/"),
            ("admin:100%", "admin", "100%"),
            ("admin:pa/ss?#1", "admin", "pa/ss?#1"),
            ("admin", "admin", ""),
            ("admin:", "admin", ""),
            (":secret", "", "secret"),
        ] {
            assert_eq!(login(&format!("rtsp://{text}@h:8554/x?a=b@c")), wanted(user, password), "{text}");
        }
        let address = Address::parse("rtsp://h:8554/x?a=b@c").unwrap();
        assert_eq!((address.login(), address.url()), (None, "rtsp://h:8554/x?a=b@c"), "an @ behind the host");
        assert_eq!(Address::parse("rtsp://@h/x").unwrap().login(), None);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "h/x", "http://h/x", "rtsp:/h"] {
            assert_eq!(Address::parse(text), Err(AddressError::Scheme), "{text}");
        }
        for text in
            ["rtsp://", "rtsp:///x", "rtsp://u:p@/x", "rtsp://[::1/x", "rtsp://[::1]x/", "rtsp://::1/x"]
        {
            assert_eq!(Address::parse(text), Err(AddressError::Host), "{text}");
        }
        for text in ["rtsp://h:0/", "rtsp://h:70000/", "rtsp://h:x/", "rtsp://h:-1"] {
            assert_eq!(Address::parse(text), Err(AddressError::Port), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_passwords_stay_inside(user in "[a-z]{0,3}", password in "SECRET[:a-z@/?#%]{0,5}", rest in "h(:[0-9]{1,5})?(/[a-z]{0,3})?") {
            if let Ok(address) = Address::parse(&format!("rtsp://{user}:{password}@{rest}")) {
                let printed = format!("{address:?}");
                prop_assert!(!printed.contains("SECRET"), "{}", printed);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(rtsp://)?\\PC{0,40}") {
            let _ = Address::parse(&text);
        }
    }
}
