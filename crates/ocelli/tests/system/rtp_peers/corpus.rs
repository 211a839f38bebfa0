//! JPEGs as real cameras and encoders write them: made by the encoders, or put together in the way of a camera's.

use std::fmt::Write as _;

use tempfile::TempDir;

use crate::programs::run;

/// One picture.
pub(super) struct Jpeg {
    /// Who writes such pictures.
    pub(super) name: &'static str,
    /// The file.
    pub(super) data: Vec<u8>,
    /// Width and height.
    pub(super) size: (usize, usize),
}

/// The picture whose tables hold values of more than 8 bits.
pub(super) const WIDE: &str = "libjpeg-turbo, values of 16 bits in its tables";

const SOF0: u8 = 0xC0;
const DHT: u8 = 0xC4;
const SOS: u8 = 0xDA;
const DQT: u8 = 0xDB;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const COM: u8 = 0xFE;

/// Every picture, of encoders and then of cameras' structure.
pub(super) fn all(directory: &TempDir) -> Vec<Jpeg> {
    let mut pictures = Vec::new();
    encoders(directory, &mut pictures);
    cameras(directory, &mut pictures);
    pictures
}

/// A picture with optimised Huffman tables whose size is in whole units.
pub(super) fn optimised(directory: &TempDir, size: (usize, usize)) -> Jpeg {
    let data = cjpeg(directory, size, "-quality 75 -optimize");
    assert!(segments(&data, DHT).iter().any(|table| is_unusual(table)), "its tables are the standard ones");
    Jpeg { name: "libjpeg-turbo, optimised", data, size }
}

/// One of several pictures that differ in their tables and their scans.
pub(super) fn of_quality(directory: &TempDir, size: (usize, usize), quality: u8) -> Vec<u8> {
    cjpeg(directory, size, &format!("-quality {quality} -optimize"))
}

/// The standard tables have 162 symbols of AC, 12 of DC; optimised ones have those that occur.
fn is_unusual(table: &[u8]) -> bool {
    let symbols = table[1..17].iter().map(|count| usize::from(*count)).sum::<usize>();
    symbols != if table[0] >> 4 == 0 { 12 } else { 162 }
}

fn encoders(directory: &TempDir, pictures: &mut Vec<Jpeg>) {
    let file = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
    file("scans", "1; 0; 2;".into());
    // Three tables, of which those of colour are alike.
    let table = |first: u16| (0..64).fold(String::new(), |text, at| format!("{text} {}", first + at / 2));
    file("tables", format!("{}\n{}\n{}\n", table(3), table(9), table(9)));
    for (name, size, arguments) in [
        ("libjpeg-turbo", (96, 80), "-quality 85"),
        ("libjpeg-turbo, optimised, not in whole blocks", (101, 67), "-quality 75 -optimize"),
        (
            "libjpeg-turbo, optimised, 4:2:2, restart markers",
            (90, 58),
            "-quality 75 -optimize -sample 2x1 -restart 3B",
        ),
        ("libjpeg-turbo, a restart marker behind each row", (96, 80), "-quality 60 -restart 1"),
        ("libjpeg-turbo, a scan for each component, colour first", (91, 59), "-quality 80 -scans scans"),
        (WIDE, (64, 48), "-quality 2"),
        ("libjpeg-turbo, one table", (64, 48), "-quality 70 -qslots 0"),
        ("libjpeg-turbo, three tables", (64, 48), "-qtables tables -qslots 0,1,2"),
    ] {
        pictures.push(Jpeg { name, data: cjpeg(directory, size, arguments), size });
    }
    for (name, size, format) in [
        ("FFmpeg, optimised", (96, 80), "yuvj420p"),
        ("FFmpeg, 4:2:2 sampled 2x2,1x2,1x2, not in whole blocks", (90, 58), "yuvj422p"),
    ] {
        let (width, height) = size;
        run(
            directory,
            &format!(
                "ffmpeg -v error -y -f lavfi -i testsrc2=size={width}x{height} -frames:v 1 -pix_fmt {format} -c:v mjpeg -q:v 3 made.jpg"
            ),
        );
        pictures.push(Jpeg { name, data: read(directory, "made.jpg"), size });
    }
    for (name, size, format) in
        [("GStreamer, 4:2:0", (90, 58), "I420"), ("GStreamer, 4:2:2", (96, 80), "Y42B")]
    {
        let (width, height) = size;
        run(
            directory,
            &format!(
                "gst-launch-1.0 -q videotestsrc num-buffers=1 pattern=ball ! video/x-raw,format={format},width={width},height={height} ! jpegenc ! filesink location=made.jpg"
            ),
        );
        pictures.push(Jpeg { name, data: read(directory, "made.jpg"), size });
    }
}

