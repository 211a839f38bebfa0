//! Fidelity by PSNR against libjpeg-turbo's own decode of the same picture, and what is refused.

use ocelli_media::jpeg::rewrite::{Rewriter, Work};
use proptest::prelude::*;
use turbojpeg::PixelFormat;

use super::*;

const RTP: Size = Size { width: 2040, height: 2040 };
const AS_IT_IS: Wish = Wish { quality: None, sampling: None, most: RTP };
const SAMPLINGS: [Subsamp; 7] = [
    Subsamp::None,
    Subsamp::Sub2x1,
    Subsamp::Sub2x2,
    Subsamp::Gray,
    Subsamp::Sub1x2,
    Subsamp::Sub4x1,
    Subsamp::Sub1x4,
];

/// Slopes, edges and colours that thinning must not shift.
fn pixels(width: usize, height: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(width * height * 3);
    for row in 0..height {
        for column in 0..width {
            let checks = if (row / 24 + column / 24).is_multiple_of(2) { 40 } else { 0 };
            let wave = ((column as f64 / 17.0).sin() * 50.0 + 100.0) as u8;
            pixels.extend([
                wave + checks,
                (row * 200 / height) as u8 + checks / 2,
                200 - (column * 150 / width) as u8,
            ]);
        }
    }
    pixels
}

fn image(pixels: &[u8], width: usize, height: usize) -> Image<&[u8]> {
    Image { pixels, width, pitch: width * 3, height, format: PixelFormat::RGB }
}

fn encode(width: usize, height: usize, subsamp: Subsamp, how: impl FnOnce(&mut Compressor)) -> Vec<u8> {
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(92).unwrap();
    compressor.set_subsamp(subsamp).unwrap();
    how(&mut compressor);
    compressor.compress_to_vec(image(&pixels(width, height), width, height)).unwrap()
}

fn decode(jpeg: &[u8]) -> Image<Vec<u8>> {
    turbojpeg::decompress(jpeg, PixelFormat::RGB).unwrap()
}

fn psnr(one: &Image<Vec<u8>>, other: &Image<Vec<u8>>) -> f64 {
    assert_eq!((one.width, one.height), (other.width, other.height));
    let squares: f64 =
        one.pixels.iter().zip(&other.pixels).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) * one.pixels.len() as f64 / squares.max(1.0)).log10()
}

fn recode(jpeg: &[u8], wish: &Wish) -> Result<Vec<u8>, RecodeError> {
    let mut recoder = Recoder::new()?;
    let (size, out) = recoder.recode(jpeg, wish)?;
    let out = out.to_vec();
    let header = Header::parse(&out).unwrap();
    assert_eq!(header.size, size);
    Ok(out)
}

/// What came out is carried by RTP/JPEG with no further work.
fn assert_plain(jpeg: &[u8], sampling: Sampling) {
    let (picture, work) = Rewriter::new().rewrite(&jpeg.to_vec().into()).unwrap();
    assert_eq!((work, picture.sampling, picture.restart_interval), (Work::AsIs, sampling, None));
}

/// As near to the picture as libjpeg-turbo's own way through RGB comes at the same quality and sampling, within 2 dB, up to
/// 40 dB; up to 31 dB where a sampling was asked for: libjpeg-turbo smooths colour that is to become finer, and here it is
/// repeated.
#[track_caller]
fn assert_faithful(jpeg: &[u8], wish: &Wish) -> Vec<u8> {
    let out = recode(jpeg, wish).unwrap();
    let source = decode(jpeg);
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(estimate_quality(&out).unwrap().into()).unwrap();
    compressor.set_subsamp(turbojpeg::read_header(&out).unwrap().subsamp).unwrap();
    let own = decode(&compressor.compress_to_vec(source.as_deref()).unwrap());
    let (near, own) = (psnr(&source, &decode(&out)), psnr(&source, &own));
    let header = turbojpeg::read_header(jpeg).unwrap();
    let enough = if wish.sampling.is_none() { 42.0 } else { 33.0 };
    assert!(near > own.min(enough) - 2.0, "{near:.1} dB, {own:.1} dB through RGB: {wish:?} of {header:?}");
    out
}

