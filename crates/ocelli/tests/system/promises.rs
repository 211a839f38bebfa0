//! What the documents promise of every stream: one system call a picture and viewer, the length of every part, live
//! pictures for the slow, a line of statistics, and readiness.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::client::{Connection, Viewer};
use crate::processes::{self, until};
use crate::server::{STEADY, Server, picture};

/// System calls that write to sockets, as strace names them.
const WRITES: [&str; 5] = ["write", "writev", "sendto", "sendmsg", "sendmmsg"];

/// Calls by file descriptor: all of them, and those that carry a part's header block.
fn count_writes(trace: &str) -> BTreeMap<u32, (u64, u64)> {
    let mut counts = BTreeMap::<u32, (u64, u64)>::new();
    for line in trace.lines() {
        // With -f each line begins with the thread; the second half of an interrupted one repeats no arguments.
        let Some((call, arguments)) = line.split_once(' ').and_then(|(_, call)| call.trim().split_once('('))
        else {
            continue;
        };
        let file = arguments.split(',').next().and_then(|number| number.parse().ok());
        if let Some(file) = file.filter(|_| WRITES.contains(&call)) {
            let count = counts.entry(file).or_default();
            count.0 += 1;
            count.1 += u64::from(arguments.contains("--ocelli"));
        }
    }
    counts
}

