//! No bytes make the worker or the server panic, and messages that are read come out the same when they are written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_codec::worker::protocol::{Answer, FrameHead, Hello, Request};
use ocelli_worker::camera::Camera;
use ocelli_worker::decode::Decoders;
use ocelli_worker::h264::Kind;
use ocelli_worker::serve;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::read(bytes) {
        let written = match request {
            Request::Recode { number, wish, jpeg } => {
                let head = Request::recode_head(number, &wish, jpeg.len()).expect("short enough");
                [&head[4..], jpeg].concat()
            }
            Request::Input(input) => Request::write_input(input).split_off(4),
            Request::Output { id, output } => Request::write_output(id, &output).split_off(4),
            Request::End(id) => Request::write_end(id).split_off(4),
            Request::Frame { number, time_us, key, wanted, data } => {
                let head = FrameHead::new(number, time_us, key, wanted.iter(), data.len());
                [&head.expect("short enough").as_bytes()[4..], data].concat()
            }
            Request::Still { number, still, data } => {
                let head = Request::still_head(number, &still, data.len()).expect("short enough");
                [&head[4..], data].concat()
            }
        };
        assert_eq!(written, bytes);
    }
    if let Ok(hello) = Hello::read(bytes) {
        assert_eq!(Hello::read(&hello.write()[4..]), Ok(hello));
    }
    match Answer::read(bytes) {
        Ok(Answer::Picture { number, size }) => {
            let (_, jpeg) = bytes.split_at(Answer::PICTURE_HEAD_BYTES);
            let head = Answer::picture_head(number, size, jpeg.len()).expect("short enough");
            assert_eq!([&head[4..], jpeg].concat(), bytes);
        }
        Ok(Answer::Piece(piece)) => {
            let (_, data) = bytes.split_at(Answer::PIECE_HEAD_BYTES);
            let head = Answer::piece_head(&piece, data.len()).expect("short enough");
            assert_eq!([&head[4..], data].concat(), bytes);
        }
        Ok(Answer::Done { number, outcome, decode_us, outputs_us, words }) => {
            let again = Answer::read(&Answer::write_done(number, outcome, decode_us, outputs_us, &words)[4..]);
            assert_eq!(again, Ok(Answer::Done { number, outcome, decode_us, outputs_us, words }));
        }
        Ok(Answer::Refused { number, reason }) => {
            let again = Answer::read(&Answer::write_refused(number, &reason)[4..]);
            assert_eq!(again, Ok(Answer::Refused { number, reason }));
        }
        Ok(Answer::Note { id, kind, words }) => {
            let again = Answer::read(&Answer::write_note(id, kind, &words)[4..]);
            assert_eq!(again, Ok(Answer::Note { id, kind, words }));
        }
        Err(_) => {}
    }
    // To open an encoder takes a hundred times as long as all else.
    let encoders = if bytes.len() % 64 == 0 { Kind::USUAL } else { &[] };
    let mut camera = Camera::with(encoders, Decoders::default()).expect("memory");
    let _ = serve(&mut camera, "", bytes, std::io::sink());
});
