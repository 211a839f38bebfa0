//! No sequence of datagrams makes a sender's or a receiver's session panic, grow, or believe more loss than packets.

#![no_main]

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtcp::{
    Compound, ReceiverSession, ReceiverSetup, Rules, SenderSession, SenderSetup, SentPicture,
};

const RATE: NonZeroU32 = NonZeroU32::new(90_000).expect("not zero");
/// A name that fuzzing finds often.
const STREAM: u32 = 0;

// The input is datagrams, each behind the tenths of a second since the one before and its length.
fuzz_target!(|bytes: &[u8]| {
    let mut roll = 0_u8;
    let mut random = || {
        roll = roll.wrapping_mul(5).wrapping_add(3);
        f64::from(roll) / 256.0
    };
    let mut sender = SenderSession::new(SenderSetup {
        ssrc: STREAM,
        cname: "sender".into(),
        rate: RATE,
        unicast: bytes.len() % 2 == 0,
        often: bytes.len() % 5 > 0,
    });
    let setup = ReceiverSetup {
        ssrc: 1,
        cname: "receiver".into(),
        rate: RATE,
        unicast: bytes.len() % 3 == 0,
        keyframe_wait: Duration::from_millis(500),
    };
    let mut receiver = ReceiverSession::new(Duration::ZERO, setup, &mut random);
    receiver.started(Duration::ZERO, STREAM, &mut random);
    let (mut now, mut rest, mut number) = (Duration::ZERO, bytes, 0_u16);
    let (mut out, mut reports) = (Vec::new(), Vec::new());
    while let [tenths, length, behind @ ..] = rest {
        let (datagram, behind) = behind.split_at(behind.len().min((*length).into()));
        rest = behind;
        now += Duration::from_millis(100) * u32::from(*tenths);
        number = number.wrapping_add(20);
        let wall = SystemTime::UNIX_EPOCH + now;
        let picture = SentPicture {
            packets: 20,
            payload_bytes: 20_000,
            last_sequence: number,
            timestamp: u32::from(number),
            captured: wall,
        };
        sender.sent(now, &picture, &mut random);
        receiver.packet(now, STREAM, number, number.into(), 1000);
        receiver.want_keyframe(now, &mut random);
        let _ = sender.datagram(now, datagram, &mut reports);
        let _ = receiver.datagram(now, datagram, &mut random);
        receiver.captured(number.into());
        for sends in [true, false] {
            out.clear();
            let wrote = if sends {
                sender.poll(now, wall, &mut random, &mut out)
            } else {
                receiver.poll(now, &mut random, &mut out)
            };
            assert_eq!(wrote, Compound::parse(&out, Rules::Compound).is_ok());
        }
        let audience = sender.audience();
        assert!(audience.receivers <= 64 && audience.worst_loss < 1.0);
        assert!(reports.drain(..).all(|report| report.expected > 0 && report.lost <= report.expected));
    }
});
