//! Cameras that fail in every way a process can: named in `/stats` and in the picture, bounded, without any effect on
//! the camera beside them, and gone when the server is.

use std::time::Duration;

use ocelli_media::Size;
use rustix::process::Signal;

use crate::client::size;
use crate::processes::{self, until};
use crate::server::{STEADY, Server, picture};
use crate::steady::Steady;

/// More than a server with two small cameras ever needs, in a build for tests.
const MEMORY_LIMIT: u64 = 120 << 20;
/// The size of the test pictures.
const SMALL: Size = Size { width: 64, height: 48 };

/// `sh -c SCRIPT` as a camera.
fn shell(script: &str) -> String {
    assert!(!script.contains('\''));
    format!("exec:sh -c '{script}'")
}

/// Watches the steady camera for a while: who does must miss nothing, and memory must stay bounded.
fn steady_misses_nothing(server: &Server, time: Duration) {
    let mut steady = Steady::watch(server);
    steady.during(time);
    steady.has_missed_nothing();
    let memory = server.memory_bytes();
    assert!(memory < MEMORY_LIMIT, "{} MB", memory >> 20);
}

/// The snapshot is a notice: 503, and a JPEG all the same, of the camera's size.
fn notice_is_shown(server: &Server, expected: Size) {
    until("the snapshot is a notice", || {
        let snapshot = server.get("/cameras/cam/snapshot");
        let shown = snapshot.status == 503 && snapshot.header("content-type") == Some("image/jpeg");
        if shown {
            assert!(snapshot.header("retry-after").is_some());
            assert_eq!(size(&snapshot.body), expected);
        }
        shown
    });
}

#[test]
fn one_that_exits_is_named_shown_and_started_again() {
    let script = format!("cat {}; sleep 0.2; echo no sensor found >&2; exit 3", picture("baseline.jpg"));
    let server = Server::camera(&shell(&script));
    let mut viewer = server.watch("cam");
    server.lost_for("cam", "`sh` ended with status 3: no sensor found");
    // The same connection goes on, with pictures of the same size: the notice, and the camera's again.
    assert!(viewer.during(Duration::from_secs(3)).iter().all(|part| size(&part.data) == SMALL));
    notice_is_shown(&server, SMALL);
    until("it is started again", || server.stats_of("cam")["restarts"].as_u64() >= Some(1));
    until("it gives pictures again", || server.stats_of("cam")["frames"].as_u64() >= Some(2));
    viewer.next();
    steady_misses_nothing(&server, Duration::from_secs(2));
    server.stop();
}

#[test]
fn one_that_hangs_silently_is_lost_after_its_time() {
    let file = picture("baseline.jpg");
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"exec:sh -c 'cat {file}; exec sleep 1000'\"\nsilence_timeout_seconds = 0.5\n\
         [cameras.steady]\nsource = \"{}\"\n",
        STEADY.trim_start_matches("steady=")
    ));
    let mut viewer = server.watch("cam");
    assert_eq!(size(&viewer.next().data), SMALL);
    let first = server.groups();
    server.lost_for("cam", "no picture came for 0.5 s");
    notice_is_shown(&server, SMALL);
    assert_eq!(size(&viewer.next().data), SMALL);
    for group in first {
        until("the silent program is ended", || processes::group(group).is_empty());
    }
    until("it is started again", || server.stats_of("cam")["restarts"].as_u64() >= Some(1));
    steady_misses_nothing(&server, Duration::from_secs(2));
    server.stop();
}

#[test]
fn one_that_is_stopped_by_a_signal_is_lost_and_one_that_is_killed_too() {
    let file = picture("baseline.jpg");
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"exec:sh -c 'while cat {file}; do sleep 0.05; done'\"\nsilence_timeout_seconds = 1\n"
    ));
    server.until_state("cam", "ready");
    let [leader] = server.groups()[..] else { panic!("one camera") };
    processes::signal(leader, Signal::STOP);
    server.lost_for("cam", "no picture came for 1 s");
    until("a stopped program is ended as well", || processes::group(leader).is_empty());
    server.until_state("cam", "ready");
    let [leader] = server.groups()[..] else { panic!("one camera") };
    processes::signal(leader, Signal::KILL);
    server.lost_for("cam", "`sh` was killed by signal 9");
    server.until_state("cam", "ready");
    server.stop();
}

#[test]
fn one_that_prints_garbage_is_given_up() {
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"exec:sh -c 'exec cat /dev/urandom'\"\nmax_frame_bytes = 1048576\n\
         [cameras.steady]\nsource = \"{}\"\n",
        STEADY.trim_start_matches("steady=")
    ));
    server.lost_for("cam", "came without a whole picture");
    notice_is_shown(&server, Size { width: 640, height: 480 });
    steady_misses_nothing(&server, Duration::from_secs(2));
    let stats = server.stats_of("cam");
    assert_eq!(stats["frames"], 0, "{stats}");
    assert!(stats["garbage_bytes"].as_u64() >= Some(1 << 20), "{stats}");
    server.stop();
}

