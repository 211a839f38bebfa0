//! What the program says of RTP push: for each target its numbers, in JSON and as metrics.

use std::collections::BTreeMap;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::metrics::{counters, gauges};
use super::status::millis;
use crate::app::App;
use crate::outputs::rtp::{Push, PushFeedback, PushState, PushStats};

/// One target, as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct PushView {
    target: String,
    url: String,
    state: &'static str,
    cause: Option<String>,
    address: Option<String>,
    local_address: Option<String>,
    ssrc: u32,
    pictures: u64,
    packets: u64,
    bytes: u64,
    dropped: u64,
    dropped_by_reason: BTreeMap<&'static str, u64>,
    refused: Option<String>,
    reencoded: Option<String>,
    refused_by_host: u64,
    done: BTreeMap<&'static str, u64>,
    segmented: bool,
    rate: f64,
    quality: Option<u8>,
    adapted_by: Option<&'static str>,
    rtcp: Option<RtcpView>,
    latency_p50_ms: Option<f64>,
    latency_p99_ms: Option<f64>,
}

/// What the receivers of a target say.
#[derive(Debug, Serialize)]
struct RtcpView {
    receivers: u32,
    loss: Option<f64>,
    mean_loss: Option<f64>,
    lost: Option<i32>,
    jitter_ms: Option<f64>,
    round_trip_ms: Option<f64>,
    report_age_seconds: Option<f64>,
    reports: u64,
    reports_sent: u64,
    contradictory: u64,
    strangers: u64,
    forgotten: u64,
    keyframes_asked: u64,
}

impl PushView {
    pub(super) fn of(push: &Push) -> Self {
        let stats = push.stats();
        let latency = stats.latency();
        let feedback = stats.feedback();
        Self {
            target: push.address().label().to_owned(),
            url: push.address().to_string(),
            state: state_name(&push.state()),
            cause: push.cause().as_deref().map(str::to_owned),
            address: stats.resolved().map(|address| address.to_string()),
            local_address: stats.local().map(|address| address.to_string()),
            ssrc: stats.ssrc(),
            pictures: stats.pictures(),
            packets: stats.packets(),
            bytes: stats.bytes(),
            dropped: push_dropped(stats),
            dropped_by_reason: stats.dropped().map(|(reason, count)| (reason.as_str(), count)).into(),
            refused: stats.refused().as_deref().map(str::to_owned),
            reencoded: stats.reencoded().as_deref().map(str::to_owned),
            refused_by_host: stats.refused_by_host(),
            done: stats.done().map(|(done, count)| (done.as_str(), count)).into(),
            segmented: stats.segments(),
            rate: feedback.map_or(1.0, |feedback| feedback.step.fraction.part()),
            quality: feedback.and_then(|feedback| feedback.step.quality),
            adapted_by: feedback.map(|feedback| if feedback.by_variant { "variant" } else { "target" }),
            rtcp: feedback.map(|feedback| RtcpView::of(&feedback, stats.strangers())),
            latency_p50_ms: latency.p50.map(millis),
            latency_p99_ms: latency.p99.map(millis),
        }
    }
}

impl RtcpView {
    fn of(feedback: &PushFeedback, strangers: u64) -> Self {
        let audience = &feedback.audience;
        let told = audience.receivers > 0;
        let ratio = |part: f64| told.then_some((part * 1e4).round() / 1e4);
        Self {
            receivers: audience.receivers,
            loss: ratio(audience.worst_loss),
            mean_loss: ratio(audience.mean_loss),
            lost: told.then_some(audience.lost),
            jitter_ms: told.then_some(millis(audience.jitter)),
            round_trip_ms: audience.round_trip.map(millis),
            report_age_seconds: feedback.last_report.map(|last| last.elapsed().as_secs_f64()),
            reports: feedback.counts.reports,
            reports_sent: feedback.counts.reports_sent,
            contradictory: feedback.counts.contradictory,
            strangers: strangers + feedback.counts.strangers,
            forgotten: feedback.counts.forgotten,
            keyframes_asked: feedback.counts.keyframes_asked,
        }
    }
}

/// One word for what a target's task does.
fn state_name(state: &PushState) -> &'static str {
    match state {
        PushState::Starting => "starting",
        PushState::Sending => "sending",
        PushState::Waiting { .. } => "waiting",
    }
}

/// Pictures that did not go to a target whole, for whatever reason.
pub fn push_dropped(stats: &PushStats) -> u64 {
    stats.dropped().iter().map(|(_, count)| count).sum()
}

/// Targets are named in the configuration, so there are never more of these than somebody wrote there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTarget {
    camera: String,
    target: String,
}

pub(super) fn register_pushes(app: &App, registry: &mut Registry) {
    let up = gauges(registry, "push_up", "1 while there is a way to the target");
    let latency = gauges(
        registry,
        "push_latency_p99_seconds",
        "From capture to the kernel's taking the last packet, 99th percentile",
    );
    let receivers = gauges(registry, "push_receivers", "Receivers that report");
    let loss = gauges(registry, "push_loss_ratio", "Part of the packets that the worst receiver lost");
    let jitter = gauges(registry, "push_jitter_seconds", "Mean deviation of the packets' spacing");
    let round_trip = gauges(registry, "push_round_trip_seconds", "A packet's way to a receiver and back");
    let rate = gauges(registry, "push_rate_ratio", "Part of the camera's pictures that is sent");
    let reports = counters(registry, "push_reports", "Reports of receivers");
    let pictures = counters(registry, "push_pictures", "Pictures sent whole");
    let packets = counters(registry, "push_packets", "RTP packets sent");
    let bytes = counters(registry, "push_bytes", "Bytes of RTP packets sent");
    let dropped = counters(registry, "push_dropped_pictures", "Pictures not sent whole");
    let refused = counters(registry, "push_refused_by_host", "Refusals by the target's host");
    for camera in &app.cameras {
        for push in camera.pushes() {
            let stats = push.stats();
            let label =
                OfTarget { camera: camera.name().to_string(), target: push.address().label().to_owned() };
            up.get_or_create(&label).set(f64::from(push.state() == PushState::Sending));
            if let Some(p99) = stats.latency().p99 {
                latency.get_or_create(&label).set(p99.as_secs_f64());
            }
            let feedback = stats.feedback();
            let audience = feedback.map(|feedback| feedback.audience).unwrap_or_default();
            receivers.get_or_create(&label).set(audience.receivers.into());
            loss.get_or_create(&label).set(audience.worst_loss);
            jitter.get_or_create(&label).set(audience.jitter.as_secs_f64());
            round_trip.get_or_create(&label).set(audience.round_trip.unwrap_or_default().as_secs_f64());
            rate.get_or_create(&label).set(feedback.map_or(1.0, |feedback| feedback.step.fraction.part()));
            reports.get_or_create(&label).inc_by(feedback.map_or(0, |feedback| feedback.counts.reports));
            pictures.get_or_create(&label).inc_by(stats.pictures());
            packets.get_or_create(&label).inc_by(stats.packets());
            bytes.get_or_create(&label).inc_by(stats.bytes());
            dropped.get_or_create(&label).inc_by(push_dropped(stats));
            refused.get_or_create(&label).inc_by(stats.refused_by_host());
        }
    }
}
