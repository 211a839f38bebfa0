//! RTCP: what is written is read again, the RFC's own arithmetic, and damage.

use std::num::NonZeroU32;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

const VIDEO: NonZeroU32 = NonZeroU32::new(90_000).unwrap();

fn parse(bytes: &[u8]) -> Result<Vec<Packet<'_>>, RtcpError> {
    Ok(Compound::parse(bytes, Rules::Compound)?.packets().collect())
}

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 64,
    lost: -2,
    highest: 0x0001_0005,
    jitter: 9,
    last_report: 0xB705_2000,
    delay: 0x0005_4000,
};

#[test]
fn a_compound_packet_is_laid_out_as_the_rfc_has_it() {
    let mut out = Vec::new();
    let info = SenderInfo { ntp: NtpTime(0x1111_2222_3333_4444), timestamp: 5, packets: 6, bytes: 7 };
    write::sender_report(8, &info, &[BLOCK], &mut out);
    write::cname(8, "me@here", &mut out);
    write::bye(8, &mut out);
    #[rustfmt::skip]
    assert_eq!(out, [
        0x81, 200, 0, 12, 0, 0, 0, 8, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7,
        1, 2, 3, 4, 64, 0xFF, 0xFF, 0xFE, 0, 1, 0, 5, 0, 0, 0, 9, 0xB7, 5, 0x20, 0, 0, 5, 0x40, 0,
        0x81, 202, 0, 4, 0, 0, 0, 8, 1, 7, b'm', b'e', b'@', b'h', b'e', b'r', b'e', 0, 0, 0,
        0x81, 203, 0, 1, 0, 0, 0, 8,
    ]);
    let packets = parse(&out).unwrap();
    let [Packet::SenderReport { ssrc: 8, info: read, blocks }, Packet::Description(names), bye] =
        &packets[..]
    else {
        panic!("{packets:?}");
    };
    assert_eq!((*read, blocks.clone().collect::<Vec<_>>()), (info, vec![BLOCK]));
    assert_eq!(names.clone().collect::<Vec<_>>(), [(8, &b"me@here"[..])]);
    assert_eq!(*bye, Packet::Bye { ssrc: Some(8) });
}

