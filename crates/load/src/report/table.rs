//! The report as a table for people.

use std::fmt::{self, Display, Formatter};

use super::{Cost, Group, Report, Spread};

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        row(out, "stream", &format!("{} for {:.1} s", self.url, self.seconds))?;
        group(out, &self.viewers)?;
        if let Some(slow) = &self.slow {
            row(out, "", "")?;
            row(out, "slow", &format!("{:.0} kB/s a viewer", slow.bytes_per_second as f64 / 1e3))?;
            group(out, &slow.viewers)?;
            if let (Some(age), Some(time)) = (slow.age_in_picture_times, slow.picture_time_ms) {
                row(out, "age", &format!("{} picture times of {time:.0} ms", spread(age)))?;
            }
        }
        if self.stalled_viewers > 0 {
            row(out, "stalled", &format!("{} viewers that never read", self.stalled_viewers))?;
        }
        if let Some(server) = &self.server {
            row(out, "server", &cost(server))?;
        }
        let percent =
            |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| format!("{value:.1} %"));
        let (readers, idle) = (percent(self.readers_cpu_percent), percent(self.machine_idle_percent));
        row(
            out,
            "readers",
            &format!(
                "{readers} of a core; machine {idle} idle, {} stolen",
                percent(self.machine_stolen_percent)
            ),
        )
    }
}

fn group(out: &mut Formatter<'_>, group: &Group) -> fmt::Result {
    row(out, "viewers", &format!("{} of {} watching, {} failed", group.watching, group.asked, group.failed))?;
    for failure in &group.failures {
        row(out, "", failure)?;
    }
    let mut frames = format!("{} ({:.1} /s)", group.frames, group.frames_per_second);
    if let Some([least, median, most]) = group.viewer_frames {
        frames.push_str(&format!("; of one viewer {least} to {most}, median {median}"));
    }
    row(out, "frames", &frames)?;
    let skipped = group.skipped.map_or_else(|| "?".to_owned(), |skipped| skipped.to_string());
    row(out, "missing", &format!("{} gaps, {skipped} skipped, {} unsound", group.gaps, group.unsound))?;
    row(
        out,
        "bytes",
        &format!("{:.1} MB, {:.1} MB/s", group.bytes as f64 / 1e6, group.bytes_per_second / 1e6),
    )?;
    let spreads = [
        ("interval", group.interval_ms),
        ("latency", group.latency_ms),
        ("from camera", group.camera_latency_ms),
        ("first picture", group.first_picture_ms),
    ];
    for (name, values) in spreads {
        row(
            out,
            name,
            &values.map_or_else(|| "not known".to_owned(), |values| format!("{} ms", spread(values))),
        )?;
    }
    Ok(())
}

fn cost(server: &Cost) -> String {
    let percent = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| format!("{value:.2} %"));
    let megabytes =
        |kb: Option<u64>| kb.map_or_else(|| "?".to_owned(), |kb| format!("{:.1} MB", kb as f64 / 1024.0));
    format!(
        "process {}: {} of a core (user {}, system {}); memory {}, at most {}, own share {}",
        server.pid,
        percent(server.cpu_percent),
        percent(server.user_percent),
        percent(server.system_percent),
        megabytes(server.rss_kb),
        megabytes(server.rss_peak_kb),
        megabytes(server.pss_kb)
    )
}

fn spread(values: Spread) -> String {
    let Spread { p50, p95, p99, max } = values;
    format!("p50 {p50:.2}  p95 {p95:.2}  p99 {p99:.2}  max {max:.2}")
}

fn row(out: &mut Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(out, "{name:<14}{value}")
}
