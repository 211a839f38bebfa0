//! Messages as clients and cameras write them, in pieces of every length; lies and floods.

use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits { head_bytes: 200, fields: 4, body_bytes: 50 };

/// All items in `bytes`, given in chunks of the lengths in `chunks`, over and over, and the error that ends them.
fn read(bytes: &[u8], chunks: &[usize], limits: Limits) -> (Vec<Item>, Option<ReadError>) {
    read_with(Reader::new(limits), bytes, chunks)
}

fn read_with(mut reader: Reader, bytes: &[u8], chunks: &[usize]) -> (Vec<Item>, Option<ReadError>) {
    let (mut items, mut rest) = (Vec::new(), bytes);
    for chunk in chunks.iter().cycle() {
        loop {
            match reader.next_item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.next_item(), Err(error), "nothing is read behind an error");
                    return (items, Some(error));
                }
            }
        }
        if rest.is_empty() {
            break;
        }
        let room = reader.room();
        let (now, later) = rest.split_at((*chunk).clamp(1, rest.len()).min(room.capacity() - room.len()));
        room.extend_from_slice(now);
        rest = later;
    }
    (items, None)
}

fn one(text: &str) -> Item {
    let (items, error) = read(text.as_bytes(), &[1000], Limits::default());
    assert_eq!((items.len(), error), (1, None), "{text}");
    items.into_iter().next().unwrap()
}

fn request(text: &str) -> Request {
    let Item::Request(request) = one(text) else { panic!("{text}") };
    request
}

fn error(text: &str) -> String {
    read(text.as_bytes(), &[1000], Limits::default()).1.expect(text).to_string()
}

#[test]
fn a_request_is_read_field_by_field() {
    let describe = request(
        "DESCRIBE rtsp://h/front RTSP/1.0\r\nCSeq: 2\r\nAccept:application/sdp\r\naccept:  a, b \r\n\r\n",
    );
    assert_eq!((&describe.method, &describe.target[..]), (&Method::Describe, "rtsp://h/front"));
    assert_eq!(describe.version, Version::Rtsp1);
    assert_eq!(describe.fields.cseq(), Some(2));
    assert_eq!(describe.fields.all("ACCEPT").collect::<Vec<_>>(), ["application/sdp", "a, b"]);
    assert_eq!(describe.fields.first("Session"), None);
}

#[test]
fn bodies_responses_and_packets_follow_one_another() {
    let bytes = b"ANNOUNCE * RTSP/1.0\r\ncontent-length: 4\r\n\r\nv=0\n$\x01\x00\x03abcRTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n$\x00\x00\x00\r\n\r\nRTSP/1.0 404\r\n\r\n";
    let (items, error) = read(bytes, &[5], Limits::default());
    assert_eq!((items.len(), error), (5, None));
    let Item::Request(announce) = &items[0] else { panic!() };
    assert_eq!(announce.body, &b"v=0\n"[..]);
    assert_eq!(items[1], Item::Data(Data { channel: 1, packet: Bytes::from_static(b"abc") }));
    let Item::Response(response) = &items[2] else { panic!() };
    assert_eq!((response.status, &response.reason[..], response.fields.cseq()), (200, "OK", Some(7)));
    assert_eq!(items[3], Item::Data(Data { channel: 0, packet: Bytes::new() }));
    let Item::Response(response) = &items[4] else { panic!() };
    assert_eq!((response.status, &response.reason[..]), (404, ""));
}

