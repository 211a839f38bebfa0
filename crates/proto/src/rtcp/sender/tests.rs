//! A sender and its receivers across a simulated network: what the sender learns, when it speaks, and whom it does not believe.

use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::super::{ReceiverSession, ReceiverSetup};
use super::*;

const VIDEO: NonZeroU32 = NonZeroU32::new(90_000).unwrap();
const CAMERA: u32 = 0xCA;
const PACKETS: u32 = 20;

fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn wall(now: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + now
}

fn session(unicast: bool) -> SenderSession {
    SenderSession::new(SenderSetup {
        ssrc: CAMERA,
        cname: "camera".into(),
        rate: VIDEO,
        unicast,
        often: true,
    })
}

fn picture(now: Duration, index: u64) -> SentPicture {
    SentPicture {
        packets: PACKETS,
        payload_bytes: u64::from(PACKETS) * 1000,
        last_sequence: ((index + 1) * u64::from(PACKETS)).wrapping_sub(1) as u16,
        timestamp: 7_u32.wrapping_add((now.as_millis() * 90) as u32),
        captured: wall(now) - ms(5),
    }
}

fn packets(datagram: &[u8]) -> Vec<Packet<'_>> {
    Compound::parse(datagram, Rules::Compound).unwrap().packets().collect()
}

/// A receiver and the way to it.
struct Path {
    session: ReceiverSession,
    /// The part of the packets that does not arrive.
    loss: f64,
    delay: Duration,
    /// When it is switched off, without a word.
    until: Duration,
}

fn path(ssrc: u32, loss: f64, delay: Duration) -> Path {
    let setup = ReceiverSetup {
        ssrc,
        cname: format!("receiver {ssrc}"),
        rate: VIDEO,
        unicast: true,
        keyframe_wait: ms(500),
    };
    let mut session = ReceiverSession::new(Duration::ZERO, setup, &mut dice(ssrc.into()));
    session.started(Duration::ZERO, CAMERA, &mut dice(ssrc.into()));
    Path { session, loss, delay, until: Duration::MAX }
}

/// What is under way, the earliest first: to a receiver (its index), or to the sender.
type Letter = (std::cmp::Reverse<Duration>, Option<usize>, Vec<u8>);

/// 30 pictures a second for `length`, from `begin` on. Every datagram of RTCP may be lost as media is.
fn simulate(
    sender: &mut SenderSession,
    paths: &mut [Path],
    times: std::ops::Range<u64>,
    reports: &mut Vec<(Duration, Report)>,
) {
    let mut random = dice(times.start + 1);
    let mut letters: BinaryHeap<Letter> = BinaryHeap::new();
    for now in times.map(ms) {
        let index = now.as_millis() as u64 / 33;
        if now.as_millis() % 33 == 0 {
            let picture = picture(now, index);
            sender.sent(now, &picture, &mut random);
            for path in paths.iter_mut().filter(|path| now < path.until) {
                for number in 0..PACKETS as u16 {
                    if random() >= path.loss {
                        let sequence = picture.last_sequence.wrapping_sub(PACKETS as u16 - 1 - number);
                        path.session.packet(now + path.delay, CAMERA, sequence, picture.timestamp, 1000);
                    }
                }
            }
        }
        let mut out = Vec::new();
        if sender.poll(now, wall(now), &mut random, &mut out) {
            for (index, path) in paths.iter().enumerate().filter(|(_, path)| random() >= path.loss) {
                letters.push((std::cmp::Reverse(now + path.delay), Some(index), out.clone()));
            }
        }
        for path in paths.iter_mut().filter(|path| now < path.until) {
            let mut out = Vec::new();
            if path.session.poll(now, &mut random, &mut out) && random() >= path.loss {
                letters.push((std::cmp::Reverse(now + path.delay), None, out));
            }
        }
        while letters.peek().is_some_and(|letter| letter.0.0 <= now) {
            let (_, to, datagram) = letters.pop().unwrap();
            let Some(index) = to else {
                let mut told = Vec::new();
                sender.datagram(now, &datagram, &mut told).unwrap();
                reports.extend(told.into_iter().map(|report| (now, report)));
                continue;
            };
            paths[index].session.datagram(now, &datagram, &mut random).unwrap();
        }
    }
}

