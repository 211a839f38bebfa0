//! What a worker says to requests that are right, unknown, and none.

use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::PROTOCOL;
use ocelli_codec::{Canvas, Encoder};

use super::*;

const ANY: Wish = Wish { quality: None, sampling: None, most: Size { width: 2040, height: 2040 } };

fn picture() -> Vec<u8> {
    let canvas = Canvas::new(Size { width: 32, height: 16 });
    Encoder::new(80).unwrap().encode_canvas(&canvas).unwrap().to_vec()
}

fn ask(number: u32, wish: &Wish, jpeg: &[u8]) -> Vec<u8> {
    [&Request::recode_head(number, wish, jpeg.len()).unwrap()[..], jpeg].concat()
}

/// Everything that a worker says to `input`.
fn said(input: &[u8]) -> (Result<(), WorkerError>, Vec<Vec<u8>>) {
    let mut output = Vec::new();
    let ended = serve(&mut Camera::new().unwrap(), "a test", input, &mut output);
    let mut messages = Vec::new();
    let mut left = &output[..];
    let mut message = Vec::new();
    while read_message(&mut left, &mut message).unwrap() {
        messages.push(message.clone());
    }
    (ended, messages)
}

#[test]
fn it_says_hello_answers_in_order_and_ends_with_its_input() {
    let jpeg = picture();
    let input = [ask(7, &ANY, &jpeg), ask(8, &ANY, b"no picture"), ask(9, &ANY, &jpeg)].concat();
    let (ended, messages) = said(&input);
    assert!(ended.is_ok(), "{ended:?}");
    let hello = Hello::read(&messages[0]).unwrap();
    assert_eq!((hello.protocol, &*hello.version), (PROTOCOL, env!("CARGO_PKG_VERSION")));
    let size = Size { width: 32, height: 16 };
    for (message, number) in [(&messages[1], 7), (&messages[3], 9)] {
        assert_eq!(Answer::read(message), Ok(Answer::Picture { number, size }));
        let jpeg = &message[Answer::PICTURE_HEAD_BYTES..];
        assert_eq!(turbojpeg::read_header(jpeg).unwrap().width, 32);
    }
    let Ok(Answer::Refused { number: 8, reason }) = Answer::read(&messages[2]) else {
        panic!("{messages:?}")
    };
    assert!(reason.contains("begins with SOI"), "{reason}");
    assert_eq!(messages.len(), 4);
}

#[test]
fn it_goes_on_after_a_request_that_it_does_not_know() {
    let strange =
        [&[0, 0, 0, 6, 99, 0, 0, 0, 5, 1][..], &[0, 0, 0, 1, 1], &ask(6, &ANY, &picture())].concat();
    let (ended, messages) = said(&strange);
    assert!(ended.is_ok(), "{ended:?}");
    let refused = Answer::Refused { number: 5, reason: "a message of the unknown kind 99".into() };
    assert_eq!(Answer::read(&messages[1]), Ok(refused));
    assert!(matches!(Answer::read(&messages[2]), Ok(Answer::Refused { number: 0, .. })));
    assert!(matches!(Answer::read(&messages[3]), Ok(Answer::Picture { number: 6, .. })));
}

#[test]
fn it_ends_on_what_is_no_message() {
    assert!(matches!(said(&[0; 8]).0, Err(WorkerError::Protocol(ProtocolError::Length(0)))));
    assert!(matches!(said(b"GET / HTTP/1.1").0, Err(WorkerError::Protocol(ProtocolError::Length(_)))));
    assert!(matches!(said(&[0, 0]).0, Err(WorkerError::Pipe(_))));
    assert!(matches!(said(&[0, 0, 0, 9, 1, 2]).0, Err(WorkerError::Pipe(_))));
}
