"""The measurements: each function takes one row for one server, once. Figures are what `ocelli-load` reports."""

import functools
import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import clips
from servers import Ocelli, Server

LOAD = os.environ.get("OCELLI_LOAD", "target/release/ocelli-load")
FLOOR = "floor"
PATTERN = "pattern:?width=1280&height=720&fps=30"
GLASS_SECONDS = 20


def load(*arguments: object) -> dict:
    """Runs ocelli-load; viewers' own lines are dropped."""
    command = [LOAD, *map(str, arguments), "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed")
    report = json.loads(done.stdout)
    del report["per_viewer"]
    return report


def watched(server: Server, *arguments: object) -> dict:
    return load("--url", server.url, "--pid", server.pid, *arguments)


class Bench:
    """What all rows share: the clips, and how long to measure."""

    def __init__(self, seconds: float, warmup: float, floor_options: list[str]) -> None:
        self.times = ["--seconds", seconds, "--warmup", warmup]
        self.floor_options = floor_options

    @functools.cached_property
    def large(self) -> Path:
        return clips.clip("1920x1080", 140_000)

    @functools.cached_property
    def small(self) -> Path:
        return clips.clip("640x480", 24_000)

    def cpu(self, server: type[Server] | str, viewers: int, clip) -> dict:
        """CPU of the server and what its viewers got."""
        if server == FLOOR:
            return load("floor", "--viewers", viewers, "--file", clip, *self.floor_options, *self.times)
        with server() as running:
            running.start(clips.ffmpeg_camera(clip))
            return watched(running, "--viewers", viewers, *self.times)

    def latency(self, server: type[Server] | str, viewers: int) -> dict:
        """Last byte out of the camera to last byte in at the viewer, by the camera's own stamps."""
        if server == FLOOR:
            return self.cpu(FLOOR, viewers, self.large)
        with server() as running:
            running.start(self.camera())
            return watched(running, "--viewers", viewers, *self.times)

    def memory(self, server: type[Server]) -> dict:
        """Resident megabytes: idle, 100 viewers, each further of 100 more, 50 that never read on top of 10 that do."""
        with server() as running:
            running.start(clips.ffmpeg_camera(self.large))
            time.sleep(3)
            idle = resident_mb(running.pid)
            hundred = watched(running, "--viewers", 100, *self.times)
            two_hundred = watched(running, "--viewers", 200, *self.times)
        with server() as running:
            running.start(clips.ffmpeg_camera(self.large))
            ten = watched(running, "--viewers", 10, *self.times)
            stalled = watched(running, "--viewers", 10, "--stalled-viewers", 50, *self.times)
        peak = lambda report: report["server"]["rss_peak_kb"] / 1024
        return {
            "idle_mb": idle,
            "hundred_mb": peak(hundred),
            "each_further_kb": (peak(two_hundred) - peak(hundred)) * 1024 / 100,
            "stalled_mb": peak(stalled) - peak(ten),
        }

    def slow(self, server: type[Server]) -> dict:
        """A viewer that reads at half the stream's rate, beside one that reads it all."""
        rate = clips.mean_bytes(self.large) * clips.FRAMES_PER_SECOND // 2
        with server() as running:
            running.start(self.camera())
            return watched(running, "--viewers", 1, "--slow-viewers", 1, "--slow-rate", rate, *self.times)

    def glass(self, server: type[Server]) -> dict:
        """Chromium's <img> at 720p30. The picture comes through another Ocelli, so that every server has the same."""
        with Ocelli() as camera, server() as running:
            camera.start(PATTERN)
            running.start(camera.url)
            return glass_to_glass(running)

    def glass_alone(self) -> dict:
        """The same with nothing between the pattern and the server that shows it."""
        with Ocelli() as running:
            running.start(PATTERN)
            return glass_to_glass(running)

    def first_picture(self, server: type[Server]) -> float:
        """Milliseconds from starting the program to the first whole picture of the built-in pattern."""
        start = time.monotonic()
        with server() as running:
            running.wait_for_port = lambda: None
            running.start("pattern:")
            url = running.url.replace("/stream", "/snapshot")
            while time.monotonic() - start < 10:
                try:
                    with urllib.request.urlopen(url, timeout=5) as answer:
                        if answer.read().endswith(b"\xff\xd9"):
                            return (time.monotonic() - start) * 1000
                except OSError:
                    time.sleep(0.002)
        raise RuntimeError("no picture within 10 s")

    def camera(self) -> str:
        return f"{os.path.abspath(LOAD)} camera --fps {clips.FRAMES_PER_SECOND} --clip {self.large}"


def glass_to_glass(server: Server) -> dict:
    origin, path = server.url[:-len(path_of(server.url))], path_of(server.url)
    command = ["node", "bench/glass.mjs", origin, path, str(GLASS_SECONDS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError("the browser did not measure")
    return json.loads(done.stdout)


def path_of(url: str) -> str:
    return url[url.index("/", len("http://")):]


def resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
