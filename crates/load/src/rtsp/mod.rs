//! `ocelli-load rtsp`: many readers of any RTSP server (`readers`), a camera that asks for next to nothing (`camera`), and the kernel's
//! own price of the same bytes (`floor`), which is that camera with the readers at it.
//!
//! Readers look at every packet: framing, numbers, the end of each picture. They do not decode.

mod camera;
mod churn;
mod cli;
mod conversation;
mod engine;
mod film;
mod floor;
mod mark;
mod reader;
mod record;
mod report;
mod run;
mod wire;

pub(crate) use cli::Command;

/// Runs one of its commands.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Readers(options) => run::play(&options),
        Command::Floor(options) => floor::run(options),
        Command::Camera(options) => camera::run(&options),
    }
}
