//! The rewrite against an independent coder that works bit by bit, and on damaged and refused pictures.

mod reference;

use bytes::Bytes;
use proptest::prelude::*;

use self::reference::{Coefficients, Plan, Table, decode, encode};
use super::standard::{CHROMA_AC, CHROMA_DC, LUMA_AC, LUMA_DC};
use super::*;
use crate::jpeg::{Process, marker};
use crate::testdata::{PICTURES, picture};

fn rewrite(bytes: &[u8]) -> Result<(RtpJpeg, Work), RewriteError> {
    Rewriter::new().rewrite(&Bytes::copy_from_slice(bytes))
}

/// Both have the same coefficients where the picture is, and the same quantisation.
fn assert_same(original: &[u8], rebuilt: &[u8]) {
    let header = Header::parse(original).expect("a sound original");
    let (before, after) = (decode(original), decode(rebuilt));
    let luma = header.components()[0];
    for (index, component) in header.components().iter().enumerate() {
        let size = |total: u16, own: u8, most: u8| {
            (usize::from(total) * usize::from(own)).div_ceil(usize::from(most)).div_ceil(8)
        };
        let columns = size(header.size.width, component.horizontal, luma.horizontal);
        let rows = size(header.size.height, component.vertical, luma.vertical);
        assert!(before[index].cropped(columns, rows) == after[index].cropped(columns, rows), "plane {index}");
        assert_eq!(before[index].quantisation, after[index].quantisation, "plane {index}");
    }
}

#[test]
fn the_standard_tables_are_those_of_an_encoder_that_uses_them() {
    let mut tables = Tables::new();
    tables.dc = Default::default();
    tables.ac = Default::default();
    for item in Items::new(picture("baseline")) {
        if let Item::Segment { code: marker::DHT, at, payload } = item.unwrap() {
            tables.define_huffman(at, payload).unwrap();
        }
    }
    assert_eq!(tables.dc[..2], [Some(LUMA_DC.clone()), Some(CHROMA_DC.clone())]);
    assert_eq!(tables.ac[..2], [Some(LUMA_AC.clone()), Some(CHROMA_AC.clone())]);
}