fn cameras(directory: &TempDir, pictures: &mut Vec<Jpeg>) {
    let size = (112, 64);
    let yuv420 = cjpeg(directory, size, "-quality 93");
    let yuv422 = cjpeg(directory, size, "-quality 80 -sample 2x1");
    let thumbnail = cjpeg(directory, (32, 24), "-quality 50");
    let exif = [b"Exif\0\0II*\0\x08\0\0\0", &thumbnail[..]].concat();
    let webcam = {
        let app0 = [&b"AVI1"[..], &[0; 10]].concat();
        let file = edited(&yuv422, |code, payload| match code {
            APP0 => vec![segment(APP0, &app0)],
            DHT => Vec::new(),
            code => vec![segment(code, payload)],
        });
        // What the driver's buffer is longer.
        [file, vec![0; 96]].concat()
    };
    let profile = [&b"ICC_PROFILE\0\x01\x01"[..], &yuv422[..]].concat();
    let annotated = edited(&yuv420, |code, payload| match code {
        APP0 => vec![
            segment(code, payload),
            segment(APP2, &profile),
            segment(COM, b"a comment with \xFF\xD9 and \xFF\xD8\xFF\xDA in it"),
            segment(0xEF, &[]),
        ],
        // Fill bytes, which may stand before every marker (T.81 B.1.1.2).
        code => vec![vec![0xFF; 2], segment(code, payload)],
    });
    for (name, data) in [
        (
            "a Raspberry Pi's camera: EXIF with a thumbnail before the standard tables",
            edited(&yuv420, |code, payload| match code {
                APP0 => vec![segment(APP1, &exif), segment(APP0, payload)],
                code => vec![segment(code, payload)],
            }),
        ),
        ("a webcam: AVI1, no Huffman tables, the rest of its buffer behind the picture", webcam),
        ("profile, comment, empty segment, fill bytes", annotated),
        (
            "tables of 16 bits that would fit in 8",
            edited(&yuv420, |code, payload| {
                vec![if code == DQT { segment(DQT, &wide(payload)) } else { segment(code, payload) }]
            }),
        ),
        ("components called 0, 1 and 2", edited(&yuv422, renumbered)),
    ] {
        pictures.push(Jpeg { name, data, size });
    }
}

/// `cjpeg` of a picture with edges, colours and noise.
fn cjpeg(directory: &TempDir, (width, height): (usize, usize), arguments: &str) -> Vec<u8> {
    let mut noise = 1_u32;
    let mut pixel = |x: usize, y: usize| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (noise >> 28) as usize;
        let dot = if (x / 9 + y / 7).is_multiple_of(2) { 90 } else { 0 };
        [x * 120 / width + dot + grain, y * 120 / height + dot, (x + y) * 100 / (width + height) + grain]
            .map(|value| value as u8)
    };
    let mut portable = format!("P6 {width} {height} 255\n").into_bytes();
    portable.extend((0..width * height).flat_map(|at| pixel(at % width, at / width)));
    std::fs::write(directory.path().join("made.ppm"), portable).unwrap();
    let mut line = format!("cjpeg {arguments}");
    let _ = write!(line, " -outfile made.jpg made.ppm");
    run(directory, &line);
    read(directory, "made.jpg")
}

fn read(directory: &TempDir, file: &str) -> Vec<u8> {
    std::fs::read(directory.path().join(file)).unwrap()
}

/// A segment: marker, length, payload.
fn segment(code: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16 + 2).to_be_bytes();
    [&[0xFF, code], &length[..], payload].concat()
}

/// The picture with each segment up to its scan exchanged.
fn edited(file: &[u8], mut edit: impl FnMut(u8, &[u8]) -> Vec<Vec<u8>>) -> Vec<u8> {
    let (mut out, mut at) = (file[..2].to_vec(), 2);
    while at < file.len() {
        let code = file[at + 1];
        let end = at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        out.extend(edit(code, &file[at + 4..end]).concat());
        at = end;
        if code == SOS {
            break;
        }
    }
    out.extend(&file[at..]);
    out
}

/// The payloads of the segments of one kind.
fn segments(file: &[u8], wanted: u8) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    edited(file, |code, payload| {
        found.extend((code == wanted).then(|| payload.to_vec()));
        Vec::new()
    });
    found
}

/// A DQT payload of one 8-bit table as one of 16 bits.
fn wide(payload: &[u8]) -> Vec<u8> {
    assert_eq!(payload.len(), 65);
    let values = payload[1..].iter().flat_map(|value| [0, *value]);
    [payload[0] | 0x10].into_iter().chain(values).collect()
}

/// Components' ids from 0 on instead of from 1 on.
fn renumbered(code: u8, payload: &[u8]) -> Vec<Vec<u8>> {
    let mut payload = payload.to_vec();
    let (first, step) = match code {
        SOF0 => (6, 3),
        SOS => (1, 2),
        // Decoders look at the ids where there is no JFIF segment, and take these for YCbCr too.
        APP0 => return Vec::new(),
        code => return vec![segment(code, &payload)],
    };
    (0..3).for_each(|component| payload[first + step * component] -= 1);
    vec![segment(code, &payload)]
}
