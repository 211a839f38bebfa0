//! Cameras that FFmpeg reads: over RTMP, SRT and HLS from a real sender, a screen, and programs that are killed, stopped or write
//! rubbish. What they are told is no other user's to see.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{self, eventually, until};
use crate::programs::{Running, directory, free_port, installed};
use crate::server::Server;

/// What a sender sends: H.264 with AAC, a keyframe each half second.
const SENDER: &str = "ffmpeg -v error -re -f lavfi -i testsrc2=size=320x240:rate=25 -f lavfi -i sine=sample_rate=48000 \
     -c:v libx264 -preset ultrafast -tune zerolatency -g 12 -pix_fmt yuv420p -c:a aac";

/// The part of every address that must not be seen.
const SECRET: &str = "verysecretword";

/// Waits until a camera has given so many pictures, and gives what `/stats` says of it.
fn pictures(server: &Server, camera: &str, least: u64) -> Value {
    eventually("its pictures come", || {
        let stats = server.stats_of(camera);
        (stats["frames"].as_u64()? >= least).then_some(stats)
    })
}

/// The command lines of the server's processes.
fn command_lines(server: &Server) -> Vec<String> {
    let read = |id| std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let lines = server.groups().into_iter().flat_map(processes::group).map(read);
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

/// Looks that nobody is told the secret.
fn keeps_the_secret(server: &Server) {
    let lines = command_lines(server);
    assert!(!lines.is_empty() && !lines.iter().any(|line| line.contains(SECRET)), "{lines:#?}");
    let stats = server.stats().to_string();
    assert!(!stats.contains(SECRET), "{stats}");
    assert!(!server.log().contains(SECRET), "{}", server.log());
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(!metrics.contains(SECRET));
}

fn has_pictures_and_sound(stats: &Value) {
    assert_eq!(stats["codec"], "h264", "{stats}");
    assert_eq!((&stats["width"], &stats["height"]), (&320.into(), &240.into()), "{stats}");
    assert_eq!(stats["sound"]["codec"], "aac", "{stats}");
}

#[test]
fn rtmp_is_read_with_its_sound_and_its_key_is_not_seen() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let port = free_port();
    let address = format!("rtmp://127.0.0.1:{port}/live/{SECRET}");
    let _sender = Running::start(&directory, &format!("{SENDER} -f flv -listen 1 {address}"));
    let server = Server::configured_with(
        &format!("[cameras.cam]\nsource = \"ffmpeg:rtmp://127.0.0.1:{port}/live/${{KEY}}\"\n"),
        &[("KEY", SECRET)],
    );
    has_pictures_and_sound(&pictures(&server, "cam", 30));
    keeps_the_secret(&server);
    server.stop();
}

#[test]
fn srt_is_read_with_its_sound_and_its_passphrase_is_not_seen() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let port = free_port();
    let options = format!("passphrase={SECRET}&pbkeylen=16");
    let sender = format!("{SENDER} -f mpegts srt://127.0.0.1:{port}?mode=listener&{options}");
    let _sender = Running::start(&directory, &sender);
    let server = Server::camera(&format!("ffmpeg:srt://127.0.0.1:{port}?mode=caller&{options}"));
    has_pictures_and_sound(&pictures(&server, "cam", 30));
    keeps_the_secret(&server);
    server.stop();
}

/// Serves the files of a folder by HTTP until the process ends.
fn serve(folder: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let folder = folder.clone();
            thread::spawn(move || {
                let mut request = [0; 4096];
                let read = socket.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split_whitespace().nth(1).unwrap_or_default();
                let name = path.trim_start_matches('/').split('?').next().unwrap_or_default();
                let (status, body) = match std::fs::read(folder.join(name)) {
                    Ok(body) => ("200 OK", body),
                    Err(_) => ("404 Not Found", Vec::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&body));
            });
        }
    });
    address
}

#[test]
fn hls_is_read_at_its_pace_and_its_token_is_not_seen() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let _sender = Running::start(
        &directory,
        &format!("{SENDER} -f hls -hls_time 1 -hls_list_size 4 -hls_flags delete_segments live.m3u8"),
    );
    let playlist = directory.path().join("live.m3u8");
    until("there is a playlist", || playlist.exists());
    let address = serve(directory.path().to_owned());
    let server = Server::camera(&format!("ffmpeg:http://user:{SECRET}@{address}/live.m3u8?token={SECRET}"));
    let stats = pictures(&server, "cam", 60);
    has_pictures_and_sound(&stats);
    keeps_the_secret(&server);
    server.stop();
}

#[test]
fn a_playlist_may_not_name_files_of_this_machine() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    film(&directory, "film.ts");
    let path = directory.path().join("film.ts");
    let playlist =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{}\n#EXT-X-ENDLIST\n", path.display());
    std::fs::write(directory.path().join("evil.m3u8"), playlist).unwrap();
    let address = serve(directory.path().to_owned());
    let server = Server::camera(&format!("ffmpeg:http://{address}/evil.m3u8"));
    server.cause("cam");
    assert_eq!(server.stats_of("cam")["frames"], 0);
    server.stop();
}

