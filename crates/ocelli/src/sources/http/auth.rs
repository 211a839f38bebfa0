//! Answers to a camera that asks for a user and password: Digest (RFC 7616) where it is offered, else Basic (RFC 7617).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use digest_auth::{AuthContext, WwwAuthenticateHeader};
use http::HeaderValue;
use http::header::{HeaderMap, WWW_AUTHENTICATE};

use super::address::Credentials;

/// What a camera asked for last. A digest counts how often it was answered.
#[derive(Clone)]
pub(super) enum Challenge {
    Basic,
    Digest(Box<WwwAuthenticateHeader>),
}

impl Challenge {
    /// The best of what `headers` offer; `None` if nothing in there is known.
    pub(super) fn choose(headers: &HeaderMap) -> Option<Self> {
        let offers = || headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        // Several offers may share a header, apart by commas: each scheme's name stands before its own parameters.
        let digest = offers()
            .filter_map(|offer| find_scheme(offer, "digest"))
            .find_map(|parameters| WwwAuthenticateHeader::parse(parameters).ok())
            .map(|digest| Self::Digest(Box::new(digest)));
        digest.or_else(|| offers().any(|offer| find_scheme(offer, "basic").is_some()).then_some(Self::Basic))
    }

    /// Whether the camera only wants the same answer to a newer question.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Digest(digest) if digest.stale)
    }

    /// The Authorization header of a GET of `path`; `None` if it cannot be made.
    pub(super) fn answer(&mut self, credentials: &Credentials, path: &str) -> Option<HeaderValue> {
        let Credentials { user, password } = credentials;
        let text = match self {
            Self::Basic => format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
            Self::Digest(digest) => {
                digest.respond(&AuthContext::new(&user[..], &password[..], path)).ok()?.to_string()
            }
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// What follows the name of `scheme` in `offer`, if the name stands there as a word.
fn find_scheme<'a>(offer: &'a str, scheme: &str) -> Option<&'a str> {
    let lower = offer.to_ascii_lowercase();
    let at = lower.match_indices(scheme).map(|(at, _)| at).find(|at| {
        let before = lower[..*at].trim_end();
        let after = &lower[at + scheme.len()..];
        (before.is_empty() || before.ends_with(',')) && (after.is_empty() || after.starts_with([' ', ',']))
    })?;
    Some(offer[at + scheme.len()..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(offers: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(offer));
        }
        Challenge::choose(&headers)
    }

    #[test]
    fn digest_is_chosen_before_basic_wherever_it_stands() {
        const DIGEST: &str = "digest realm=\"basic, digest x\", nonce=\"n\", qop=\"auth\"";
        assert!(matches!(choose(&["Basic realm=\"x\""]), Some(Challenge::Basic)));
        assert!(matches!(choose(&["Basic realm=\"x\"", DIGEST]), Some(Challenge::Digest(_))));
        assert!(matches!(choose(&[DIGEST, "Basic"]), Some(Challenge::Digest(_))));
        assert!(matches!(choose(&["Digest nonsense", "BASIC"]), Some(Challenge::Basic)));
        assert!(choose(&["Negotiate"]).is_none());
        assert!(choose(&[]).is_none());
    }

    #[test]
    fn the_rfcs_own_digest_is_answered_as_there() {
        // RFC 2617 §3.5, without qop so that the answer does not depend on chance.
        let mut challenge =
            choose(&["Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
            opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""])
            .unwrap();
        let credentials = Credentials { user: "Mufasa".into(), password: "Circle Of Life".into() };
        let answer = challenge.answer(&credentials, "/dir/index.html").unwrap();
        assert!(
            answer.to_str().unwrap().contains("response=\"670fd8c2df070c60b045671b8b24ff02\""),
            "{answer:?}"
        );
        assert!(answer.is_sensitive());
        let basic = Challenge::Basic.answer(&credentials, "/").unwrap();
        assert_eq!(basic, "Basic TXVmYXNhOkNpcmNsZSBPZiBMaWZl");
    }
}