#[test]
fn sloppy_messages_are_read() {
    let options = request("\r\n\r\nOPTIONS * RTSP/1.0\nCSeq : 1\nX: a\n  b\r\n\tc\n\n");
    assert_eq!(options.fields.cseq(), Some(1), "lines may end in LF, and spaces stand before a colon");
    assert_eq!(options.fields.first("x").unwrap().split_whitespace().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(request("PLAY rtsp://h/my camera RTSP/1.0 \r\n\r\n").target, "rtsp://h/my camera");
    assert_eq!(request("X-MY_METHOD * RTSP/2.0\r\n\r\n").method, Method::Other("X-MY_METHOD".to_owned()));
    assert_eq!(request("GET /front HTTP/1.1\r\n\r\n").version, Version::Http);
    let (items, _) = read(b"OPTIONS * RTSP/1.0\r\nUser-Agent: caf\xE9\r\n\r\n", &[9], Limits::default());
    let Item::Request(latin) = &items[0] else { panic!() };
    assert_eq!(latin.fields.first("User-Agent"), Some("caf\u{FFFD}"));
}

#[test]
fn an_error_says_where_and_why() {
    for (text, expected) in [
        ("\0", "byte 0: 0x00 begins neither a message nor an interleaved packet (RFC 2326 4, 10.12)"),
        ("\x16\x03\x01", "byte 0: a TLS handshake, expected RTSP without TLS"),
        ("PLAY\r\n\r\n", "byte 0: expected METHOD URL VERSION (RFC 2326 6.1)"),
        ("PLAY RTSP/1.0\r\n\r\n", "byte 4: expected METHOD URL VERSION (RFC 2326 6.1)"),
        ("PLAY * RTSP/1.1\r\n\r\n", "byte 7: expected RTSP/1.0 (RFC 2326 3.1)"),
        ("PL\u{e4}Y * RTSP/1.0\r\n\r\n", "byte 0: a method that is no word (RFC 2326 15.1)"),
        ("RTSP/1.0 20 OK\r\n\r\n", "byte 9: a status that is not three digits (RFC 2326 7.1)"),
        ("RTSP/1.0 2000\r\n\r\n", "byte 9: a status that is not three digits (RFC 2326 7.1)"),
        ("RTSP/9 200 OK\r\n\r\n", "byte 0: expected RTSP/1.0 (RFC 2326 3.1)"),
        ("PLAY * RTSP/1.0\r\nCSeq\r\n\r\n", "byte 17: a field without a name (RFC 2326 4.2)"),
        ("PLAY * RTSP/1.0\r\n: 1\r\n\r\n", "byte 17: a field without a name (RFC 2326 4.2)"),
        ("PLAY * RTSP/1.0\r\n a: 1\r\n\r\n", "byte 17: a field without a name (RFC 2326 4.2)"),
        ("PLAY * RTSP/1.0\r\nC D: 1\r\n\r\n", "byte 17: a field without a name (RFC 2326 4.2)"),
        ("PLAY * RTSP/1.0\r\nA: \x07\r\n\r\n", "byte 20: a control character (RFC 2326 15.1)"),
        ("PLAY * RTSP/1.0\r\nA: b\rC: d\r\n\r\n", "byte 21: a control character (RFC 2326 15.1)"),
        ("PLAY *\r RTSP/1.0\r\n\r\n", "byte 6: a control character (RFC 2326 15.1)"),
    ] {
        assert_eq!(error(text), expected, "{text:?}");
    }
}

#[test]
fn content_length_is_a_number_of_bytes_or_the_end() {
    let length = |value: &str| error(&format!("PLAY * RTSP/1.0\r\nContent-Length: {value}\r\n\r\n"));
    for value in ["-1", "+1", "", "0x10", "1 2", "1,1", "1.0"] {
        assert_eq!(
            length(value),
            "byte 33: Content-Length is no number of bytes (RFC 2326 12.14)",
            "{value}"
        );
    }
    assert_eq!(length("65537"), "byte 33: a body of 65537 bytes, expected at most 65536");
    assert_eq!(
        length("99999999999999999999999"),
        format!("byte 33: a body of {} bytes, expected at most 65536", u64::MAX)
    );
    let twice = "PLAY * RTSP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(error(twice), "byte 52: a second Content-Length that says something else (RFC 2326 12.14)");
    assert_eq!(request(&format!("{}x", twice.replace(": 2", ": 1"))).body, &b"x"[..]);
}

#[test]
fn giant_heads_end_at_the_limit_and_take_no_memory() {
    let exact = format!("PLAY * RTSP/1.0\r\nA: {}\r\n\r\n", "x".repeat(200 - 24));
    assert_eq!(exact.len(), 200);
    assert_eq!(read(exact.as_bytes(), &[7], SMALL).1, None);
    assert_eq!(read(exact.replace("A:", "AA:").as_bytes(), &[7], SMALL).1, Some(ReadError::HeadTooLong(200)));
    let fields = |count| format!("PLAY * RTSP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert_eq!(read(fields(4).as_bytes(), &[7], SMALL).1, None);
    assert_eq!(read(fields(5).as_bytes(), &[7], SMALL).1, Some(ReadError::TooManyFields(4)));
    let mut reader = Reader::new(Limits::default());
    loop {
        let room = reader.room();
        assert!(room.capacity() <= 64 << 10);
        room.resize(room.capacity(), b'A');
        if let Err(error) = reader.next_item() {
            assert_eq!(error, ReadError::HeadTooLong(8 << 10));
            break;
        }
    }
}

#[test]
fn a_client_that_only_asks_gets_a_small_buffer_and_one_that_sends_a_large_one() {
    let mut reader = Reader::new(Limits::default());
    for _ in 0..1000 {
        let room = reader.room();
        assert!(room.capacity() <= 2 * LEAST_READ_BYTES);
        room.extend_from_slice(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        assert!(reader.next_item().unwrap().is_some());
        assert!(reader.next_item().unwrap().is_none() && reader.is_between_items());
    }
    let packet = [&[b'$', 0, 5, 0xB4][..], &[7; 1460]].concat();
    let mut left = packet.repeat(1000);
    let mut packets = 0;
    while !left.is_empty() {
        let room = reader.room();
        let now = left.len().min(room.capacity() - room.len());
        room.extend(left.drain(..now));
        packets += std::iter::from_fn(|| reader.next_item().unwrap()).count();
    }
    let room = reader.room();
    assert!(packets == 1000 && room.capacity() >= 16 << 10);
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        parts in proptest::collection::vec(0_usize..9, 0..12),
        cut in proptest::option::of(0_usize..400),
        chunks in proptest::collection::vec(1_usize..120, 1..12),
    ) {
        let pieces: [&[u8]; 9] = [
            b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            b"PLAY rtsp://h/x RTSP/1.0\nCSeq: 1\n\n",
            b"ANNOUNCE * RTSP/1.0\r\nContent-Length: 9\r\n\r\n$\0\0\x01\r\n\r\n$",
            b"$\x01\x00\x09\r\n\r\nOPTIO",
            b"$\x00\x00\x00",
            b"\r\n",
            b"RTSP/1.0 200 OK\r\nX: a\r\n b\r\n\r\n",
            b"SETUP * RTSP/1.0\r\nContent-Length: 60\r\n\r\n",
            b"\xFF",
        ];
        let mut bytes = parts.iter().flat_map(|part| pieces[*part].to_vec()).collect::<Vec<_>>();
        if let Some(cut) = cut.filter(|_| !bytes.is_empty()) {
            let at = cut % bytes.len();
            bytes[at] = bytes[at].wrapping_add(1);
        }
        let whole = read(&bytes, &[usize::MAX], SMALL);
        prop_assert_eq!(read(&bytes, &[1], SMALL), whole.clone());
        prop_assert_eq!(read(&bytes, &chunks, SMALL), whole);
        let whole = read_with(Reader::lenient(SMALL), &bytes, &[usize::MAX]);
        prop_assert_eq!(read_with(Reader::lenient(SMALL), &bytes, &[1]), whole.clone());
        prop_assert_eq!(read_with(Reader::lenient(SMALL), &bytes, &chunks), whole);
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "[A-Z]{1,8} \\PC{0,40} RTSP/1\\.0\r\n(\\PC{0,20}:\\PC{0,20}\r\n){0,5}\r\n") {
        read(&bytes, &[3], SMALL);
        read(text.as_bytes(), &[3], Limits::default());
        read_with(Reader::lenient(SMALL), &bytes, &[3]);
        read_with(Reader::lenient(SMALL), text.as_bytes(), &[3]);
    }
}
