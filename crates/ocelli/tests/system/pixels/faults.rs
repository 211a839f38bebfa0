//! The worker is killed, stopped, ended by what it is given, or is another version, while many watch: they keep their
//! connections, and other cameras miss nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ocelli_codec::worker::protocol::{Able, Hello};
use rustix::process::Signal;
use tempfile::TempDir;

use super::crowd::Crowd;
use super::{Film, small, worker};
use crate::processes::{self, eventually, until};
use crate::server::Server;

const VIEWERS: usize = 20;
/// Longer than a camera of ten pictures a second may be without one on a busy machine.
const STEADY: Duration = Duration::from_secs(2);

/// A camera that plays the film, another one that does, and one that needs no worker.
fn cameras(film: &Film) -> String {
    let pattern = "[cameras.steady]\nsource = \"pattern:?width=160&height=120&fps=10\"\n";
    [&film.camera("cam"), &film.camera("other"), pattern].concat()
}

#[test]
fn a_worker_that_is_killed_or_stopped_costs_nobody_his_connection() {
    let Some(film) = Film::new("320x240") else { return };
    let server = Server::configured(&cameras(&film));
    let crowd = Crowd::watch(server.address(), &small("cam", 160), 160, VIEWERS);
    let other = Crowd::watch(server.address(), &small("other", 160), 160, 1);
    let steady = Crowd::watch(server.address(), "/cameras/steady/stream", 160, 1);
    for watching in [&crowd, &other, &steady] {
        watching.all_get(5);
    }
    let others = worker(&server, "other");
    for signal in [Signal::KILL, Signal::STOP, Signal::ABORT] {
        let process = worker(&server, "cam").unwrap();
        processes::signal(process, signal);
        until("it is gone", || processes::group(process).is_empty());
        eventually("there is another one", || worker(&server, "cam"));
        for watching in [&crowd, &other, &steady] {
            watching.all_get(25);
        }
    }
    assert_eq!(worker(&server, "other"), others, "another camera's worker goes on");
    for watching in [&other, &steady] {
        assert!(watching.longest_wait() < STEADY, "{:?} without a picture", watching.longest_wait());
    }
    drop((crowd, other, steady));
    server.stop();
}

/// A server beside whose program stands a script as the worker, in which `WORKER` is the real one.
pub(super) fn beside(script: &str, configuration: &str) -> Server {
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = directory.path().join("ocelli");
    // Not a symbolic link: the program asks the system where it is.
    std::fs::hard_link(env!("CARGO_BIN_EXE_ocelli"), &program).unwrap();
    let script = script.replace("WORKER", env!("CARGO_BIN_EXE_ocelli-codec"));
    let worker = directory.path().join("ocelli-codec");
    std::fs::write(&worker, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(worker, PermissionsExt::from_mode(0o755)).unwrap();
    let file = directory.path().join("ocelli.toml");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new(&program);
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command.args(["--port", "0", "--address", "127.0.0.1", "--rtsp", "off", "--config"]).arg(file);
    Server::of(&mut command, Some(directory))
}

#[test]
fn a_worker_that_dies_of_what_it_is_given_again_and_again_costs_nobody_his_connection() {
    let Some(film) = Film::new("320x240") else { return };
    // Its input breaks off within a picture, each time after a second or two.
    let server = beside("/usr/bin/head -c 100000 | WORKER \"$@\"", &cameras(&film));
    let steady = Crowd::watch(server.address(), "/cameras/steady/stream", 160, 1);
    let crowd = Crowd::watch(server.address(), &small("cam", 160), 160, VIEWERS);
    // The first loss is mended at once, the others after a wait that grows: notices come meanwhile.
    crowd.all_get(50);
    until("it was started three times", || starts(&server) >= 3);
    crowd.all_get(10);
    steady.all_get(10);
    assert!(steady.longest_wait() < STEADY, "{:?} without a picture", steady.longest_wait());
    drop((crowd, steady));
    until("all is tidied up", || server.groups().is_empty());
    server.stop();
}

fn starts(server: &Server) -> u64 {
    server.stats_of("cam")["worker"]["starts"].as_u64().unwrap_or(0)
}

#[test]
fn a_worker_of_another_version_is_refused_in_words_and_others_go_on() {
    let Some(film) = Film::new("320x240") else { return };
    let other = Hello { version: "0.0.9".into(), ..Hello::new(Able::default(), "") };
    let hello = film.path("hello");
    std::fs::write(Path::new(&hello), other.write()).unwrap();
    let server = beside(&format!("exec /bin/cat {hello} -"), &cameras(&film));
    let own = env!("CARGO_PKG_VERSION");
    let words =
        format!("`ocelli-codec` is version 0.0.9 and this program {own}: install both from the same release");
    server.until_state("cam", "ready");
    // Who watches sees why there is nothing to be seen.
    let crowd = Crowd::watch(server.address(), &small("cam", 160), 160, 1);
    crowd.all_get(2);
    let cause =
        eventually("it is refused", || server.stats_of("cam")["worker"]["away"].as_str().map(str::to_owned));
    assert_eq!(cause, words);
    assert!(server.log().contains(&words), "{}", server.log());
    let snapshot = server.get("/cameras/cam/snapshot");
    assert_eq!(snapshot.status, 501);
    assert!(snapshot.error().contains(&words), "{snapshot:?}");
    let steady = Crowd::watch(server.address(), "/cameras/steady/stream", 160, 1);
    steady.all_get(10);
    drop((crowd, steady));
    server.stop();
}