#[test]
fn keyframes_are_asked_for() {
    let mut out = Vec::new();
    write::receiver_report(1, &[], &mut out);
    write::picture_loss(1, 2, &mut out);
    write::full_intra_request(1, 2, 3, &mut out);
    assert_eq!(out[8..20], [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(out[20..], [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0]);
    let packets = parse(&out).unwrap();
    assert_eq!(packets[1], Packet::PictureLoss { ssrc: 1, media: 2 });
    assert_eq!(packets[2], Packet::FullIntraRequest { ssrc: 1, media: 2, number: 3 });
    let alone = Compound::parse(&out[8..20], Rules::ReducedSize).unwrap();
    assert_eq!(alone.packets().next(), Some(Packet::PictureLoss { ssrc: 1, media: 2 }));
}

#[test]
fn lies_are_refused() {
    let error = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let behind = |more: &[u8]| error(&[&report[..], more].concat());
    assert_eq!(error(&[]), "byte 0: a packet of type 0 ends too early (RFC 3550 6.4)");
    assert_eq!(error(&report[..7]), "byte 0: a packet of type 201 ends too early (RFC 3550 6.4)");
    assert_eq!(
        error(&[0x81, 203, 0, 1, 0, 0, 0, 8]),
        "byte 1: packet type 203 comes first, expected 200 or 201 (RFC 3550 6.1)"
    );
    assert_eq!(error(&[0x40, 201, 0, 1, 0, 0, 0, 1]), "byte 0: RTCP version 1, expected 2 (RFC 3550 6.4.1)");
    assert_eq!(
        error(&[0x81, 201, 0, 1, 0, 0, 0, 1]),
        "byte 0: a packet of type 201 ends too early (RFC 3550 6.4)"
    );
    assert!(behind(&[0x81, 206, 0, 1, 0, 0, 0, 1]).starts_with("byte 8: a packet of type 206 ends"));
    assert!(behind(&[0xA0, 204, 0, 1, 0, 0, 0, 8]).contains("byte 8: padding"));
    assert!(behind(&[0xA0, 204, 0, 1, 0, 0, 0, 0]).contains("padding"));
    assert!(error(&[&[0xA0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4][..], &report].concat()).contains("padding"));
    assert!(parse(&[&report[..], &[0xA0, 204, 0, 1, 0, 0, 0, 4]].concat()).is_ok());
}

#[test]
fn names_whose_items_lie_are_passed_over() {
    let chunk = [0x82, 202, 0, 4, 0, 0, 0, 8, 1, 1, b'a', 0, 0, 0, 0, 9, 1, 200, 0, 0];
    let Packet::Description(names) = read_one(&chunk) else { panic!() };
    assert_eq!(names.collect::<Vec<_>>(), [(8, &b"a"[..])]);
}

fn read_one(bytes: &[u8]) -> Packet<'_> {
    Compound::parse(bytes, Rules::ReducedSize).unwrap().packets().next().unwrap()
}

/// RFC 3550 figure 2.
#[test]
fn the_rfcs_round_trip_is_six_seconds_and_an_eighth() {
    let now = NtpTime(0xB710_8000 << 16);
    assert_eq!(round_trip(now, 0xB705_2000, 0x0005_4000), Some(Duration::from_millis(6125)));
    assert_eq!(round_trip(now, 0, 0x0005_4000), None);
    assert_eq!(round_trip(now, 0xB710_8000, 1), None);
}

#[test]
fn ntp_counts_from_1900_and_wraps_in_2036() {
    assert_eq!(NtpTime::from(UNIX_EPOCH), NtpTime(2_208_988_800 << 32));
    let in_2036 = UNIX_EPOCH + Duration::from_millis((4_294_967_296 - 2_208_988_800) * 1000 + 500);
    assert_eq!(NtpTime::from(in_2036), NtpTime(1 << 31));
    assert_eq!(NtpTime(1 << 31).to_system_time(), Some(in_2036));
    assert_eq!(NtpTime(1 << 63).to_system_time(), None, "1968");
}

#[test]
fn a_senders_report_tells_when_a_picture_was_taken() {
    let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let info = SenderInfo { ntp: time.into(), timestamp: 45_000, packets: 0, bytes: 0 };
    let clock = Clock::new(&info, VIDEO).unwrap();
    assert_eq!(clock.at(135_000), Some(time + Duration::from_secs(1)));
    // Half a second before the report, across the wrap.
    assert_eq!(clock.at(45_000_u32.wrapping_sub(90_000)), Some(time - Duration::from_secs(1)));
    assert_eq!(Clock::new(&SenderInfo { ntp: NtpTime(0), ..info }, VIDEO), None);
}

#[test]
fn reports_come_at_the_rfcs_intervals() {
    let two = Membership {
        members: 2,
        senders: 1,
        we_send: true,
        bandwidth: 1e6,
        mean_bytes: 100.0,
        least: Duration::from_secs(5),
        initial: false,
    };
    let seconds = |membership: &Membership, random| interval(membership, random).as_secs_f64();
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-3, "{a} {b}");
    near(seconds(&two, 0.5), 5.0 / 1.218_28);
    near(seconds(&two, 0.0), 2.5 / 1.218_28);
    near(seconds(&Membership { initial: true, ..two }, 1.0), 3.75 / 1.218_28);
    // A thousand receivers share three quarters of the bandwidth, one sender has the rest.
    let many = Membership { members: 1001, we_send: false, bandwidth: 1000.0, ..two };
    near(seconds(&many, 0.5), 1000.0 * 100.0 / 750.0 / 1.218_28);
    near(seconds(&Membership { we_send: true, ..many }, 0.5), 5.0 / 1.218_28);
    assert_eq!(interval(&Membership { bandwidth: 0.0, ..many }, 0.5), Duration::MAX);
}

#[test]
fn losses_are_reported_whole_and_since_the_last_report() {
    let mut reception = Reception::new(7, VIDEO);
    let send = |reception: &mut Reception, numbers: &[u16]| {
        numbers.iter().for_each(|number| reception.packet(Duration::ZERO, *number, 0));
    };
    send(&mut reception, &[65_534, 65_535, 1, 3]);
    let block = reception.report(Duration::ZERO);
    assert_eq!((block.lost, block.fraction_lost, block.highest), (2, 85, 0x0001_0003));
    send(&mut reception, &[4, 5, 5, 5, 2]);
    let block = reception.report(Duration::ZERO);
    assert_eq!((block.lost, block.fraction_lost, block.highest), (-1, 0, 0x0001_0005));
    // One stray number changes nothing; two in sequence are a new beginning.
    send(&mut reception, &[40_000, 6]);
    assert_eq!(reception.report(Duration::ZERO).highest, 0x0001_0006);
    send(&mut reception, &[40_000, 40_001, 40_002]);
    let block = reception.report(Duration::ZERO);
    assert_eq!((block.lost, block.fraction_lost, block.highest), (0, 0, 40_002));
}

