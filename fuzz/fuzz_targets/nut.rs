//! Whatever a program writes to the pipe: it is read to its end or refused, what is unpacked is whole NAL units, no packet is longer
//! than allowed, and what is found does not hang on how it was cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_media::mp4::Unpacked;
use ocelli_media::nal_units;
use ocelli_media::nut::{Event, NutError, Reader};

/// Streams as FFmpeg writes them, in which bytes are changed: of nothing, none would come to be.
const STREAMS: [&[u8]; 4] = [
    include_bytes!("../../crates/media/testdata/nut/lengths.nut"),
    include_bytes!("../../crates/media/testdata/nut/start_codes.nut"),
    include_bytes!("../../crates/media/testdata/nut/jpeg.nut"),
    include_bytes!("../../crates/media/testdata/nut/hevc.nut"),
];
const MOST_BYTES: usize = 8192;

fuzz_target!(|input: (u8, u16, Vec<(u16, u8)>, &[u8])| {
    let (kind, piece, changes, raw) = input;
    let mut stream = STREAMS.get(usize::from(kind) % 5).map_or(Vec::new(), |whole| whole.to_vec());
    for (at, byte) in changes {
        if let Some(place) = stream.get_mut(usize::from(at)) {
            *place = byte;
        }
    }
    stream.extend_from_slice(raw);
    assert_eq!(read(&stream, usize::from(piece) + 1), read(&stream, stream.len().max(1)));
});

fn read(stream: &[u8], piece: usize) -> (Vec<Event>, Option<NutError>) {
    let mut reader = Reader::new(MOST_BYTES);
    let mut events = Vec::new();
    for piece in stream.chunks(piece) {
        reader.room().extend_from_slice(piece);
        loop {
            match reader.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
            if let Some(Event::Packet { unpacked: Unpacked::AccessUnit(unit), .. }) = events.last() {
                let units: usize = nal_units(&unit.data).map(|unit| 4 + unit.len()).sum();
                assert_eq!(units, unit.data.len());
                assert!(!reader.tracks().is_empty());
            }
        }
    }
    (events, None)
}
