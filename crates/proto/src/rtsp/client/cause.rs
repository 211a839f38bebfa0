//! Why a client's connection has ended, in words that its user understands.

use std::time::Duration;

use crate::rtsp::{ReadError, Status};
use crate::sdp;

/// Why nothing comes any more. No text of these names a user or a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The program wanted to end.
    #[error("the session was ended")]
    Asked,
    /// It is answered in TLS.
    #[error("the camera speaks TLS at that port: the address should begin with rtsps://")]
    Tls,
    /// What comes is no RTSP.
    #[error("what the camera sends is no RTSP: {0}")]
    Unreadable(ReadError),
    /// An answer of another protocol.
    #[error("the camera answers in another protocol than RTSP/1.0: the address may name its web page's port")]
    Version,
    /// The camera wants to know who asks, and the address does not say.
    #[error("401: the camera asks for a user and a password")]
    PasswordMissing,
    /// The camera knows who asks, and does not believe it.
    #[error("401: the camera refused the password")]
    PasswordRefused,
    /// The camera asks in a way that is not spoken.
    #[error("401: the camera asks for a password in a way that is not spoken{}", listed(.0))]
    Authentication(String),
    /// The camera refuses.
    #[error("{}", refused(.method, *.status, .reason))]
    Refused {
        /// What was asked for.
        method: &'static str,
        /// Three digits.
        status: u16,
        /// What the camera says to it; may be empty.
        reason: String,
    },
    /// It sends in no way that was asked for.
    #[error("{}", refused("SETUP", 461, .0))]
    Transport(
        /// What the camera says to it, or how it wants to send.
        String,
    ),
    /// An answer without a description.
    #[error("the camera describes no stream: its answer is empty")]
    NoDescription,
    /// A description that makes no sense.
    #[error("the camera's session description: {0}")]
    Description(#[from] sdp::ReadError),
    /// Nothing in it can be shown or heard.
    #[error("the camera offers {0}")]
    NothingSpoken(String),
    /// The camera does not answer.
    #[error("the camera did not answer {method} in {} s", .after.as_secs())]
    NoAnswer {
        /// What was asked for.
        method: &'static str,
        /// For how long it was waited.
        after: Duration,
    },
    /// The other side has closed the connection.
    #[error("the camera closed the connection{}", .during.map(|method| format!(" when asked for {method}")).unwrap_or_default())]
    Disconnected {
        /// What was asked for and not answered.
        during: Option<&'static str>,
    },
    /// The session was played, and no packet came at all.
    #[error("no packet came in {} s", .0.as_secs())]
    NothingCame(Duration),
    /// Packets came, and then no more.
    #[error("the camera has sent nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// The camera does not know the session any more.
    #[error("454: the camera has ended the session")]
    SessionLost,
    /// The camera says that it ends the session.
    #[error("the camera has ended the session")]
    Ended,
    /// From one address to the next, and on.
    #[error("the camera sends from one address to the next: {} times", super::MOST_REDIRECTS)]
    Redirects,
    /// To an address that is none.
    #[error("{0}: the camera sends to another address, and does not say which")]
    RedirectedNowhere(u16),
    /// From an encrypted address to one that is not.
    #[error(
        "the camera sends from its encrypted address to one without encryption: if that is meant, write rtsp:// yourself"
    )]
    Downgraded,
    /// More requests of the camera's than are answered.
    #[error("the camera asks more than {} times in {} s", super::MOST_REQUESTS, super::REQUEST_WINDOW.as_secs())]
    TooManyRequests,
}

impl Cause {
    /// Whether trying again soon is of no use: somebody has to change the address, the password or the camera first.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::PasswordMissing
            | Self::PasswordRefused
            | Self::Authentication(_)
            | Self::NothingSpoken(_)
            | Self::Version
            | Self::Downgraded
            | Self::Tls => true,
            Self::Refused { status, .. } => matches!(status, 401 | 403 | 404),
            _ => false,
        }
    }
}

impl From<ReadError> for Cause {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Tls => Self::Tls,
            error => Self::Unreadable(error),
        }
    }
}

fn listed(schemes: &str) -> String {
    if schemes.is_empty() { String::new() } else { format!(" ({schemes})") }
}

/// How much of a server's own words is shown, in characters: a list of what it has among them.
const MOST_OF_REASON: usize = 400;

/// A refusal in words. The camera's own stand behind where they say more than the status.
fn refused(method: &str, status: u16, reason: &str) -> String {
    let words = match status {
        400 => "the camera does not understand the request",
        403 => "the camera forbids it to this user",
        404 => "the camera has no stream at that path",
        405 | 501 => "the camera cannot do that",
        406 | 415 => "the camera describes its stream in another way than SDP",
        453 => "the camera has no bandwidth left",
        454 => "the camera does not know the session",
        455 => "the camera does not want that now",
        461 => "the camera does not send its packets like that",
        500 => "the camera has an error of its own",
        503 => "the camera is busy, or has too many viewers",
        505 => "the camera speaks another version of RTSP",
        _ => "the camera refused",
    };
    let own = reason.trim();
    let says_more = !own.is_empty() && !own.eq_ignore_ascii_case(Status(status).phrase());
    let shown: String = own.chars().take(MOST_OF_REASON).collect();
    let more = if shown.len() < own.len() { "…" } else { "" };
    let own = if says_more { format!(": {shown}{more}") } else { String::new() };
    format!("{status}: {words} ({method}{own})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_words() {
        let refused = |status, reason: &str| {
            Cause::Refused { method: "DESCRIBE", status, reason: reason.to_owned() }.to_string()
        };
        assert_eq!(refused(404, "Not Found"), "404: the camera has no stream at that path (DESCRIBE)");
        assert_eq!(
            refused(404, "Stream Not Found"),
            "404: the camera has no stream at that path (DESCRIBE: Stream Not Found)"
        );
        assert_eq!(refused(599, ""), "599: the camera refused (DESCRIBE)");
        assert_eq!(Cause::PasswordRefused.to_string(), "401: the camera refused the password");
        assert_eq!(
            Cause::Transport("Unsupported Transport".to_owned()).to_string(),
            "461: the camera does not send its packets like that (SETUP)"
        );
        assert_eq!(
            Cause::Authentication("Bearer".to_owned()).to_string(),
            "401: the camera asks for a password in a way that is not spoken (Bearer)"
        );
        assert_eq!(
            Cause::Disconnected { during: Some("PLAY") }.to_string(),
            "the camera closed the connection when asked for PLAY"
        );
        assert_eq!(Cause::Disconnected { during: None }.to_string(), "the camera closed the connection");
        let long = refused(404, &"x".repeat(1000));
        assert!(long.len() < 480 && long.contains("x…"), "{long}");
    }
}
