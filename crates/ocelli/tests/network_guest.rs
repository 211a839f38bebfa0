//! RTSP by UDP through a network of a real kernel that loses, delays and mixes up packets (netem): one server serves a film, another
//! has it for its camera. Boots Debian's kernel under plain emulation, as this machine's own may lack the module. About 60 s.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::process::Command;

mod guest;

const CHECKS: [&str; 9] =
    ["sender", "receiver", "whole", "loses", "shows", "reports", "recovers", "stays", "session"];
/// 2 Mbit/s: a picture has eight packets or so.
const FILM: &str = "-f lavfi -i testsrc2=size=320x240:rate=25,noise=alls=20:allf=t -t 4 \
                    -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -b:v 2M";

#[test]
fn a_network_that_loses_packets_costs_pictures_and_no_session() {
    let [ffmpeg, control] =
        [("ffmpeg", "ffmpeg"), ("tc", "iproute2")].map(|(name, package)| guest::installed(name, package));
    let directory = tempfile::tempdir().unwrap();
    let film = directory.path().join("film.h264");
    let made = Command::new(ffmpeg).args(["-v", "error"]).args(FILM.split_whitespace()).arg(&film).status();
    assert!(made.unwrap().success());
    let files = [film.to_str().unwrap(), &control];
    guest::run("sch_netem sch_tbf", "check-network.sh", &files, &CHECKS);
}
