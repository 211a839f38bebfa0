//! `ocelli-load`: many viewers of any server's MJPEG, RTP and RTSP, with the kernel's own price beside it.
//!
//! It refuses nothing a server may do on the wire without saying what it was: broken framing ends a viewer with its
//! cause in the report. Built for loopback; it does not hide what it is.

mod camera;
mod cli;
mod clip;
mod cpu_clock;
mod engine;
mod floor;
mod histogram;
mod pace;
mod process;
mod protocol;
mod reading;
mod record;
mod report;
#[cfg(target_os = "linux")]
mod rtp;
#[cfg(target_os = "linux")]
mod rtsp;
mod run;
mod stamp;
mod target;
mod viewer;

use anyhow::Context;
use clap::Parser;

use cli::{Cli, Command, FloorOptions, ReaderOptions, ViewOptions};
use report::Report;
use run::Plan;
use target::Target;

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        None => view(&cli.view),
        Some(Command::Floor(options)) => floor(&options),
        Some(Command::FloorSender(options)) => floor::sender::run(&options),
        Some(Command::Camera(options)) => camera::run(&options),
        #[cfg(target_os = "linux")]
        Some(Command::Rtp(command)) => rtp::run(command),
        #[cfg(target_os = "linux")]
        Some(Command::Rtsp(command)) => rtsp::run(command),
    }
}

fn view(options: &ViewOptions) -> anyhow::Result<()> {
    let url = options.url.as_deref().context("--url says which stream to watch")?;
    let plan = options.plan(Target::parse(url, &options.headers)?);
    report(url, &plan, &options.readers)
}

fn floor(options: &FloorOptions) -> anyhow::Result<()> {
    let sender = floor::Sender::start(&options.sender)?;
    let url = format!("http://127.0.0.1:{}/floor", sender.port);
    let plan = options.readers.plan(Target::parse(&url, &[])?, Some(sender.pid()));
    report("bare writes", &plan, &options.readers)
}

fn report(name: &str, plan: &Plan, options: &ReaderOptions) -> anyhow::Result<()> {
    let report = Report::new(name, &run::run(plan)?);
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    let asked = report.viewers.asked + report.slow.as_ref().map_or(0, |slow| slow.viewers.asked);
    let failed = report.viewers.failed + report.slow.as_ref().map_or(0, |slow| slow.viewers.failed);
    anyhow::ensure!(
        asked == 0 || failed < asked,
        "no viewer watched to the end: {}",
        report.viewers.failures.join("; ")
    );
    Ok(())
}
