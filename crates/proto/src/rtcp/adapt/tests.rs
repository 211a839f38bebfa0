//! Adaptation on traces of loss and behind simulated bottlenecks.

use proptest::prelude::*;

use super::*;

const FPS: u64 = 30;
const PACKETS_A_PICTURE: u32 = 60;
const PACKET_BITS: f64 = 1400.0 * 8.0;
/// What the camera's pictures take, whole: 20.16 Mbit/s.
const FULL_KBPS: f64 = 30.0 * 60.0 * PACKET_BITS / 1000.0;

fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn bounds(min_quality: Option<u8>) -> Bounds {
    Bounds { min_fps: 5.0, min_quality }
}

/// A way to a receiver: what is lost by chance, and what a full buffer drops.
struct Network {
    /// By the time in seconds.
    random_loss: Box<dyn Fn(f64) -> f64>,
    kbps: Box<dyn Fn(f64) -> f64>,
    buffer_bits: f64,
    /// Between two reports.
    interval: Duration,
    /// That a report is lost.
    report_loss: f64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            random_loss: Box::new(|_| 0.0),
            kbps: Box::new(|_| f64::MAX),
            buffer_bits: 64_000.0 * 8.0,
            interval: secs(1),
            report_loss: 0.0,
        }
    }
}

/// The steps that were taken: when in seconds, and the part of the camera's bytes.
fn run(adaptation: &mut Adaptation, network: &Network, seconds: u64, seed: u64) -> Vec<(f64, Step)> {
    let mut random = dice(seed);
    let mut gate = Gate::default();
    let mut steps = vec![(0.0, adaptation.step())];
    let (mut queued, mut expected, mut lost) = (0.0_f64, 0, 0);
    let mut since = Duration::ZERO;
    for index in 0..seconds * FPS {
        let at = index as f64 / FPS as f64;
        let now = Duration::from_secs_f64(at);
        queued = (queued - (network.kbps)(at) * 1000.0 / FPS as f64).max(0.0);
        if gate.passes(adaptation.step().fraction) {
            let bits = PACKET_BITS * QUALITY_BYTES.powi(adaptation.quality as i32);
            for _ in 0..PACKETS_A_PICTURE {
                expected += 1;
                // While a picture's packets come, the line takes some.
                let full = queued + bits > network.buffer_bits + (network.kbps)(at) * 1000.0 / FPS as f64;
                if full || random() < (network.random_loss)(at) {
                    lost += 1;
                } else {
                    queued += bits;
                }
            }
        }
        if now >= since + network.interval && random() >= network.report_loss {
            let round_trip = Some(Duration::from_millis(50));
            let report = Report {
                receiver: 1,
                since,
                expected: expected.max(1),
                lost: lost.min(expected),
                round_trip,
            };
            adaptation.report(now, &report);
            (expected, lost, since) = (0, 0, now);
        }
        if index % FPS == 0 {
            adaptation.poll(now, FPS as f64, 1);
        }
        if steps.last().is_none_or(|(_, step)| *step != adaptation.step()) {
            steps.push((at, adaptation.step()));
        }
    }
    steps
}

fn part(step: Step) -> f64 {
    step.fraction.part()
}

#[test]
fn without_loss_nothing_changes() {
    let steps = run(&mut Adaptation::new(bounds(Some(40))), &Network::default(), 600, 1);
    assert_eq!(steps, [(0.0, Step { fraction: FRACTIONS[0], quality: None })]);
}

#[test]
fn loss_of_two_percent_by_chance_lowers_nothing() {
    for seed in 1..=20 {
        let network = Network { random_loss: Box::new(|_| 0.02), ..Network::default() };
        let steps = run(&mut Adaptation::new(bounds(Some(40))), &network, 600, seed);
        assert_eq!(steps.len(), 1, "seed {seed}: {steps:?}");
    }
}

