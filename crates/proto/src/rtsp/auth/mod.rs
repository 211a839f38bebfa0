//! User and password in requests: Basic (RFC 7617) and Digest (RFC 2617, RFC 7616), as a server asks for and checks them.
//!
//! The caller decides who may do what, see [`Gate`]. A digest is good for one connection, whose nonce it must name; `auth-int` and
//! hashed user names are refused. Checked by code of our own: `digest_auth` cuts what it reads at offsets that are none where the
//! text is not ASCII, and panics.

mod digest;
mod login;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use digest::Algorithm;
use digest::{Question, parameters};
pub use login::{Challenge, Login, Unanswerable};

/// Decides who may do what.
pub trait Gate: Send + Sync {
    /// Whether this may be done. Asked for each DESCRIBE, ANNOUNCE and SETUP; what follows belongs to a session that only those
    /// who were let in know.
    fn check(&self, access: &Access<'_>) -> Verdict;
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// To send a stream, not to receive one.
    pub publish: bool,
    /// The stream's name, as [`Target::path`](super::Target::path).
    pub path: &'a str,
    /// Who says to be there, if somebody does.
    pub credentials: Option<&'a Credentials<'a>>,
}

/// What a [`Gate`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done.
    Allowed,
    /// Not without other credentials, or any.
    Unauthorized,
    /// It may not be done, whoever asks.
    Forbidden,
}

/// A way in which a client may show who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// The password is never sent.
    Digest(Algorithm),
    /// The password is sent as good as readable. Needed where passwords are known by their hashes only.
    Basic,
}

impl Scheme {
    /// The value of a WWW-Authenticate field. `stale`: the digest was made for another nonce; the password was not looked at.
    pub fn challenge(self, realm: &str, nonce: &str, stale: bool) -> String {
        let realm: String =
            realm.chars().filter(|letter| !letter.is_control() && !matches!(letter, '"' | '\\')).collect();
        match self {
            Self::Basic => format!("Basic realm=\"{realm}\""),
            Self::Digest(algorithm) => {
                // The first algorithm's name is left out: old clients do not know the parameter.
                let algorithm = match algorithm {
                    Algorithm::Md5 => String::new(),
                    other => format!(", algorithm={}", other.name()),
                };
                let stale = if stale { ", stale=true" } else { "" };
                format!("Digest realm=\"{realm}\", nonce=\"{nonce}\"{algorithm}{stale}")
            }
        }
    }
}

/// What an Authorization field shows. Says nothing of the password when it is printed.
pub struct Credentials<'a> {
    method: &'a str,
    shown: Shown,
}

enum Shown {
    Basic { user: String, password: String },
    Digest(Box<Digest>),
}

struct Digest {
    user: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    algorithm: Algorithm,
    session: bool,
    /// The client's nonce and count, where it says `qop=auth`.
    quality: Option<(String, String)>,
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user()).finish_non_exhaustive()
    }
}

impl<'a> Credentials<'a> {
    /// Reads the value of the Authorization field of a request with this method; `None` if it cannot be read.
    pub fn parse(value: &str, method: &'a str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ')?;
        let shown = if scheme.eq_ignore_ascii_case("Basic") {
            let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
            let (user, password) = decoded.split_once(':')?;
            Shown::Basic { user: user.to_owned(), password: password.to_owned() }
        } else if scheme.eq_ignore_ascii_case("Digest") {
            Shown::Digest(Box::new(Digest::parse(rest)?))
        } else {
            return None;
        };
        Some(Self { method, shown })
    }

    /// Who somebody says to be.
    pub fn user(&self) -> &str {
        match &self.shown {
            Shown::Basic { user, .. } => user,
            Shown::Digest(digest) => &digest.user,
        }
    }

    /// The password itself, where it was sent: for those who know a hash of it only.
    pub fn password(&self) -> Option<&str> {
        match &self.shown {
            Shown::Basic { password, .. } => Some(password),
            Shown::Digest(_) => None,
        }
    }

    /// Whether it was made with this password by this user. Takes as long wherever the difference is.
    pub fn matches(&self, user: &str, password: &str) -> bool {
        let right_user = same(self.user(), user);
        let right = match &self.shown {
            Shown::Basic { password: shown, .. } => same(shown, password),
            Shown::Digest(digest) => same(&digest.response, &digest.expected(self.method, password)),
        };
        right_user & right
    }

    /// Whether a digest answers the question that was asked: this nonce, and a URL that is `path` or lies above it (live555 gives
    /// the stream's URL when it asks for a track). Basic answers any.
    pub(super) fn answers(&self, realm: &str, nonce: &str, path: &str) -> Answers {
        let Shown::Digest(digest) = &self.shown else { return Answers::Yes };
        if digest.nonce != nonce || digest.realm != realm {
            return Answers::AnotherNonce;
        }
        let own = super::Target::parse(&digest.uri).path;
        let above = path
            .strip_prefix(&own[..])
            .is_some_and(|rest| rest.is_empty() || own.is_empty() || rest.starts_with('/'));
        if above { Answers::Yes } else { Answers::AnotherPath }
    }

    /// Whether they are of this kind.
    pub(super) fn is_of(&self, scheme: Scheme) -> bool {
        match (&self.shown, scheme) {
            (Shown::Basic { .. }, Scheme::Basic) => true,
            (Shown::Digest(digest), Scheme::Digest(algorithm)) => digest.algorithm == algorithm,
            _ => false,
        }
    }
}

/// Whether a digest answers what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    Yes,
    AnotherNonce,
    AnotherPath,
}

