//! No datagram makes the RTCP reader panic, and reports that are read come out the same when they are written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtcp::{Compound, Packet, Rules, write};

fuzz_target!(|bytes: &[u8]| {
    let Ok(compound) = Compound::parse(bytes, Rules::ReducedSize) else { return };
    for packet in compound.packets() {
        match packet {
            Packet::SenderReport { ssrc, info, blocks } => {
                let blocks: Vec<_> = blocks.collect();
                let mut out = Vec::new();
                write::sender_report(ssrc, &info, &blocks, &mut out);
                let again = Compound::parse(&out, Rules::Compound).expect("sound").packets().next();
                let Some(Packet::SenderReport { info: read, blocks: read_blocks, .. }) = again else {
                    panic!("not a sender report");
                };
                assert_eq!(read, info);
                assert!(read_blocks.eq(blocks));
            }
            Packet::ReceiverReport { blocks, .. } => blocks.for_each(drop),
            Packet::Description(names) => assert!(names.count() <= 31),
            _ => {}
        }
    }
});