#[test]
fn loss_jitter_and_round_trip_are_those_of_the_network() {
    let mut sender = session(true);
    let mut paths = [path(1, 0.1, ms(40))];
    let mut reports = Vec::new();
    simulate(&mut sender, &mut paths, 0..60_000, &mut reports);
    let audience = sender.audience();
    assert_eq!(audience.receivers, 1);
    let round_trip = audience.round_trip.unwrap();
    assert!((ms(79)..=ms(81)).contains(&round_trip), "{round_trip:?}");
    let (expected, lost) = reports
        .iter()
        .fold((0, 0), |(expected, lost), (_, report)| (expected + report.expected, lost + report.lost));
    assert!((30_000..37_000).contains(&expected), "{expected}");
    assert!((0.09..0.11).contains(&(f64::from(lost) / f64::from(expected))), "{lost}");
    assert!((lost as i32 - audience.lost).abs() < 100, "{audience:?}");
    assert!((0.05..0.16).contains(&audience.worst_loss), "{audience:?}");
    // The packets of a picture come at once; pictures come each 33 ms.
    assert!(audience.jitter < ms(1), "{audience:?}");
    assert_eq!(sender.counts().contradictory, 0);
    assert!((50..80).contains(&sender.counts().reports_sent), "{:?}", sender.counts());
}

#[test]
fn the_receiver_learns_when_a_picture_was_taken() {
    let mut sender = session(true);
    let mut paths = [path(1, 0.0, ms(40))];
    simulate(&mut sender, &mut paths, 0..100, &mut Vec::new());
    // The first report goes with the first picture.
    for now in [ms(66), ms(3_600_000)] {
        let captured = paths[0].session.captured(picture(now, 0).timestamp).unwrap();
        let error = captured.duration_since(wall(now) - ms(5)).unwrap_or_else(|error| error.duration());
        assert!(error < Duration::from_micros(20), "{error:?}");
    }
}

#[test]
fn the_worst_of_several_is_told_and_the_dead_are_forgotten() {
    let mut sender = session(false);
    let mut paths = [path(1, 0.0, ms(10)), path(2, 0.3, ms(10)), path(3, 0.02, ms(150))];
    paths[1].until = ms(20_000);
    simulate(&mut sender, &mut paths, 0..20_000, &mut Vec::new());
    let audience = sender.audience();
    assert_eq!(audience.receivers, 3);
    assert!(audience.worst_loss > 0.2 && audience.mean_loss < 0.2, "{audience:?}");
    assert!(audience.round_trip >= Some(ms(290)), "{audience:?}");
    simulate(&mut sender, &mut paths, 20_000..60_000, &mut Vec::new());
    let audience = sender.audience();
    assert_eq!((audience.receivers, audience.worst_loss > 0.1), (2, false));
    let mut farewell = Vec::new();
    paths[0].session.bye(ms(60_000), &mut farewell);
    sender.datagram(ms(60_000), &farewell, &mut Vec::new()).unwrap();
    assert_eq!(sender.audience().receivers, 1);
}

#[test]
fn reports_are_laid_out_as_the_rfc_has_it_and_pauses_are_no_sending() {
    let mut sender = session(true);
    let mut random = dice(1);
    let mut out = Vec::new();
    assert!(!sender.poll(ms(10_000), wall(ms(0)), &mut random, &mut out));
    assert!(!sender.bye(ms(10_000), wall(ms(0)), &mut out) && out.is_empty());
    sender.sent(ms(10_000), &picture(ms(10_000), 0), &mut random);
    assert!(sender.poll(ms(10_000), wall(ms(10_000)), &mut random, &mut out));
    let Packet::SenderReport { ssrc: CAMERA, info, .. } = packets(&out)[0] else { panic!("{out:?}") };
    // The picture was taken 5 ms before the report.
    assert_eq!((info.packets, info.bytes, info.timestamp), (20, 20_000, 900_007 + 450));
    assert_eq!(info.ntp, NtpTime::from(wall(ms(10_000))));
    let mut kinds = Vec::new();
    for now in 10_000..30_000 {
        out.clear();
        if sender.poll(ms(now), wall(ms(now)), &mut random, &mut out) {
            kinds.push(matches!(packets(&out)[0], Packet::SenderReport { .. }));
        }
    }
    assert!(kinds[0] && kinds[1..].iter().all(|sends| !sends), "{kinds:?}");
    out.clear();
    assert!(sender.bye(ms(30_000), wall(ms(30_000)), &mut out));
    assert_eq!(packets(&out)[2], Packet::Bye { ssrc: Some(CAMERA) });
}

