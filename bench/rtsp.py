"""The rows about RTSP: what a server costs for many readers of one camera, how much later it makes pictures, how soon it shows one.

All servers pull the same camera, `ocelli-load rtsp camera`, over TCP; the floor is that camera itself with the readers at it:
one write a picture and reader, or one send that the kernel cuts.
"""

import functools
import json
import os
import random
import shlex
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import clips
from rows import resident_mb
from servers import START_DEADLINE, Server, free_port

LOAD = os.path.abspath(os.environ.get("OCELLI_LOAD", "target/release/ocelli-load"))
FLOOR = "floor"
# The readers look at their sockets this often and wait at none: no server pays for waking them.
EVERY_MS = 5
STARTS = 7
KEY_SECONDS = 2
LATE_KEY_SECONDS = 4
CHURNING = 200
LONGEST_STAY_SECONDS = 20
# How long a server has to forget readers that are gone.
SETTLED_SECONDS = 30
MANY = {"tcp": ["ocelli", "go2rtc", "mediamtx"], "udp": ["ocelli", "mediamtx"]}
ROWS = [
    "rtsp-tcp-100", "rtsp-tcp-1000", "rtsp-udp-100", "rtsp-udp-1000", "rtsp-latency-tcp", "rtsp-latency-udp", "rtsp-pull",
    "rtsp-first", "rtsp-churn",
]


