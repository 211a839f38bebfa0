//! The text that names a source: `scheme:rest?key=value&key=value`.
//!
//! `exec:` takes its rest as it stands (a command line may hold `?` and `&`). The query of `http:`, `rtsp:` and `ffmpeg:` belongs to
//! the camera, so its rest ends at the first `#` and the parameters stand behind that; those of `ffmpeg:` may be parted by `#`, too.
//! Every other scheme's rest ends at the first `?`. Values are percent-decoded, the rest is not.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// What names have in them by which cameras are told a password.
pub const PASSWORD_NAMES: [&str; 7] = ["pass", "pwd", "psw", "token", "secret", "auth", "key"];

/// Kinds of sources that are to come.
const PLANNED: [(&str, &str); 1] = [("whip", "WebRTC publishers")];

/// A source's text, split. Its `Debug` hides user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    scheme: String,
    rest: String,
    parameters: Vec<(String, String)>,
}

/// What is wrong with the text that names a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SpecError {
    message: String,
}

impl SpecError {
    /// Something else that is wrong, in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// A scheme that no kind of source has.
    pub fn unknown_scheme<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        if let Some((_, what)) = PLANNED.iter().find(|(scheme, _)| *scheme == found) {
            let hint = "until then a program can read such a camera: see examples/ffmpeg.toml";
            return Self::new(format!("`{found}:` ({what}) is not there yet; {hint}"));
        }
        let nearest = known
            .iter()
            .map(|k| (strsim::damerau_levenshtein(found, k), k))
            .min()
            .filter(|(distance, _)| *distance <= 2)
            .map(|(_, k)| format!("; did you mean `{k}:`?"))
            .unwrap_or_default();
        Self::new(format!("no kind of source is called `{found}:` (known: {}){nearest}", known.join(", ")))
    }
}

impl SourceUrl {
    /// Splits `text`.
    ///
    /// # Errors
    /// There is no scheme, or a parameter's percent-encoding is broken.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let (scheme, rest) = text.split_once(':').ok_or_else(|| {
            let hint = match text.strip_prefix("/dev/") {
                Some(_) => format!("did you mean `v4l2://{text}`?"),
                None if text.starts_with(['/', '.']) => format!("did you mean `file:{text}`?"),
                None => "expected one such as `exec:` or `v4l2:`".to_owned(),
            };
            SpecError::new(format!("`{}` names no kind of source; {hint}", hide_user(text)))
        })?;
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-') {
            return Err(SpecError::new(format!(
                "`{}` does not begin with a kind of source",
                hide_user(text)
            )));
        }
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "exec" {
            return Ok(Self { scheme, rest: rest.to_owned(), parameters: Vec::new() });
        }
        let parameters_at = match &scheme[..] {
            "http" | "https" | "rtsp" | "rtsps" | "ffmpeg" => find_fragment(rest),
            _ => rest.find('?'),
        };
        let (rest, query) = parameters_at.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]));
        let parameters = query
            .split(|c| c == '&' || c == '#' && scheme == "ffmpeg")
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, "1"));
                Ok((percent_decode(key)?, percent_decode(value)?))
            })
            .collect::<Result<_, SpecError>>()?;
        Ok(Self { scheme, rest: rest.to_owned(), parameters })
    }

    /// What stands before the first colon, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What stands between the scheme's colon and the parameters, as written. May hold a password.
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// The rest as a path of the file system: `v4l2:///dev/video0` and `file:clip.mjpeg` alike.
    pub fn path(&self) -> &str {
        self.rest.strip_prefix("//").unwrap_or(&self.rest)
    }

    /// The parameters in order, decoded.
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// The last value of `key`, as a `T` within `range`.
    ///
    /// # Errors
    /// The value is no `T`, or is outside `range`.
    pub fn number<T>(&self, key: &str, range: RangeInclusive<T>) -> Result<Option<T>, SpecError>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let Some((_, text)) = self.parameters.iter().rev().find(|(k, _)| k == key) else { return Ok(None) };
        match text.parse::<T>() {
            Ok(value) if range.contains(&value) => Ok(Some(value)),
            _ => Err(SpecError::new(format!("{key}={text}: expected {} to {}", range.start(), range.end()))),
        }
    }

    /// The last value of `key` as written.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// `key` as yes or no: `1`, `true`, `yes`, `on` and the bare key, or their opposites.
    ///
    /// # Errors
    /// The value is neither.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, SpecError> {
        match self.text(key) {
            None => Ok(None),
            Some("1" | "true" | "yes" | "on") => Ok(Some(true)),
            Some("0" | "false" | "no" | "off") => Ok(Some(false)),
            Some(other) => Err(SpecError::new(format!("{key}={other}: expected 1 or 0"))),
        }
    }

    /// Refuses parameters that are not in `known`, naming the nearest one.
    ///
    /// # Errors
    /// A parameter is unknown.
    pub fn only(&self, known: &[&str]) -> Result<(), SpecError> {
        for (key, _) in &self.parameters {
            if !known.contains(&key.as_str()) {
                let nearest = known.iter().map(|k| (strsim::damerau_levenshtein(key, k), k)).min();
                let hint = match nearest {
                    Some((distance, k)) if distance <= 2 => format!("; did you mean `{k}`?"),
                    _ => format!(" (known: {})", known.join(", ")),
                };
                return Err(SpecError::new(format!("`{}:` has no parameter `{key}`{hint}", self.scheme)));
            }
        }
        Ok(())
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, hide_user(&self.rest))
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the fragment's `#` stands in `//user:password@host/path?query#fragment`, also behind another scheme; one in the password is
/// none.
fn find_fragment(rest: &str) -> Option<usize> {
    let start = if rest.starts_with("//") { 2 } else { rest.find("://").map_or(0, |at| at + 3) };
    let authority = &rest[start..];
    let authority = &authority[..authority.find(['/', '?']).unwrap_or(authority.len())];
    let user_end = authority.rfind('@').map_or(0, |at| start + at);
    rest[user_end..].find('#').map(|at| user_end + at)
}