#[test]
fn every_sampling_becomes_a_plain_one_that_looks_the_same() {
    for subsamp in SAMPLINGS {
        for (width, height) in [(320, 240), (321, 241), (323, 240), (37, 53), (16, 8)] {
            let jpeg = encode(width, height, subsamp, |_| {});
            for wish in [None, Some(Sampling::Yuv420), Some(Sampling::Yuv422)] {
                let out = assert_faithful(&jpeg, &Wish { sampling: wish, ..AS_IT_IS });
                let own = if subsamp == Subsamp::Sub2x1 { Sampling::Yuv422 } else { Sampling::Yuv420 };
                assert_plain(&out, wish.unwrap_or(own));
            }
        }
    }
}

#[test]
fn a_single_pixel_stays_one() {
    for subsamp in SAMPLINGS {
        for (width, height) in [(1, 1), (1, 9), (9, 1), (2, 3)] {
            let out = recode(&encode(width, height, subsamp, |_| {}), &AS_IT_IS).unwrap();
            assert_eq!((decode(&out).width, decode(&out).height), (width, height));
        }
    }
}

#[test]
fn progressive_arithmetic_and_optimised_coding_are_undone() {
    let ways: [fn(&mut Compressor); 3] = [
        |compressor| compressor.set_progressive(true).unwrap(),
        |compressor| compressor.set_arithmetic(true).unwrap(),
        |compressor| compressor.set_optimize(true).unwrap(),
    ];
    for way in ways {
        for subsamp in [Subsamp::Sub2x2, Subsamp::None] {
            let out = assert_faithful(&encode(320, 240, subsamp, way), &AS_IT_IS);
            assert_plain(&out, Sampling::Yuv420);
        }
    }
}

#[test]
fn real_pictures_are_taken() {
    for name in ["progressive", "yuv444", "grey", "no-dht", "exif-thumbnail", "ffmpeg-yuv422", "restart"] {
        let file = format!("{}/../media/testdata/{name}.jpg", env!("CARGO_MANIFEST_DIR"));
        let jpeg = std::fs::read(file).unwrap();
        let out = assert_faithful(&jpeg, &AS_IT_IS);
        assert_plain(&out, if name == "ffmpeg-yuv422" { Sampling::Yuv422 } else { Sampling::Yuv420 });
    }
}

#[test]
fn lossless_pictures_are_taken_where_they_need_not_be_made_smaller() {
    let lossless: fn(&mut Compressor) = |compressor| compressor.set_lossless(true).unwrap();
    let jpeg = encode(320, 240, Subsamp::None, lossless);
    assert_eq!(Header::parse(&jpeg).unwrap().process, Process::Lossless);
    assert_plain(&assert_faithful(&jpeg, &AS_IT_IS), Sampling::Yuv420);
    let wide = encode(2048, 16, Subsamp::None, lossless);
    assert!(matches!(recode(&wide, &AS_IT_IS), Err(RecodeError::NoFit { .. })));
}

#[test]
fn twelve_bits_become_eight() {
    for (width, height, expected) in [(160, 120, (160, 120)), (161, 121, (161, 121)), (2720, 64, (2040, 48))]
    {
        let pixels = pixels(width, height);
        let jpeg = twelve::tests::encode(&pixels, width, height);
        assert_eq!(Header::parse(&jpeg).unwrap().precision_bits, 12);
        let mut recoder = Recoder::new().unwrap();
        let (size, out) = recoder.recode(&jpeg, &AS_IT_IS).unwrap();
        assert_eq!((usize::from(size.width), usize::from(size.height)), expected);
        let out = out.to_vec();
        assert_plain(&out, Sampling::Yuv420);
        if expected == (width, height) {
            let pitch = width * 3;
            let near = psnr(&Image { pixels, width, pitch, height, format: PixelFormat::RGB }, &decode(&out));
            assert!(near > 28.0, "{near:.1} dB");
        }
        assert!(recoder.recode(&jpeg[..jpeg.len() / 2], &AS_IT_IS).is_err());
        let eight = encode(64, 48, Subsamp::None, |_| {});
        assert!(recoder.recode(&eight, &AS_IT_IS).is_ok());
    }
}