#[test]
fn half_a_picture_is_never_shown() {
    let file = picture("baseline.jpg");
    let server = Server::camera(&shell(&format!("cat {file}; head -c 700 {file}; exit 1")));
    let mut viewer = server.watch("cam");
    server.lost_for("cam", "`sh` ended with status 1");
    // The viewer's reader takes whole JPEGs only, and fails the test for anything else.
    let parts = viewer.during(Duration::from_secs(2));
    assert!(!parts.is_empty() && parts.iter().all(|part| size(&part.data) == SMALL));
    until("it is counted", || server.stats_of("cam")["dropped_by_reason"]["damaged"].as_u64() >= Some(1));
    steady_misses_nothing(&server, Duration::from_secs(1));
    server.stop();
}

#[test]
fn a_picture_without_end_takes_no_memory() {
    // A start of scan and 200 MB that never end it.
    let file = picture("baseline.jpg");
    let server = Server::camera(&shell(&format!(
        "head -c 700 {file}; head -c 200000000 /dev/zero | tr \"\\\\0\" x; exec sleep 1000"
    )));
    let mut most = 0;
    until("it is counted or given up", || {
        most = most.max(server.memory_bytes());
        let stats = server.stats_of("cam");
        stats["dropped_by_reason"]["too_large"].as_u64() >= Some(1) || stats["cause"].is_string()
    });
    assert!(most < MEMORY_LIMIT, "{} MB", most >> 20);
    server.lost_for("cam", "without a whole picture");
    steady_misses_nothing(&server, Duration::from_secs(1));
    server.stop();
}

#[test]
fn a_flood_of_pictures_is_thinned_for_viewers_not_for_the_camera_beside() {
    // 1000 pictures a second: ten in a go, a hundred times.
    let file = picture("baseline.jpg");
    let ten = [file.as_str(); 10].join(" ");
    let server = Server::camera(&shell(&format!("while cat {ten}; do sleep 0.01; done")));
    server.until_state("cam", "ready");
    let mut viewer = server.watch("cam");
    viewer.next();
    steady_misses_nothing(&server, Duration::from_secs(3));
    until("it is a flood", || server.stats_of("cam")["fps"].as_f64() > Some(100.0));
    (0..10).for_each(|_| drop(viewer.next()));
    server.stop();
}

#[test]
fn one_that_ignores_sigterm_and_leaves_grandchildren_is_killed_with_them() {
    let file = picture("baseline.jpg");
    let script =
        format!("trap \"\" TERM; (while :; do sleep 0.1; done) & while cat {file}; do sleep 0.1; done");
    let server = Server::camera(&shell(&script));
    server.until_state("cam", "ready");
    let [leader] = server.groups()[..] else { panic!("one camera") };
    until("there is a grandchild", || processes::group(leader).len() >= 2);
    server.stop();
}

#[test]
fn grandchildren_are_ended_when_the_program_ends_before_them() {
    let file = picture("baseline.jpg");
    let server = Server::camera(&shell(&format!("cat {file}; sleep 1000 >&- 2>&- & sleep 0.3; exit 4")));
    server.until_state("cam", "ready");
    let [leader] = server.groups()[..] else { panic!("one camera") };
    server.lost_for("cam", "`sh` ended with status 4");
    until("the grandchild is ended", || processes::group(leader).is_empty());
    server.stop();
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let server = Server::camera("exec:/nowhere/no-such-camera --token secret");
    server.lost_for("cam", "the program `no-such-camera` is not installed");
    notice_is_shown(&server, Size { width: 640, height: 480 });
    let mut viewer = server.watch("cam");
    let first = size(&viewer.next().data);
    assert_eq!(first, Size { width: 640, height: 480 });
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["waiting_for"][0]["camera"], "cam");
    assert!(server.stats_of("cam")["retry_in_seconds"].as_f64() > Some(10.0), "it is not dialled in vain");
    steady_misses_nothing(&server, Duration::from_secs(1));
    server.stop();
}

#[test]
fn a_lost_camera_holds_its_last_picture_or_closes_as_it_is_told() {
    let file = picture("baseline.jpg");
    let script = format!("cat {file}; sleep 0.5; exit 1");
    let server = Server::configured(&format!(
        "[cameras.hold]\nsource = \"exec:sh -c '{script}'\"\non_lost = \"hold\"\n\
         [cameras.close]\nsource = \"exec:sh -c '{script}'\"\non_lost = \"close\"\n"
    ));
    let jpeg = std::fs::read(&file).unwrap();
    let mut close = server.watch("close");
    assert_eq!(close.next().data, jpeg);
    close.ends();
    let mut hold = server.watch("hold");
    server.lost_for("hold", "`sh` ended with status 1");
    assert!(hold.during(Duration::from_secs(2)).iter().all(|part| part.data == jpeg), "no notice");
    // A new viewer of either gets the next picture that the camera gives.
    assert_eq!(server.watch("close").next().data, jpeg);
    assert_eq!(server.watch("hold").next().data, jpeg);
    server.stop();
}

