//! Every format and size, against pictures that libjpeg-turbo decodes again.

use proptest::prelude::*;

use super::*;

const FORMATS: [PixelFormat; 5] =
    [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Yu12, PixelFormat::Rgb24];

/// Y slopes along the columns, U along the rows, V stays: every plane that were mixed up would show.
fn luma(column: usize, _row: usize) -> u8 {
    (40 + column * 2 % 160) as u8
}
fn blue(_column: usize, row: usize) -> u8 {
    (90 + row % 60) as u8
}
const RED: u8 = 170;

/// A picture with `slack` bytes of rubbish behind each row.
fn raw(format: PixelFormat, size: Size, slack: usize) -> (usize, Vec<u8>) {
    let (width, height) = (usize::from(size.width), usize::from(size.height));
    let stride = format.row_bytes(size.width) + slack;
    let mut data = Vec::new();
    let mut push_row = |row: &mut dyn Iterator<Item = u8>, stride: usize| {
        let start = data.len();
        data.extend(row);
        data.resize(start + stride, 0xee);
    };
    match format {
        PixelFormat::Yuyv | PixelFormat::Uyvy => {
            for row in 0..height {
                let mut bytes = (0..width.div_ceil(2)).flat_map(|half| {
                    let (y0, y1, u) = (luma(half * 2, row), luma(half * 2 + 1, row), blue(half, row));
                    if format == PixelFormat::Yuyv { [y0, u, y1, RED] } else { [u, y0, RED, y1] }
                });
                push_row(&mut bytes, stride);
            }
        }
        PixelFormat::Nv12 | PixelFormat::Yu12 => {
            for row in 0..height {
                push_row(&mut (0..width).map(|column| luma(column, row)), stride);
            }
            let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
            if format == PixelFormat::Nv12 {
                for row in 0..half_height {
                    push_row(&mut (0..half_width).flat_map(|x| [blue(x, row * 2), RED]), stride);
                }
            } else {
                for row in 0..half_height {
                    push_row(&mut (0..half_width).map(|x| blue(x, row * 2)), stride / 2);
                }
                for _ in 0..half_height {
                    push_row(&mut (0..half_width).map(|_| RED), stride / 2);
                }
            }
        }
        PixelFormat::Rgb24 => {
            for row in 0..height {
                push_row(
                    &mut (0..width).flat_map(|column| rgb(luma(column, row), blue(column, row))),
                    stride,
                );
            }
        }
    }
    (stride, data)
}

fn rgb(y: u8, u: u8) -> [u8; 3] {
    let (y, u, v) = (f32::from(y), f32::from(u) - 128.0, f32::from(RED) - 128.0);
    [y + 1.402 * v, y - 0.344 * u - 0.714 * v, y + 1.772 * u].map(|value| value.clamp(0.0, 255.0) as u8)
}

/// Width and height of the JPEG, and how far its planes are from those that went in, on average.
fn decoded_error(jpeg: &[u8], size: Size) -> [f64; 3] {
    let image = turbojpeg::decompress_to_yuv(jpeg).unwrap();
    assert_eq!((image.width, image.height), (usize::from(size.width), usize::from(size.height)));
    let (y_stride, uv_stride) = (image.y_width(), image.uv_width());
    let (luma_plane, chroma) = image.pixels.split_at(y_stride * image.y_height());
    let (u_plane, v_plane) = chroma.split_at(uv_stride * image.uv_height());
    let rows_of_one = image.y_height() / image.uv_height();
    let mean =
        |plane: &[u8], stride: usize, columns: usize, rows: usize, want: &dyn Fn(usize, usize) -> u8| {
            let mut sum = 0.0;
            for row in 0..rows {
                for column in 0..columns {
                    sum += f64::from(plane[row * stride + column].abs_diff(want(column, row)));
                }
            }
            sum / (rows * columns) as f64
        };
    let (width, height) = (usize::from(size.width), usize::from(size.height));
    let (half, rows) = (width.div_ceil(2), image.uv_height());
    [
        mean(luma_plane, y_stride, width, height, &luma),
        mean(u_plane, uv_stride, half, rows, &|x, y| blue(x, y * rows_of_one)),
        mean(v_plane, uv_stride, half, rows, &|_, _| RED),
    ]
}

fn encode(format: PixelFormat, size: Size, slack: usize) -> Bytes {
    let (stride, data) = raw(format, size, slack);
    let mut encoder = Encoder::new(95).unwrap();
    encoder.encode(&Picture { format, range: Range::Full, size, stride, data: &data }).unwrap()
}

#[test]
fn every_format_gives_back_its_picture() {
    for format in FORMATS {
        for (width, height, slack) in [(64, 48, 0), (66, 50, 0), (64, 48, 32), (66, 50, 6), (1280, 720, 0)] {
            let size = Size { width, height };
            let error = decoded_error(&encode(format, size, slack), size);
            // RGB goes through two conversions and an average of four pixels.
            let limit = if format == PixelFormat::Rgb24 { 4.0 } else { 2.0 };
            assert!(error.iter().all(|e| *e < limit), "{format:?} {size} +{slack}: {error:?}");
        }
    }
}

