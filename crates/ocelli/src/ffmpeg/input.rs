//! What FFmpeg reads, and how it is told: an address of the network by a script on its standard input, for its command line, and a
//! password in it, could be read by every user of this machine.
//!
//! The script is one of FFmpeg's "concat" format with one file, and holds the reader's options too. That costs nothing that could be
//! measured: 0.1 ms behind the sender with it and without.

use super::{Version, Words};
use crate::sources::hide_user;

/// Kinds of devices that FFmpeg reads, by FFmpeg's names.
const DEVICES: [&str; 15] = [
    "alsa",
    "android_camera",
    "avfoundation",
    "decklink",
    "dshow",
    "fbdev",
    "gdigrab",
    "iec61883",
    "kmsgrab",
    "lavfi",
    "libdc1394",
    "openal",
    "v4l2",
    "video4linux2",
    "x11grab",
];

/// How FFmpeg may fetch what an address of the network names: not from this machine's files, which a playlist of a stranger's could
/// name.
const PROTOCOLS: &str = "pipe,amqp,crypto,data,ffrtmpcrypt,ffrtmphttp,ftp,gopher,gophers,http,httpproxy,https,ipfs,ipns,mmsh,mmst,rist,\
     rtmp,rtmpe,rtmps,rtmpt,rtmpte,rtmpts,rtp,sctp,sftp,srt,srtp,tcp,tls,udp,udplite,unix,zmq";

/// Endings of films in the network, which come as fast as it lets them.
const FILMS: [&str; 12] =
    [".m3u8", ".mpd", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ogg", ".ogv", ".mpg"];

/// What FFmpeg is to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// An address with `://`.
    Address(String),
    /// A file of this machine.
    File(String),
    /// A device of this machine: its kind and its name.
    Device { kind: String, name: String },
}

/// An input's part of the command line, and what is written to the standard input.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) words: Vec<String>,
    pub(crate) script: Option<String>,
}

impl Input {
    /// What `text` names; `None` where it is nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        if let Some(path) = text.strip_prefix("file:") {
            return Some(Self::File(path.strip_prefix("//").unwrap_or(path).to_owned()));
        }
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        if DEVICES.contains(&scheme) {
            return Some(Self::Device { kind: scheme.to_owned(), name: rest.to_owned() });
        }
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
        match is_scheme && rest.starts_with("//") {
            true => Some(Self::Address(text.to_owned())),
            false => Some(Self::File(text.to_owned())),
        }
    }

    /// Whether it is read as fast as it can be, where nobody sets the pace: a film, and no camera.
    pub(crate) fn is_film(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Device { .. } => false,
            Self::Address(address) => {
                let path = address.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
                path.starts_with("http") && FILMS.iter().any(|ending| path.ends_with(ending))
            }
        }
    }

    /// Whether an address has a password in it that can be told to be one.
    pub(crate) fn holds_password(&self) -> bool {
        matches!(self, Self::Address(address) if hide_user(address) != *address)
    }

    /// What of it must not be shown, in words of FFmpeg's either: the address and its parts.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let Self::Address(address) = self else { return Vec::new() };
        let mut secrets = vec![address.clone()];
        let (scheme, rest) = address.split_once("://").unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if let Some((user, _)) = authority.rsplit_once('@') {
            secrets.extend([user.to_owned()]);
            secrets.extend(user.split_once(':').map(|(_, password)| password.to_owned()));
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        secrets.push(query.to_owned());
        // Numbers and short words are no passwords, and stand in sentences.
        let values = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value);
        secrets.extend(values.filter(|value| value.len() >= 8).map(str::to_owned));
        if scheme.starts_with("rtmp") {
            // The last part of it is often a key.
            secrets.extend(path.rsplit('/').next().filter(|key| key.len() >= 12).map(str::to_owned));
        }
        secrets.retain(|secret| secret.len() >= 3);
        // The longest first: it may hold the others.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    /// Tells FFmpeg of this input, with `words` for it; `format` is what it is to be read as, where it does not say so itself.
    pub(crate) fn told(&self, version: &Version, format: Option<&str>, mut words: Words) -> Told {
        let mut line = std::mem::take(&mut words.before);
        let stated = line.iter().rposition(|word| word == "-f").filter(|at| at + 1 < line.len());
        let stated = stated.map(|at| line.drain(at..at + 2).nth(1).unwrap_or_default());
        let format = stated.as_deref().or(format);
        if let (Self::Address(address), None, true) = (self, format, version.takes_options_from_script()) {
            let mut script = format!("ffconcat version 1.0\nfile {}\n", quoted(address));
            for (name, value) in self.options().into_iter().chain(words.reader) {
                script.push_str(&format!("option {name} {}\n", quoted(&value)));
            }
            line.extend(
                ["-protocol_whitelist", PROTOCOLS, "-f", "concat", "-safe", "0", "-i", "pipe:0"]
                    .map(str::to_owned),
            );
            return Told { words: line, script: Some(script) };
        }
        let (own, name) = match self {
            Self::Address(address) => (None, address.clone()),
            Self::File(path) => (None, format!("file:{path}")),
            Self::Device { kind, name } => (Some(kind.as_str()), name.clone()),
        };
        if let Some(format) = format.or(own) {
            line.extend(["-f".to_owned(), format.to_owned()]);
        }
        for (name, value) in self.options().into_iter().chain(words.reader) {
            line.extend([format!("-{name}"), value]);
        }
        line.extend(["-i".to_owned(), name]);
        Told { words: line, script: None }
    }

    /// What has it begin early.
    fn options(&self) -> Vec<(String, String)> {
        let Self::Address(address) = self else { return Vec::new() };
        // The rate is in the times; nobody waits until it can be told.
        let mut options = vec![("fpsprobesize", "0")];
        if address.starts_with("rtmp") {
            // Its header does not say whether sound comes: without an end to it, five seconds are waited for some.
            options.push(("analyzeduration", "500000"));
        }
        if address.starts_with("rtsp") {
            options.push(("rtsp_transport", "tcp"));
        }
        options.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// `text` as a word of a script.
fn quoted(text: &str) -> String {
    // A line's end cannot stand in an address, and would begin another directive.
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
