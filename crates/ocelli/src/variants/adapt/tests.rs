//! Adaptation behind simulated networks: links of constant and of changing capacity, deep buffers, stalls, many viewers.

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { quality_min: 40, width_min: 320, fps_min: 5.0 };
const TOP: Top = Top { quality: 80, width: 1920, fps: 30.0 };
/// A picture's bytes at the top, 30 times a second: 36 Mbit/s.
const PICTURE: f64 = 150_000.0;
const TOP_KBPS: f64 = PICTURE * 8.0 * 30.0 / 1000.0;

fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The way to one viewer.
struct Link {
    number: u64,
    /// By the time in seconds; and whether it watches then.
    kbps: Box<dyn Fn(f64) -> f64>,
    watches: Box<dyn Fn(f64) -> bool>,
    /// Packets by UDP, of which so many are lost in any case; `None`: a connection.
    random_loss: Option<f64>,
    buffer: f64,
    /// Between two looks, in whole seconds.
    interval: u64,
    /// Every so manieth report is lost.
    lost_reports: Option<u64>,
    reports: u64,
    queued: f64,
    got: (u32, u32),
    since: Duration,
}

fn link(number: u64, kbps: impl Fn(f64) -> f64 + 'static) -> Link {
    Link {
        number,
        kbps: Box::new(kbps),
        watches: Box::new(|_| true),
        random_loss: None,
        buffer: 200_000.0,
        interval: 1,
        lost_reports: None,
        reports: 0,
        queued: 0.0,
        got: (0, 0),
        since: Duration::ZERO,
    }
}

impl Link {
    /// A picture of so many bytes is there; `share` of a second went by.
    fn picture(&mut self, at: f64, share: f64, bytes: f64, random: &mut impl FnMut() -> f64) {
        let taken = (self.kbps)(at) * 125.0 * share;
        self.queued = (self.queued - taken).max(0.0);
        let Some(random_loss) = self.random_loss else {
            // A connection takes a whole picture if it has room for its beginning.
            if self.queued < self.buffer {
                self.queued += bytes;
                self.got.0 += 1;
            } else {
                self.got.1 += 1;
            }
            return;
        };
        for _ in 0..(bytes / 1400.0).ceil() as u32 {
            // While a picture's packets come, the line takes some.
            if self.queued + 1400.0 > self.buffer + taken || random() < random_loss {
                self.got.1 += 1;
            } else {
                self.queued += 1400.0;
                self.got.0 += 1;
            }
        }
    }

    fn sample(&mut self, now: Duration) -> Sample {
        let mut taken = (0, 0);
        let since = self.since;
        let is_due = now.as_secs().is_multiple_of(self.interval);
        self.reports += u64::from(is_due);
        // What it would have told the next one tells.
        if is_due && self.lost_reports.is_none_or(|every| !self.reports.is_multiple_of(every)) {
            taken = std::mem::take(&mut self.got);
            self.since = now;
        }
        let taken = match self.random_loss {
            None => Taken::Pictures { sent: taken.0, skipped: taken.1 },
            Some(_) => Taken::Packets { expected: taken.0 + taken.1, lost: taken.1, round_trip: None },
        };
        Sample { viewer: self.number, since, taken }
    }
}

/// How the bytes really go with what is given; the rule guesses.
#[derive(Clone, Copy, Debug)]
struct Encoder {
    quality_step: f64,
    width_power: f64,
}

const ENCODER: Encoder = Encoder { quality_step: 0.82, width_power: 1.7 };

impl Encoder {
    fn picture(self, step: Step) -> f64 {
        let steps = f64::from(TOP.quality - step.quality) / 10.0;
        let width = f64::from(step.width) / f64::from(TOP.width);
        PICTURE * self.quality_step.powf(steps) * width.powf(self.width_power)
    }

    fn kbps(self, step: Step) -> f64 {
        self.picture(step) * 0.008 * step.fps.unwrap_or(TOP.fps)
    }
}

type Trace = Vec<(f64, Step)>;