#[test]
fn rgb_pictures_become_ycbcr() {
    let (width, height) = (160, 120);
    // libjpeg takes three components named R, G and B for RGB when nothing else says what they are: so does everybody.
    let jpeg = encode(width, height, Subsamp::None, |_| {});
    let mut rgb = Vec::new();
    for item in ocelli_media::jpeg::Items::new(&jpeg) {
        if let ocelli_media::jpeg::Item::Segment { code: 0xc0, at, .. } = item.unwrap() {
            rgb = jpeg.clone();
            for (index, name) in b"RGB".iter().enumerate() {
                rgb[at + 10 + 3 * index] = *name;
            }
        }
        if let Ok(ocelli_media::jpeg::Item::Segment { code: 0xda, at, .. }) = item {
            for (index, name) in b"RGB".iter().enumerate() {
                rgb[at + 5 + 2 * index] = *name;
            }
        }
    }
    // Without the JFIF segment, which says YCbCr.
    rgb.drain(2..4 + usize::from(u16::from_be_bytes([rgb[4], rgb[5]])));
    assert_eq!(turbojpeg::read_header(&rgb).unwrap().colorspace, Colorspace::RGB);
    assert_plain(&assert_faithful(&rgb, &AS_IT_IS), Sampling::Yuv420);
}

#[test]
fn too_large_a_picture_is_made_smaller_with_its_shape_kept() {
    for (width, height, expected) in [
        (4096, 2304, (1536, 864)),
        (2048, 1536, (1792, 1344)),
        (2041, 16, (1786, 14)),
        (100, 2600, (75, 1950)),
        (2040, 2040, (2040, 2040)),
    ] {
        for subsamp in [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub2x2, Subsamp::Gray, Subsamp::Sub4x1] {
            let jpeg = encode(width, height, subsamp, |_| {});
            let out = recode(&jpeg, &AS_IT_IS).unwrap();
            let small = decode(&out);
            assert_eq!((small.width, small.height), expected, "{width}x{height} {subsamp:?}");
            let mut decompressor = Decompressor::new().unwrap();
            let factor = ScalingFactor::new(
                (1..=8).find(|m| ScalingFactor::new(*m, 8).scale(width) == expected.0).unwrap(),
                8,
            );
            decompressor.set_scaling_factor(factor).unwrap();
            let mut own = Image {
                pixels: vec![0; expected.0 * expected.1 * 3],
                width: expected.0,
                pitch: expected.0 * 3,
                height: expected.1,
                format: PixelFormat::RGB,
            };
            decompressor.decompress(&jpeg, own.as_deref_mut()).unwrap();
            let near = psnr(&own, &small);
            assert!(near > 30.0, "{width}x{height} {subsamp:?}: {near:.1} dB");
        }
    }
}

#[test]
fn quality_is_kept_or_what_was_asked() {
    let mut lengths = Vec::new();
    for quality in [20, 50, 80, 95] {
        let jpeg = encode(320, 240, Subsamp::None, |compressor| compressor.set_quality(quality).unwrap());
        let out = recode(&jpeg, &AS_IT_IS).unwrap();
        let kept = estimate_quality(&out).unwrap();
        assert!(i32::from(kept).abs_diff(quality) <= 1, "{quality} became {kept}");
        let low = recode(&jpeg, &Wish { quality: Some(10), ..AS_IT_IS }).unwrap();
        lengths.push((low.len(), out.len()));
    }
    assert!(lengths.iter().all(|(low, kept)| low < kept), "{lengths:?}");
}

#[test]
fn buffers_do_not_grow_from_picture_to_picture() {
    let mut recoder = Recoder::new().unwrap();
    let jpegs = [encode(641, 481, Subsamp::None, |_| {}), encode(64, 48, Subsamp::Sub4x1, |_| {})];
    let capacity = |recoder: &Recoder| {
        [&recoder.decoded, &recoder.luma, &recoder.chroma[0], &recoder.chroma[1]].map(Vec::capacity)
    };
    recoder.recode(&jpegs[0], &AS_IT_IS).unwrap();
    let first = capacity(&recoder);
    for round in 0..6 {
        recoder.recode(&jpegs[round % 2], &AS_IT_IS).unwrap();
    }
    assert_eq!(capacity(&recoder), first);
}