class RtspServer(Server):
    """A server of one camera, which it pulls from `camera` all the time; `url` is what readers play."""

    program = ""

    def start(self, camera: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.http = free_port()
        config = Path(self.folder.name) / "config"
        self.pid = self.spawn([os.environ[self.program], *self.configure(config, camera)]).pid
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"
        self.wait_for_port()
        self.wait_for_stream()

    def configure(self, config: Path, camera: str) -> list[str]:
        """Writes the file, returns the arguments."""
        raise NotImplementedError

    def wait_for_stream(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        request = f"DESCRIBE {self.url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode()
        while time.monotonic() < deadline:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                probe.sendall(request)
                try:
                    if b" 200 " in probe.recv(64):
                        return
                except TimeoutError:
                    pass
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} does not describe {self.url}")

    def __exit__(self, *exit_) -> None:
        super().__exit__(*exit_)
        if hasattr(self, "folder"):
            self.folder.cleanup()


class OcelliRtsp(RtspServer):
    name, program = "ocelli", "OCELLI_BIN"

    def configure(self, config: Path, camera: str) -> list[str]:
        config.write_text(
            f"[listen]\nhttp = \"127.0.0.1:{self.http}\"\nrtsp = \"127.0.0.1:{self.port}\"\n"
            "[limits]\nviewers = 5000\nconnections = 5000\n"
            "[rtsp_server]\nconnections = 5000\nhalf_open_per_address = 5000\n"
            f"[cameras.cam]\nsource = \"{camera}\"\ntransport = \"tcp\"\n"
        )
        return ["serve", "--config", str(config)]


class Go2rtcRtsp(RtspServer):
    name, program = "go2rtc", "GO2RTC"

    def configure(self, config: Path, camera: str) -> list[str]:
        config = config.with_suffix(".yaml")
        config.write_text(
            "app: {modules: [api, rtsp, streams]}\n"
            f"api: {{listen: '127.0.0.1:{self.http}'}}\n"
            f"rtsp: {{listen: '127.0.0.1:{self.port}'}}\n"
            f"streams: {{cam: '{camera}#transport=tcp'}}\n"
            "preload: {cam: video}\n"
        )
        return ["-config", str(config)]


class MediaMtxRtsp(RtspServer):
    name, program = "mediamtx", "MEDIAMTX"

    def configure(self, config: Path, camera: str) -> list[str]:
        config = config.with_suffix(".yml")
        off = "".join(f"{part}: no\n" for part in ("api", "metrics", "pprof", "playback", "rtmp", "hls", "webrtc", "srt"))
        rtp = free_ports()
        config.write_text(
            f"logLevel: warn\n{off}rtsp: yes\nrtspTransports: [tcp, udp]\nrtspAddress: 127.0.0.1:{self.port}\n"
            f"rtpAddress: 127.0.0.1:{rtp}\nrtcpAddress: 127.0.0.1:{rtp + 1}\n"
            f"paths:\n  cam:\n    source: {camera}\n    rtspTransport: tcp\n"
        )
        return [str(config)]


SERVERS = [OcelliRtsp, Go2rtcRtsp, MediaMtxRtsp]


class Camera:
    """`ocelli-load rtsp camera` as a process; used with `with`."""

    def __init__(self, clip: Path, *options: str) -> None:
        self.command = [LOAD, "rtsp", "camera", "--file", str(clip), *options]

    def __enter__(self) -> str:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        return f"rtsp://127.0.0.1:{int(self.process.stdout.readline())}/cam"

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait()


class RtspBench:
    """One function for each row and server."""

    def __init__(self, seconds: float, warmup: float, churn_seconds: float) -> None:
        self.times = ["--seconds", seconds, "--warmup", warmup]
        self.churn_seconds = churn_seconds

    @functools.cached_property
    def clip(self) -> Path:
        return clips.h264_clip(KEY_SECONDS)

    @functools.cached_property
    def late_clip(self) -> Path:
        return clips.h264_clip(LATE_KEY_SECONDS)

    def takers(self, row: str, only: list[str] | None) -> list[tuple]:
        """Each server's name and what measures it."""
        servers = [server for server in SERVERS if os.access(os.environ.get(server.program, ""), os.X_OK)]
        if row.startswith(("rtsp-udp", "rtsp-latency-udp")):
            servers = [server for server in servers if server.name in MANY["udp"]]
        wanted = [server for server in servers if not only or server.name in only]
        floor = [] if row == "rtsp-churn" else [(FLOOR, lambda: self.floor(row))]
        return [*floor, *((server.name, lambda server=server: self.take(row, server)) for server in wanted)]

    def readers(self, row: str) -> list[object]:
        if row == "rtsp-pull":
            return ["--readers", 0]
        _, kind, rest = row.split("-")
        if kind == "latency":
            return ["--transport", rest, "--readers", 100]
        return ["--transport", kind, "--readers", int(rest), "--every", EVERY_MS]

    def floor(self, row: str) -> dict:
        if row == "rtsp-pull":  # who reads the camera and throws it away
            with Camera(self.clip) as camera:
                report = load("readers", "--url", camera, "--readers", 1, *self.times)
            report["server"] = {"cpu_percent": report["own_cpu_percent"], "rss_peak_kb": 0}
            return report
        if row == "rtsp-first":  # FFmpeg's own start, with the same pictures from a file
            return starts(["-i", str(self.late_clip)], lambda: None)
        return load("floor", "--file", self.clip, *self.readers(row), *self.times)

    def take(self, row: str, server: type[RtspServer]) -> dict:
        if row == "rtsp-first":
            return self.first(server)
        if row == "rtsp-churn":
            return self.churn(server)
        with Camera(self.clip) as camera, server() as running:
            running.start(camera)
            # Servers that hold pictures back hold a whole group of them by then.
            time.sleep(KEY_SECONDS)
            return load("readers", "--url", running.url, "--pid", running.pid, *self.readers(row), *self.times)

    def first(self, server: type[RtspServer]) -> dict:
        """From FFmpeg's start to the first picture that it has decoded, at moments between two keyframes."""
        with Camera(self.late_clip, "--unmarked") as camera, server() as running:
            running.start(camera)
            time.sleep(LATE_KEY_SECONDS)
            arguments = ["-rtsp_transport", "tcp", "-i", running.url]
            return starts(arguments, lambda: time.sleep(random.uniform(0, LATE_KEY_SECONDS)))

    def churn(self, server: type[RtspServer]) -> dict:
        """Readers that come and go at random, leave politely or not; what is left of them when they are gone."""
        transport = "mixed" if server.name in MANY["udp"] else "tcp"
        with Camera(self.clip) as camera, server() as running:
            running.start(camera)
            time.sleep(KEY_SECONDS)
            before = resources(running.pid)
            arguments = ["--readers", CHURNING, "--transport", transport, "--longest-stay", LONGEST_STAY_SECONDS]
            times = ["--seconds", self.churn_seconds, "--warmup", 0]
            report = load("readers", "--url", running.url, "--pid", running.pid, *arguments, *times)
            deadline = time.monotonic() + SETTLED_SECONDS
            while (after := resources(running.pid))["descriptors"] > before["descriptors"] and time.monotonic() < deadline:
                time.sleep(1)
        return report | {"before": before, "after": after}


def resources(pid: int) -> dict:
    """Open files and resident memory of a process."""
    return {"descriptors": len(os.listdir(f"/proc/{pid}/fd")), "mb": resident_mb(pid)}


def starts(arguments: list[str], pause) -> dict:
    """Milliseconds until FFmpeg has given out a picture: as it is, and without the twenty pictures from which it guesses a rate."""
    times = {"plain_ms": [], "unprobed_ms": []}
    for _ in range(STARTS):
        for name, options in (("plain_ms", []), ("unprobed_ms", ["-fpsprobesize", "0"])):
            pause()
            times[name].append(first_picture_ms([*options, *arguments]))
    return times


def first_picture_ms(arguments: list[str]) -> float:
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", *arguments]
    command += ["-frames:v", "1", "-vf", "scale=64:36", "-pix_fmt", "gray", "-f", "rawvideo", "-"]
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if not process.stdout.read(1):
            raise RuntimeError("FFmpeg decoded nothing")
        return (time.monotonic() - begin) * 1000
    finally:
        process.kill()
        process.wait()


def load(*arguments: object) -> dict:
    """Runs ocelli-load rtsp."""
    command = [LOAD, "rtsp", arguments[0], "--json", "--quiet", *map(str, arguments[1:])]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)} failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def free_ports() -> int:
    """An even UDP port that is free, with the one above it."""
    for _ in range(1000):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            one.bind(("127.0.0.1", 0))
            first = one.getsockname()[1]
            if first % 2 == 0:
                try:
                    other.bind(("127.0.0.1", first + 1))
                    return first
                except OSError:
                    pass
    raise RuntimeError("no two free neighbouring ports")


def missing() -> list[str]:
    """A line for each server that is not here."""
    checks = [(server.name, server.program) for server in SERVERS]
    return [
        f"RTSP of {name} left out: {variable} does not name its program"
        for name, variable in checks
        if not os.access(os.environ.get(variable, ""), os.X_OK)
    ]