/// The steps that were taken, and when in seconds.
fn run(links: &mut [Link], encoder: Encoder, seconds: u64, seed: u64) -> Trace {
    let mut adaptation = Adaptation::new(BOUNDS, TOP);
    let mut random = dice(seed);
    let mut steps = vec![(0.0, adaptation.step())];
    for second in 0..seconds {
        let fps = adaptation.step().fps.unwrap_or(TOP.fps);
        for index in 0..fps as u32 {
            let at = second as f64 + f64::from(index) / fps;
            let bytes = encoder.picture(adaptation.step()) * (0.9 + 0.2 * random());
            for link in links.iter_mut().filter(|link| (link.watches)(at)) {
                link.picture(at, 1.0 / fps, bytes, &mut random);
            }
        }
        let now = Duration::from_secs(second + 1);
        let there = links.iter_mut().filter(|link| (link.watches)(second as f64));
        let samples: Vec<Sample> = there.map(|link| link.sample(now)).collect();
        if adaptation.period(now, &samples) {
            steps.push((second as f64 + 1.0, adaptation.step()));
        }
    }
    steps
}

fn changes(trace: &Trace, from: f64, to: f64) -> usize {
    trace[1..].iter().filter(|(at, _)| (from..to).contains(at)).count()
}

fn at(trace: &Trace, seconds: f64) -> Step {
    trace.iter().rev().find(|(at, _)| *at <= seconds).unwrap().1
}

#[test]
fn a_link_that_takes_everything_changes_nothing() {
    assert_eq!(run(&mut [link(1, |_| TOP_KBPS * 1.2)], ENCODER, 600, 1).len(), 1);
}

#[test]
fn the_quality_goes_first_then_the_size_then_the_rate_and_no_farther_than_the_bounds() {
    let trace = run(&mut [link(1, |_| 100.0)], ENCODER, 300, 1);
    let last = trace.last().unwrap().1;
    assert_eq!((last.quality, last.width, last.fps), (40, 320, Some(5.0)), "{trace:?}");
    for (_, step) in &trace {
        assert!(step.width == 1920 || step.quality == 40, "{trace:?}");
        assert!(step.fps.is_none() || step.width == 320, "{trace:?}");
    }
}

#[test]
fn it_goes_back_up_the_same_way_to_the_top() {
    let trace = run(&mut [link(1, |at| if at < 120.0 { 2000.0 } else { 1e6 })], ENCODER, 400, 1);
    assert!(at(&trace, 119.0).width < 1280, "{trace:?}");
    assert_eq!(at(&trace, 400.0), Step { quality: 80, width: 1920, fps: None, bytes: 1.0 }, "{trace:?}");
    let rises = trace.iter().filter(|(at, _)| *at > 120.0).collect::<Vec<_>>();
    assert!(rises.windows(2).all(|pair| pair[1].1.bytes > pair[0].1.bytes), "{trace:?}");
}

#[test]
fn a_viewer_behind_half_a_link_sees_pictures_that_fit_within_fifteen_seconds() {
    for share in [0.9, 0.7, 0.5, 0.3, 0.1] {
        let trace = run(&mut [link(1, move |_| TOP_KBPS * share)], ENCODER, 60, 1);
        let fits = trace.iter().find(|(_, step)| ENCODER.kbps(*step) <= TOP_KBPS * share * 1.05);
        assert!(fits.is_some_and(|(at, _)| *at <= 15.0), "{share}: {trace:?}");
    }
}

#[test]
fn after_a_stall_of_four_seconds_it_is_whole_again_within_half_a_minute() {
    let stalls = |at: f64| {
        if (30.0..34.0).contains(&at) { 0.0 } else { TOP_KBPS * 2.0 }
    };
    let trace = run(&mut [link(1, stalls)], ENCODER, 120, 1);
    assert_eq!(at(&trace, 64.0), trace[0].1, "{trace:?}");
    assert!(changes(&trace, 0.0, 120.0) <= 6, "{trace:?}");
}

#[test]
fn short_stalls_of_a_radio_link_change_nothing() {
    let stalls = |at: f64| if at % 10.0 < 0.5 { 0.0 } else { TOP_KBPS * 2.0 };
    assert_eq!(run(&mut [link(1, stalls)], ENCODER, 300, 1).len(), 1);
}

#[test]
fn chance_loss_of_two_percent_changes_nothing() {
    for seed in 1..=20 {
        let mut links = [Link { random_loss: Some(0.02), ..link(1, |_| 1e9) }];
        let trace = run(&mut links, ENCODER, 300, seed);
        assert_eq!(trace.len(), 1, "seed {seed}: {trace:?}");
    }
}

#[test]
fn a_deep_buffer_does_not_make_it_swing() {
    for share in [0.8, 0.5, 0.2] {
        let mut links = [Link { buffer: 2_000_000.0, ..link(1, move |_| TOP_KBPS * share) }];
        let trace = run(&mut links, ENCODER, 1200, 1);
        assert!(changes(&trace, 120.0, 1200.0) <= 36, "{share}: {trace:?}");
    }
}

