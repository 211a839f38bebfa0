//! The reorder buffer in simulated time: loss, lateness, duplicates, wrap and restarted senders.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { wait: Duration::from_millis(50), packets: 64 };

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What comes out when each packet (time in ms, sender, number) comes; a packet is its number.
fn run(reorder: &mut Reorder<u16>, packets: &[(u64, u32, u16)]) -> Vec<Item<u16>> {
    let mut out = Vec::new();
    for &(time, ssrc, sequence) in packets {
        reorder.push(at(time), ssrc, sequence, sequence, &mut out);
    }
    out
}

fn numbers(items: &[Item<u16>]) -> Vec<u64> {
    let number = |item: &Item<u16>| match item {
        Item::Packet { extended, packet } => {
            assert_eq!(*extended as u16, *packet);
            Some(*extended)
        }
        _ => None,
    };
    items.iter().filter_map(number).collect()
}

#[test]
fn numbers_that_wrap_are_counted_on() {
    let mut reorder = Reorder::new(LIMITS);
    let out =
        run(&mut reorder, &[(0, 7, 65_534), (0, 7, 65_535), (1, 7, 1), (2, 7, 0), (3, 7, 2), (3, 7, 65_535)]);
    assert_eq!(out[0], Item::Started { ssrc: 7 });
    assert_eq!(numbers(&out), [65_534, 65_535, 65_536, 65_537, 65_538]);
    assert_eq!(reorder.counts(), Counts { passed: 5, duplicate: 1, started: 1, ..Counts::default() });
    assert_eq!(reorder.deadline(), None);
}

#[test]
fn a_missing_packet_is_lost_when_the_one_behind_it_has_waited() {
    let mut reorder = Reorder::new(LIMITS);
    run(&mut reorder, &[(0, 7, 10), (0, 7, 11)]);
    assert_eq!(run(&mut reorder, &[(5, 7, 14), (20, 7, 13), (21, 7, 14)]), []);
    assert_eq!(reorder.deadline(), Some(at(55)));
    let mut out = Vec::new();
    reorder.expire(at(54), &mut out);
    assert_eq!(out, []);
    reorder.expire(at(55), &mut out);
    let packet = |number: u16| Item::Packet { extended: number.into(), packet: number };
    assert_eq!(out, [Item::Lost { packets: 1 }, packet(13), packet(14)]);
    assert_eq!(run(&mut reorder, &[(60, 7, 12), (61, 7, 13), (62, 7, 15)]), [packet(15)]);
    assert_eq!(
        reorder.counts(),
        Counts { passed: 5, lost: 1, late: 1, duplicate: 2, started: 1, ..Counts::default() }
    );
}

#[test]
fn places_are_bounded() {
    let mut reorder = Reorder::new(Limits { packets: 4, ..LIMITS });
    run(&mut reorder, &[(0, 7, 0), (0, 7, 1)]);
    // 2 is missing; 6 would need a fifth place.
    let out = run(&mut reorder, &[(1, 7, 3), (1, 7, 5), (1, 7, 6)]);
    assert_eq!(
        out,
        [Item::Lost { packets: 1 }, Item::Packet { extended: 3, packet: 3 }],
        "5 and 6 wait for 4 in the places that are left"
    );
    let out = run(&mut reorder, &[(1, 7, 1000)]);
    assert_eq!(numbers(&out), [5, 6]);
    assert_eq!(out[3], Item::Lost { packets: 1000 - 3 - 7 });
    assert_eq!(numbers(&run(&mut reorder, &[(2, 7, 999), (2, 7, 998), (2, 7, 997)])), [997, 998, 999, 1000]);
    assert_eq!(reorder.deadline(), None);
}

#[test]
fn without_waiting_gaps_are_told_at_once() {
    let mut reorder = Reorder::new(Limits { wait: Duration::ZERO, packets: 1 });
    let out = run(&mut reorder, &[(0, 7, 0), (0, 7, 1), (0, 7, 3), (0, 7, 2)]);
    assert_eq!(out[3..], [Item::Lost { packets: 1 }, Item::Packet { extended: 3, packet: 3 }]);
    assert_eq!(reorder.counts().late, 1);
}

#[test]
fn a_stray_packet_changes_nothing() {
    let mut reorder = Reorder::new(LIMITS);
    let out = run(
        &mut reorder,
        &[(0, 7, 0), (0, 7, 1), (1, 7, 40_000), (2, 9, 5), (3, 7, 2), (4, 9, 6), (5, 9, 7), (6, 7, 3)],
    );
    assert_eq!(numbers(&out), [0, 1, 2, 3]);
    assert_eq!(reorder.counts().strange, 4);
    assert_eq!(reorder.counts().started, 1);
    assert_eq!(reorder.ssrc(), Some(7));
}

