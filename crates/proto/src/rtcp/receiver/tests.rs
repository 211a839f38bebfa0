//! The receiver's side of a stream, with simulated time: when it reports, what, and how it asks for keyframes.

use proptest::prelude::*;

use super::super::NtpTime;
use super::*;

const VIDEO: NonZeroU32 = NonZeroU32::new(90_000).unwrap();
const US: u32 = 0x0E0E_0E0E;
const CAMERA: u32 = 0xCA;

/// Numbers from 0 to 1 that are the same each time.
fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn setup(unicast: bool) -> ReceiverSetup {
    ReceiverSetup {
        ssrc: US,
        cname: "us".into(),
        rate: VIDEO,
        unicast,
        keyframe_wait: Duration::from_millis(500),
    }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn new(unicast: bool) -> ReceiverSession {
    ReceiverSession::new(Duration::ZERO, setup(unicast), &mut dice(1))
}

fn sender_report(ssrc: u32, time: SystemTime, timestamp: u32) -> Vec<u8> {
    let mut out = Vec::new();
    write::sender_report(
        ssrc,
        &SenderInfo { ntp: NtpTime::from(time), timestamp, packets: 0, bytes: 0 },
        &[],
        &mut out,
    );
    write::cname(ssrc, "camera", &mut out);
    out
}

/// The one datagram that `write` makes.
fn written(write: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let wrote = write(&mut out);
    assert_eq!(wrote, !out.is_empty());
    wrote.then_some(out)
}

fn packets(datagram: &[u8]) -> Vec<Packet<'_>> {
    Compound::parse(datagram, Rules::Compound).unwrap().packets().collect()
}

fn blocks(datagram: &[u8]) -> Vec<ReportBlock> {
    let Packet::ReceiverReport { ssrc: US, blocks } = packets(datagram).remove(0) else { panic!() };
    blocks.collect()
}

/// Runs from one millisecond to another; `lost` packets of a stream of one each 2 ms do not come. What was written, and when.
fn run(
    session: &mut ReceiverSession,
    times: std::ops::Range<u64>,
    lost: impl Fn(u64) -> bool,
) -> Vec<(u64, Vec<u8>)> {
    let mut random = dice(2);
    let mut out = Vec::new();
    for now in times {
        if now % 2 == 0 && !lost(now / 2) {
            session.packet(ms(now), CAMERA, (now / 2) as u16, now as u32 * 90, 1000);
        }
        if let Some(datagram) = written(|out| session.poll(ms(now), &mut random, out)) {
            out.push((now, datagram));
        }
    }
    out
}

#[test]
fn nothing_is_said_before_a_sender_begins_and_after_it_left() {
    let mut session = new(true);
    assert_eq!(session.due(), Duration::MAX);
    session.packet(ms(1), CAMERA, 1, 1, 1000);
    assert_eq!(run(&mut session, 2..20_000, |_| false), []);
    assert_eq!(written(|out| session.bye(ms(20_000), out)), None);
    session.started(ms(20_000), CAMERA, &mut dice(1));
    assert!(!run(&mut session, 20_000..22_000, |_| false).is_empty());
    let mut farewell = sender_report(CAMERA, SystemTime::UNIX_EPOCH, 1);
    write::bye(CAMERA, &mut farewell);
    assert!(session.datagram(ms(22_000), &farewell, &mut dice(1)).unwrap().left);
    assert_eq!(session.due(), Duration::MAX);
    session.packet(ms(23_000), CAMERA, 11_500, 1, 1000);
    assert!(session.due() < ms(30_000), "it sends again");
}

#[test]
fn a_pairs_reports_come_each_second_a_groups_each_five() {
    for (unicast, expected) in [(true, 95..125), (false, 16..30)] {
        let mut session = new(unicast);
        session.started(Duration::ZERO, CAMERA, &mut dice(1));
        let reports = run(&mut session, 0..100_000, |_| false);
        assert!(expected.contains(&reports.len()), "{}", reports.len());
        // 0.41 to 1.23 times the mean, which is half for the first.
        let mean = if unicast { 1000 } else { 5000 };
        assert!((mean / 5..mean * 2 / 3).contains(&reports[0].0), "{}", reports[0].0);
        for pair in reports.windows(2) {
            let apart = pair[1].0 - pair[0].0;
            assert!((mean * 2 / 5..=mean * 5 / 4).contains(&apart), "{apart}");
        }
    }
}

