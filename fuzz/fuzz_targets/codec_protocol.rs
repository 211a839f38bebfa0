//! No bytes make the worker or the server panic, and messages that are read come out the same when they are written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_codec::recode::Recoder;
use ocelli_codec::worker::protocol::{Answer, Hello, Request};
use ocelli_codec::worker::serve;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Request::Recode { number, wish, jpeg }) = Request::read(bytes) {
        let head = Request::recode_head(number, &wish, jpeg.len()).expect("short enough");
        assert_eq!([&head[4..], jpeg].concat(), bytes);
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
        Ok(Answer::Refused { number, reason }) => {
            let again = Answer::read(&Answer::write_refused(number, &reason)[4..]);
            assert_eq!(again, Ok(Answer::Refused { number, reason }));
        }
        Err(_) => {}
    }
    let mut recoder = Recoder::new().expect("memory");
    let _ = serve(&mut recoder, "", bytes, std::io::sink());
});