#[test]
fn a_sender_that_begins_anew_is_followed_at_its_second_packet() {
    let mut reorder = Reorder::new(LIMITS);
    run(&mut reorder, &[(0, 7, 100), (0, 7, 101), (1, 7, 103)]);
    let out = run(&mut reorder, &[(10, 7, 50_000), (11, 7, 50_001), (12, 7, 50_002)]);
    let packet = |number: u16| Item::Packet { extended: number.into(), packet: number };
    assert_eq!(
        out,
        [
            Item::Lost { packets: 1 },
            packet(103),
            Item::Started { ssrc: 7 },
            packet(50_000),
            packet(50_001),
            packet(50_002)
        ]
    );
}

#[test]
fn another_sender_takes_over_when_the_first_is_silent() {
    let mut reorder = Reorder::new(LIMITS);
    run(&mut reorder, &[(0, 7, 100), (0, 7, 101)]);
    assert_eq!(run(&mut reorder, &[(10, 8, 1), (49, 8, 2)]), []);
    let out = run(&mut reorder, &[(50, 8, 3), (51, 8, 4)]);
    assert_eq!(out[0], Item::Started { ssrc: 8 });
    assert_eq!(numbers(&out), [2, 3, 4]);
}

proptest! {
    /// What comes out is in order and only once, and every number is either given out or told as lost.
    #[test]
    fn a_bad_network_is_put_in_order(
        first in any::<u16>(),
        fates in proptest::collection::vec((0_u64..60, 0_u8..10, any::<bool>()), 3..400),
        (wait, packets) in (0_u64..80, 1_usize..100),
    ) {
        // One packet a millisecond, each delayed by its own time, a tenth lost, some twice.
        let mut arrivals: Vec<(u64, u16)> = Vec::new();
        for (index, &(delay, lost, twice)) in fates.iter().enumerate() {
            let sequence = first.wrapping_add(index as u16);
            let sent = index as u64;
            if index < 2 {
                arrivals.push((sent, sequence));
            } else if lost > 0 {
                arrivals.push((sent + 1 + delay, sequence));
                if twice {
                    arrivals.push((sent + 2 + delay / 2, sequence));
                }
            }
        }
        arrivals.sort_by_key(|(time, _)| *time);
        let mut reorder = Reorder::new(Limits { wait: at(wait), packets });
        let (mut out, mut held) = (Vec::new(), 0_usize);
        for &(time, sequence) in &arrivals {
            reorder.push(at(time), 7, sequence, sequence, &mut out);
            held = held.max(reorder.sender.as_ref().map_or(0, |sender| sender.places.len()));
            if let Some(deadline) = reorder.deadline() {
                prop_assert!(deadline > at(time));
            }
        }
        reorder.expire(at(1_000_000), &mut out);
        prop_assert!(held <= packets);
        let mut next = u64::from(first);
        for item in &out[1..] {
            match item {
                Item::Packet { extended, .. } => {
                    prop_assert_eq!(*extended, next);
                    next += 1;
                }
                Item::Lost { packets } => next += packets,
                Item::Started { .. } => prop_assert!(false, "no sender began anew"),
            }
        }
        let counts = reorder.counts();
        prop_assert_eq!(next - u64::from(first), counts.passed + counts.lost);
        prop_assert_eq!(counts.passed + counts.late + counts.duplicate, arrivals.len() as u64);
        if wait > 60 && packets > 64 {
            prop_assert_eq!(counts.late, 0, "none was later than the wait");
        }
    }

    #[test]
    fn nothing_panics(packets in proptest::collection::vec((0_u64..100, 0_u32..3, any::<u16>()), 0..200)) {
        let mut reorder = Reorder::new(Limits { wait: at(20), packets: 1000 });
        run(&mut reorder, &packets);
    }
}

#[test]
fn who_was_superseded_does_not_take_over_again_while_the_other_is_heard() {
    let mut reorder = Reorder::new(Limits { wait: Duration::ZERO, packets: 1 });
    run(&mut reorder, &[(0, 7, 10), (0, 7, 11)]);
    assert_eq!(run(&mut reorder, &[(5, 8, 100), (5, 8, 101)])[0], Item::Started { ssrc: 8 });
    for time in (10..3000).step_by(20) {
        let (old, new) = (time as u16, 102 + time as u16 / 20);
        let out = run(&mut reorder, &[(time, 7, old), (time, 7, old + 1), (time + 10, 8, new)]);
        assert_eq!(numbers(&out), [u64::from(new)], "at {time}");
    }
    let out = run(&mut reorder, &[(3900, 7, 0), (3900, 7, 1)]);
    assert_eq!(out, [], "not yet");
    assert_eq!(run(&mut reorder, &[(4100, 7, 3), (4100, 7, 4)])[0], Item::Started { ssrc: 7 });
}
