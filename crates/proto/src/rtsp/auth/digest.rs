//! What both sides of a digest have in common (RFC 7616 section 3.4): its hashes, and the parameters of its fields.

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// How a hash of a digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 2617; what all clients know.
    Md5,
    /// RFC 7616; what GStreamer and FFmpeg do not know.
    Sha256,
}

impl Algorithm {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    pub(super) fn hash(self, text: &str) -> String {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::with_capacity(64), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        };
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

/// All that a response is made of but the method and the password.
pub(super) struct Question<'a> {
    pub(super) algorithm: Algorithm,
    /// The password's hash is one for a session (`MD5-sess`).
    pub(super) session: bool,
    pub(super) user: &'a str,
    pub(super) realm: &'a str,
    pub(super) nonce: &'a str,
    pub(super) uri: &'a str,
    /// The client's nonce and count, where it says `qop=auth`.
    pub(super) quality: Option<(&'a str, &'a str)>,
}

impl Question<'_> {
    /// The response of somebody who knows the password (RFC 7616 3.4.1).
    pub(super) fn response(&self, method: &str, password: &str) -> String {
        let Self { algorithm, session, user, realm, nonce, uri, quality } = *self;
        let mut secret = algorithm.hash(&format!("{user}:{realm}:{password}"));
        if let (true, Some((client_nonce, _))) = (session, quality) {
            secret = algorithm.hash(&format!("{secret}:{nonce}:{client_nonce}"));
        }
        let request = algorithm.hash(&format!("{method}:{uri}"));
        match quality {
            Some((client_nonce, count)) => {
                algorithm.hash(&format!("{secret}:{nonce}:{count}:{client_nonce}:auth:{request}"))
            }
            None => algorithm.hash(&format!("{secret}:{nonce}:{request}")),
        }
    }
}

/// `name=value` and `name="value"`, apart by commas. Stops at what is neither.
pub(super) fn parameters(text: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (name, behind) = rest.trim_start_matches([' ', '\t', ',']).split_once('=')?;
        let behind = behind.trim_start();
        let value = match behind.strip_prefix('"') {
            None => {
                let (value, behind) = behind.split_once(',').unwrap_or((behind, ""));
                rest = behind;
                value.trim().to_owned()
            }
            Some(quoted) => {
                let (mut value, mut escaped) = (String::new(), false);
                let mut letters = quoted.chars();
                for letter in letters.by_ref() {
                    match letter {
                        _ if escaped => {
                            value.push(letter);
                            escaped = false;
                        }
                        '\\' => escaped = true,
                        '"' => break,
                        _ => value.push(letter),
                    }
                }
                rest = letters.as_str();
                value
            }
        };
        Some((name.trim(), value))
    })
}
