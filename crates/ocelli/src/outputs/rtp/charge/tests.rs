//! Both adaptations of one target behind simulated networks, with the charge between them.

use ocelli_proto::rtcp::Report;
use ocelli_proto::rtcp::adapt as own;

use super::*;
use crate::variants::adapt::{self as variant, Sample, Taken};

const TOP: variant::Top = variant::Top { quality: 80, width: 1280, fps: 30.0 };
const LOWEST: variant::Bounds = variant::Bounds { quality_min: 40, width_min: 320, fps_min: 10.0 };
/// A picture's bytes at the top: 19.2 Mbit/s.
const PICTURE: f64 = 80_000.0;
const TOP_KBPS: f64 = PICTURE * 8.0 * 30.0 / 1000.0;
const TARGET: u64 = 1;

fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The way to the target, by the time in seconds, and who else watches.
struct Network {
    kbps: Box<dyn Fn(f64) -> f64>,
    random_loss: Box<dyn Fn(f64) -> f64>,
    /// Viewers who take everything.
    others: u64,
    /// The variant may be lowered.
    lowers: bool,
    /// Seconds between two reports.
    interval: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            kbps: Box::new(|_| f64::MAX),
            random_loss: Box::new(|_| 0.0),
            others: 0,
            lowers: true,
            interval: 1,
        }
    }
}

/// What was given at the end of a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Given {
    /// Of the variant's bytes.
    variant: f64,
    /// Of its pictures, to the target.
    own: f64,
    /// Of the packets of this second.
    loss: f64,
}

fn run(network: &Network, seconds: u64) -> Vec<Given> {
    let mut random = dice(7);
    let mut variants = variant::Adaptation::new(LOWEST, TOP);
    let mut target = own::Adaptation::new(own::Bounds { min_fps: 5.0, min_quality: None });
    let (mut charge, mut gate) = (Charge::default(), own::Gate::default());
    charge.set_thins(true);
    let (mut queued, mut counted, mut told) = (0.0_f64, (0, 0), (0, 0));
    let (mut since, mut told_since) = (Duration::ZERO, Duration::ZERO);
    let mut trace = Vec::new();
    for second in 0..seconds {
        let step = variants.step();
        let fps = step.fps.unwrap_or(TOP.fps);
        let bytes = PICTURE * step.bytes * TOP.fps / fps;
        let (mut sent, mut lost) = (0, 0);
        for index in 0..fps as u64 {
            let at = second as f64 + index as f64 / fps;
            let taken = (network.kbps)(at) * 125.0 / fps;
            queued = (queued - taken).max(0.0);
            if !gate.passes(target.step().fraction) {
                continue;
            }
            for _ in 0..(bytes / 1400.0).ceil() as u32 {
                sent += 1;
                // While a picture's packets come, the line takes some.
                if queued + 1400.0 > 100_000.0 + taken || random() < (network.random_loss)(at) {
                    lost += 1;
                } else {
                    queued += 1400.0;
                }
            }
        }
        counted = (counted.0 + sent, counted.1 + lost);
        let now = Duration::from_secs(second + 1);
        let is_whole = |target: &own::Adaptation| target.step().fraction.part() >= 1.0;
        if now >= since + Duration::from_secs(network.interval) && counted.0 > 0 {
            let (expected, lost) = std::mem::take(&mut counted);
            if charge.is_own(now, is_whole(&target)) {
                target.report(now, &Report { receiver: 1, since, expected, lost, round_trip: None });
            } else {
                told_since = if told.0 == 0 { since } else { told_since };
                told = (told.0 + expected, told.1 + lost);
            }
            since = now;
        }
        target.poll(now, fps, 1);
        charge.is_own(now, is_whole(&target));
        if network.lowers {
            let looked = now - Duration::from_secs(1);
            let taken = if charge.asks(now) {
                let (expected, lost) = std::mem::take(&mut told);
                Taken::Packets { expected, lost, round_trip: None }
            } else {
                Taken::Apart
            };
            let mut samples = vec![Sample { viewer: TARGET, since: told_since.min(looked), taken }];
            let all = Taken::Pictures { sent: fps as u32, skipped: 0 };
            samples.extend((0..network.others).map(|other| Sample {
                viewer: 100 + other,
                since: looked,
                taken: all,
            }));
            variants.period(now, &samples);
            if variants.leaves_alone(TARGET) {
                charge.leave_alone();
            }
        }
        trace.push(Given {
            variant: variants.step().bytes,
            own: target.step().fraction.part(),
            loss: f64::from(lost) / f64::from(sent.max(1)),
        });
    }
    trace
}

fn changes(trace: &[Given]) -> usize {
    trace.windows(2).filter(|pair| (pair[0].variant, pair[0].own) != (pair[1].variant, pair[1].own)).count()
}

fn mean_loss(trace: &[Given]) -> f64 {
    trace.iter().map(|given| given.loss).sum::<f64>() / trace.len() as f64
}