#[test]
fn a_picture_is_one_system_call_a_viewer() {
    let server = Server::start(&["--camera", STEADY]);
    let mut viewers: Vec<Viewer> = (0..3).map(|_| server.watch("steady")).collect();
    for viewer in &mut viewers {
        viewer.next();
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", &format!("trace={}", WRITES.join(",")), "-o"]).arg(&file);
    strace.args(["-p", &server.id().to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
    let Ok(mut strace) = strace.spawn() else {
        eprintln!("a_picture_is_one_system_call_a_viewer: skipped, strace is not installed");
        return server.stop();
    };
    let trace = || fs::read_to_string(&file).unwrap_or_default();
    let mut forbidden = false;
    until("strace sees twenty pictures of each viewer", || {
        viewers.iter_mut().for_each(|viewer| drop(viewer.during(Duration::from_millis(20))));
        forbidden = strace.try_wait().unwrap().is_some();
        forbidden || count_writes(&trace()).values().filter(|(_, parts)| *parts >= 20).count() == 3
    });
    if forbidden {
        eprintln!("a_picture_is_one_system_call_a_viewer: skipped, strace may not look at the server");
        return server.stop();
    }
    processes::signal(strace.id(), Signal::INT);
    strace.wait().unwrap();
    let counts = count_writes(&trace());
    let watching: Vec<_> = counts.values().filter(|(_, parts)| *parts > 0).collect();
    assert_eq!(watching.len(), 3, "{counts:?}");
    assert!(watching.iter().all(|(calls, parts)| calls == parts), "{counts:?}");
    server.stop();
}

#[test]
fn every_part_is_as_long_as_it_says() {
    let server = Server::start(&["--camera", STEADY]);
    server.until_state("steady", "ready");
    let mut connection = Connection::open(server.address());
    connection.send(b"GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut bytes = Vec::new();
    let mut socket = connection.socket();
    while bytes.windows(8).filter(|eight| eight == b"--ocelli").count() < 10 {
        let mut buffer = [0; 4096];
        let read = socket.read(&mut buffer).unwrap();
        assert!(read > 0, "the stream ended");
        bytes.extend_from_slice(&buffer[..read]);
    }
    let block_end = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut rest = &bytes[block_end(&bytes)..];
    for _ in 0..9 {
        let (block, behind) = rest.split_at(block_end(rest));
        let block = std::str::from_utf8(block).unwrap();
        let lines: Vec<&str> = block.lines().collect();
        assert_eq!(lines[..2], ["--ocelli", "Content-Type: image/jpeg"], "{block}");
        let length: usize = lines[2].strip_prefix("Content-Length: ").unwrap().parse().unwrap();
        assert!(lines[3].starts_with("X-Timestamp: "), "{block}");
        let (jpeg, behind) = behind.split_at(length);
        assert!(jpeg.starts_with(&[0xFF, 0xD8]) && jpeg.ends_with(&[0xFF, 0xD9]));
        rest = behind.strip_prefix(b"\r\n").expect("a line end behind each picture");
    }
    server.stop();
}

#[test]
fn who_reads_at_half_the_rate_sees_pictures_younger_than_three_of_his_picture_times() {
    // Pictures of 130 KB, as a camera's of this size are. Of much smaller ones the kernels' buffers hold several.
    let server = Server::start(&["--camera", "cam=pattern:?width=1920&height=1080&fps=10&quality=95"]);
    let mut viewer = server.watch("cam");
    // Else his own kernel takes more and more for one who, on a busy machine, reads much at once now and then.
    rustix::net::sockopt::set_socket_recv_buffer_size(viewer.socket(), 128 << 10).unwrap();
    let length = viewer.next().data.len() as f64;
    // Half of what the camera gives; the first second fills whatever holds bytes on the way.
    let rate = length * 10.0 / 2.0;
    let picture_time = length / rate;
    viewer.at_rate(rate, Duration::from_secs(1));
    let pictures = viewer.at_rate(rate, Duration::from_secs(4));
    assert!(pictures.len() >= 12, "{} pictures of 20", pictures.len());
    let mut ages: Vec<f64> = pictures.iter().map(|(_, age)| age.as_secs_f64() / picture_time).collect();
    ages.sort_by(f64::total_cmp);
    // A busy machine may hold up some, and the camera; without a bound on what waits they grow older with each.
    let (middle, oldest) = (ages[ages.len() / 2], ages[ages.len() - 1]);
    assert!(middle < 3.0 && oldest < 6.0, "in picture times, of {length} bytes each: {ages:?}");
    assert!(server.stats()["viewers"][0]["skipped"].as_u64() > Some(3), "{}", server.stats());
    server.stop();
}

#[test]
fn a_line_of_statistics_comes_at_its_interval() {
    let server = Server::start(&["--camera", STEADY, "--stats-interval", "0.2"]);
    let mut viewer = server.watch("steady");
    viewer.next();
    until("three lines that count the viewer", || {
        let log = server.log();
        let lines =
            log.lines().filter(|line| line.contains("statistics camera=") && line.contains("viewers=1"));
        lines.count() >= 3
    });
    let log = server.log();
    let line = log.lines().rfind(|line| line.contains("statistics camera=")).unwrap();
    for word in ["camera=steady", "state=\"ready\"", "fps=", "kbit_s=", "frames=", "dropped=0", "restarts=0"]
    {
        assert!(line.contains(word), "{word} in {line}");
    }
    server.stop();
    let silent = Server::start(&["--camera", STEADY, "--stats-interval", "0"]);
    silent.watch("steady").during(Duration::from_secs(1));
    assert!(!silent.log().contains("statistics"), "{}", silent.log());
    silent.stop();
}

#[test]
fn readiness_names_who_is_waited_for_until_every_camera_has_a_picture() {
    let directory = tempfile::tempdir().unwrap();
    let flag = directory.path().join("go");
    let source = format!(
        "cam=exec:sh -c 'until test -e {}; do sleep 0.05; done; cat {}; exec sleep 1000'",
        flag.display(),
        picture("baseline.jpg")
    );
    let server = Server::start(&["--camera", &source, "--camera", STEADY]);
    server.until_state("steady", "ready");
    let waiting = server.get("/readyz");
    assert_eq!((waiting.status, waiting.header("retry-after")), (503, Some("2")));
    let list = &waiting.json()["waiting_for"];
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    assert_eq!((&list[0]["camera"], &list[0]["state"]), (&"cam".into(), &"starting".into()));
    fs::write(&flag, "").unwrap();
    until("it is ready", || server.get("/readyz").status == 200);
    let ready = server.get("/readyz").json();
    assert_eq!((&ready["ready"], ready["waiting_for"].as_array().unwrap().len()), (&true.into(), 0));
    server.stop();
}