#[test]
fn a_wall_clock_that_was_set_does_not_change_the_round_trip() {
    let mut sender = session(true);
    let mut random = dice(1);
    let mut out = Vec::new();
    sender.sent(ms(0), &picture(ms(0), 0), &mut random);
    sender.poll(ms(0), wall(ms(0)), &mut random, &mut out);
    let block = ReportBlock {
        ssrc: CAMERA,
        highest: 19,
        last_report: NtpTime::from(wall(ms(0))).middle(),
        delay: 65_536,
        ..ReportBlock::default()
    };
    // Nothing here asks the wall clock: 1.25 s after the report, one of which the receiver had it.
    tell(&mut sender, ms(1250), 1, block);
    let round_trip = sender.audience().round_trip.unwrap();
    assert!(round_trip.abs_diff(ms(250)) < Duration::from_micros(50), "{round_trip:?}");
    // A report that was never sent, and a delay longer than the time since, tell nothing.
    tell(&mut sender, ms(1300), 2, ReportBlock { last_report: 77, ..block });
    tell(&mut sender, ms(1300), 3, ReportBlock { delay: 200_000, ..block });
    assert_eq!((sender.audience().round_trip, sender.audience().receivers), (Some(round_trip), 3));
}

/// What a receiver's report brings.
fn tell(sender: &mut SenderSession, now: Duration, from: u32, block: ReportBlock) -> Vec<Report> {
    let (mut datagram, mut reports) = (Vec::new(), Vec::new());
    write::receiver_report(from, &[block], &mut datagram);
    sender.datagram(now, &datagram, &mut reports).unwrap();
    reports
}

/// A sender that has sent pictures for 10 s.
fn busy() -> SenderSession {
    let mut sender = session(true);
    for index in 0..300 {
        let now = ms(index * 33);
        sender.sent(now, &picture(now, index), &mut dice(1));
    }
    sender
}

#[test]
fn totals_decide_and_a_lost_report_costs_nothing() {
    let mut sender = busy();
    let block = |highest, lost, fraction_lost| ReportBlock {
        ssrc: CAMERA,
        highest,
        lost,
        fraction_lost,
        ..ReportBlock::default()
    };
    assert_eq!(tell(&mut sender, ms(1000), 1, block(1000, 50, 12)), [], "the first is the beginning");
    let [report] = tell(&mut sender, ms(3000), 1, block(2000, 150, 20))[..] else { panic!() };
    assert_eq!(report, Report { receiver: 1, since: ms(1000), expected: 1000, lost: 100, round_trip: None });
    // An old one, the same again, and more received than expected.
    assert_eq!(tell(&mut sender, ms(3100), 1, block(1500, 100, 25)), []);
    assert_eq!(tell(&mut sender, ms(3200), 1, block(2000, 150, 20)), []);
    assert_eq!(tell(&mut sender, ms(3300), 1, block(2100, 140, 0))[0].lost, 0);
    // Past what the total can say, the fraction does.
    tell(&mut sender, ms(3400), 2, block(1000, 0x7F_FFFF, 64));
    assert_eq!(tell(&mut sender, ms(3500), 2, block(1400, 0x7F_FFFF, 64))[0].lost, 100);
    assert_eq!(sender.counts().contradictory, 0);
}

#[test]
fn nonsense_is_counted_and_not_believed() {
    let mut sender = busy();
    let block = |highest, lost, fraction_lost| ReportBlock {
        ssrc: CAMERA,
        highest,
        lost,
        fraction_lost,
        ..ReportBlock::default()
    };
    // All is lost for ever, though nothing is; nothing, though half is; more than was sent; numbers never sent; a jump back.
    for (receiver, blocks) in [
        (1, [block(1000, 0, 255), block(1500, 0, 255)]),
        (2, [block(1000, 0, 0), block(1500, 250, 0)]),
        (3, [block(1000, 0, 0), block(1500, 900, 255)]),
        (4, [block(1000, 0, 0), block(20_000, 0, 0)]),
        (5, [block(5900, 0, 0), block(1000, 0, 0)]),
        (6, [block(1000, 0, 0), block(0x7000_0000, 0, 0)]),
    ] {
        for (index, block) in blocks.into_iter().enumerate() {
            assert_eq!(tell(&mut sender, ms(1000 + index as u64), receiver, block), [], "{receiver}");
        }
        assert_eq!(sender.counts().contradictory, u64::from(receiver));
    }
    tell(&mut sender, ms(2000), 7, ReportBlock { ssrc: 9, ..block(1, 1, 1) });
    assert_eq!((sender.counts().strangers, sender.audience().receivers), (1, 6));
}

