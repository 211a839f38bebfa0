//! What is written is read again; what breaks a rule is named.

use ocelli_media::jpeg::rewrite::Sampling;
use ocelli_media::{Size, Turn};
use proptest::prelude::*;

use super::*;
use crate::recode::Wish;

fn body(message: &[u8]) -> &[u8] {
    let (head, body) = message.split_first_chunk().unwrap();
    assert_eq!(message_bytes(*head), Ok(body.len()));
    body
}

fn hello(words: &str) -> Hello {
    Hello::new(Able::new(&[Input::Jpeg, Input::H265], &[Coding::Jpeg, Coding::Rgb24]), words)
}

#[test]
fn a_hello_comes_back() {
    assert_eq!(Hello::read(body(&hello("no files").write())), Ok(hello("no files")));
    let long = Hello { version: "é".repeat(200), ..hello(&"ü".repeat(600)) };
    let read = Hello::read(body(&long.write())).unwrap();
    assert_eq!((read.version, read.words), ("é".repeat(127), "ü".repeat(256)));
    assert!(read.able.decodes(Input::H265) && !read.able.decodes(Input::H264));
    assert!(read.able.encodes(Coding::Rgb24) && !read.able.encodes(Coding::H264));
    for other in [&b""[..], b"HTTP/1.1 200 OK", &[HELLO], &body(&hello("").write())[..14]] {
        assert_eq!(Hello::read(other), Err(ProtocolError::NoHello));
    }
}

#[test]
fn of_another_protocol_only_the_beginning_is_read() {
    // As protocol 1 said it: how it is confined comes right behind the version.
    let old = [&[HELLO][..], b"ocelli-codec", &[0, 1, 5], b"0.1.0", b"limited"].concat();
    let read = Hello { protocol: 1, version: "0.1.0".into(), able: Able::default(), words: String::new() };
    assert_eq!(Hello::read(&old), Ok(read));
}

#[test]
fn lengths_are_bounded() {
    assert_eq!(message_bytes([0; 4]), Err(ProtocolError::Length(0)));
    assert_eq!(message_bytes([0xff; 4]), Err(ProtocolError::Length(u32::MAX)));
    let wish = Wish { quality: None, sampling: None, most: Size { width: 1, height: 1 } };
    assert_eq!(Request::recode_head(1, &wish, MOST_MESSAGE_BYTES), None);
    assert_eq!(Answer::picture_head(1, wish.most, usize::MAX), None);
    assert!(FrameHead::new(1, 0, true, [], MOST_MESSAGE_BYTES).is_none());
    let all = (0..1000).map(|number| (OutputId(number), false));
    let head = FrameHead::new(1, 0, true, all, 64 << 20).expect("a picture of 64 MiB fits");
    let [kind, ..] = head.as_bytes()[4..] else { panic!() };
    assert_eq!((kind, usize::from(head.as_bytes()[18])), (FRAME, MOST_WANTED));
}

#[test]
fn fields_outside_their_range_are_named() {
    let field = |what, found| Err(ProtocolError::Field { what, found });
    let recode = |quality, sampling| [RECODE, 0, 0, 0, 1, quality, sampling, 0, 1, 0, 1];
    assert_eq!(Request::read(&recode(101, 0)), field("the quality", 101));
    assert_eq!(Request::read(&recode(1, 3)), field("the sampling", 3));
    assert_eq!(Request::read(&recode(1, 2)[..5]), Err(ProtocolError::Short { kind: RECODE, length: 4 }));
    assert_eq!(Request::read(&[77]), Err(ProtocolError::Kind(77)));
    assert_eq!(Request::read(&[INPUT, 3]), field("the codec", 3));
    assert_eq!(Request::read(&[INPUT, 1, 0]), Err(ProtocolError::Long { kind: INPUT, excess: 1 }));
    let mut output = body(&Request::write_output(OutputId(1), &Output::new(Coding::Jpeg))).to_vec();
    output[8] = 8;
    assert_eq!(Request::read(&output), field("the turn", 8));
    let frame = |key, count, flags| [&[FRAME, 0, 0, 0, 1][..], &[0; 8], &[key, count, 0, 1, flags]].concat();
    assert_eq!(Request::read(&frame(2, 0, 0)), field("the mark of a keyframe", 2));
    assert_eq!(Request::read(&frame(1, 65, 0)), field("the number of outputs", 65));
    assert_eq!(Request::read(&frame(1, 1, 2)), field("an output's flags", 2));
    assert!(matches!(Request::read(&frame(1, 2, 0)), Err(ProtocolError::Short { kind: FRAME, .. })));
    assert_eq!(Answer::read(&[REFUSED, 1]), Err(ProtocolError::Short { kind: REFUSED, length: 1 }));
    let what = "what a note says";
    assert_eq!(Answer::read(&[NOTE, 0, 1, 3]), Err(ProtocolError::Field { what, found: 3 }));
}

