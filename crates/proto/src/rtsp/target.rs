//! What a request is about (RFC 2326 section 3.2): its URL as a path, a query and a track.
//!
//! Hosts are not compared: behind a forwarded port a server has any name. User and password are left out wherever a URL is given
//! out again.

/// The URL of a request, taken apart.
///
/// Clients put a track's name behind the whole URL (FFmpeg, live555) or behind its path (GStreamer) if it has a query; both are
/// understood.
///
/// ```
/// use ocelli_proto::rtsp::Target;
/// let target = Target::parse("rtsp://user:secret@host:8554/front/trackID=1?width=640");
/// assert_eq!((&target.path[..], target.query.as_deref(), target.track), ("front", Some("width=640"), Some(1)));
/// assert_eq!(target.base, "rtsp://host:8554/front");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What the URL names, without slashes around it; percent signs are resolved where they give text. Empty for `*`.
    pub path: String,
    /// What stands behind the question mark, as it is.
    pub query: Option<String>,
    /// The number in `trackID=`, if the URL ends in one.
    pub track: Option<u8>,
    /// The URL without user, password, query, track and final slash.
    pub base: String,
    /// The URL without user and password.
    pub url: String,
}

const TRACK: &str = "trackID=";

/// The value of the attribute `control` of the track with this number, for a description of the stream that [`Target::base`] and
/// [`Target::query`] name. Relative where it can be: clients differ in what they make of a relative one behind a query.
pub fn control(base: &str, query: Option<&str>, track: u8) -> String {
    match query {
        None => format!("{TRACK}{track}"),
        Some(query) => format!("{base}/{TRACK}{track}?{query}"),
    }
}

impl Target {
    /// Takes `text` apart: a URL, a path alone, or `*`.
    pub fn parse(text: &str) -> Self {
        let (scheme, rest) = match text.find("://") {
            Some(at) => text.split_at(at + 3),
            None => ("", text),
        };
        let (authority, rest) = match rest.find(['/', '?']) {
            _ if scheme.is_empty() => ("", rest),
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let url = format!("{scheme}{host}{rest}");
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let (query, behind_query) = query.map_or((None, None), |query| {
            let (query, track) = split_track(query.trim_end_matches('/'));
            (Some(query.trim_end_matches('/')), track)
        });
        let (path, behind_path) = split_track(path.trim_end_matches('/'));
        let path = path.trim_end_matches('/');
        let base = format!("{scheme}{host}{path}");
        let path = decode(path.trim_matches('/'));
        let path = if path == "*" { String::new() } else { path };
        let query = query.filter(|query| !query.is_empty()).map(str::to_owned);
        Self { path, query, track: behind_query.or(behind_path), base, url }
    }

    /// Which of `controls`, the tracks' own names in a description that the client gave, this URL names.
    pub fn find(&self, controls: &[String]) -> Option<usize> {
        let own = without_host(&self.url).trim_matches('/');
        let named = |control: &String| {
            let wanted = without_host(control).trim_matches('/');
            if control.contains("://") {
                own == wanted
            } else {
                !wanted.is_empty()
                    && own
                        .strip_suffix(wanted)
                        .is_some_and(|before| before.is_empty() || before.ends_with(['/', '?', '&']))
            }
        };
        controls.iter().position(named).or((controls.len() == 1).then_some(0))
    }
}

pub(super) fn without_host(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => url,
    }
}

/// What stands before `trackID=…` at the end, and its number.
fn split_track(text: &str) -> (&str, Option<u8>) {
    let split = || {
        let at = text.rfind(TRACK)?;
        let before = &text[..at];
        let digits = &text[at + TRACK.len()..];
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
        (before.is_empty() || before.ends_with('/')).then_some((before, Some(number)))
    };
    split().unwrap_or((text, None))
}