#[test]
fn loss_of_two_percent_by_chance_does_not_hold_a_recovery_back() {
    for seed in 1..=20 {
        let loss = |at: f64| if at < 30.0 { 0.3 } else { 0.02 };
        let network = Network { random_loss: Box::new(loss), ..Network::default() };
        let steps = run(&mut Adaptation::new(bounds(None)), &network, 200, seed);
        assert!(steps.iter().any(|(_, step)| part(*step) < 0.2), "seed {seed}: {steps:?}");
        assert_eq!(part(steps.last().unwrap().1), 1.0, "seed {seed}: {steps:?}");
    }
}

#[test]
fn heavy_loss_goes_to_the_least_rate_then_the_least_quality_and_no_farther() {
    let network = Network { random_loss: Box::new(|_| 0.2), ..Network::default() };
    for (min_quality, lowest) in [(None, None), (Some(45), Some(45)), (Some(90), Some(90))] {
        let mut adaptation = Adaptation::new(bounds(min_quality));
        let steps = run(&mut adaptation, &network, 120, 1);
        assert_eq!(steps.last().unwrap().1, Step { fraction: FRACTIONS[5], quality: lowest }, "{steps:?}");
        let falls = steps.windows(2).all(|pair| part(pair[1].1) <= part(pair[0].1));
        assert!(falls, "{steps:?}");
        let first_quality = steps.iter().find(|(_, step)| step.quality.is_some());
        assert!(first_quality.is_none_or(|(_, step)| step.fraction == FRACTIONS[5]), "{steps:?}");
    }
}

#[test]
fn a_rate_under_the_least_is_never_reached() {
    for (fps, least) in [(30.0, 6), (29.97, 6), (60.0, 12), (15.0, 3), (9.0, 4), (5.0, 1), (2.0, 1), (0.0, 1)]
    {
        let mut adaptation = Adaptation::new(bounds(None));
        for second in 1..60 {
            adaptation.poll(secs(second), fps, 1);
            let report =
                Report { receiver: 1, since: secs(second - 1), expected: 1000, lost: 900, round_trip: None };
            adaptation.report(secs(second), &report);
        }
        let Fraction { send, of } = adaptation.step().fraction;
        assert!(fps * adaptation.step().fraction.part() > 4.9 || send == of, "{fps} {send}/{of}");
        assert_eq!(of, least, "{fps} {send}/{of}");
    }
}

/// Changes between two times.
fn changes(steps: &[(f64, Step)], from: f64, to: f64) -> usize {
    steps[1..].iter().filter(|(at, _)| (from..to).contains(at)).count()
}

#[test]
fn behind_a_bottleneck_it_converges_and_is_then_steady() {
    for kbps in [18_000.0, 14_000.0, 8000.0, 5500.0, 4000.0] {
        for interval in [secs(1), secs(5)] {
            let network = Network { kbps: Box::new(move |_| kbps), interval, ..Network::default() };
            let mut adaptation = Adaptation::new(bounds(None));
            let steps = run(&mut adaptation, &network, 1200, 1);
            let context = format!("{kbps} kbit/s, reports each {interval:?}: {steps:?}");
            let fits = |step: &Step| part(*step) * FULL_KBPS <= kbps;
            let converged = steps.iter().find(|(_, step)| fits(step)).expect(&context).0;
            assert!(converged <= 5.0 * interval.as_secs_f64() + 5.0, "{context}");
            for minute in 1..20 {
                let from = 60.0 * f64::from(minute);
                assert!(changes(&steps, from, from + 60.0) <= 4, "minute {minute}, {context}");
            }
            assert!(changes(&steps, 600.0, 1200.0) <= 20, "{context}");
            // Of the last ten minutes most is spent at the highest step that fits.
            let best = FRACTIONS.iter().map(|fraction| fraction.part());
            let best = best.filter(|part| part * FULL_KBPS <= kbps).fold(0.0, f64::max);
            let mut ends: Vec<f64> = steps[1..].iter().map(|(at, _)| *at).collect();
            ends.push(1200.0);
            let at_best: f64 = steps
                .iter()
                .zip(ends)
                .filter(|((_, step), _)| part(*step) == best)
                .map(|((from, _), to)| (to - from.max(600.0)).max(0.0))
                .sum();
            assert!(at_best > 480.0, "{at_best} s of 600, {context}");
        }
    }
}