#[test]
fn sizes_keep_their_shape_and_fit() {
    let of = |coding, width, height, turn| Output { width, height, turn, ..Output::new(coding) };
    let source = Size { width: 1920, height: 1080 };
    let size = |output: Output| {
        let Size { width, height } = output.size(source);
        (width, height)
    };
    let quarter = Turn::Clockwise;
    assert_eq!(size(of(Coding::Jpeg, None, None, Turn::None)), (1920, 1080));
    assert_eq!(size(of(Coding::Jpeg, Some(640), None, Turn::None)), (640, 360));
    assert_eq!(size(of(Coding::Jpeg, None, Some(240), Turn::None)), (427, 240));
    assert_eq!(size(of(Coding::H264, None, Some(240), Turn::None)), (426, 240));
    assert_eq!(size(of(Coding::Jpeg, Some(4000), Some(4000), Turn::None)), (1920, 1080));
    assert_eq!(size(of(Coding::Jpeg, Some(640), Some(640), quarter)), (360, 640));
    assert_eq!(size(of(Coding::Yuv420, Some(1), Some(1), Turn::None)), (2, 2));
    assert_eq!(size(of(Coding::Jpeg, Some(1), None, Turn::None)), (1, 1));
}

fn any_wish() -> impl Strategy<Value = Wish> {
    (0_u8..=100, 0..3_usize, any::<(u16, u16)>()).prop_map(|(quality, sampling, (width, height))| Wish {
        quality: Some(quality).filter(|quality| *quality > 0),
        sampling: [None, Some(Sampling::Yuv420), Some(Sampling::Yuv422)][sampling],
        most: Size { width, height },
    })
}

prop_compose! {
    fn any_output()(
        coding in 0..4_usize,
        sides: (u16, u16),
        turn in 0..8_usize,
        quality in 0_u8..=100,
        numbers: (u32, u32, u32),
    ) -> Output {
        Output {
            coding: Coding::ALL[coding],
            width: Some(sides.0).filter(|side| *side > 0),
            height: Some(sides.1).filter(|side| *side > 0),
            turn: Turn::ALL[turn],
            quality: Some(quality).filter(|quality| *quality > 0),
            bit_rate_kbps: numbers.0,
            rate_mhz: numbers.1,
            keyframe_ms: numbers.2,
        }
    }
}

