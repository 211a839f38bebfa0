//! Readers that watch by multicast, in a network of their own in which nothing can leave the machine.

use std::process::Command;
use std::time::{Duration, Instant};

use super::film;
use super::player::Player;
use crate::processes::{SOON, until};
use crate::programs::{Running, directory, installed};
use crate::server::Server;

/// Two players at once, the numbers meanwhile and behind them, and another's player. `$1` is the server. GStreamer leaves a
/// group with a farewell, which FFmpeg takes for the sender's: so each has the group for itself.
const SCRIPT: &str = r#"
set -e
ip link set lo up multicast on
ip route add 239.0.0.0/8 dev lo src 127.0.0.1
"$1" --config multicast.toml >server.out 2>server.err &
server=$!
trap 'kill $server' EXIT
stats() { curl -sf http://127.0.0.1:8080/stats; }
wait_for() { tries=0; until stats | grep -q "$1"; do tries=$((tries + 1)); [ $tries -lt 200 ]; sleep 0.1; done; }
wait_for '"name":"cam".*"state":"ready"'
url=rtsp://127.0.0.1:8554/cam
ffmpeg -v error -rtsp_transport udp_multicast -i $url -t 60 -f null - 2>/dev/null &
first=$!
ffmpeg -v error -rtsp_transport udp_multicast -i $url -t 60 -f null - 2>/dev/null &
second=$!
wait_for '"kind":"rtsp-multicast".*"kind":"rtsp-multicast"'
wait_for '"reports":[1-9].*"reports":[1-9]'
cat /proc/net/snmp >before.snmp
stats >during.json
sleep 2
stats >later.json
cat /proc/net/snmp >after.snmp
kill $first $second || true
wait $first $second || true
wait_for '"viewers":\[\]'
cat /proc/net/snmp >quiet.snmp
sleep 1
cat /proc/net/snmp >quiet_later.snmp
timeout 15 gst-launch-1.0 -q rtspsrc location=$url protocols=udp-mcast latency=0 ! rtph264depay ! avdec_h264 ! identity eos-after=40 ! fakesink
"#;

/// Datagrams that left by UDP, as `/proc/net/snmp` has them.
fn sent(snmp: &str) -> u64 {
    let line = snmp.lines().filter(|line| line.starts_with("Udp:")).nth(1).unwrap();
    line.split_whitespace().nth(4).unwrap().parse().unwrap()
}

#[test]
fn a_group_is_sent_to_once_for_ffmpeg_and_gstreamer_and_ends_with_the_last() {
    if !installed(&["ffmpeg", "gst-launch-1.0", "unshare", "ip", "curl"])
        || !rustix::process::geteuid().is_root()
    {
        return;
    }
    let directory = directory();
    let film = film(&directory, "libx264", 25);
    let configuration = format!(
        "[rtsp_server]\nmulticast = \"239.255.42.0/24\"\nmulticast_interface = \"lo\"\n[cameras]\ncam = \"file:{film}?loop=1\"\n"
    );
    std::fs::write(directory.path().join("multicast.toml"), configuration).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_ocelli")]);
    let mut players = Running::of(&directory, command);
    let deadline = Instant::now() + 4 * SOON;
    while !players.has_ended() {
        assert!(Instant::now() < deadline, "the players do not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let packets = |name: &str| {
        let stats: serde_json::Value = serde_json::from_str(&read(name)).unwrap();
        let viewers = stats["viewers"].as_array().unwrap().clone();
        assert_eq!(viewers.len(), 2, "{stats}");
        viewers.iter().map(|viewer| viewer["rtsp"]["tracks"][0]["packets"].as_u64().unwrap()).max().unwrap()
    };
    let to_each = packets("later.json") - packets("during.json");
    let left = sent(&read("after.snmp")) - sent(&read("before.snmp"));
    assert!(to_each > 100, "{to_each}");
    // Both together are sent what one is, and reports.
    assert!(left < to_each * 3 / 2, "{left} datagrams for {to_each} packets");
    assert!(sent(&read("quiet_later.snmp")) - sent(&read("quiet.snmp")) < 5);
}

#[test]
fn a_group_that_cannot_be_sent_to_is_told_by_its_cause() {
    let server = Server::configured(
        "[rtsp_server]\nmulticast = \"239.255.42.0/24\"\nmulticast_interface = \"nosuch0\"\n[listen]\nrtsp = \"127.0.0.1:0\"\n\
         [cameras]\ncam = \"pattern:?width=160&height=120&fps=10\"\n",
    );
    server.until_state("cam", "ready");
    let mut player = Player::connect(server.rtsp());
    assert_eq!(player.ask("DESCRIBE", "cam", "").status, 200);
    assert_eq!(player.ask("SETUP", "cam/trackID=0", "Transport: RTP/AVP;multicast\r\n").status, 200);
    assert_eq!(player.ask("PLAY", "cam", "").status, 200);
    assert!(player.closes_within(SOON));
    until("its cause is told", || server.log().contains("its packets could not be sent"));
    assert_eq!(server.stats()["rtsp"]["sessions_ended"]["broke"], 1);
    server.stop();
}
