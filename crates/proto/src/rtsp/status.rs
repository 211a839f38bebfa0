//! Status codes (RFC 2326 section 11, RFC 7826 section 17).

use std::fmt;

/// The number of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

macro_rules! statuses {
    ($($name:ident = $number:literal, $phrase:literal;)*) => {
        impl Status {
            $(
                #[doc = $phrase]
                pub const $name: Self = Self($number);
            )*

            /// What stands behind the number where nothing better is known.
            pub const fn phrase(self) -> &'static str {
                match self.0 {
                    $($number => $phrase,)*
                    _ => "Other",
                }
            }
        }
    };
}

statuses! {
    OK = 200, "OK";
    MOVED = 302, "Moved Temporarily";
    BAD_REQUEST = 400, "Bad Request";
    UNAUTHORIZED = 401, "Unauthorized";
    FORBIDDEN = 403, "Forbidden";
    NOT_FOUND = 404, "Not Found";
    METHOD_NOT_ALLOWED = 405, "Method Not Allowed";
    NOT_ACCEPTABLE = 406, "Not Acceptable";
    REQUEST_TIMEOUT = 408, "Request Timeout";
    BODY_TOO_LARGE = 413, "Request Message Body Too Large";
    UNSUPPORTED_MEDIA_TYPE = 415, "Unsupported Media Type";
    HEAD_TOO_LARGE = 431, "Request Header Fields Too Large";
    PARAMETER_NOT_UNDERSTOOD = 451, "Parameter Not Understood";
    SESSION_NOT_FOUND = 454, "Session Not Found";
    NOT_VALID_IN_STATE = 455, "Method Not Valid In This State";
    INVALID_RANGE = 457, "Invalid Range";
    NO_AGGREGATE = 459, "Aggregate Operation Not Allowed";
    UNSUPPORTED_TRANSPORT = 461, "Unsupported Transport";
    INTERNAL_ERROR = 500, "Internal Server Error";
    NOT_IMPLEMENTED = 501, "Not Implemented";
    UNAVAILABLE = 503, "Service Unavailable";
    VERSION_NOT_SUPPORTED = 505, "RTSP Version Not Supported";
    OPTION_NOT_SUPPORTED = 551, "Option Not Supported";
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.phrase())
    }
}