#[test]
fn a_deep_buffer_does_not_make_it_swing() {
    let network =
        Network { kbps: Box::new(|_| 12_000.0), buffer_bits: 2_000_000.0 * 8.0, ..Network::default() };
    let steps = run(&mut Adaptation::new(bounds(None)), &network, 1200, 1);
    assert!(changes(&steps, 120.0, 1200.0) <= 36, "{steps:?}");
}

#[test]
fn it_is_whole_again_within_three_minutes_of_a_bottlenecks_end() {
    for kbps in [14_000.0, 8000.0, 5500.0, 4000.0] {
        for interval in [secs(1), secs(5)] {
            let width = move |at: f64| if at < 600.0 { kbps } else { f64::MAX };
            let network = Network { kbps: Box::new(width), interval, ..Network::default() };
            let steps = run(&mut Adaptation::new(bounds(None)), &network, 1200, 1);
            let (at, last) = *steps.last().unwrap();
            assert!(part(last) == 1.0 && at < 600.0 + 180.0, "{kbps} {interval:?}: {steps:?}");
        }
    }
}

#[test]
fn after_a_short_loss_it_is_whole_again_within_a_minute() {
    let loss = |at: f64| if (20.0..26.0).contains(&at) { 0.5 } else { 0.0 };
    let network = Network { random_loss: Box::new(loss), ..Network::default() };
    let steps = run(&mut Adaptation::new(bounds(None)), &network, 200, 1);
    let (at, last) = *steps.last().unwrap();
    assert!(part(last) == 1.0 && at < 26.0 + 60.0, "{steps:?}");
}

#[test]
fn a_burst_costs_one_step_for_a_while() {
    let loss = |at: f64| if (20.0..20.5).contains(&at) { 0.9 } else { 0.0 };
    let network = Network { random_loss: Box::new(loss), ..Network::default() };
    let steps = run(&mut Adaptation::new(bounds(Some(40))), &network, 120, 1);
    assert_eq!(steps.iter().map(|(_, step)| part(*step)).collect::<Vec<_>>(), [1.0, 0.75, 1.0]);
    assert!(steps[2].0 < 30.0, "{steps:?}");
}

#[test]
fn lost_reports_cost_time_only() {
    for seed in 1..=10 {
        let width = |at: f64| if at < 300.0 { 8000.0 } else { f64::MAX };
        let network = Network { kbps: Box::new(width), report_loss: 0.5, ..Network::default() };
        let steps = run(&mut Adaptation::new(bounds(None)), &network, 600, seed);
        assert!(steps.iter().any(|(at, step)| *at < 30.0 && part(*step) * FULL_KBPS <= 8000.0), "{steps:?}");
        assert_eq!(part(steps.last().unwrap().1), 1.0, "seed {seed}: {steps:?}");
    }
}

fn report(receiver: u32, since: u64, lost: u32) -> Report {
    Report {
        receiver,
        since: secs(since),
        expected: 1000,
        lost,
        round_trip: Some(Duration::from_millis(100)),
    }
}

#[test]
fn reports_of_the_time_before_a_change_say_nothing() {
    let mut adaptation = Adaptation::new(bounds(None));
    adaptation.poll(secs(1), 30.0, 2);
    assert!(adaptation.report(secs(10), &report(1, 9, 500)));
    // Another receiver's, about the same time.
    assert!(!adaptation.report(Duration::from_millis(10_050), &report(2, 9, 500)));
    assert!(!adaptation.report(secs(11), &report(1, 10, 500)), "it began within the round trip");
    assert!(adaptation.report(secs(12), &report(1, 11, 500)));
    assert_eq!(adaptation.step().fraction, Fraction { send: 1, of: 3 }, "half of what was sent is lost");
}