#[test]
fn a_snapshot_of_a_camera_that_holds_is_its_last_picture_with_its_time() {
    let file = picture("baseline.jpg");
    let directory = tempfile::tempdir().unwrap();
    // One picture in the first run, none in any other.
    let script = format!("mkdir {}/given && cat {file}; exit 1", directory.path().display());
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"exec:sh -c '{script}'\"\non_lost = \"hold\"\n"
    ));
    until("it has failed without a picture", || server.stats_of("cam")["restarts"].as_u64() >= Some(1));
    let snapshots = [server.get("/snapshot"), server.get("/snapshot")];
    let taken = snapshots.each_ref().map(|snapshot| {
        assert_eq!((snapshot.status, snapshot.header("retry-after")), (200, None));
        assert_eq!(snapshot.body, std::fs::read(&file).unwrap());
        snapshot.header("x-timestamp").expect("when it was taken").parse::<f64>().unwrap()
    });
    assert_eq!(taken[0], taken[1]);
    let stats = server.stats();
    assert!(stats["now"].as_f64().unwrap() - taken[0] > 0.5, "as old as it is: {taken:?} {stats}");
    server.stop();
}

#[test]
fn a_camera_program_has_the_limit_of_open_files_that_the_server_was_started_with() {
    let mut limited = std::process::Command::new("sh");
    limited.env_remove("RUST_LOG").args(["-c", "ulimit -Sn 300; exec \"$0\" \"$@\""]);
    limited.arg(crate::server::command().get_program()).args([
        "--port",
        "0",
        "--address",
        "127.0.0.1",
        "--rtsp",
        "off",
    ]);
    let source = shell("sleep 0.2; echo limit $(ulimit -n) >&2; exit 1");
    let server = Server::of(limited.args(["--camera", &format!("cam={source}")]), None);
    server.lost_for("cam", "limit 300");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_ne!(line.split_whitespace().nth(3), Some("300"), "its own is raised: {line}");
    server.stop();
}

#[test]
fn a_camera_on_demand_runs_for_its_viewers_only() {
    let file = picture("baseline.jpg");
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"exec:sh -c 'while cat {file}; do sleep 0.05; done'\"\non_demand = true\n"
    ));
    assert_eq!(server.stats_of("cam")["state"], "idle");
    assert!(server.groups().is_empty());
    // A snapshot is demand too, and is answered by the camera's first picture.
    let snapshot = server.get("/snapshot");
    assert_eq!((snapshot.status, size(&snapshot.body)), (200, SMALL));
    let mut viewer = server.watch("cam");
    viewer.next();
    let [leader] = server.groups()[..] else { panic!("one camera") };
    drop(viewer);
    until("the viewer is gone", || server.stats_of("cam")["viewers"] == 0);
    // Who comes back in time finds it running.
    server.watch("cam").next();
    assert_eq!(server.groups(), [leader]);
    server.until_state("cam", "idle");
    until("its process is ended", || processes::group(leader).is_empty());
    server.stop();
}

#[test]
fn a_server_that_is_killed_leaves_no_writing_camera() {
    let file = picture("baseline.jpg");
    let mut server = Server::camera(&shell(&format!("while cat {file}; do sleep 0.05; done")));
    server.until_state("cam", "ready");
    let [leader] = server.groups()[..] else { panic!("one camera") };
    server.kill();
    // Its pipe has no reader any more: the next picture is its last.
    until("the camera ends by itself", || processes::group(leader).is_empty());
}

#[test]
fn a_log_that_nobody_reads_any_more_loses_no_camera() {
    let file = picture("baseline.jpg");
    let mut command = crate::server::command();
    let source = format!("cam={}", shell(&format!("cat {file}; sleep 0.2; exit 1")));
    command.args([
        "--port",
        "0",
        "--address",
        "127.0.0.1",
        "--rtsp",
        "off",
        "--camera",
        &source,
        "--log-level",
        "trace",
    ]);
    let mut server = Server::with_closed_log(&mut command);
    until("it is started again and again", || server.stats_of("cam")["restarts"].as_u64() >= Some(2));
    assert_eq!(server.terminate().code, Some(0));
}

#[test]
fn a_log_that_nobody_empties_holds_up_nobody() {
    let mut command = crate::server::command();
    // Some megabytes of log, each line of which the server repeats.
    let source =
        "cam=exec:sh -c 'head -c 4000000 /dev/zero | tr \"\\0\" x | fold -w 200 >&2; exec sleep 1000'";
    command.args([
        "--port",
        "0",
        "--address",
        "127.0.0.1",
        "--rtsp",
        "off",
        "--camera",
        source,
        "--camera",
        STEADY,
    ]);
    let (mut server, _unread) = Server::with_unread_log(command.args(["--log-level", "trace"]));
    until("lines are dropped", || server.stats()["log_lines_dropped"].as_u64() >= Some(1));
    steady_misses_nothing(&server, Duration::from_secs(2));
    let exit = server.terminate();
    assert_eq!(exit.code, Some(0));
    assert!(exit.took < Duration::from_secs(5), "{:?}", exit.took);
}
