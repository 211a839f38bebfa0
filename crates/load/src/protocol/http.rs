//! MJPEG over HTTP (RFC 9112), and the same parts on a bare TCP connection as GStreamer's `tcpserversink` sends them.

use super::chunked::Chunks;
use super::parts::Parts;
use super::{FramingError, Picture, Protocol, Wants};

/// The response's head.
const MAX_HEAD: usize = 16 << 10;

/// One stream of pictures.
#[derive(Debug)]
pub(crate) struct MultipartStream {
    request: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    Parts { chunks: Option<Chunks>, parts: Parts },
}

impl MultipartStream {
    /// `host` and `path` as they stand in the address; `headers` are whole lines (`Name: value`).
    pub(crate) fn http(host: &str, path: &str, headers: &[String]) -> Self {
        let mut request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ocelli-load\r\nAccept: */*\r\n");
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Self { request: request.into_bytes(), state: State::Head(Vec::new()) }
    }

    /// Parts from the first byte on, without request or head.
    pub(crate) fn bare() -> Self {
        Self { request: Vec::new(), state: State::Parts { chunks: None, parts: Parts::new(None) } }
    }
}

impl Protocol for MultipartStream {
    fn request(&self) -> Vec<u8> {
        self.request.clone()
    }

    fn wants(&self) -> Wants {
        match &self.state {
            State::Head(_) => Wants::Bytes(MAX_HEAD),
            State::Parts { chunks: None, parts } => parts.wants(),
            State::Parts { chunks: Some(chunks), parts } => match parts.wants() {
                Wants::Skip(bytes) if chunks.plain() > 0 => Wants::Skip(bytes.min(chunks.plain())),
                // In a size line of the coding: a small look, the rest of the picture is skipped again after it.
                Wants::Skip(_) => Wants::Bytes(64),
                bytes @ Wants::Bytes(_) => bytes,
            },
        }
    }

    fn skipped(&mut self, bytes: usize) {
        if let State::Parts { chunks, parts } = &mut self.state {
            parts.skipped(bytes);
            if let Some(chunks) = chunks {
                chunks.skipped(bytes);
            }
        }
    }

    fn received(&mut self, mut bytes: &[u8], pictures: &mut Vec<Picture>) -> Result<(), FramingError> {
        if let State::Head(held) = &mut self.state {
            let before = held.len();
            held.extend_from_slice(bytes);
            let Some((length, state)) = response_head(held)? else {
                return if held.len() > MAX_HEAD { Err(FramingError::HeadTooLong(MAX_HEAD)) } else { Ok(()) };
            };
            self.state = state;
            bytes = &bytes[length - before..];
        }
        let State::Parts { chunks, parts } = &mut self.state else { return Ok(()) };
        let Some(chunks) = chunks else { return parts.received(bytes, pictures) };
        while !bytes.is_empty() {
            let (used, content) = chunks.next(bytes)?;
            parts.received(content, pictures)?;
            bytes = &bytes[used..];
        }
        Ok(())
    }
}

/// The head's length and what follows it, once it is whole.
fn response_head(held: &[u8]) -> Result<Option<(usize, State)>, FramingError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(held).map_err(FramingError::BadHead)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let status = response.code.unwrap_or(0);
    if status != 200 {
        return Err(FramingError::Status(status));
    }
    let value = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).into_owned()).unwrap_or_default()
    };
    let content_type = value("Content-Type");
    let Some(boundary) = boundary(&content_type) else {
        return Err(FramingError::NotMultipart(content_type));
    };
    let chunked = value("Transfer-Encoding").to_ascii_lowercase().contains("chunked");
    let parts = Parts::new(Some(boundary));
    Ok(Some((length, State::Parts { chunks: chunked.then(Chunks::new), parts })))
}

fn boundary(content_type: &str) -> Option<&str> {
    let mut fields = content_type.split(';');
    if !fields.next()?.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let value = fields.find_map(|field| {
        let (name, value) = field.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stream: &[u8], step: usize) -> Result<Vec<Picture>, FramingError> {
        let mut viewer = MultipartStream::http("camera:80", "/stream", &[]);
        let mut pictures = Vec::new();
        for piece in stream.chunks(step) {
            viewer.received(piece, &mut pictures)?;
        }
        Ok(pictures)
    }

    #[test]
    fn a_request_is_whole_and_carries_extra_headers() {
        let viewer = MultipartStream::http("camera:80", "/a?b=c", &["Sec-Fetch-Dest: image".to_owned()]);
        let text = String::from_utf8(viewer.request()).unwrap();
        assert!(text.starts_with("GET /a?b=c HTTP/1.1\r\nHost: camera:80\r\n"), "{text}");
        assert!(text.ends_with("Sec-Fetch-Dest: image\r\n\r\n"), "{text}");
        assert!(MultipartStream::bare().request().is_empty());
    }

    #[test]
    fn plain_and_chunked_answers_give_the_same_pictures() {
        let part = b"--b\r\nContent-Length: 6\r\nX-Timestamp: 12.5\r\n\r\n\xFF\xD8ab\xFF\xD9\r\n";
        let mut plain =
            b"HTTP/1.1 200 OK\r\ncontent-type: multipart/x-mixed-replace; boundary=\"b\"\r\n\r\n".to_vec();
        let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
            Content-Type: multipart/x-mixed-replace;boundary=b\r\n\r\n"
            .to_vec();
        for _ in 0..3 {
            plain.extend_from_slice(part);
            chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            chunked.extend_from_slice(part);
            chunked.extend_from_slice(b"\r\n");
        }
        let expected = Picture { bytes: 6, timestamp: Some(12_500_000), stamp: None, sound: true };
        for step in [1, 2, 3, 7, 50, 4000] {
            assert_eq!(run(&plain, step).unwrap(), [expected; 3], "plain, step {step}");
            assert_eq!(run(&chunked, step).unwrap(), [expected; 3], "chunked, step {step}");
        }
    }

    #[test]
    fn an_answer_without_pictures_says_why() {
        assert_eq!(run(b"HTTP/1.1 503 Full\r\n\r\n", 99), Err(FramingError::Status(503)));
        let html = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n";
        assert_eq!(run(html, 99), Err(FramingError::NotMultipart("text/html".to_owned())));
        assert!(matches!(run(b"RTSP/1.0 200 OK\r\n\r\n", 99), Err(FramingError::BadHead(_))));
        assert!(run(&[b'H'; 20_000], 20_000).is_err());
    }

    #[test]
    fn the_middle_of_a_picture_is_skipped_inside_one_chunk_at_most() {
        let mut viewer = MultipartStream::bare();
        let State::Parts { chunks, .. } = &mut viewer.state else { panic!("bare streams have no head") };
        *chunks = Some(Chunks::new());
        let mut pictures = Vec::new();
        let head = b"--b\r\nContent-Length: 100000\r\n\r\n\xFF\xD8";
        let first = format!("{:x}\r\n", head.len() + 50_000);
        viewer.received(first.as_bytes(), &mut pictures).unwrap();
        viewer.received(head, &mut pictures).unwrap();
        assert_eq!(viewer.wants(), Wants::Skip(50_000));
        viewer.skipped(50_000);
        assert_eq!(viewer.wants(), Wants::Bytes(64));
        viewer.received(b"\r\nc350\r\n", &mut pictures).unwrap();
        let Wants::Skip(left) = viewer.wants() else { panic!("{:?}", viewer.wants()) };
        assert!(left < 50_000 && left > 49_000, "{left}");
    }
}