proptest! {
    #[test]
    fn requests_for_one_picture_come_back(
        number: u32, wish in any_wish(), input in 0..3_usize, turn in 0..8_usize, data: Vec<u8>,
    ) {
        let message = [&Request::recode_head(number, &wish, data.len()).unwrap()[..], &data].concat();
        prop_assert_eq!(Request::read(body(&message)), Ok(Request::Recode { number, wish, jpeg: &data }));
        prop_assert_eq!(Request::number(body(&message)), number);
        let still = Still { input: Input::ALL[input], wish, turn: Turn::ALL[turn] };
        let message = [&Request::still_head(number, &still, data.len()).unwrap()[..], &data].concat();
        prop_assert_eq!(Request::read(body(&message)), Ok(Request::Still { number, still, data: &data }));
    }

    #[test]
    fn requests_for_streams_come_back(
        id: u16, output in any_output(), number: u32, time_us: i64, key: bool,
        wanted in prop::collection::vec(any::<(u16, bool)>(), 0..=MOST_WANTED), data: Vec<u8>,
    ) {
        let id = OutputId(id);
        let mut messages = vec![
            (Request::write_output(id, &output), Request::Output { id, output }),
            (Request::write_end(id), Request::End(id)),
        ];
        messages.extend(Input::ALL.map(|input| (Request::write_input(input), Request::Input(input))));
        for (message, request) in messages {
            prop_assert_eq!(Request::read(body(&message)), Ok(request));
        }
        let wanted: Vec<_> = wanted.into_iter().map(|(id, key)| (OutputId(id), key)).collect();
        let head = FrameHead::new(number, time_us, key, wanted.iter().copied(), data.len()).unwrap();
        let message = [head.as_bytes(), &data].concat();
        let Ok(Request::Frame { wanted: read_wanted, .. }) = Request::read(body(&message)) else { panic!() };
        prop_assert_eq!(read_wanted.iter().collect::<Vec<_>>(), wanted);
        let frame = Request::Frame { number, time_us, key, wanted: read_wanted, data: &data };
        prop_assert_eq!(Request::read(body(&message)), Ok(frame));
    }

    #[test]
    fn answers_come_back(
        number: u32, sides: (u16, u16), id: u16, time_us: i64, key: bool,
        costs: (u32, u32), data: Vec<u8>, words in "[a-z ]{0,100}",
    ) {
        let size = Size { width: sides.0, height: sides.1 };
        let message = [&Answer::picture_head(number, size, data.len()).unwrap()[..], &data].concat();
        prop_assert_eq!(Answer::read(body(&message)), Ok(Answer::Picture { number, size }));
        prop_assert_eq!(&body(&message)[Answer::PICTURE_HEAD_BYTES..], &data);

        let id = OutputId(id);
        let piece = Piece { id, number, time_us, key, size, scale_us: costs.0, encode_us: costs.1 };
        let message = [&Answer::piece_head(&piece, data.len()).unwrap()[..], &data].concat();
        prop_assert_eq!(Answer::read(body(&message)), Ok(Answer::Piece(piece)));
        prop_assert_eq!(&body(&message)[Answer::PIECE_HEAD_BYTES..], &data);

        for outcome in [Outcome::Shown, Outcome::Later, Outcome::Damaged, Outcome::NeedsKeyframe] {
            let (decode_us, outputs_us) = costs;
            let message = Answer::write_done(number, outcome, decode_us, outputs_us, &words);
            let done = Answer::Done { number, outcome, decode_us, outputs_us, words: words.clone() };
            prop_assert_eq!(Answer::read(body(&message)), Ok(done));
        }
        for kind in [NoteKind::Way, NoteKind::Warning, NoteKind::Ended] {
            let message = Answer::write_note(id, kind, &words);
            prop_assert_eq!(Answer::read(body(&message)), Ok(Answer::Note { id, kind, words: words.clone() }));
        }
        let message = Answer::write_refused(number, &words);
        prop_assert_eq!(Answer::read(body(&message)), Ok(Answer::Refused { number, reason: words }));
    }

    #[test]
    fn sizes_are_in_their_bounds(output in any_output(), width in 1_u16.., height in 1_u16..) {
        let size = output.size(Size { width, height });
        let turned = output.turn.of(Size { width, height });
        prop_assert!(size.width >= 1 && size.height >= 1);
        let most = |most: Option<u16>, side: u16| most.unwrap_or(side).min(side).max(2);
        prop_assert!(size.width <= most(output.width, turned.width), "{size}");
        prop_assert!(size.height <= most(output.height, turned.height), "{size}");
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>) {
        let _ = (Hello::read(&bytes), Request::read(&bytes), Answer::read(&bytes));
        for kind in 0..=u8::MAX {
            let message = [&[kind][..], &bytes].concat();
            let _ = (Hello::read(&message), Request::read(&message), Answer::read(&message));
        }
    }
}
