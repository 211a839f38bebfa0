//! Whatever arrives, and however it is cut: every picture is whole NAL units of a known length, none is over the limit but for its
//! parameter sets, and the pictures do not depend on where reads end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_media::annexb::{AccessUnit, Event, Framer};
use ocelli_media::{Codec, DisplayOrder, nal_units, recognise};

const LIMIT: usize = 2048;

fn frame(codec: Codec, bytes: &[u8], chunk: usize) -> Vec<AccessUnit> {
    let mut framer = Framer::new(codec, LIMIT);
    let mut pictures = Vec::new();
    let mut accounted = 0;
    let mut take = |event| match event {
        Event::Frame(unit) => pictures.push(unit),
        Event::Dropped { bytes, .. } => accounted += bytes,
    };
    for mut now in bytes.chunks(chunk) {
        while !now.is_empty() {
            now = framer.feed(now);
            while let Some(event) = framer.next_event() {
                take(event);
            }
        }
    }
    while let Some(event) = framer.finish() {
        take(event);
    }
    let mut order = DisplayOrder::default();
    for picture in &pictures {
        order.place(&picture.data, framer.parameter_sets());
    }
    assert!(accounted <= bytes.len() as u64);
    pictures
}

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (h265, chunk, bytes) = input;
    let codec = if h265 { Codec::H265 } else { Codec::H264 };
    let pictures = frame(codec, bytes, usize::from(chunk) + 1);
    for picture in &pictures {
        let units: usize = nal_units(&picture.data).map(|unit| 4 + unit.len()).sum();
        assert_eq!(units, picture.data.len());
    }
    // Where a picture is over the limit, the reads decide where it is given up.
    if bytes.len() <= LIMIT {
        assert_eq!(pictures, frame(codec, bytes, usize::MAX));
    }
    recognise(bytes);
});
