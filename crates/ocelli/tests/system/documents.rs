//! The pages of `docs` whose commands and files are taken out of them and run. Only addresses, ports and names of files are
//! exchanged, and what shows pictures in a window is replaced by what takes them without one.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::processes::SOON;
use crate::programs::{Running, as_nobody, python_with_opencv};

/// A page: each block of it stands behind a comment with its test's name.
pub(crate) struct Document(Vec<Block>);

/// A block of a page.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) text: String,
}

impl Document {
    /// Reads a file of `docs`.
    pub(crate) fn read(file: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file);
        let document = std::fs::read_to_string(file).unwrap();
        let mut name = None;
        let mut lines = document.lines();
        let mut blocks = Vec::new();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("<!-- test: ") {
                name = Some(rest.trim_end_matches(" -->").to_owned());
            } else if let Some(language) = line.strip_prefix("```") {
                let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
                let name = name.take().unwrap_or_else(|| panic!("a block without a test: {text:?}"));
                blocks.push(Block { name, language: language.to_owned(), text: text.join("\n") });
            }
        }
        Self(blocks)
    }

    /// The block called `name`, with each first text exchanged for its second, of which the first must be there.
    pub(crate) fn block(&self, name: &str, exchanges: &[(&str, &str)]) -> Block {
        let mut block = self.0.iter().find(|block| block.name == name).unwrap().clone();
        for (from, to) in exchanges {
            assert!(block.text.contains(from), "{name} has no {from:?}: {}", block.text);
            block.text = block.text.replace(from, to);
        }
        block
    }

    /// Looks that it has these blocks and no others.
    pub(crate) fn consists_of<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let known: BTreeSet<_> = names.into_iter().collect();
        let found: BTreeSet<_> = self.0.iter().map(|block| block.name.as_str()).collect();
        assert_eq!(found, known);
        assert_eq!(self.0.len(), found.len(), "two blocks have one name");
    }
}

impl Block {
    /// Has it run by a shell, or by Python.
    pub(crate) fn start(&self, directory: &TempDir) -> Running {
        let mut command = match self.language.as_str() {
            "sh" => Command::new("sh"),
            "python" => Command::new(python_with_opencv().unwrap()),
            other => panic!("{}: {other}", self.name),
        };
        command.arg("-c").arg(&self.text).env("SDL_VIDEODRIVER", "dummy");
        if self.text.starts_with("vlc ") {
            as_nobody(directory, &mut command);
        }
        Running::of(directory, command)
    }
}

/// Whether a program that plays has shown a picture: ffplay says how late it is then, VLC has written it.
fn plays(name: &str, running: &mut Running, directory: &TempDir) -> bool {
    match name {
        "vlc" => {
            std::fs::metadata(directory.path().join("shown.yuv")).is_ok_and(|file| file.len() > 320 * 240)
        }
        _ if name.contains("ffplay") => {
            let said = running.said();
            said.split('\r').any(|line| line.contains("M-V:") && !line.contains("nan"))
        }
        _ => running.has_ended(),
    }
}

/// Waits until each has shown pictures, however long the others take.
pub(crate) fn all_play(directory: &TempDir, mut players: Vec<(&str, Running)>) {
    let deadline = Instant::now() + SOON;
    while !players.is_empty() {
        players.retain_mut(|(name, running)| !plays(name, running, directory));
        let left: Vec<_> = players.iter().map(|(name, running)| (*name, running.said())).collect();
        assert!(Instant::now() < deadline, "not shown within {SOON:?}: {left:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