#[test]
fn a_slow_streams_reports_are_no_more_often_than_five_percent_allow() {
    let mut session = new(true);
    session.started(Duration::ZERO, CAMERA, &mut dice(1));
    let (mut random, mut bytes) = (dice(3), 0);
    for now in 0..600_000 {
        if now % 1000 == 0 {
            session.packet(ms(now), CAMERA, (now / 1000) as u16, now as u32 * 90, 1000);
        }
        if let Some(datagram) = written(|out| session.poll(ms(now), &mut random, out)) {
            bytes += datagram.len() + 28;
        }
    }
    // 8 kbit/s: 5 s are the longest least interval.
    assert!(bytes < 600_000 / 20, "{bytes}");
    assert!((100..160).contains(&session.reports()), "{}", session.reports());
}

#[test]
fn reports_say_what_was_lost_and_when_the_senders_came() {
    let mut session = new(true);
    session.started(Duration::ZERO, CAMERA, &mut dice(1));
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    session.datagram(ms(100), &sender_report(CAMERA, time, 9000), &mut dice(1)).unwrap();
    let reports = run(&mut session, 100..10_000, |number| number % 4 == 0 && number > 50);
    for (_, datagram) in &reports[1..] {
        let [block] = blocks(datagram)[..] else { panic!() };
        assert_eq!((block.ssrc, block.last_report), (CAMERA, NtpTime::from(time).middle()));
        assert!((62..=66).contains(&block.fraction_lost), "{}", block.fraction_lost);
        assert_eq!(packets(datagram).len(), 2, "report and name");
    }
    let (now, last) = reports.last().unwrap();
    let block = blocks(last)[0];
    assert!((i64::from(block.lost) - (*now as i64 - 100) / 8).abs() < 8, "{block:?}");
    assert_eq!(block.delay, ((now - 100) * 65_536 / 1000) as u32);
    assert_eq!(session.captured(9000 + 90_000), Some(time + Duration::from_secs(1)));
    // Without packets there is nothing to report of.
    let silent = run(&mut session, 10_000..20_000, |_| true);
    assert!(silent[1..].iter().all(|(_, datagram)| blocks(datagram).is_empty()));
}

#[test]
fn another_sender_begins_with_nothing_of_the_last() {
    let mut session = new(true);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    session.started(Duration::ZERO, CAMERA, &mut dice(1));
    session.datagram(ms(1), &sender_report(CAMERA, time, 9000), &mut dice(1)).unwrap();
    run(&mut session, 0..3000, |number| number % 2 == 0);
    // The other one's report comes before its packets do.
    let heard = session.datagram(ms(3000), &sender_report(9, time, 90_000), &mut dice(1)).unwrap();
    assert_eq!((heard, session.captured(9000)), (ReceiverHeard::default(), Some(time)));
    session.started(ms(3001), 9, &mut dice(1));
    assert_eq!((session.sender_ssrc(), session.captured(90_000)), (Some(9), Some(time)));
    assert_eq!(session.jitter(), Duration::ZERO);
    session.packet(ms(3002), 9, 7, 0, 100);
    session.packet(ms(3002), CAMERA, 7, 0, 100);
    let datagram = written(|out| session.bye(ms(3002), out)).unwrap();
    assert_eq!((blocks(&datagram)[0].ssrc, blocks(&datagram)[0].highest), (9, 7));
    assert_eq!(packets(&datagram)[2], Packet::Bye { ssrc: Some(US) });
    // Begun anew with the same name, its timestamps are others too.
    session.started(ms(3003), 9, &mut dice(1));
    assert_eq!(session.captured(90_000), None);
}

#[test]
fn keyframes_are_asked_for_at_once_and_then_at_intervals() {
    let mut session = new(true);
    session.started(Duration::ZERO, CAMERA, &mut dice(1));
    let asked = |reports: &[(u64, Vec<u8>)]| -> Vec<u64> {
        let wanted = Packet::PictureLoss { ssrc: US, media: CAMERA };
        reports.iter().filter(|(_, one)| packets(one).contains(&wanted)).map(|(now, _)| *now).collect()
    };
    session.want_keyframe(ms(10), &mut dice(1));
    session.want_keyframe(ms(11), &mut dice(1));
    assert_eq!(asked(&run(&mut session, 12..1200, |_| false)), [12, 512, 1012]);
    session.keyframe_came();
    session.want_keyframe(ms(1200), &mut dice(1));
    assert_eq!(asked(&run(&mut session, 1200..1600, |_| false)), [1512]);
    session.keyframe_came();
    assert_eq!(asked(&run(&mut session, 1600..5000, |_| false)), []);
    assert_eq!(session.keyframes_asked(), 4);
}