/// `%41` as `A`. All of it stays as it is if that would give no text, or control characters.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digit = |index: usize| behind.get(index).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    match String::from_utf8(bytes) {
        Ok(decoded) if !decoded.contains(char::is_control) => decoded,
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> (String, Option<String>, Option<u8>, String) {
        let Target { path, query, track, base, .. } = Target::parse(text);
        (path, query, track, base)
    }

    #[test]
    fn urls_are_taken_apart_however_clients_put_tracks_into_them() {
        for text in [
            "rtsp://h:8554/front/trackID=1",
            "rtsp://u:p@h:8554/front/trackID=1/",
            "rtsp://h:8554/front//trackID=1",
        ] {
            assert_eq!(parts(text), ("front".into(), None, Some(1), "rtsp://h:8554/front".into()), "{text}");
        }
        for text in [
            "rtsp://h/a/b/trackID=0?width=640&fps=5",
            "rtsp://h/a/b?width=640&fps=5/trackID=0",
            "rtsp://h/a/b/?width=640&fps=5/trackID=0",
        ] {
            let wanted = ("a/b".into(), Some("width=640&fps=5".into()), Some(0), "rtsp://h/a/b".into());
            assert_eq!(parts(text), wanted, "{text}");
        }
    }

    #[test]
    fn odd_urls_are_paths_too() {
        assert_eq!(parts("*"), (String::new(), None, None, "*".into()));
        assert_eq!(parts("/front"), ("front".into(), None, None, "/front".into()));
        assert_eq!(parts("rtsp://[::1]:8554"), (String::new(), None, None, "rtsp://[::1]:8554".into()));
        assert_eq!(
            parts("rtsp://h/fr%6Fnt%20door"),
            ("front door".into(), None, None, "rtsp://h/fr%6Fnt%20door".into())
        );
        assert_eq!(parts("rtsp://h/a%0d%0ab").0, "a%0d%0ab", "no line ends in names");
        assert_eq!(parts("rtsp://h/%ff%2").0, "%ff%2");
        for text in ["rtsp://h/front/trackID=", "rtsp://h/front/trackID=256", "rtsp://h/front/trackID=-1"] {
            assert_eq!(parts(text).2, None, "{text}");
        }
        assert_eq!(parts("rtsp://h/mytrackID=1").2, None);
    }

    #[test]
    fn controls_are_found_again_in_urls() {
        for (base, query) in [("rtsp://h/front", None), ("rtsp://h/front", Some("width=640"))] {
            let control = control(base, query, 3);
            let url = if control.contains("://") { control } else { format!("{base}/{control}") };
            let target = Target::parse(&url);
            assert_eq!((target.track, &target.base[..], target.query.as_deref()), (Some(3), base, query));
        }
    }

    #[test]
    fn a_publishers_own_names_of_tracks_are_found() {
        let find = |url: &str, controls: &[&str]| {
            Target::parse(url).find(&controls.iter().map(|control| (*control).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(find("rtsp://h/front/streamid=1", &["streamid=0", "streamid=1"]), Some(1), "FFmpeg");
        assert_eq!(find("rtsp://h/front/stream=0", &["stream=0", "stream=1"]), Some(0), "GStreamer");
        assert_eq!(find("rtsp://h/front?key=1/streamid=1", &["streamid=0", "streamid=1"]), Some(1));
        assert_eq!(find("rtsp://h/front/xstreamid=1", &["streamid=0", "streamid=1"]), None);
        assert_eq!(find("rtsp://other/front/1", &["rtsp://h/front/0", "rtsp://h/front/1"]), Some(1));
        assert_eq!(find("rtsp://h/front", &[""]), Some(0), "a single track without a name");
        assert_eq!(find("rtsp://h/front", &["", ""]), None);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_passwords_stay_inside(text in "(rtsp://)?[a-z:]{0,6}(SECRET@)?[a-z/?=%0-9é]{0,30}") {
            let target = Target::parse(&text);
            let host_before_at = text.starts_with("rtsp://") && text.find('@').is_some_and(|at| !text[7..at].contains(['/', '?']));
            let printed = format!("{target:?}");
            prop_assert!(!host_before_at || !printed.contains("SECRET"));
        }
    }
}
