//! The last lines that a program wrote to its standard error: most often the reason why it ended.

use std::collections::VecDeque;
use std::time::Duration;

use ocelli_hub::StreamName;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

use crate::sources::hide_user;

/// Lines that are kept.
const LINES: usize = 3;
/// Bytes of a line that are kept.
const LINE_BYTES: usize = 300;
/// Bytes of a line that are read: a password is hidden whole or not at all.
const READ_BYTES: usize = 4096;
/// How long to wait for the rest once the program has ended: a grandchild may hold the pipe open.
const REST: Duration = Duration::from_millis(200);

/// Reads a program's standard error and keeps its end.
#[derive(Debug)]
pub(crate) struct LastLines {
    reading: JoinHandle<()>,
    lines: tokio::sync::watch::Receiver<Lines>,
}

impl Drop for LastLines {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl LastLines {
    /// Reads `stderr` in a task of its own, so that the program never waits for it.
    pub(crate) fn read(stderr: ChildStderr, camera: StreamName) -> Self {
        Self::read_hiding(stderr, camera, Vec::new())
    }

    /// The same of a program that knows `secrets`, which are not shown; the longest come first.
    pub(crate) fn read_hiding(mut stderr: ChildStderr, camera: StreamName, secrets: Vec<String>) -> Self {
        let (sender, lines) = tokio::sync::watch::channel(Lines { secrets, ..Lines::default() });
        let reading = tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(bytes) = stderr.read(&mut buffer).await
                && bytes > 0
            {
                sender.send_modify(|lines| lines.add(&buffer[..bytes], &camera));
            }
        });
        Self { reading, lines }
    }

    /// The last lines, joined, once the program has ended.
    pub(crate) async fn finish(mut self) -> String {
        let _ = tokio::time::timeout(REST, &mut self.reading).await;
        self.lines.borrow().text()
    }
}

#[derive(Debug, Default)]
struct Lines {
    secrets: Vec<String>,
    whole: VecDeque<String>,
    current: Vec<u8>,
}

impl Lines {
    fn add(&mut self, bytes: &[u8], camera: &StreamName) {
        for byte in bytes {
            // FFmpeg rewrites its progress line with carriage returns.
            match byte {
                b'\n' => self.end_line(camera),
                b'\r' => self.current.clear(),
                _ if self.current.len() < READ_BYTES => self.current.push(*byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self, camera: &StreamName) {
        let line = self.readable(&self.current);
        self.current.clear();
        if line.is_empty() {
            return;
        }
        tracing::debug!(%camera, "stderr: {line}");
        if self.whole.len() == LINES {
            self.whole.pop_front();
        }
        self.whole.push_back(line);
    }

    fn text(&self) -> String {
        let last = self.readable(&self.current);
        let lines = self.whole.iter().map(String::as_str).chain([last.as_str()]);
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
    }

    /// A line as it may be shown: no control characters, no passwords.
    fn readable(&self, line: &[u8]) -> String {
        let line: String = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).collect();
        let line = self.secrets.iter().fold(line, |line, secret| line.replace(secret, "***"));
        let mut line = hide_user(line.trim());
        line.truncate(line.floor_char_boundary(LINE_BYTES));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_progress_is_not() {
        let camera = "cam".parse().unwrap();
        let mut lines = Lines::default();
        lines.add(b"one\ntwo\n\nthree\nframe=1\rframe=2\rrtsp://u:secret@h: refused\nlast", &camera);
        assert_eq!(lines.text(), "two; three; rtsp://***@h: refused; last");
    }

    #[test]
    fn a_line_without_end_is_bounded_and_shown_clean() {
        let camera = "cam".parse().unwrap();
        let mut lines = Lines::default();
        lines.add(&[b'x'; 10_000], &camera);
        lines.add(b"\n\x1b[31mred\x07\n\xff\xfe\n", &camera);
        let text = lines.text();
        assert!(text.len() < LINE_BYTES + 40 && text.contains("; [31mred; "), "{text}");
    }

    #[test]
    fn what_the_program_knows_is_not_shown() {
        let camera = "cam".parse().unwrap();
        let mut lines =
            Lines { secrets: vec!["srt://h?x=abc".to_owned(), "abc".to_owned()], ..Lines::default() };
        lines.add(b"Impossible to open 'srt://h?x=abc'\nbad abc\n", &camera);
        assert_eq!(lines.text(), "Impossible to open '***'; bad ***");
    }

    #[test]
    fn a_password_that_begins_before_the_end_of_a_line_is_hidden() {
        let camera = "cam".parse().unwrap();
        let mut lines = Lines::default();
        lines.add(&[b'x'; LINE_BYTES - 20], &camera);
        lines.add(b" http://user:longpassword@h/\n", &camera);
        let text = lines.text();
        assert!(text.ends_with(" http://***@h/") && !text.contains("long"), "{text}");
    }
}
