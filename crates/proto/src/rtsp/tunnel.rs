//! RTSP through HTTP, for clients behind proxies: what QuickTime began and FFmpeg, VLC and cameras speak (no RFC; Apple's "Tunnelling
//! RTSP and RTP through HTTP").
//!
//! ```text
//! client ── GET  /cam  x-sessioncookie: C ─▶   ◀── answers and packets, as they are ──
//! client ── POST /cam  x-sessioncookie: C ─▶   requests in Base64, for as long as it takes ──▶
//! ```
//!
//! Only what a server reads of it: the heads, and the Base64.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Most bytes of a cookie.
const MOST_COOKIE_BYTES: usize = 128;

/// Base64 as clients write it, of each request for itself.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The head of a request that opens a tunnel, or brings requests for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// How long it is.
    pub bytes: usize,
    /// It brings requests; otherwise it opens a tunnel.
    pub brings: bool,
    /// What a tunnel's two connections have in common: 1 to 128 bytes.
    pub cookie: &'a [u8],
}

impl<'a> Head<'a> {
    /// `None` for anything else than the whole head of such a request.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let brings = match bytes {
            [b'G', b'E', b'T', b' ', ..] => false,
            [b'P', b'O', b'S', b'T', b' ', ..] => true,
            _ => return None,
        };
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
        let mut lines = bytes[..end].split(|byte| *byte == b'\n');
        let cookie = lines.find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            name.trim_ascii().eq_ignore_ascii_case(b"x-sessioncookie").then(|| value[1..].trim_ascii())
        })?;
        let fits = (1..=MOST_COOKIE_BYTES).contains(&cookie.len());
        fits.then_some(Self { bytes: end + 4, brings, cookie })
    }
}

/// Base64 that comes in pieces, and ends and begins anew with each request.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Letters of a group of four that is not whole.
    letters: Vec<u8>,
}

impl Decoder {
    /// What is whole by now; `None` if it is no Base64.
    pub fn push(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let mut decoded = Vec::with_capacity(text.len());
        for letter in text.iter().filter(|letter| !letter.is_ascii_whitespace()) {
            self.letters.push(*letter);
            if self.letters.len() == 4 {
                BASE64.decode_vec(&self.letters, &mut decoded).ok()?;
                self.letters.clear();
            }
        }
        Some(decoded)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_whole_heads_with_a_cookie_are_tunnels() {
        let get =
            b"GET /cam HTTP/1.0\r\nX-SessionCookie: abc \r\nAccept: application/x-rtsp-tunnelled\r\n\r\nrest";
        assert_eq!(Head::parse(get), Some(Head { bytes: get.len() - 4, brings: false, cookie: b"abc" }));
        let post = b"POST /cam HTTP/1.0\r\nx-sessioncookie:abc\r\n\r\n";
        assert_eq!(Head::parse(post), Some(Head { bytes: post.len(), brings: true, cookie: b"abc" }));
        for other in [
            &b"GET_PARAMETER rtsp://h/cam RTSP/1.0\r\nx-sessioncookie: abc\r\n\r\n"[..],
            b"GET / HTTP/1.0\r\n\r\n",
            b"GET / HTTP/1.0\r\nx-sessioncookie: abc\r\n",
            b"GET / HTTP/1.0\r\nx-sessioncookie:\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\nx-sessioncookie: abc\r\n\r\n",
            b"",
        ] {
            assert_eq!(Head::parse(other), None);
        }
    }

    proptest! {
        #[test]
        fn requests_are_read_however_they_are_cut(
            requests in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 1..6),
            cuts in proptest::collection::vec(1_usize..50, 1..20),
        ) {
            let text: String = requests.iter().map(|request| BASE64.encode(request)).collect();
            let (mut decoder, mut decoded) = (Decoder::default(), Vec::new());
            let (mut rest, mut cuts) = (text.as_bytes(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                decoded.extend(decoder.push(piece).unwrap());
                rest = behind;
            }
            prop_assert_eq!(decoded, requests.concat());
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Head::parse(&bytes);
            let _ = Head::parse(&[b"GET ", &bytes[..], b"x-sessioncookie: a\r\n\r\n"].concat());
            let _ = Decoder::default().push(&bytes);
        }
    }
}