#[test]
fn jitter_follows_the_rfcs_filter() {
    let mut reception = Reception::new(7, VIDEO);
    let mut expected = 0_f64;
    let mut before = 0_i64;
    for index in 0..200_u32 {
        let late = i64::from(index * 7919 % 13) * 90;
        let sent = i64::from(index) * 3000;
        reception.packet(
            Duration::from_nanos((sent + late) as u64 * 1_000_000_000 / 90_000 + 1),
            index as u16,
            (sent as u32).wrapping_add(u32::MAX - 1000),
        );
        if index > 0 {
            expected += ((late - before).abs() as f64 - expected) / 16.0;
        }
        before = late;
    }
    let jitter = reception.report(Duration::ZERO).jitter;
    assert!((f64::from(jitter) - expected).abs() < 3.0, "{jitter} {expected}");
    assert_eq!(reception.jitter().as_micros() as u32, jitter * 100 / 9);
}

#[test]
fn the_last_senders_report_is_repeated_with_its_age() {
    let mut reception = Reception::new(7, VIDEO);
    assert_eq!(reception.report(Duration::ZERO), ReportBlock { ssrc: 7, ..ReportBlock::default() });
    reception.sender_report(Duration::from_secs(1), NtpTime(0x1111_2222_3333_4444));
    let block = reception.report(Duration::from_millis(6250));
    assert_eq!((block.last_report, block.delay), (0x2222_3333, 0x0005_4000));
}

fn any_block() -> impl Strategy<Value = ReportBlock> {
    (any::<(u32, u8, u32, u32, u32, u32)>(), -0x80_0000..0x80_0000).prop_map(
        |((ssrc, fraction_lost, highest, jitter, last_report, delay), lost)| ReportBlock {
            ssrc,
            fraction_lost,
            lost,
            highest,
            jitter,
            last_report,
            delay,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        (ssrc, timestamp, packets, bytes) in any::<(u32, u32, u32, u32)>(),
        ntp in any::<u64>(),
        blocks in proptest::collection::vec(any_block(), 0..40),
        name in "\\PC{0,300}",
    ) {
        let info = SenderInfo { ntp: NtpTime(ntp), timestamp, packets, bytes };
        let mut out = Vec::new();
        write::sender_report(ssrc, &info, &blocks, &mut out);
        write::receiver_report(ssrc, &blocks, &mut out);
        write::cname(ssrc, &name, &mut out);
        write::cname(ssrc, "", &mut out);
        let packets = parse(&out).unwrap();
        prop_assert_eq!(packets.len(), 4);
        let sent = &blocks[..blocks.len().min(write::MOST_BLOCKS)];
        let Packet::SenderReport { info: read, blocks, .. } = packets[0].clone() else { panic!() };
        prop_assert_eq!(read, info);
        prop_assert_eq!(blocks.collect::<Vec<_>>(), sent);
        let Packet::ReceiverReport { blocks, .. } = packets[1].clone() else { panic!() };
        prop_assert_eq!(blocks.collect::<Vec<_>>(), sent);
        let Packet::Description(mut names) = packets[2].clone() else { panic!() };
        let read = names.next().unwrap();
        prop_assert!(name.as_bytes().starts_with(read.1) && (read.1.len() > 251 || read.1.len() == name.len()));
        let Packet::Description(mut names) = packets[3].clone() else { panic!() };
        prop_assert_eq!(names.next(), Some((ssrc, &b""[..])));
    }

    #[test]
    fn nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 200_u8..208) {
        if let [first, second, third, fourth, ..] = &mut bytes[..] {
            (*first, *second, *third) = (*first & 0x3F | 0x80, kind, 0);
            *fourth %= 32;
        }
        if let Ok(compound) = Compound::parse(&bytes, Rules::ReducedSize) {
            for packet in compound.packets() {
                match packet {
                    Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } => {
                        blocks.for_each(drop);
                    }
                    Packet::Description(names) => names.for_each(drop),
                    _ => {}
                }
            }
        }
    }
}