/// The first frame header's payload of `jpeg`, to be changed.
fn frame_header(jpeg: &mut [u8]) -> &mut [u8] {
    let at = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    &mut jpeg[at + 4..]
}

#[test]
fn what_is_not_decoded_is_refused_in_words_before_any_memory_is_taken() {
    let jpeg = encode(64, 48, Subsamp::Sub2x2, |_| {});
    let changed = |change: &dyn Fn(&mut [u8])| {
        let mut jpeg = jpeg.clone();
        change(frame_header(&mut jpeg));
        let mut recoder = Recoder::new().unwrap();
        let error = recoder.recode(&jpeg, &AS_IT_IS).unwrap_err().to_string();
        assert_eq!(recoder.decoded.capacity(), 0, "{error}");
        error
    };
    let bomb = changed(&|header| header[1..5].fill(0xff));
    assert_eq!(bomb, "a picture of 65535x65535 is not decoded: only up to 37748736 pixels");
    assert_eq!(changed(&|header| header[0] = 16), "16 bits a sample are not decoded, only 8 and 12");
    assert!(changed(&|header| header[1..3].fill(0)).contains("the number of lines Y is 0"));

    let cmyk = vec![99; 32 * 32 * 4];
    let image = Image { pixels: &cmyk[..], width: 32, pitch: 128, height: 32, format: PixelFormat::CMYK };
    let cmyk = Compressor::new().unwrap().compress_to_vec(image).unwrap();
    assert_eq!(
        recode(&cmyk, &AS_IT_IS).unwrap_err().to_string(),
        "pictures of 4 components are not decoded, only grey, YCbCr and RGB"
    );
    let mut hierarchical = jpeg.clone();
    let at = hierarchical.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    hierarchical[at + 1] = 0xc5;
    assert_eq!(recode(&hierarchical, &AS_IT_IS), Err(RecodeError::Process(Process::Other(5))));
}

#[test]
fn a_wish_outside_its_range_is_refused() {
    let jpeg = encode(64, 48, Subsamp::Sub2x2, |_| {});
    for wish in [
        Wish { quality: Some(0), ..AS_IT_IS },
        Wish { quality: Some(101), ..AS_IT_IS },
        Wish { most: Size { width: 0, height: 9 }, ..AS_IT_IS },
    ] {
        assert!(matches!(recode(&jpeg, &wish), Err(RecodeError::Wish { .. })), "{wish:?}");
    }
    let tiny = Wish { most: Size { width: 7, height: 9 }, ..AS_IT_IS };
    assert!(matches!(recode(&jpeg, &tiny), Err(RecodeError::NoFit { .. })));
}

#[test]
fn damage_is_an_error_and_the_next_picture_is_fine() {
    let mut recoder = Recoder::new().unwrap();
    let jpeg = encode(320, 240, Subsamp::None, |_| {});
    for damaged in [&jpeg[..jpeg.len() / 2], &jpeg[..200], &[][..], b"\xff\xd8\xff\xd9"] {
        assert!(recoder.recode(damaged, &AS_IT_IS).is_err());
        assert!(recoder.recode(&jpeg, &AS_IT_IS).is_ok());
    }
}

#[test]
fn a_few_bytes_too_many_before_the_end_are_no_damage() {
    let mut jpeg = encode(320, 240, Subsamp::Sub2x1, |_| {});
    let end = jpeg.len() - 2;
    jpeg.splice(end..end, [0x12, 0x34]);
    assert_faithful(&jpeg, &AS_IT_IS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_damage_panics(at in 0_usize..10_000, with: u8, cut in 0_usize..10_000, which in 0..7_usize) {
        let mut jpeg = encode(70, 50, SAMPLINGS[which], |compressor| compressor.set_progressive(which % 2 == 0).unwrap());
        let length = jpeg.len();
        jpeg[at % length] = with;
        jpeg.truncate(length - cut % 8);
        let _ = Recoder::new().unwrap().recode(&jpeg, &AS_IT_IS);
    }
}