#[test]
fn slow_viewers_take_nothing_from_the_others_up_to_half_of_all() {
    for (slow, all, lowered) in
        [(1, 2, false), (1, 3, false), (2, 3, true), (50, 100, false), (51, 100, true)]
    {
        let width = move |number: u64| move |_| if number < slow { TOP_KBPS / 4.0 } else { 1e6 };
        let mut links: Vec<Link> = (0..all).map(|number| link(number, width(number))).collect();
        let trace = run(&mut links, ENCODER, 120, 1);
        assert_eq!(trace.len() > 1, lowered, "{slow} of {all}: {trace:?}");
    }
}

#[test]
fn a_fast_viewer_that_comes_to_a_slow_one_soon_gets_good_pictures() {
    let mut links = [link(1, |_| 2000.0), Link { watches: Box::new(|at| at >= 600.0), ..link(2, |_| 1e6) }];
    let trace = run(&mut links, ENCODER, 900, 1);
    assert!(at(&trace, 599.0).bytes < 0.1, "{trace:?}");
    assert_eq!(at(&trace, 720.0).bytes, 1.0, "{trace:?}");
    assert_eq!(changes(&trace, 720.0, 900.0), 0, "{trace:?}");
}

#[test]
fn the_median_viewer_gets_what_its_link_takes() {
    let shares = [0.05, 0.2, 0.6, 1.5, 2.0];
    let numbered = (0..).zip(shares);
    let mut links: Vec<Link> =
        numbered.map(|(number, share)| link(number, move |_| TOP_KBPS * share)).collect();
    let trace = run(&mut links, ENCODER, 600, 1);
    let given = ENCODER.kbps(at(&trace, 599.0)) / TOP_KBPS;
    assert!((0.3..=0.66).contains(&given), "{given}: {trace:?}");
}

#[test]
fn viewers_by_packets_and_by_connection_are_judged_together() {
    let mut links = [
        link(1, |_| 6000.0),
        Link { random_loss: Some(0.0), interval: 5, ..link(2, |_| 6000.0) },
        link(3, |_| 1e6),
    ];
    let trace = run(&mut links, ENCODER, 300, 1);
    let given = ENCODER.kbps(at(&trace, 299.0));
    assert!((3500.0..7000.0).contains(&given), "{given}: {trace:?}");
}

#[test]
fn a_viewer_of_whom_nothing_is_heard_does_not_count() {
    let mut adaptation = Adaptation::new(BOUNDS, TOP);
    for second in 1..60 {
        let since = Duration::from_secs(second - 1);
        let slow = Taken::Pictures { sent: 10, skipped: 20 };
        let silent = Taken::Packets { expected: 0, lost: 0, round_trip: None };
        let samples = [
            Sample { viewer: 1, since, taken: slow },
            Sample { viewer: 2, since, taken: silent },
            Sample { viewer: 3, since, taken: silent },
        ];
        adaptation.period(since + Duration::from_secs(1), &samples);
    }
    assert!(adaptation.is_lowered());
}

#[test]
fn bursts_of_lost_packets_change_nothing() {
    // A radio link that is away for a moment now and then.
    let mut links =
        [Link { random_loss: Some(0.0), ..link(1, |at| if at % 15.0 < 0.4 { 0.0 } else { 1e9 }) }];
    let trace = run(&mut links, ENCODER, 600, 1);
    assert_eq!(trace.len(), 1, "{trace:?}");
}

#[test]
fn a_tenth_lost_by_chance_lowers_to_the_least_and_stays_there() {
    for interval in [1, 5] {
        let mut links = [Link { random_loss: Some(0.1), interval, ..link(1, |_| 1e9) }];
        let trace = run(&mut links, ENCODER, 600, 1);
        let last = trace.last().unwrap().1;
        assert_eq!((last.quality, last.width, last.fps), (40, 320, Some(5.0)), "{trace:?}");
        assert_eq!(changes(&trace, 300.0, 600.0), 0, "{trace:?}");
    }
}

#[test]
fn one_bad_receiver_takes_nothing_from_the_others() {
    for kbps in [0.0, TOP_KBPS / 10.0] {
        let link = |number: u64, kbps: f64| Link {
            random_loss: Some(0.0),
            interval: 5,
            ..link(number, move |_| kbps)
        };
        let mut links: Vec<Link> =
            (0..5).map(|number| link(number, if number == 0 { kbps } else { 1e9 })).collect();
        let trace = run(&mut links, ENCODER, 600, 1);
        assert_eq!(trace.len(), 1, "{trace:?}");
    }
}