#[test]
fn odd_sizes_keep_their_edges() {
    for format in FORMATS {
        for (width, height) in [(1, 1), (2, 1), (1, 2), (65, 49), (64, 49), (65, 48)] {
            let size = Size { width, height };
            let error = decoded_error(&encode(format, size, 0), size);
            // A single row or column has no neighbours that RGB's chroma could be the mean of.
            let limit = if format == PixelFormat::Rgb24 { 16.0 } else { 8.0 };
            assert!(error.iter().all(|e| *e < limit), "{format:?} {size}: {error:?}");
        }
    }
}

#[test]
fn chroma_is_neither_thinned_nor_blown_up() {
    let size = Size { width: 64, height: 48 };
    for format in FORMATS {
        let want = match format {
            PixelFormat::Yuyv | PixelFormat::Uyvy => Subsamp::Sub2x1,
            _ => Subsamp::Sub2x2,
        };
        assert_eq!(turbojpeg::read_header(&encode(format, size, 0)).unwrap().subsamp, want, "{format:?}");
    }
}

#[test]
fn sizes_and_qualities_may_change_from_picture_to_picture() {
    let mut encoder = Encoder::new(80).unwrap();
    for (width, height, quality) in [(640, 480, 80), (32, 16, 1), (1280, 720, 100), (640, 480, 100)] {
        let size = Size { width, height };
        for format in FORMATS {
            let (stride, data) = raw(format, size, 0);
            encoder.set_quality(quality).unwrap();
            let jpeg =
                encoder.encode(&Picture { format, range: Range::Full, size, stride, data: &data }).unwrap();
            assert_eq!(jpeg[..2], [0xff, 0xd8]);
            assert_eq!(jpeg[jpeg.len() - 2..], [0xff, 0xd9]);
        }
    }
}

#[test]
fn televisions_range_is_widened() {
    for (width, height) in [(64, 48), (65, 49)] {
        let size = Size { width, height };
        for format in FORMATS.into_iter().filter(|format| *format != PixelFormat::Rgb24) {
            let stride = format.row_bytes(width);
            for (level, want) in [(16, 0), (125, 127), (235, 255)] {
                let mut data = vec![128; format.picture_bytes(size, stride)];
                let luma = match format {
                    PixelFormat::Nv12 | PixelFormat::Yu12 => stride * usize::from(height),
                    _ => data.len(),
                };
                let (first, step) = match format {
                    PixelFormat::Yuyv => (0, 2),
                    PixelFormat::Uyvy => (1, 2),
                    _ => (0, 1),
                };
                data[..luma].iter_mut().skip(first).step_by(step).for_each(|y| *y = level);
                let picture = Picture { format, range: Range::Limited, size, stride, data: &data };
                let jpeg = Encoder::new(95).unwrap().encode(&picture).unwrap();
                let image = turbojpeg::decompress(&jpeg, turbojpeg::PixelFormat::RGB).unwrap();
                let near = image.pixels.iter().all(|value| value.abs_diff(want) <= 2);
                assert!(near, "{format:?} {size}: {level} became {:?}", &image.pixels[..3]);
            }
        }
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let size = Size { width: 64, height: 48 };
    let mut encoder = Encoder::new(80).unwrap();
    for format in FORMATS {
        let (stride, data) = raw(format, size, 0);
        let picture = Picture { format, range: Range::Full, size, stride, data: &data };
        let short = Picture { data: &data[..data.len() - 1], ..picture };
        assert!(matches!(encoder.encode(&short), Err(EncodeError::Short { .. })), "{format:?}");
        let narrow = Picture { stride: stride - 1, ..picture };
        assert!(matches!(encoder.encode(&narrow), Err(EncodeError::Stride { .. })), "{format:?}");
        let wide = Picture { stride: usize::MAX, ..picture };
        assert!(matches!(encoder.encode(&wide), Err(EncodeError::Stride { .. })), "{format:?}");
        let empty = Picture { size: Size { width: 0, height: 48 }, ..picture };
        assert!(matches!(encoder.encode(&empty), Err(EncodeError::Size(_))), "{format:?}");
        let long = Picture { size: Size { width: 65_501, height: 48 }, ..picture };
        assert!(matches!(encoder.encode(&long), Err(EncodeError::Size(_))), "{format:?}");
    }
    assert_eq!(Encoder::new(0).unwrap_err(), EncodeError::Quality(0));
    assert_eq!(encoder.set_quality(101), Err(EncodeError::Quality(101)));
}

proptest! {
    #[test]
    fn no_shape_of_picture_panics(
        width in 0_u16..70, height in 0_u16..70, stride in 0_usize..300, length in 0_usize..20_000, which in 0..5_usize,
        limited: bool,
    ) {
        let data = vec![77; length];
        let size = Size { width, height };
        let range = if limited { Range::Limited } else { Range::Full };
        let picture = Picture { format: FORMATS[which], range, size, stride, data: &data };
        let mut encoder = Encoder::new(50).unwrap();
        if let Ok(jpeg) = encoder.encode(&picture) {
            let header = turbojpeg::read_header(&jpeg).unwrap();
            prop_assert_eq!((header.width, header.height), (usize::from(width), usize::from(height)));
        }
    }
}
