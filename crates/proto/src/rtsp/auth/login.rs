//! User and password, as a client answers for them: the best of a server's challenges, and the Authorization field.
//!
//! Cameras write the name of the algorithm as they like, or not at all; it is given back as it was written. Refused: `auth-int`
//! alone, algorithms but MD5 and SHA-256, schemes but Basic and Digest.

use std::fmt;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::digest::{Question, parameters};
use super::{Algorithm, Scheme};

/// Who a client says to be. Says nothing of the password when it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// A name.
    pub user: String,
    /// A secret.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A server's question for user and password: one value of a WWW-Authenticate field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    scheme: Scheme,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// The algorithm's name, as it was written.
    named: Option<String>,
    session: bool,
    /// `qop=auth` is offered.
    quality: bool,
    stale: bool,
}

/// No challenge can be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unanswerable(
    /// The schemes that are asked for, or why there is none.
    pub String,
);

impl Challenge {
    /// The best that the values of all WWW-Authenticate fields ask for: a digest rather than the password, SHA-256 rather than MD5.
    ///
    /// # Errors
    /// None of them can be answered.
    pub fn best<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Self, Unanswerable> {
        let (mut best, mut seen) = (None::<Self>, Vec::new());
        for (scheme, parameters) in fields.flat_map(split) {
            let challenge = Self::read(&scheme, &parameters);
            seen.push(scheme);
            if let Some(challenge) = challenge
                && best.as_ref().is_none_or(|best| best.strength() < challenge.strength())
            {
                best = Some(challenge);
            }
        }
        best.ok_or_else(|| Unanswerable(seen.join(", ")))
    }

