//! Command lines for camera programs: from "device 0, 1280 by 720, turned by 180 degrees" to the source text that
//! gives those pictures on this machine.
//!
//! Everything here is a pure function of the request and of what the machine has ([`Machine`]); nothing is started.

use std::path::Path;

use ocelli_media::Turn;

use crate::sources::KINDS;

mod flip;
mod machine;
mod programs;

pub use flip::{Flip, FlipError};
#[cfg(test)]
pub(crate) use machine::MadeUp;
pub use machine::{Machine, System, ThisMachine};

/// Which camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The nth camera of the system, from 0.
    Index(u32),
    /// A device file: `/dev/video0`.
    Path(String),
    /// A name that libcamera gives: `/base/axi/pcie@1000120000/rp1/i2c@88000/imx219@10`.
    Named(String),
    /// A source text, taken as it stands.
    Source(String),
}

impl Device {
    /// Reads what a configuration calls a device: a number, a path, a name of libcamera's or any source text.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if let Ok(index) = text.parse() {
            return Self::Index(index);
        }
        if text.starts_with("/base/") {
            return Self::Named(text.to_owned());
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
        let is_source = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
        if is_source || KINDS.iter().any(|kind| kind.scheme == scheme) {
            return Self::Source(text.to_owned());
        }
        if text.starts_with('/') { Self::Path(text.to_owned()) } else { Self::Named(text.to_owned()) }
    }
}

/// What is asked of a camera. What is `None` is left to the camera program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which camera.
    pub device: Device,
    /// The camera's number where only numbers are understood and `device` is none.
    pub fallback_index: u32,
    /// Width in pixels.
    pub width: Option<u16>,
    /// Height in pixels.
    pub height: Option<u16>,
    /// Pictures a second.
    pub fps: Option<u16>,
    /// JPEG quality, 1 to 100.
    pub quality: Option<u8>,
    /// How the picture is turned.
    pub flip: Flip,
}

impl Request {
    /// A request that leaves everything but the camera to the camera program.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            fallback_index: 0,
            width: None,
            height: None,
            fps: None,
            quality: None,
            flip: Flip::None,
        }
    }
}

/// How a request is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The source text.
    pub source: String,
    /// What of the request this machine cannot do, in sentences.
    pub notes: Vec<String>,
    /// How its pictures are still to be turned.
    pub turn: Turn,
}

impl Choice {
    /// Whose pictures are as they should be.
    fn whole(source: impl Into<String>) -> Self {
        Self { source: source.into(), notes: Vec::new(), turn: Turn::None }
    }
}

/// Chooses the program, or our own capture, that meets `request` with the least work.
pub fn choose(request: &Request, machine: &dyn Machine) -> Choice {
    if let Device::Source(text) = &request.device {
        return Choice { turn: request.flip.turn(), ..Choice::whole(text) };
    }
    match machine.system() {
        System::Linux => programs::on_linux(request, machine),
        System::MacOs => programs::on_macos(request),
    }
}

/// The camera of a machine where nothing is configured, and the sentence that says what was chosen and why.
pub fn default_camera(machine: &dyn Machine) -> (String, String) {
    if let Some(program) = programs::rpicam(machine) {
        let source = format!("exec:{program} {}", programs::RPICAM_ARGUMENTS);
        return (source, format!("No camera is configured: taking pictures from {program}."));
    }
    if machine.system() == System::Linux && machine.has_path(Path::new("/dev/video0")) {
        let sentence = "No camera is configured: taking pictures from /dev/video0.".to_owned();
        return ("v4l2:///dev/video0".to_owned(), sentence);
    }
    let why = match machine.system() {
        System::Linux => "and neither rpicam-vid nor /dev/video0 is here",
        System::MacOs => "and rpicam-vid is not here",
    };
    let sentence = format!("No camera is configured, {why}: showing the built-in moving test pattern.");
    ("pattern:?width=1280&height=720&fps=30".to_owned(), sentence)
}

/// The source text for a camera command given as a program and its arguments in one text.
///
/// Without a program it is `rpicam-vid`; without arguments a program of the rpicam family gets the ones that make
/// it write MJPEG to its standard output.
///
/// # Errors
/// The arguments cannot be split into words: a quote is not closed. The message names which of the two it is.
pub fn command(
    program: Option<&str>,
    arguments: Option<&str>,
    machine: &dyn Machine,
) -> Result<String, CommandError> {
    let program = program.unwrap_or("rpicam-vid").trim();
    if program.is_empty() {
        return Err(CommandError::NoProgram);
    }
    if let Some(arguments) = arguments {
        shell_words::split(arguments).map_err(|_| CommandError::OpenQuote)?;
    }
    // One word is a program; several are one too when such a file exists (a path with a space in it), else a
    // command line.
    let one_word = !program.contains(char::is_whitespace) || machine.has_program(program);
    let program = if one_word {
        shell_words::quote(program).into_owned()
    } else {
        shell_words::split(program).map_err(|_| CommandError::OpenQuote)?;
        program.to_owned()
    };
    let name = program.rsplit('/').next().unwrap_or_default();
    let arguments = match arguments {
        Some(arguments) => arguments.trim(),
        None if programs::RPICAM.contains(&name) => programs::RPICAM_ARGUMENTS,
        None => "",
    };
    Ok(format!("exec:{program} {arguments}").trim_end().to_owned())
}

/// Why a camera command is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The program is empty.
    #[error("found nothing; expected the name of a program")]
    NoProgram,
    /// A quote is not closed.
    #[error("a quote is opened and not closed")]
    OpenQuote,
}

#[cfg(test)]
mod tests;
