//! The sender's process: started with our own program, ended with us.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use crate::cli::SenderOptions;

/// A running sender.
#[derive(Debug)]
pub(crate) struct Sender {
    child: Child,
    pub(crate) port: u16,
}

impl Sender {
    /// Starts it and waits for the port it listens on.
    pub(crate) fn start(options: &SenderOptions) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut child = Command::new(program)
            .arg("floor-sender")
            .args(options.arguments())
            .stdin(Stdio::piped()) // its end tells the sender that we are gone, however we went
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the sender")?;
        let stdout = child.stdout.take().context("the sender has no output")?;
        let mut sender = Self { child, port: 0 };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        sender.port = line.trim().parse().with_context(|| format!("the sender did not start: {line:?}"))?;
        Ok(sender)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