impl Digest {
    fn parse(text: &str) -> Option<Self> {
        let mut values: [Option<String>; 10] = Default::default();
        let names =
            ["username", "realm", "nonce", "uri", "response", "algorithm", "qop", "cnonce", "nc", "userhash"];
        for (name, value) in parameters(text) {
            if let Some(index) = names.iter().position(|known| known.eq_ignore_ascii_case(name)) {
                values[index].get_or_insert(value);
            }
        }
        let [user, realm, nonce, uri, response, algorithm, quality, client_nonce, count, hashed] = values;
        let algorithm = algorithm.as_deref().unwrap_or("MD5").to_ascii_uppercase();
        let (algorithm, session) = match algorithm.strip_suffix("-SESS") {
            Some(algorithm) => (algorithm, true),
            None => (&algorithm[..], false),
        };
        let algorithm =
            [Algorithm::Md5, Algorithm::Sha256].into_iter().find(|known| known.name() == algorithm)?;
        let quality = match quality {
            None if session => return None,
            None => None,
            Some(quality) if quality.eq_ignore_ascii_case("auth") => Some((client_nonce?, count?)),
            Some(_) => return None,
        };
        if hashed.is_some_and(|hashed| !hashed.eq_ignore_ascii_case("false")) {
            return None;
        }
        let response = response?.to_ascii_lowercase();
        Some(Self {
            user: user?,
            realm: realm?,
            nonce: nonce?,
            uri: uri?,
            response,
            algorithm,
            session,
            quality,
        })
    }

    /// The response of somebody who knows the password.
    fn expected(&self, method: &str, password: &str) -> String {
        let Self { user, realm, nonce, uri, algorithm, session, quality, .. } = self;
        let quality = quality.as_ref().map(|(client_nonce, count)| (&client_nonce[..], &count[..]));
        let (algorithm, session) = (*algorithm, *session);
        Question { algorithm, session, user, realm, nonce, uri, quality }.response(method, password)
    }
}

/// Whether both are the same, without telling by the time it takes how far they are.
fn same(left: &str, right: &str) -> bool {
    let difference =
        left.bytes().zip(right.bytes()).fold(0, |difference, (left, right)| difference | (left ^ right));
    std::hint::black_box(difference) == 0 && left.len() == right.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse<'a>(value: &str, method: &'a str) -> Credentials<'a> {
        Credentials::parse(value, method).expect("it can be read")
    }

    #[test]
    fn the_examples_of_the_rfcs_match() {
        let basic = parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "DESCRIBE");
        assert!(basic.matches("Aladdin", "open sesame") && !basic.matches("Aladdin", "open sesam"));
        assert_eq!((basic.user(), basic.password()), ("Aladdin", Some("open sesame")));
        let old = parse(
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", \
             response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
            "GET",
        );
        assert!(old.matches("Mufasa", "Circle Of Life") && !old.matches("Mufasa", "circle of life"));
        assert!(!old.matches("mufasa", "Circle Of Life"));
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let new = format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                 cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            assert!(parse(&new, "GET").matches("Mufasa", "Circle of Life"), "{algorithm}");
            assert!(!parse(&new, "SETUP").matches("Mufasa", "Circle of Life"), "another method");
        }
    }

    #[test]
    fn a_digest_is_for_one_nonce_and_what_lies_below_its_url() {
        let digest = parse(
            r#"Digest username="u", realm="cam", nonce="n", uri="rtsp://h/front/", response="""#,
            "SETUP",
        );
        assert_eq!(digest.answers("cam", "n", "front"), Answers::Yes);
        assert_eq!(digest.answers("cam", "n", "front/x"), Answers::Yes);
        assert_eq!(digest.answers("cam", "n", "frontdoor"), Answers::AnotherPath);
        assert_eq!(digest.answers("cam", "other", "front"), Answers::AnotherNonce);
        assert_eq!(digest.answers("other", "n", "front"), Answers::AnotherNonce);
    }

    #[test]
    fn what_is_not_spoken_is_refused() {
        let digest = "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"*\", response=\"0\"";
        assert!(Credentials::parse(digest, "PLAY").is_some());
        for more in [
            ", qop=auth-int",
            ", qop=auth",
            ", algorithm=SHA-512-256",
            ", algorithm=MD5-sess",
            ", userhash=true",
        ] {
            assert!(Credentials::parse(&format!("{digest}{more}"), "PLAY").is_none(), "{more}");
        }
        for value in
            ["", "Basic", "Basic %", "Basic YQ==", "Bearer x", "Digest ", "Digest username=\"u", "Basic /w=="]
        {
            assert!(Credentials::parse(value, "PLAY").is_none(), "{value}");
        }
        let escaped = Credentials::parse(&digest.replace("\"u\"", r#""a\"b""#), "PLAY").unwrap();
        assert_eq!(escaped.user(), "a\"b");
    }

    #[test]
    fn passwords_are_not_printed() {
        let basic = parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "DESCRIBE");
        assert_eq!(format!("{basic:?}"), "Credentials { user: \"Aladdin\", .. }");
    }

    #[test]
    fn challenges_are_what_clients_know() {
        assert_eq!(Scheme::Basic.challenge("a\"b", "n", false), "Basic realm=\"ab\"");
        let digest = Scheme::Digest(Algorithm::Md5).challenge("cam", "n", false);
        assert_eq!(digest, "Digest realm=\"cam\", nonce=\"n\"");
        let newer = Scheme::Digest(Algorithm::Sha256).challenge("cam", "n", true);
        assert_eq!(newer, "Digest realm=\"cam\", nonce=\"n\", algorithm=SHA-256, stale=true");
    }

    proptest! {
        #[test]
        fn nothing_panics(value in "((Digest|Basic) )?\\PC{0,60}", known in "(username|realm|é|nonce=\"|,){0,8}") {
            if let Some(credentials) = Credentials::parse(&format!("{value}{known}"), "PLAY") {
                credentials.matches("a", "b");
            }
        }
    }
}
