//! Files of the programs that Ocelli replaces, told apart by their own tables and read as they stand.
//!
//! They may hold keys that nobody here knows: those are warned about instead of refused.

use toml::de::DeTable;

use super::Surroundings;
use super::reader::Reader;
use super::section::Section;
use super::{Config, keys};
use crate::cli::Mode;

mod rtp;
mod rtsp;

/// Tables of the RTSP-to-browser server's file.
const RTSP_TABLES: [&str; 4] =
    [keys::SERVER.name, keys::RTSP.name, keys::TRANSCODING.name, keys::PERFORMANCE.name];

/// Whether a table of the file's top level is a predecessor's.
pub(super) fn owns(name: &str) -> bool {
    name == keys::MJPEG_RTP.name || RTSP_TABLES.contains(&name) || rtp::number(name).is_some()
}

/// Whether the file is a predecessor's.
pub(super) fn recognised(root: &DeTable<'_>) -> bool {
    root.keys().any(|key| owns(key.get_ref()))
}

/// Reads the predecessors' tables into `config`. `[ffmpeg]` is theirs and ours.
pub(super) fn read(
    root: &DeTable<'_>,
    mode: Option<Mode>,
    config: &mut Config,
    reader: &mut Reader<'_>,
    around: Surroundings<'_>,
    ffmpeg: &Section,
) {
    if root.keys().any(|key| key.get_ref() == keys::MJPEG_RTP.name || rtp::number(key.get_ref()).is_some()) {
        rtp::read(root, mode, config, reader, around);
    }
    if root.keys().any(|key| RTSP_TABLES.contains(&key.get_ref().as_ref())) {
        rtsp::read(root, config, reader, around, ffmpeg);
    }
}