#[test]
fn the_worst_of_a_group_decides_and_the_dead_do_not() {
    let mut adaptation = Adaptation::new(bounds(None));
    for second in 1..=60 {
        adaptation.poll(secs(second), 30.0, 3);
        for (receiver, lost) in [(1, 0), (2, 300), (3, 10)] {
            adaptation.report(secs(second), &report(receiver, second - 1, lost));
        }
    }
    let lowest = part(adaptation.step());
    assert!(lowest < 0.5, "{:?}", adaptation.step());
    // The worst is switched off; the others go on.
    for second in 61..=260 {
        adaptation.poll(secs(second), 30.0, 3);
        for receiver in [1, 3] {
            adaptation.report(secs(second), &report(receiver, second - 1, 0));
        }
    }
    assert_eq!(part(adaptation.step()), 1.0);
}

#[test]
fn silence_changes_nothing_until_nobody_is_there() {
    let mut adaptation = Adaptation::new(bounds(None));
    for second in 1..=20 {
        adaptation.poll(secs(second), 30.0, 1);
        adaptation.report(secs(second), &report(1, second - 1, 300));
    }
    let lowest = adaptation.step();
    assert!(part(lowest) < 0.5);
    for second in 21..=120 {
        assert!(!adaptation.poll(secs(second), 30.0, 1));
    }
    for second in 121..=240 {
        adaptation.poll(secs(second), 30.0, 0);
    }
    assert_eq!(part(adaptation.step()), 1.0);
}

#[test]
fn who_says_for_ever_that_all_is_lost_reaches_the_bounds_only() {
    let mut adaptation = Adaptation::new(bounds(Some(50)));
    for second in 1..=600 {
        adaptation.poll(secs(second), 30.0, 1);
        adaptation.report(secs(second), &report(1, second - 1, 1000));
    }
    assert_eq!(adaptation.step(), Step { fraction: FRACTIONS[5], quality: Some(50) });
}

#[test]
fn a_camera_that_gets_slower_is_not_thinned_out_as_before() {
    let mut adaptation = Adaptation::new(bounds(None));
    for second in 1..=20 {
        adaptation.poll(secs(second), 30.0, 1);
        adaptation.report(secs(second), &report(1, second - 1, 500));
    }
    assert_eq!(adaptation.step().fraction.of, 6);
    assert!(adaptation.poll(secs(21), 10.0, 1));
    assert_eq!(adaptation.step().fraction, Fraction { send: 1, of: 2 });
}

#[test]
fn pictures_are_left_out_evenly() {
    for fraction in FRACTIONS {
        let mut gate = Gate::default();
        let passed: Vec<bool> = (0..960).map(|_| gate.passes(fraction)).collect();
        let sent = passed.iter().filter(|passes| **passes).count() as u32;
        assert_eq!(sent, 960 * fraction.send / fraction.of, "{fraction:?}");
        let longest = passed.split(|passes| *passes).map(<[bool]>::len).max().unwrap();
        assert_eq!(longest, (fraction.of.div_ceil(fraction.send) - 1) as usize, "{fraction:?}");
    }
}

proptest! {
    #[test]
    fn any_reports_leave_it_within_its_bounds(
        reports in proptest::collection::vec((0_u64..3000, any::<u32>(), any::<(u32, u32)>(), 0.0..120.0_f64), 0..200),
        min_quality in proptest::option::of(1_u8..=100),
        min_fps in 0.1..60.0_f64,
    ) {
        let mut adaptation = Adaptation::new(Bounds { min_fps, min_quality });
        let (mut now, mut gate) = (Duration::ZERO, Gate::default());
        for (later, receiver, (expected, lost), fps) in reports {
            let since = now;
            now += Duration::from_millis(later);
            let expected = expected.max(1);
            let report = Report { receiver, since, expected, lost: lost.min(expected), round_trip: None };
            adaptation.report(now, &report);
            adaptation.poll(now, fps, receiver % 3);
            let Step { fraction, quality } = adaptation.step();
            gate.passes(fraction);
            prop_assert!(fraction.send == fraction.of || fps * fraction.part() * 1.03 > min_fps);
            prop_assert!(quality.is_none_or(|quality| Some(quality) >= min_quality));
            prop_assert!(adaptation.windows.len() <= 64);
        }
    }
}