#[test]
fn every_encoders_picture_keeps_its_coefficients() {
    for (name, work) in [
        ("baseline", Work::AsIs),
        ("exif-thumbnail", Work::AsIs),
        ("ffmpeg-yuv420", Work::Recoded),
        ("ffmpeg-yuv422", Work::Reordered),
        ("fill-bytes", Work::AsIs),
        ("gstreamer", Work::AsIs),
        ("no-dht", Work::AsIs),
        ("optimised", Work::Recoded),
        ("restart", Work::AsIs),
    ] {
        let (rewritten, done) = rewrite(picture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(done, work, "{name}");
        assert_same(picture(name), &rewritten.rebuild());
        assert_eq!(rewritten.restart_interval, (name == "restart").then_some(2), "{name}");
        assert_eq!(rewritten.sampling == Sampling::Yuv422, name == "ffmpeg-yuv422", "{name}");
        let (again, done) = Rewriter::new().rewrite(&rewritten.rebuild()).unwrap();
        assert_eq!((again, done), (rewritten, Work::AsIs), "{name}");
    }
}

#[test]
fn a_standard_scan_stays_where_it_is() {
    let bytes = Bytes::from_static(picture("baseline"));
    let (rewritten, work) = Rewriter::new().rewrite(&bytes).unwrap();
    assert_eq!(work, Work::AsIs);
    assert!(bytes.as_ptr_range().contains(&rewritten.scan.as_ptr()));
}

#[test]
fn one_picture_coded_in_two_ways_is_rewritten_to_the_same_scan() {
    let (standard, _) = rewrite(picture("baseline")).unwrap();
    let (optimised, _) = rewrite(picture("optimised")).unwrap();
    assert_eq!(standard, optimised);
}

#[test]
fn what_cannot_be_carried_is_refused_with_its_reason() {
    let refusal = |name| rewrite(picture(name)).map(|_| ()).unwrap_err().to_string();
    assert_eq!(refusal("progressive"), "RTP/JPEG cannot carry progressive coding, only baseline (RFC 2435)");
    assert_eq!(refusal("grey"), "RTP/JPEG cannot carry pictures of 1 components, only of 3 (RFC 2435)");
    assert_eq!(
        refusal("yuv444"),
        "RTP/JPEG cannot carry colour sampled 4:4:4, only 4:2:0 and 4:2:2 (RFC 2435)"
    );
    let changed = |change: fn(&mut Plan)| {
        let mut plan = plan(40, 24, Shape::Standard420);
        change(&mut plan);
        rewrite(&encode(&plan, |_, _, _| [0; 64])).map(|_| ()).unwrap_err()
    };
    let factors = |plan: &mut Plan, h, v| (plan.components[0].1, plan.components[0].2) = (h, v);
    assert_eq!(
        changed(|plan| plan.height = 2048),
        Refusal::TooLarge(Size { width: 40, height: 2048 }).into()
    );
    assert_eq!(changed(|plan| plan.components[2].3 = 2), Refusal::ColourTables.into());
    assert_eq!(
        changed(|plan| plan.components.iter_mut().zip(*b"RGB").for_each(|(c, id)| c.0 = id)),
        Refusal::Rgb.into()
    );
    for (h, v, words) in [(1, 2, "4:4:0"), (4, 1, "4:1:1"), (3, 1, "3x1,1x1,1x1")] {
        let mut plan = plan(40, 24, Shape::Standard420);
        factors(&mut plan, h, v);
        let error = rewrite(&encode(&plan, |_, _, _| [0; 64])).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let whole = picture("baseline");
    let frame = whole.windows(2).position(|pair| pair == [0xFF, marker::SOF0]).unwrap();
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.to_vec();
        bytes[frame + at] = byte;
        rewrite(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(with(4, 12), Refusal::Precision(12).into());
    assert_eq!(with(1, 0xC9), Refusal::Process(Process::Other(9)).into());
}

#[test]
fn rgb_that_only_adobes_segment_tells_is_refused() {
    let with_transform = |transform: u8| {
        let whole =
            encode(&plan(40, 24, Shape::Standard420), |_, column, row| random_block(row * 100 + column));
        let adobe = [0xFF, 0xEE, 0, 14, b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, transform];
        rewrite(&[&whole[..2], &adobe, &whole[2..]].concat()).map(|(_, work)| work)
    };
    assert_eq!(with_transform(1), Ok(Work::Recoded));
    assert_eq!(with_transform(0), Err(Refusal::Rgb.into()));
}

#[test]
fn a_frame_header_that_has_colour_first_goes_by_jfifs_ids() {
    let mut plan = plan(40, 24, Shape::Standard420);
    let source = |plane: usize, column, row| random_block(plane * 7919 + row * 100 + column);
    let (usual, _) = rewrite(&encode(&plan, source)).unwrap();
    plan.components.rotate_left(1);
    plan.tables.rotate_left(1);
    let (rewritten, work) =
        rewrite(&encode(&plan, |index, column, row| source((index + 1) % 3, column, row))).unwrap();
    assert_eq!((rewritten, work), (usual, Work::Reordered));
}

#[test]
fn damage_is_an_error_that_says_where() {
    let whole = picture("optimised");
    let scan = Items::new(whole).find_map(|item| match item {
        Ok(Item::Scan { at, .. }) => Some(at),
        _ => None,
    });
    let mut cut = whole[..scan.unwrap() + 40].to_vec();
    assert_eq!(
        rewrite(&cut).unwrap_err().to_string(),
        format!("byte {}: the bytes end within the picture (T.81 B.2.1)", cut.len())
    );
    cut.extend([0xFF, marker::EOI]);
    let error = rewrite(&cut).unwrap_err();
    let RewriteError::Damaged { at, what, .. } = error else { panic!("{error}") };
    assert_eq!((at, what), (scan.unwrap() + 40, "the scan ends before the picture is whole"));
}

#[test]
fn a_restart_marker_missing_or_of_another_number_is_damage() {
    let mut plan = plan(64, 48, Shape::Standard420);
    plan.interval = 2;
    let bytes = encode(&plan, |plane, column, row| random_block(plane * 1000 + row * 100 + column));
    assert!(rewrite(&bytes).is_ok());
    let marker = bytes.windows(2).position(|pair| pair == [0xFF, marker::RST0 + 1]).unwrap();
    let mut wrong = bytes.clone();
    wrong[marker + 1] = marker::RST0 + 2;
    let mut missing = bytes;
    missing.drain(marker..marker + 2);
    for bytes in [wrong, missing] {
        assert!(matches!(rewrite(&bytes), Err(RewriteError::Damaged { .. })));
    }
}

#[test]
fn fill_bytes_and_restarts_in_a_recoded_scan_are_understood() {
    let mut plan = plan(64, 48, Shape::Standard420);
    plan.interval = 1;
    let bytes = encode(&plan, |plane, column, row| random_block(plane * 1000 + row * 100 + column));
    let mut filled = Vec::new();
    for pair in bytes.windows(2) {
        if pair[0] == 0xFF && (marker::RST0..=marker::RST7).contains(&pair[1]) {
            filled.extend([0xFF; 3]);
        }
        filled.push(pair[0]);
    }
    filled.extend([0xFF, 0xFF, marker::EOI]);
    let (rewritten, work) = rewrite(&filled).unwrap();
    assert_eq!((rewritten.restart_interval, work), (Some(1), Work::Recoded));
    assert_eq!(rewritten, rewrite(&bytes).unwrap().0);
    assert_same(&bytes, &rewritten.rebuild());
}

#[test]
fn quantisation_of_one_table_three_tables_and_sixteen_bits_is_carried() {
    let one = |plan: &mut Plan| plan.components.iter_mut().for_each(|component| component.3 = 0);
    let three = |plan: &mut Plan| {
        plan.quantisation[2] = plan.quantisation[1].clone();
        plan.quantisation[2][0] = 2;
        plan.components[2].3 = 2;
    };
    let wide = |plan: &mut Plan| {
        let values = (1..=64_u16).flat_map(|value| (value * 16).to_be_bytes());
        plan.quantisation[0] = [0x10].into_iter().chain(values).collect();
    };
    let small = |plan: &mut Plan| {
        plan.quantisation[0] = [0x10].into_iter().chain([0, 9].repeat(64)).collect();
    };
    for (change, precision) in [(&one as &dyn Fn(&mut Plan), 0), (&three, 0), (&wide, 1), (&small, 0)] {
        let mut plan = plan(40, 24, Shape::Standard422);
        change(&mut plan);
        let bytes = encode(&plan, |_, column, row| random_block(row * 100 + column));
        let (rewritten, _) = rewrite(&bytes).unwrap();
        assert_eq!(rewritten.quantisation.precision(), precision);
        assert_same(&bytes, &rewritten.rebuild());
        let mut sent = Vec::new();
        rewritten.quantisation.write(&mut sent);
        assert_eq!(sent.len(), if precision == 1 { 192 } else { 128 });
    }
}

#[test]
fn a_coefficient_that_the_standard_tables_have_no_code_for_is_refused() {
    let mut plan = plan(16, 16, Shape::Standard420);
    let mut symbols: Vec<_> = LUMA_AC.symbols().to_vec();
    symbols[3] = 0x0B;
    plan.tables[0][1] = Table::new(&LUMA_AC.counts, &symbols);
    let mut block = [0; 64];
    block[1..].fill(1024);
    let bytes = encode(&plan, |plane, _, _| if plane == 0 { block } else { [0; 64] });
    assert_eq!(rewrite(&bytes).map(|_| ()), Err(Refusal::Coefficient.into()));
}

/// How a picture to rewrite is laid out.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Standard420,
    Standard422,
    /// FFmpeg's.
    Tall422,
    /// Factors that are all twice what is needed.
    Double420,
    /// The scan's components in another order than the frame's.
    Shuffled,
    /// A scan for each component.
    Separate422,
    /// Brightness alone, colours together.
    Two,
}

const SHAPES: [Shape; 7] = [
    Shape::Standard420,
    Shape::Standard422,
    Shape::Tall422,
    Shape::Double420,
    Shape::Shuffled,
    Shape::Separate422,
    Shape::Two,
];

fn plan(width: u16, height: u16, shape: Shape) -> Plan {
    let ((luma_h, luma_v), (h, v)) = match shape {
        Shape::Standard420 | Shape::Shuffled | Shape::Two => ((2, 2), (1, 1)),
        Shape::Standard422 | Shape::Separate422 => ((2, 1), (1, 1)),
        Shape::Tall422 => ((2, 2), (1, 2)),
        Shape::Double420 => ((4, 4), (2, 2)),
    };
    let table = |selector: u8| [selector].into_iter().chain(1 + selector..=64 + selector).collect();
    Plan {
        width,
        height,
        components: vec![(1, luma_h, luma_v, 0), (2, h, v, 1), (3, h, v, 1)],
        scans: match shape {
            Shape::Shuffled => vec![vec![2, 0, 1]],
            Shape::Separate422 => vec![vec![1], vec![0], vec![2]],
            Shape::Two => vec![vec![0], vec![1, 2]],
            _ => vec![vec![0, 1, 2]],
        },
        interval: 0,
        tables: (0..3).map(|seed| shuffled_tables(7 + seed)).collect(),
        with_dht: true,
        quantisation: vec![table(0), table(1), table(2)],
    }
}

/// The standard tables' lengths, for other symbols.
fn shuffled_tables(seed: u64) -> [Table; 2] {
    let mut state = seed;
    let mut shuffled = |definition: &huffman::Definition| {
        let mut symbols = definition.symbols().to_vec();
        for index in (1..symbols.len()).rev() {
            symbols.swap(index, random(&mut state) as usize % (index + 1));
        }
        Table::new(&definition.counts, &symbols)
    };
    [shuffled(&LUMA_DC), shuffled(&LUMA_AC)]
}

fn random(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as u32
}

/// Mostly a few small coefficients, sometimes all of the largest.
fn random_block(seed: usize) -> Coefficients {
    let mut state = seed as u64 * 977 + 5;
    let mut block = [0; 64];
    let (density, size) = match random(&mut state) % 8 {
        0 => (1, 10),
        1 => (2, 4),
        2 => (64, 10),
        3 => (1000, 1),
        _ => (6, 3),
    };
    block[0] = random(&mut state) as i32 % 2048 - 1024;
    for value in &mut block[1..] {
        if random(&mut state).is_multiple_of(density) {
            let bound = 1 << (1 + random(&mut state) % size);
            *value = random(&mut state) as i32 % (2 * bound - 1) - (bound - 1);
        }
    }
    block
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_layout_keeps_its_coefficients(
        (width, height) in (1_u16..90, 1_u16..90),
        shape in proptest::sample::select(&SHAPES[..]),
        interval in prop_oneof![Just(0_u16), 1_u16..9],
        seed in 0_usize..10_000,
        (with_dht, same_tables) in any::<(bool, bool)>(),
    ) {
        let mut plan = plan(width, height, shape);
        plan.interval = interval;
        plan.with_dht = with_dht;
        if same_tables {
            plan.tables[2] = plan.tables[1].clone();
        }
        if !with_dht {
            let table = |definition: &huffman::Definition| Table::new(&definition.counts, definition.symbols());
            let chroma = [table(&CHROMA_DC), table(&CHROMA_AC)];
            plan.tables = vec![[table(&LUMA_DC), table(&LUMA_AC)], chroma.clone(), chroma];
        }
        let bytes = encode(&plan, |plane, column, row| random_block(seed + plane * 7919 + row * 131 + column));
        let (rewritten, work) = rewrite(&bytes).unwrap();
        let in_order = matches!(shape, Shape::Standard420 | Shape::Standard422);
        let expected = if !in_order { Work::Reordered } else if with_dht { Work::Recoded } else { Work::AsIs };
        prop_assert_eq!(work, expected);
        assert_same(&bytes, &rewritten.rebuild());
        let (again, _) = rewrite(&rewritten.rebuild()).unwrap();
        prop_assert_eq!(again, rewritten);
    }

    #[test]
    fn damage_never_panics_and_what_comes_of_it_can_be_rebuilt(
        index in 0..PICTURES.len(),
        at in 2_usize..2400,
        with: u8,
        cut in 0_usize..3000,
    ) {
        let mut bytes = PICTURES[index].1.to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = with;
        }
        if cut < 1500 {
            bytes.truncate(cut);
            bytes.extend([0xFF, marker::EOI]);
        }
        let mut rewriter = Rewriter::new();
        if let Ok((rewritten, _)) = rewriter.rewrite(&bytes.into()) {
            let (again, work) = rewriter.rewrite(&rewritten.rebuild()).unwrap();
            prop_assert_eq!(work, Work::AsIs);
            prop_assert_eq!(again, rewritten);
        }
        // What it keeps does not spoil the next picture.
        let (fresh, kept) = (rewrite(picture("ffmpeg-yuv422")), rewriter.rewrite(&Bytes::from_static(picture("ffmpeg-yuv422"))));
        prop_assert_eq!(fresh.unwrap(), kept.unwrap());
    }

    #[test]
    fn damage_in_a_scan_that_is_recoded_never_panics(
        shape in proptest::sample::select(&SHAPES[..]),
        seed in 0_usize..1000,
        at in 0_usize..4000,
        with: u8,
    ) {
        let mut plan = plan(50, 40, shape);
        plan.interval = (seed % 4) as u16;
        let mut bytes = encode(&plan, |plane, column, row| random_block(seed + plane * 7919 + row * 131 + column));
        let length = bytes.len();
        bytes[600 + at % (length - 602)] = with;
        let _ = rewrite(&bytes);
    }
}