/// `text` without what stands between `//` and the last `@` of the authority, wherever in it such an address stands.
///
/// A password is to be percent-encoded, and is hidden all the same if it is not: where what follows the first colon is
/// no port, all up to the last `@` of the word counts as user and password. Cameras take passwords in the path and the query
/// as well (`?user=me&password=secret`): of such a word the value is hidden, up to the next `&`.
pub fn hide_user(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut left = text;
    while let Some(start) = left.find("//") {
        let (before, after) = left.split_at(start + 2);
        out.push_str(before);
        let end = after.find(|c: char| c == '/' || c == '?' || c.is_whitespace()).unwrap_or(after.len());
        let word = &after[..after.find(char::is_whitespace).unwrap_or(after.len())];
        let end = match word.rfind('@') {
            Some(at) if at > end && has_no_port(&after[..end]) => at + 1,
            _ => end,
        };
        let (authority, rest) = after.split_at(end);
        match authority.rfind('@') {
            Some(at) => {
                out.push_str("***");
                out.push_str(&authority[at..]);
            }
            None => out.push_str(authority),
        }
        let (path, rest) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
        hide_values(path, &mut out);
        left = rest;
    }
    out.push_str(left);
    hide_parameters(&out)
}

/// `text` without the values of `?password=` and `&password=`, also where no `//` stands before them (`publish:?password=secret`).
fn hide_parameters(text: &str) -> String {
    const NAME: &str = "password=";
    let mut out = String::with_capacity(text.len());
    let mut left = text;
    while let Some(at) = left.find(NAME) {
        let (before, after) = left.split_at(at + NAME.len());
        out.push_str(before);
        left = after;
        if before[..at].ends_with(['?', '&', '#']) {
            out.push_str("***");
            let end = after.find(|c: char| matches!(c, '&' | '#') || c.is_whitespace());
            left = &after[end.unwrap_or(after.len())..];
        }
    }
    out.push_str(left);
    out
}

/// Appends `path` without the values of what is called like a password in it.
fn hide_values(path: &str, out: &mut String) {
    for (index, pair) in path.split_inclusive(['&', '?', '/']).enumerate() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let telling = |name: &str| {
            let name = name.to_ascii_lowercase();
            PASSWORD_NAMES.iter().any(|word| name.contains(word))
        };
        // `user=me_password=secret_stream=0` is one of them, too.
        match value.is_empty() {
            false
                if telling(name)
                    || index > 0 && telling(value.rsplit_once('=').map_or("", |(names, _)| names)) =>
            {
                out.push_str(name);
                out.push_str("=***");
                out.extend(value.chars().next_back().filter(|last| matches!(last, '&' | '?' | '/')));
            }
            _ => out.push_str(pair),
        }
    }
}

/// Whether `authority` names no user, and what follows its first colon cannot be a port.
fn has_no_port(authority: &str) -> bool {
    let port = authority.split_once(':').map(|(_, port)| port);
    !authority.starts_with('[')
        && !authority.contains('@')
        && port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit()))
}

