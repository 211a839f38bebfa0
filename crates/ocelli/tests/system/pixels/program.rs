//! FFmpeg's program as a camera's decoder and encoder: because the configuration says so, or because the worker lacks a codec; one that
//! is absent, too old, killed, stopped, and none at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ocelli_codec::worker::protocol::{Able, Coding, Hello, Input};
use rustix::process::Signal;
use serde_json::Value;

use super::crowd::Crowd;
use super::faults::beside;
use super::{Film, small};
use crate::client::Connection;
use crate::processes::{self, eventually, until};
use crate::programs::{directory, run};
use crate::server::Server;

/// The camera by FFmpeg's program.
fn camera(film: &Film) -> String {
    format!("{}transcoder = \"ffmpeg\"\n", film.camera("cam"))
}

/// The FFmpeg processes of a server that decode or encode: their numbers.
fn programs(server: &Server) -> Vec<u32> {
    let of_groups = server.groups().into_iter().flat_map(processes::group);
    let is_one = |id: &u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("\0-f\0nut\0-i\0pipe:0\0")
    };
    of_groups.filter(is_one).collect()
}

impl Film {
    /// A program in a file beside the film, of which a worker finds all that it calls.
    fn script(&self, name: &str, lines: &str) -> String {
        let (path, folders) = (self.path(name), std::env::var("PATH").unwrap());
        fs::write(&path, format!("#!/bin/sh\nexport PATH='{folders}'\n{lines}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// How the variants of `cam` come to be.
fn paths(server: &Server) -> Vec<String> {
    let variants = server.stats_of("cam")["variants"].clone();
    let path = |variant: &Value| variant["path"].as_str().unwrap_or_default().to_owned();
    variants.as_array().map(|variants| variants.iter().map(path).collect()).unwrap_or_default()
}

#[test]
fn one_ffmpeg_decodes_for_all_variants_and_goes_on_when_it_is_killed_or_stopped() {
    let Some(film) = Film::new("320x240") else { return };
    let server = Server::configured(&camera(&film));
    server.until_state("cam", "ready");
    let asked = std::time::Instant::now();
    let crowd = Crowd::watch(server.address(), &small("cam", 160), 160, 5);
    crowd.all_get(1);
    eprintln!("the first pictures came after {:?}", asked.elapsed());
    let others = Crowd::watch(server.address(), &small("cam", 240), 240, 5);
    for watching in [&crowd, &others] {
        watching.all_get(10);
    }
    assert_eq!(programs(&server).len(), 1);
    let paths = paths(&server);
    assert!(
        paths.len() == 2 && paths.iter().all(|path| path.contains("H.264 by FFmpeg's program")),
        "{paths:?}"
    );
    assert_eq!(server.get("/cameras/cam/snapshot?width=160").status, 200);
    for (signal, words) in [(Signal::KILL, "signal: 9"), (Signal::STOP, "hangs")] {
        let process = eventually("it is there", || programs(&server).first().copied());
        processes::signal(process, signal);
        until("it is replaced", || !programs(&server).contains(&process) && !programs(&server).is_empty());
        for watching in [&crowd, &others] {
            watching.all_get(25);
        }
        let note = server.stats_of("cam")["variants"][0]["note"].clone();
        assert!(note.as_str().is_some_and(|note| note.contains(words)), "{note}");
    }
    // H.264 of it is encoded by another.
    let listens = server.stats()["rtsp"]["listens"].as_str().unwrap().to_owned();
    let address = format!("rtsp://{listens}/cam?codec=h264&width=160");
    run(&directory(), &format!("ffmpeg -v error -rtsp_transport tcp -i {address} -frames:v 20 -f null -"));
    drop((crowd, others));
    until("FFmpeg is ended with the last viewer", || programs(&server).is_empty());
    server.stop();
}

#[test]
fn pictures_are_not_much_older_than_allowed_however_slow_ffmpeg_is() {
    let Some(film) = Film::new("320x240") else { return };
    // One that decodes is let go on for a moment only, again and again.
    let slow =
        "(while sleep 0.01 && kill -STOP $$ && sleep 0.15; do kill -CONT $$ || exit; done) 2> /dev/null &";
    let script = film.script("slow", &format!("case \"$*\" in *pipe:0*) {slow} ;; esac\nexec ffmpeg \"$@\""));
    let server = Server::configured(&format!("[ffmpeg]\npath = \"{script}\"\n{}", camera(&film)));
    server.until_state("cam", "ready");
    let crowd = Crowd::watch(server.address(), &small("cam", 160), 160, 1);
    for _ in 0..3 {
        crowd.all_get(20);
    }
    let variant = server.stats_of("cam")["variants"][0].clone();
    let latency = variant["latency_p50_ms"].as_f64().unwrap();
    eprintln!("{latency} ms, and 99 of 100 {}", variant["latency_p99_ms"]);
    assert!(latency < 1000.0, "{variant}");
    drop(crowd);
    server.stop();
}

#[test]
fn an_ffmpeg_that_cannot_be_used_is_said() {
    let Some(film) = Film::new("320x240") else { return };
    let old = "ffmpeg version 3.4.11 Copyright\nlibavformat    57. 83.100 / 57. 83.100\n";
    for (path, words) in [
        ("/no/such/ffmpeg".to_owned(), "`ffmpeg` is not installed"),
        (
            film.script("old", &format!("echo '{old}'")),
            "`old` is FFmpeg 3.4.11, which is too old: 4.3 or newer is needed",
        ),
        (film.script("none", "echo garbage"), "`none` does not answer `-version` as FFmpeg does"),
    ] {
        let server = Server::configured(&format!("[ffmpeg]\npath = \"{path}\"\n{}", camera(&film)));
        server.until_state("cam", "ready");
        let snapshot = server.get("/cameras/cam/snapshot");
        assert_eq!(snapshot.status, 501, "{snapshot:?}");
        assert!(snapshot.error().contains(words), "{snapshot:?}");
        let stream = server.get(&small("cam", 160));
        assert_eq!(stream.status, 501, "{stream:?}");
        assert!(stream.error().contains(words), "{stream:?}");
        server.stop();
    }
}

/// A worker that was built without a decoder of streams, and one with FFmpeg's program where it is told to use that.
fn poor(film: &Film, coding: &[Coding]) -> String {
    let hello = film.path("hello");
    let able = Able::new(&[Input::Jpeg], coding);
    fs::write(&hello, Hello::new(able, "a test").write()).unwrap();
    format!("case \"$*\" in *--ffmpeg*) exec WORKER \"$@\" --ffmpeg-first;; esac\nexec /bin/cat {hello} -")
}

#[test]
fn what_the_worker_lacks_ffmpeg_does_where_there_is_one() {
    let Some(film) = Film::new("320x240") else { return };
    let worker = poor(&film, &Coding::ALL);
    let server = beside(&worker, &film.camera("cam"));
    server.until_state("cam", "ready");
    let crowd = Crowd::watch(server.address(), &small("cam", 160), 160, 2);
    crowd.all_get(25);
    let lacks = "`ocelli-codec` was built without a decoder of H.264";
    assert!(server.log().contains(&format!("{lacks}: FFmpeg's program does it")), "{}", server.log());
    assert!(paths(&server)[0].contains("H.264 by FFmpeg's program"), "{:?}", paths(&server));
    assert_eq!(server.stats_of("cam")["worker"]["lost"], 0);
    drop(crowd);
    server.stop();
    for (table, words) in [
        ("[ffmpeg]\nenabled = false\n", "FFmpeg is not used (`enabled` of `[ffmpeg]`)"),
        ("[ffmpeg]\npath = \"/no/such/ffmpeg\"\n", "the program that could help: `ffmpeg` is not installed"),
    ] {
        let server = beside(&worker, &format!("{table}{}", film.camera("cam")));
        server.until_state("cam", "ready");
        // Who asks first is sent away once that is known.
        let mut first = Connection::open(server.address());
        first.send(format!("GET {} HTTP/1.1\r\nHost: test\r\n\r\n", small("cam", 160)).as_bytes());
        until("it is known", || server.log().contains(words) && paths(&server).is_empty());
        let refused = server.get(&small("cam", 160));
        assert_eq!(refused.status, 501, "{refused:?}");
        assert!(refused.error().contains(lacks) && refused.error().contains(words), "{refused:?}");
        server.stop();
    }
}