    fn read(scheme: &str, parameters: &[(&str, String)]) -> Option<Self> {
        let value = |name: &str| {
            parameters
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        let realm = value("realm").unwrap_or_default();
        let basic = Self {
            scheme: Scheme::Basic,
            realm,
            nonce: String::new(),
            opaque: None,
            named: None,
            session: false,
            quality: false,
            stale: false,
        };
        if scheme.eq_ignore_ascii_case("Basic") {
            return Some(basic);
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let named = value("algorithm").filter(|name| !name.is_empty());
        let (algorithm, session) = named.as_deref().map_or(Some((Algorithm::Md5, false)), algorithm)?;
        let quality = match value("qop").filter(|offered| !offered.trim().is_empty()) {
            None => false,
            Some(offered) => {
                let is_plain = offered.split([',', ' ']).any(|word| word.eq_ignore_ascii_case("auth"));
                if !is_plain {
                    return None;
                }
                true
            }
        };
        let stale = value("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        let (scheme, nonce, opaque) = (Scheme::Digest(algorithm), value("nonce")?, value("opaque"));
        Some(Self { scheme, nonce, opaque, named, session, quality, stale, ..basic })
    }

    fn strength(&self) -> u8 {
        match self.scheme {
            Scheme::Basic => 0,
            Scheme::Digest(Algorithm::Md5) => 1,
            Scheme::Digest(Algorithm::Sha256) => 2,
        }
    }

    /// Whether the password was right and only the nonce too old.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether both ask the same, so that the same answer would be wrong again.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.nonce == other.nonce && self.realm == other.realm
    }

    /// The value of an Authorization field for a request with this method and URL. `random` makes the client's nonce, `count` says
    /// how often this challenge was answered, this time included.
    pub fn answer(&self, login: &Login, method: &str, uri: &str, random: u64, count: u32) -> String {
        let Login { user, password } = login;
        let Scheme::Digest(algorithm) = self.scheme else {
            return format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        };
        let (client_nonce, count) = (format!("{random:016x}"), format!("{count:08x}"));
        // A hash for the session needs the client's nonce, whether there is a qop or not; then there must be one.
        let quality = (self.quality || self.session).then_some((&client_nonce[..], &count[..]));
        let Self { realm, nonce, session, .. } = self;
        let question = Question { algorithm, session: *session, user, realm, nonce, uri, quality };
        let mut field = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{}\"",
            escaped(user),
            escaped(realm),
            escaped(nonce),
            question.response(method, password),
        );
        if let Some(named) = &self.named {
            let _ = write!(field, ", algorithm={named}");
        }
        if let Some(opaque) = &self.opaque {
            let _ = write!(field, ", opaque=\"{}\"", escaped(opaque));
        }
        if quality.is_some() {
            let _ = write!(field, ", qop=auth, nc={count}, cnonce=\"{client_nonce}\"");
        }
        field
    }
}

/// The algorithm with this name, however it is spelled, and whether its hash is one for a session.
fn algorithm(name: &str) -> Option<(Algorithm, bool)> {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let (name, session) = name.strip_suffix("SESS").map_or((&name[..], false), |name| (name, true));
    match name {
        "MD5" => Some((Algorithm::Md5, session)),
        "SHA256" => Some((Algorithm::Sha256, session)),
        _ => None,
    }
}

/// The challenges of one field, each with its parameters: `Digest realm="a", nonce="b", Basic realm="a"`.
fn split(field: &str) -> Vec<(String, Vec<(&str, String)>)> {
    let mut challenges: Vec<(String, Vec<_>)> = Vec::new();
    for (name, value) in parameters(field) {
        // A scheme stands before its first parameter's name; one without parameters before that.
        let name = name.rsplit(',').next().unwrap_or(name).trim();
        match name.rsplit_once(char::is_whitespace) {
            Some((scheme, name)) => challenges.push((scheme.trim().to_owned(), vec![(name, value)])),
            None => match challenges.last_mut() {
                Some((_, parameters)) => parameters.push((name, value)),
                None => challenges.push((String::new(), vec![(name, value)])),
            },
        }
    }
    if challenges.is_empty() && !field.trim().is_empty() {
        challenges.push((field.trim().to_owned(), Vec::new()));
    }
    challenges
}

/// A text to stand between quotation marks.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, letter| {
        if matches!(letter, '"' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
        escaped
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Credentials;
    use super::*;

    fn login() -> Login {
        Login { user: "Mufasa".to_owned(), password: "Circle of Life".to_owned() }
    }

    fn best(fields: &[&str]) -> Challenge {
        Challenge::best(fields.iter().copied()).expect("it can be answered")
    }

    #[test]
    fn the_best_of_several_challenges_is_answered() {
        let fields = [
            "Basic realm=\"cam\"",
            "Digest realm=\"cam\", nonce=\"a\"",
            "Digest realm=\"cam\", nonce=\"b\", algorithm=SHA-256, qop=\"auth,auth-int\"",
            "Digest realm=\"cam\", nonce=\"c\", algorithm=SHA-512-256",
            "Bearer realm=\"cam\"",
        ];
        assert_eq!(best(&fields).nonce, "b");
        assert_eq!(best(&fields[..2]).nonce, "a");
        assert_eq!(best(&fields[..1]).scheme, Scheme::Basic);
        let one = fields[..3].join(", ");
        assert_eq!(best(&[&one]).nonce, "b", "several in one field");
        let none = Challenge::best(fields[3..].iter().copied()).unwrap_err();
        assert_eq!(none.to_string(), "Digest, Bearer");
        assert_eq!(Challenge::best(std::iter::empty()).unwrap_err().to_string(), "");
        assert_eq!(best(&["Negotiate, Basic realm=\"x\""]).scheme, Scheme::Basic);
        assert_eq!(best(&["Basic"]).scheme, Scheme::Basic);
    }

    #[test]
    fn algorithms_are_known_however_they_are_spelled() {
        for (name, expected) in [
            ("MD5", Some((Algorithm::Md5, false))),
            ("md5", Some((Algorithm::Md5, false))),
            ("MD5-sess", Some((Algorithm::Md5, true))),
            ("SHA-256", Some((Algorithm::Sha256, false))),
            ("SHA256", Some((Algorithm::Sha256, false))),
            ("sha-256-SESS", Some((Algorithm::Sha256, true))),
            ("SHA-512-256", None),
        ] {
            assert_eq!(algorithm(name), expected, "{name}");
        }
        let odd = best(&["Digest realm=\"r\",nonce=\"n\" , Algorithm=\"md5\",stale=FALSE"]);
        assert!(odd.answer(&login(), "PLAY", "*", 0, 1).ends_with(", algorithm=md5"));
        assert!(!odd.is_stale() && best(&["digest nonce=n, stale=\"TRUE\""]).is_stale());
    }

    #[test]
    fn the_servers_side_believes_each_answer() {
        for challenge in [
            "Basic realm=\"cam\"",
            "Digest realm=\"cam\", nonce=\"n\"",
            "Digest realm=\"c \\\"am\", nonce=\"n\", algorithm=MD5",
            "Digest realm=\"cam\", nonce=\"n\", algorithm=MD5-sess, qop=\"auth\"",
            "Digest realm=\"cam\", nonce=\"n\", algorithm=SHA-256, qop=\"auth-int, auth\", opaque=\"o\"",
        ] {
            let answer = best(&[challenge]).answer(&login(), "SETUP", "rtsp://h/front", 7, 1);
            let credentials = Credentials::parse(&answer, "SETUP").expect("it can be read");
            assert!(credentials.matches("Mufasa", "Circle of Life"), "{answer}");
            assert!(!credentials.matches("Mufasa", "Circle of Lies"), "{answer}");
        }
    }

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let challenge =
            best(&["Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\""]);
        let login = Login { user: "Mufasa".to_owned(), password: "Circle Of Life".to_owned() };
        let answer = challenge.answer(&login, "GET", "/dir/index.html", 0, 1);
        assert!(answer.ends_with("response=\"670fd8c2df070c60b045671b8b24ff02\""), "{answer}");
        assert_eq!(format!("{login:?}"), "Login { user: \"Mufasa\", .. }");
    }

    proptest! {
        #[test]
        fn nothing_panics(value in "((Digest|Basic) )?\\PC{0,60}", known in "(Digest |nonce=\"|realm=é|qop=|,|algorithm=){0,8}") {
            if let Ok(challenge) = Challenge::best(std::iter::once(&format!("{value}{known}")[..])) {
                challenge.answer(&login(), "PLAY", "*", 1, 1);
            }
        }
    }
}