#[test]
fn in_a_group_one_asks_for_all() {
    let mut session = new(false);
    session.started(Duration::ZERO, CAMERA, &mut dice(1));
    session.want_keyframe(ms(1000), &mut || 1.0);
    assert_eq!(session.due(), ms(1250));
    let mut other = Vec::new();
    write::receiver_report(77, &[], &mut other);
    write::picture_loss(77, CAMERA, &mut other);
    session.datagram(ms(1100), &other, &mut || 0.0).unwrap();
    assert_eq!(session.due(), ms(1600));
}

#[test]
fn our_own_packets_are_no_collision_anothers_with_our_name_are() {
    let mut session = new(false);
    session.started(Duration::ZERO, CAMERA, &mut dice(1));
    session.packet(ms(1), CAMERA, 1, 1, 100);
    let own = written(|out| session.poll(ms(5000), &mut dice(1), out)).unwrap();
    assert_eq!(session.datagram(ms(5001), &own, &mut dice(1)), Ok(ReceiverHeard::default()));
    let mut stranger = Vec::new();
    write::receiver_report(US, &[], &mut stranger);
    write::cname(US, "stranger", &mut stranger);
    let collides = |session: &mut ReceiverSession, now| {
        session.datagram(ms(now), &stranger, &mut dice(1)).unwrap().collision
    };
    assert!(collides(&mut session, 5002));
    assert!(!collides(&mut session, 5003), "told once");
    let leaving = written(|out| session.change_ssrc(ms(5004), 5, out)).unwrap();
    assert_eq!(packets(&leaving).last(), Some(&Packet::Bye { ssrc: Some(US) }));
    assert!(!collides(&mut session, 60_000), "the name is the stranger's");
}

#[test]
fn any_number_of_names_is_bounded() {
    let mut session = new(false);
    session.started(Duration::ZERO, CAMERA, &mut dice(1));
    for name in 0..10_000 {
        let mut report = Vec::new();
        write::receiver_report(name, &[], &mut report);
        session.datagram(ms(name.into()), &report, &mut dice(1)).unwrap();
    }
    assert!(session.members.count() <= 64);
    assert!(session.due() < ms(60_000));
}

/// RFC 3550 6.2 and 6.3: each reckons with all the others, also with those that came at the same moment.
#[test]
fn sixty_that_begin_together_share_a_slow_streams_twentieth() {
    let mut random = dice(5);
    let mut group: Vec<_> = (0..60)
        .map(|ssrc| {
            let setup = ReceiverSetup { ssrc, cname: format!("{ssrc}"), ..setup(false) };
            let mut session = ReceiverSession::new(Duration::ZERO, setup, &mut random);
            session.started(Duration::ZERO, CAMERA, &mut random);
            session
        })
        .collect();
    let (mut bytes, mut first_second) = (0, 0);
    for now in 0..300_000 {
        for from in 0..group.len() {
            if now % 100 == 0 {
                group[from].packet(ms(now), CAMERA, (now / 100) as u16, now as u32 * 90, 800);
            }
            let Some(datagram) = written(|out| group[from].poll(ms(now), &mut random, out)) else { continue };
            first_second += usize::from(now < 1000);
            bytes += if now < 60_000 { 0 } else { datagram.len() + 28 };
            for session in &mut group {
                session.datagram(ms(now), &datagram, &mut random).unwrap();
            }
        }
    }
    // 64 kbit/s: 400 bytes a second, of which receivers have three quarters.
    assert!((200..330).contains(&(bytes / 240)), "{} bytes a second", bytes / 240);
    assert!(first_second < 10, "{first_second} reports in the first second");
}

proptest! {
    #[test]
    fn no_datagram_panics(
        datagrams in proptest::collection::vec(
            (any::<u32>(), 200_u8..208, 0_u8..32, proptest::collection::vec(any::<u8>(), 0..100)), 0..20,
        ),
        seed: u64,
    ) {
        let mut random = dice(seed);
        let mut session = new(seed % 2 == 0);
        let mut out = Vec::new();
        for (time, kind, count, mut body) in datagrams {
            let now = ms(time.into());
            body.truncate(body.len() & !3);
            let mut datagram = vec![0x80 | count, kind, 0, (body.len() / 4) as u8];
            datagram.extend(&body);
            session.started(now, u32::from(count), &mut random);
            session.packet(now, count.into(), time as u16, time, body.len());
            session.want_keyframe(now, &mut random);
            let _ = session.datagram(now, &datagram, &mut random);
            session.poll(now, &mut random, &mut out);
            session.captured(time);
        }
    }
}