#[test]
fn packets_lower_and_raise_as_pictures_do() {
    for interval in [1, 5] {
        let mut links = [Link {
            random_loss: Some(0.0),
            interval,
            ..link(1, |at| if at < 120.0 { TOP_KBPS / 5.0 } else { 1e9 })
        }];
        let trace = run(&mut links, ENCODER, 400, 1);
        assert!(at(&trace, 60.0).bytes < 0.25, "{trace:?}");
        assert_eq!(at(&trace, 399.0).bytes, 1.0, "{trace:?}");
    }
}

#[test]
fn reports_that_come_seldom_and_are_lost_now_and_then_lower_and_raise_too() {
    let mut links = [Link {
        random_loss: Some(0.0),
        interval: 10,
        lost_reports: Some(3),
        ..link(1, |at| if at < 200.0 { TOP_KBPS / 3.0 } else { 1e9 })
    }];
    let trace = run(&mut links, ENCODER, 700, 1);
    assert!(at(&trace, 90.0).bytes < 0.5, "{trace:?}");
    assert_eq!(at(&trace, 699.0).bytes, 1.0, "{trace:?}");
}

/// What one says who is helped otherwise, and one who takes `sent` of 30 pictures.
fn second(adaptation: &mut Adaptation, now: u64, sent: Option<u32>) -> bool {
    let since = Duration::from_secs(now - 1);
    let apart = Sample { viewer: 1, since, taken: Taken::Apart };
    let taken = |sent| Taken::Pictures { sent, skipped: 30 - sent };
    let other = sent.map(|sent| Sample { viewer: 2, since, taken: taken(sent) });
    let samples: Vec<Sample> = [Some(apart), other].into_iter().flatten().collect();
    adaptation.period(Duration::from_secs(now), &samples)
}

#[test]
fn who_is_helped_otherwise_is_not_counted_and_keeps_it_as_it_is_when_alone() {
    let mut adaptation = Adaptation::new(BOUNDS, TOP);
    (1..20).for_each(|now| _ = second(&mut adaptation, now, Some(15)));
    assert!(adaptation.is_lowered(), "the other one alone decides");
    assert_eq!(adaptation.cause().map(|cause| (cause.viewers, cause.of)), Some((1, 1)));
    let step = adaptation.step();
    assert!((20..120).all(|now| !second(&mut adaptation, now, None)));
    assert_eq!(adaptation.step(), step);
    assert!((120..200).any(|now| second(&mut adaptation, now, Some(30))), "and raises it");
}

#[test]
fn who_misses_much_of_what_others_take_is_left_alone() {
    let mut adaptation = Adaptation::new(BOUNDS, TOP);
    let left = (1..60).find(|now| {
        let since = Duration::from_secs(now - 1);
        let taken = |sent| Taken::Pictures { sent, skipped: 30 - sent };
        let samples =
            [(1, 15), (2, 30), (3, 30)].map(|(viewer, sent)| Sample { viewer, since, taken: taken(sent) });
        assert!(!adaptation.period(Duration::from_secs(*now), &samples));
        adaptation.leaves_alone(1)
    });
    assert!(left.is_some_and(|after| (9..20).contains(&after)), "{left:?}");
    assert!(!adaptation.leaves_alone(2) && adaptation.cause().is_none());
}

#[test]
fn at_the_last_step_who_decides_is_left_alone_too() {
    let mut adaptation = Adaptation::new(BOUNDS, TOP);
    let mut moved = 0;
    for now in 1..200 {
        let since = Duration::from_secs(now - 1);
        let taken = Taken::Packets { expected: 1000, lost: 500, round_trip: None };
        let is_moved =
            adaptation.period(since + Duration::from_secs(1), &[Sample { viewer: 1, since, taken }]);
        moved = if is_moved { now } else { moved };
        assert!(!adaptation.leaves_alone(1) || adaptation.step().fps == Some(5.0), "{now}");
    }
    assert!(adaptation.leaves_alone(1) && moved < 60, "{moved}");
    let cause = adaptation.cause().unwrap();
    assert_eq!((cause.viewers, cause.of, cause.missed), (1, 1, 0.5));
}

#[test]
fn what_cannot_be_lowered_stays() {
    let bounds = Bounds { quality_min: 90, width_min: 3840, fps_min: 100.0 };
    let top = Top { quality: 80, width: 640, fps: 30.0 };
    assert_eq!(ladder(bounds, top).len(), 1);
    assert_eq!(ladder(BOUNDS, Top { quality: 40, width: 320, fps: 0.0 }).len(), 1, "the rate is not known");
    assert_eq!(ladder(BOUNDS, Top { quality: 0, width: 0, fps: 0.0 }).len(), 1);
}