fn film(directory: &TempDir, name: &str) {
    crate::programs::run(directory, &format!("{SENDER} -t 2 -y {name}"));
}

#[test]
fn a_screen_is_watched() {
    if !installed(&["ffmpeg", "Xvfb"]) {
        return;
    }
    let directory = directory();
    let file = directory.path().join("display");
    let mut command = std::process::Command::new("sh");
    // It chooses a number that is free, and says which.
    command.args(["-c", "exec Xvfb -displayfd 1 -screen 0 320x240x24 -nolisten tcp >display"]);
    let _screen = Running::of(&directory, command);
    let number = eventually("the screen is there", || {
        let number = std::fs::read_to_string(&file).ok()?;
        number.ends_with('\n').then(|| number.trim().to_owned())
    });
    let server = Server::camera(&format!("ffmpeg:x11grab::{number}#input=-framerate 10"));
    let stats = pictures(&server, "cam", 5);
    assert_eq!(stats["codec"], "mjpeg", "{stats}");
    assert_eq!(server.get("/cameras/cam/snapshot").status, 200);
    server.stop();
}

#[test]
fn one_that_is_killed_or_hangs_is_started_again_and_none_is_left() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let server = Server::configured(
        "[cameras.cam]\nsource = \"ffmpeg:lavfi:testsrc2=size=160x120:rate=20#realtime=1\"\nsilence_timeout_seconds = 1.5\n",
    );
    pictures(&server, "cam", 5);
    for (signal, cause) in [(Signal::KILL, "was killed by signal 9"), (Signal::STOP, "no picture")] {
        let before = server.groups();
        processes::signal(before[0], signal);
        server.lost_for("cam", cause);
        server.until_state("cam", "ready");
        assert_ne!(server.groups(), before);
        until("the old one is gone", || processes::group(before[0]).is_empty());
    }
    server.stop();
}

#[test]
fn it_runs_on_demand_and_for_nobody_else() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let server = Server::configured(
        "[cameras.cam]\nsource = \"ffmpeg:lavfi:testsrc2=size=160x120:rate=20#realtime=1\"\non_demand = true\n",
    );
    server.until_state("cam", "idle");
    assert!(server.groups().is_empty());
    let mut viewer = server.watch("cam");
    viewer.next();
    assert_eq!(server.groups().len(), 1);
    drop(viewer);
    until("it is stopped", || server.groups().is_empty());
    server.stop();
}

#[test]
fn one_that_is_off_or_absent_is_said() {
    let server = Server::configured(
        "[ffmpeg]\npath = \"/no/such/program\"\n[cameras.cam]\nsource = \"ffmpeg:/a.mkv\"\n",
    );
    server.lost_for("cam", "`program` is not installed");
    server.stop();
    let server = Server::configured("[ffmpeg]\nenabled = false\n[cameras.cam]\nsource = \"ffmpeg:/a.mkv\"\n");
    server.lost_for("cam", "`enabled = false` stands in `[ffmpeg]`");
    server.stop();
}

#[test]
fn ffmpeg_makes_what_the_worker_would_make() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    film(&directory, "film.mkv");
    let film = directory.path().join("film.mkv");
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"ffmpeg:{}#loop\"\ntranscoder = \"ffmpeg\"\n[cameras.test]\nsource = \"pattern:?width=320&height=240&fps=20\"\ntranscoder = \"ffmpeg\"\n",
        film.display()
    ));
    pictures(&server, "cam", 20);
    let asked = std::time::Instant::now();
    let mut viewer = crate::client::Viewer::open(server.address(), "/cameras/cam/stream?width=160", "");
    let size = crate::client::size(&viewer.next().data);
    eprintln!("the first picture came after {:?}", asked.elapsed());
    assert_eq!(size.to_string(), "160x120");
    let by_ffmpeg = |line: &String| line.contains(" -f nut -i pipe:0 ");
    assert_eq!(command_lines(&server).iter().filter(|line| by_ffmpeg(line)).count(), 1);
    for _ in 0..20 {
        viewer.next();
    }
    assert_eq!(server.get("/cameras/cam/snapshot?width=160").status, 200);
    // It goes on after FFmpeg was killed, and so does its viewer.
    let of_groups = || server.groups().into_iter().flat_map(processes::group);
    let id = of_groups().find(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        by_ffmpeg(&String::from_utf8_lossy(&line).replace('\0', " "))
    });
    processes::signal(id.unwrap(), Signal::KILL);
    for _ in 0..30 {
        viewer.next();
    }
    // JPEGs become H.264 for players.
    let listens = server.stats()["rtsp"]["listens"].as_str().unwrap().to_owned();
    let address = format!("rtsp://{listens}/test?codec=h264&width=160");
    crate::programs::run(
        &directory,
        &format!("ffmpeg -v error -rtsp_transport tcp -i {address} -frames:v 20 -f null -"),
    );
    drop(viewer);
    until("FFmpeg is ended with the last viewer", || !command_lines(&server).iter().any(by_ffmpeg));
    server.stop();
}