#[test]
fn of_a_variant_that_may_be_lowered_every_picture_is_sent() {
    for (share, interval) in [(0.8, 1), (0.5, 1), (0.2, 1), (0.5, 5)] {
        let network = Network { kbps: Box::new(move |_| TOP_KBPS * share), interval, ..Network::default() };
        let trace = run(&network, 900);
        assert!(trace.iter().all(|given| given.own >= 1.0), "{share}: {trace:?}");
        assert!(trace[60].variant < share * 1.3, "{share}: {:?}", trace[60]);
        assert!(mean_loss(&trace[120..]) < 0.05, "{share}: {}", mean_loss(&trace[120..]));
        assert!(changes(&trace[300..]) <= 40, "{share}: {}", changes(&trace[300..]));
    }
}

#[test]
fn what_the_variant_cannot_do_the_target_does() {
    // Its least is 1.9 % of its bytes.
    let network = Network { kbps: Box::new(|_| TOP_KBPS * 0.012), ..Network::default() };
    let trace = run(&network, 900);
    let last = &trace[600..];
    assert!(last.iter().filter(|given| given.own < 1.0).count() > 200, "{last:?}");
    assert!(mean_loss(last) < 0.1, "{}", mean_loss(last));
    assert!(changes(last) <= 40, "{}", changes(last));
}

#[test]
fn receivers_that_report_each_ten_seconds_are_helped_too() {
    let network =
        Network { kbps: Box::new(|_| TOP_KBPS * 0.3), others: 2, interval: 10, ..Network::default() };
    let trace = run(&network, 900);
    assert!(trace.iter().all(|given| given.variant >= 1.0), "{trace:?}");
    assert!(mean_loss(&trace[200..]) < 0.1, "{}", mean_loss(&trace[200..]));
    assert!(changes(&trace[300..]) <= 30, "{}", changes(&trace[300..]));
}

#[test]
fn one_bad_target_among_viewers_takes_nothing_from_them() {
    let network = Network { kbps: Box::new(|_| TOP_KBPS * 0.3), others: 2, ..Network::default() };
    let trace = run(&network, 900);
    assert!(trace.iter().all(|given| given.variant >= 1.0), "{trace:?}");
    assert!(trace[45].own < 0.5, "{:?}", trace[45]);
    assert!(mean_loss(&trace[120..]) < 0.05, "{}", mean_loss(&trace[120..]));
    assert!(changes(&trace[300..]) <= 40, "{}", changes(&trace[300..]));
}

#[test]
fn all_is_whole_again_when_the_network_is() {
    for (others, lowers) in [(0, true), (2, true), (0, false)] {
        let kbps = |at: f64| if at < 200.0 { TOP_KBPS * 0.012 } else { TOP_KBPS * 3.0 };
        let network = Network { kbps: Box::new(kbps), others, lowers, ..Network::default() };
        let trace = run(&network, 600);
        assert!(trace[199].own < 1.0, "{:?}", trace[199]);
        let last = trace[599];
        assert_eq!((last.variant, last.own), (1.0, 1.0), "{others} {lowers}: {trace:?}");
    }
}

#[test]
fn loss_by_chance_of_two_percent_changes_nothing_and_of_a_tenth_comes_to_rest() {
    let network = Network { random_loss: Box::new(|_| 0.02), ..Network::default() };
    assert_eq!(changes(&run(&network, 600)), 0);
    let network = Network { random_loss: Box::new(|_| 0.1), ..Network::default() };
    let trace = run(&network, 900);
    assert_eq!(changes(&trace[400..]), 0, "nobody can tell it from too much: all is at its least");
    let network = Network { random_loss: Box::new(|_| 0.1), others: 2, ..Network::default() };
    assert!(run(&network, 900).iter().all(|given| given.variant >= 1.0));
}

#[test]
fn without_a_variant_that_asks_the_target_helps_itself() {
    let network = Network { kbps: Box::new(|_| TOP_KBPS * 0.3), lowers: false, ..Network::default() };
    let trace = run(&network, 300);
    assert!(trace[30].own < 0.5 && trace[30].variant >= 1.0, "{:?}", trace[30]);
}

#[test]
fn pictures_that_need_others_are_left_to_the_variant() {
    let mut charge = Charge::default();
    let at = Duration::from_secs;
    assert!(charge.is_own(at(0), true), "nobody asks");
    assert!(charge.asks(at(1)));
    charge.leave_alone();
    assert!(charge.asks(at(2)) && !charge.is_own(at(2), true));
    charge.set_thins(true);
    charge.leave_alone();
    assert!(!charge.asks(at(3)) && charge.is_own(at(3), true));
    // The camera comes to give H.264.
    charge.set_thins(false);
    charge.is_own(at(4), true);
    assert!(charge.asks(at(4)), "at once");
    assert!(charge.is_own(at(8), true), "the variant asks no more");
}
