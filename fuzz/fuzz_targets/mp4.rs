//! Whatever the file: a film is read to its end or refused, samples lie within the file, what is unpacked is whole NAL units, and
//! memory and steps are bounded by the file's length.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ocelli_media::mp4::{Demuxer, Step, Unpacked};
use ocelli_media::nal_units;

/// Files as FFmpeg writes them, in which bytes are changed: of nothing, none would come to be.
const FILES: [&[u8]; 2] = [
    include_bytes!("../../crates/media/testdata/mp4/plain.mp4"),
    include_bytes!("../../crates/media/testdata/mp4/fragments.mp4"),
];

fuzz_target!(|input: (u8, u16, Vec<(u16, u8)>, &[u8])| {
    let (kind, length, changes, raw) = input;
    let Some(whole) = FILES.get(usize::from(kind) % 3) else { return read(raw) };
    let mut file = whole.to_vec();
    for (at, byte) in changes {
        let at = usize::from(at) % file.len();
        file[at] = byte;
    }
    file.truncate(file.len().saturating_sub(usize::from(length).saturating_sub(1 << 15)));
    file.extend_from_slice(raw);
    read(&file);
});

fn read(file: &[u8]) {
    let mut demuxer = Demuxer::new(file.len() as u64);
    let part = |at: u64, bytes: usize| {
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(file.len());
        &file[at..at.saturating_add(bytes).min(file.len())]
    };
    // Samples may lie upon each other, so that there can be far more than bytes.
    for _ in 0..20_000 {
        match demuxer.step() {
            Ok(Step::Read { at, bytes }) => {
                assert!(bytes <= file.len() + 16);
                if demuxer.give(part(at, bytes)).is_err() {
                    return;
                }
            }
            Ok(Step::Sample(sample)) => {
                let data = part(sample.at, sample.bytes as usize);
                assert_eq!(data.len(), sample.bytes as usize);
                match demuxer.unpack(&sample, Bytes::copy_from_slice(&data[..data.len().min(4096)])) {
                    Ok(Unpacked::AccessUnit(unit)) => {
                        let units: usize = nal_units(&unit.data).map(|unit| 4 + unit.len()).sum();
                        assert_eq!(units, unit.data.len());
                        assert!(!demuxer.tracks().is_empty());
                    }
                    Ok(Unpacked::Jpeg(_) | Unpacked::Sound(_)) => {}
                    Err(_) => demuxer.lost(sample.track),
                }
            }
            Ok(Step::CutOff(_)) => {}
            Ok(Step::End) | Err(_) => return,
        }
    }
}