#[test]
fn each_step_saves_and_none_is_twice_there() {
    let steps = ladder(Bounds { quality_min: 35, ..BOUNDS }, TOP);
    assert!(steps.windows(2).all(|pair| pair[1].bytes < pair[0].bytes), "{steps:?}");
    let shapes: Vec<(u8, u16)> = steps.iter().map(|step| (step.quality, step.width)).collect();
    assert_eq!(
        shapes[..7],
        [(80, 1920), (70, 1920), (60, 1920), (50, 1920), (40, 1920), (35, 1920), (35, 1600)]
    );
}

#[test]
fn another_camera_size_keeps_it_within_the_new_steps() {
    let mut adaptation = Adaptation::new(BOUNDS, TOP);
    for second in 1..60 {
        let since = Duration::from_secs(second - 1);
        let taken = Taken::Pictures { sent: 1, skipped: 20 };
        adaptation.period(since + Duration::from_secs(1), &[Sample { viewer: 1, since, taken }]);
    }
    assert_eq!(adaptation.step().width, 320);
    assert!(!adaptation.set_top(Top { fps: 29.0, ..TOP }), "that is the same rate");
    assert!(adaptation.set_top(Top { quality: 80, width: 640, fps: 10.0 }));
    assert_eq!((adaptation.step().width, adaptation.step().fps), (320, Some(5.0)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However the bytes really go with quality and width, and however long the way.
    #[test]
    fn behind_constant_links_it_comes_to_rest(
        shares in proptest::collection::vec(0.02..1.5_f64, 1..8),
        quality_step in 0.7..0.93_f64,
        width_power in 1.2..2.0_f64,
        buffer in 20_000.0..1_000_000.0_f64,
        datagrams in any::<bool>(),
        interval in 1_u64..6,
        seed in any::<u64>(),
    ) {
        let encoder = Encoder { quality_step, width_power };
        let numbered = (0..).zip(shares);
        let mut links: Vec<Link> = numbered.map(|(number, share)| Link {
            buffer,
            random_loss: datagrams.then_some(0.01),
            interval,
            ..link(number, move |_| TOP_KBPS * share)
        }).collect();
        let trace = run(&mut links, encoder, 1200, seed);
        for minute in 1..20 {
            let from = 60.0 * f64::from(minute);
            prop_assert!(changes(&trace, from, from + 60.0) <= 8, "minute {minute}: {trace:?}");
        }
        prop_assert!(changes(&trace, 600.0, 1200.0) <= 20, "{trace:?}");
    }

    #[test]
    fn whatever_it_is_told_it_stays_within_its_bounds(
        told in proptest::collection::vec(
            (0_u64..20_000, proptest::collection::vec((0_u64..5, 0_u8..3, 0_u32..200, 0_u32..200), 0..5), 0.0..90.0_f64, 0_u16..4000),
            0..120,
        ),
        quality_min in 1_u8..=100, width_min in 1_u16..4000, fps_min in 0.1..60.0_f64,
    ) {
        let bounds = Bounds { quality_min, width_min, fps_min };
        let mut adaptation = Adaptation::new(bounds, TOP);
        let mut now = Duration::ZERO;
        for (later, viewers, fps, width) in told {
            let since = now;
            now += Duration::from_millis(later);
            let samples: Vec<Sample> = viewers.into_iter().map(|(viewer, kind, first, second)| Sample {
                viewer,
                since,
                taken: match kind {
                    0 => Taken::Packets { expected: first, lost: second, round_trip: Some(Duration::from_millis(later)) },
                    1 => Taken::Pictures { sent: first, skipped: second },
                    _ => Taken::Apart,
                },
            }).collect();
            let top = Top { quality: 80, width, fps };
            adaptation.set_top(top);
            let before = adaptation.step();
            prop_assert_eq!(adaptation.period(now, &samples), before != adaptation.step());
            let step = adaptation.step();
            prop_assert!(step.quality == 80 || step.quality >= quality_min);
            prop_assert!(step.width == width || step.width >= width_min && step.width < width);
            prop_assert!(step.fps.is_none_or(|given| given >= fps_min && given < fps.max(66.0)));
            prop_assert!(step.bytes > 0.0 && step.bytes <= 1.0);
        }
    }
}