#[test]
fn keyframes_are_wanted_once_however_many_ask() {
    let mut sender = busy();
    let mut ask = |now, write: &dyn Fn(&mut Vec<u8>)| {
        let mut datagram = Vec::new();
        write(&mut datagram);
        sender.datagram(ms(now), &datagram, &mut Vec::new()).unwrap().keyframe
    };
    assert!(ask(10_000, &|out| write::picture_loss(1, CAMERA, out)));
    assert!(!ask(10_100, &|out| write::picture_loss(2, CAMERA, out)));
    assert!(!ask(10_600, &|out| write::picture_loss(2, 5, out)), "another stream's");
    assert!(ask(10_700, &|out| write::full_intra_request(1, CAMERA, 7, out)));
    assert!(!ask(11_700, &|out| write::full_intra_request(1, CAMERA, 7, out)), "a repetition");
    assert!(ask(12_700, &|out| write::full_intra_request(1, CAMERA, 8, out)));
    assert_eq!(sender.counts().keyframes_asked, 4);
}

#[test]
fn a_stream_of_our_name_is_told_and_the_name_changed() {
    let mut sender = busy();
    let mut own = Vec::new();
    assert!(sender.poll(ms(10_000), wall(ms(10_000)), &mut dice(1), &mut own));
    assert_eq!(sender.datagram(ms(10_000), &own, &mut Vec::new()), Ok(SenderHeard::default()));
    let mut other = Vec::new();
    write::sender_report(
        CAMERA,
        &SenderInfo { ntp: NtpTime(1), timestamp: 1, packets: 1, bytes: 1 },
        &[],
        &mut other,
    );
    let mut collides = |now| sender.datagram(ms(now), &other, &mut Vec::new()).unwrap().collision;
    assert_eq!([collides(10_001), collides(11_000), collides(20_001)], [true, false, true]);
    let mut out = Vec::new();
    assert!(sender.change_ssrc(ms(20_002), wall(ms(20_002)), 5, &mut out));
    assert_eq!(packets(&out).last(), Some(&Packet::Bye { ssrc: Some(CAMERA) }));
    assert_eq!((sender.ssrc(), sender.due(), sender.audience().receivers), (5, Duration::MAX, 0));
}

proptest! {
    #[test]
    fn no_datagram_panics(
        datagrams in proptest::collection::vec(
            (any::<u32>(), 200_u8..208, 0_u8..4, proptest::collection::vec(any::<u32>(), 0..30)), 0..20,
        ),
        seed: u64,
    ) {
        let mut random = dice(seed);
        let mut sender = session(seed % 2 == 0);
        let (mut out, mut reports) = (Vec::new(), Vec::new());
        for (time, kind, count, words) in datagrams {
            let now = ms(time.into());
            let mut datagram = vec![0x80 | count, kind, 0, words.len() as u8];
            // Often about the one stream.
            datagram.extend(words.iter().flat_map(|word| {
                if word % 3 == 0 { CAMERA } else { *word }.to_be_bytes()
            }));
            sender.sent(now, &picture(now, time.into()), &mut random);
            let _ = sender.datagram(now, &datagram, &mut reports);
            sender.poll(now, wall(now), &mut random, &mut out);
            let audience = sender.audience();
            prop_assert!(audience.worst_loss <= 1.0 && audience.receivers <= 64);
        }
        prop_assert!(reports.iter().all(|report| report.lost <= report.expected && report.expected > 0));
    }
}

#[test]
fn the_clock_can_be_told_before_the_first_packet_and_then_every_five_seconds_or_so() {
    let setup = SenderSetup { often: false, ..session(true).setup };
    let (mut sender, mut random, mut out) = (SenderSession::new(setup), dice(5), Vec::new());
    let start = ms(1000);
    sender.begin(start, 4000, wall(start) - ms(500), &mut random);
    assert!(sender.poll(start, wall(start), &mut random, &mut out));
    let Packet::SenderReport { info, .. } = &packets(&out)[0] else { panic!("{out:?}") };
    assert_eq!((info.timestamp, info.packets, info.bytes), (4000 + 45_000, 0, 0));
    let mut reports = Vec::new();
    for index in 0..3600 {
        let now = start + Duration::from_millis(33) * index as u32;
        sender.sent(now, &picture(now, index), &mut random);
        out.clear();
        if sender.poll(now, wall(now), &mut random, &mut out) {
            reports.push(now);
        }
    }
    let apart: Vec<_> = reports.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((15..40).contains(&reports.len()) && apart.iter().all(|apart| *apart > ms(2000)), "{apart:?}");
}