pub(super) fn percent_decode(text: &str) -> Result<String, SpecError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
            return Err(SpecError::new(format!("`{text}`: `%` is not followed by two hexadecimal digits")));
        };
        out.push((high * 16 + low) as u8);
    }
    String::from_utf8(out).map_err(|_| SpecError::new(format!("`{text}` is not UTF-8 once decoded")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_keeps_its_command_line_whole() {
        let url = SourceUrl::parse("exec:ffmpeg -i http://a/?x=1&y=2 -f mjpeg -").unwrap();
        assert_eq!(url.rest(), "ffmpeg -i http://a/?x=1&y=2 -f mjpeg -");
        assert!(url.parameters().is_empty());
    }

    #[test]
    fn http_keeps_the_cameras_query_and_takes_its_own_parameters_from_the_fragment() {
        let url = SourceUrl::parse("http://10.0.0.7/video?res=1%2C2&fps=9#fps=5&timeout=2").unwrap();
        assert_eq!(url.rest(), "//10.0.0.7/video?res=1%2C2&fps=9");
        assert_eq!(url.text("fps"), Some("5"));
        assert_eq!(url.text("timeout"), Some("2"));
        let url = SourceUrl::parse("http://me:p#ss@h/x#fps=3").unwrap();
        assert_eq!((url.rest(), url.text("fps")), ("//me:p#ss@h/x", Some("3")));
        let url = SourceUrl::parse("ffmpeg:rtmp://me:p#ss@h/x?y=1#video=h264#audio=aac&loop").unwrap();
        assert_eq!(url.rest(), "rtmp://me:p#ss@h/x?y=1");
        assert_eq!(
            (url.text("video"), url.text("audio"), url.flag("loop")),
            (Some("h264"), Some("aac"), Ok(Some(true)))
        );
    }

    #[test]
    fn parameters_are_decoded_and_the_last_one_counts() {
        let url = SourceUrl::parse("v4l2:///dev/video0?width=1&width=1280&name=a%20b&mmap").unwrap();
        assert_eq!(url.path(), "/dev/video0");
        assert_eq!(url.number("width", 16..=8192_u16), Ok(Some(1280)));
        assert_eq!(url.text("name"), Some("a b"));
        assert_eq!(url.flag("mmap"), Ok(Some(true)));
    }

    #[test]
    fn errors_say_the_range_and_the_nearest_name() {
        let url = SourceUrl::parse("pattern:?widht=0").unwrap();
        assert!(url.only(&["width", "height"]).unwrap_err().to_string().contains("did you mean `width`"));
        assert!(url.number("widht", 1..=9).unwrap_err().to_string().contains("expected 1 to 9"));
        assert!(SourceUrl::parse("pattern:?a=%zz").is_err());
    }

    #[test]
    fn what_was_meant_is_guessed_and_what_is_to_come_is_named() {
        let parsed = |text| SourceUrl::parse(text).unwrap_err().to_string();
        assert!(parsed("/dev/video0").ends_with("did you mean `v4l2:///dev/video0`?"));
        assert!(parsed("./clip.mjpeg").ends_with("did you mean `file:./clip.mjpeg`?"));
        let unknown = SpecError::unknown_scheme("whip", ["http"].into_iter()).to_string();
        assert!(unknown.contains("is not there yet") && !unknown.contains("did you mean"), "{unknown}");
    }

    #[test]
    fn passwords_are_hidden_wherever_an_address_stands() {
        assert_eq!(hide_user("rtsp://u:p@ss@h/x?a=b@c"), "rtsp://***@h/x?a=b@c");
        assert_eq!(
            hide_user("ffmpeg -i rtsp://u:p@h/a -o http://v:w@k"),
            "ffmpeg -i rtsp://***@h/a -o http://***@k"
        );
        assert_eq!(format!("{:?}", SourceUrl::parse("http://u:p@h/x").unwrap()), "http://***@h/x");
    }

    #[test]
    fn passwords_in_paths_and_queries_are_hidden() {
        for (address, shown) in [
            ("rtsp://h/s?user=me&password=secret&channel=1", "rtsp://h/s?user=me&password=***&channel=1"),
            ("ffmpeg -i rtsp://h/s?PWD=secret -f null", "ffmpeg -i rtsp://h/s?PWD=*** -f null"),
            (
                "rtsp://h:554/user=me&password=secret&channel=1/x",
                "rtsp://h:554/user=me&password=***&channel=1/x",
            ),
            ("rtsp://h/user=me_password=secret_stream=0.sdp", "rtsp://h/user=***"),
            ("http://h/x?channel=1&width=640", "http://h/x?channel=1&width=640"),
            ("http://h/monkey/x", "http://h/monkey/x"),
        ] {
            assert_eq!(hide_user(address), shown);
        }
    }

    #[test]
    fn passwords_among_parameters_are_hidden() {
        for (address, hidden) in [
            ("publish:?user=u&password=s%20t#x y", "publish:?user=u&password=***#x y"),
            ("publish:?password=a//b&user=u password=", "publish:?password=***&user=u password="),
            ("a?password=", "a?password=***"),
            ("password=x", "password=x"),
        ] {
            assert_eq!(hide_user(address), hidden);
        }
    }

    #[test]
    fn passwords_with_a_slash_or_a_question_mark_are_hidden_too() {
        assert_eq!(hide_user("rtsp://u:p/ss@h/x http://h/y"), "rtsp://***@h/x http://h/y");
        assert_eq!(hide_user("rtsp://u:p?ss//@h"), "rtsp://***@h");
        for address in ["http://h/x?mail=a@b", "http://h:80/a@b", "http://[fe80::1]/a@b", "rtsp://h: refused"]
        {
            assert_eq!(hide_user(address), address);
        }
    }
}
