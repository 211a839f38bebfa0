"""Starts and stops the servers that are compared, each with the same camera command, on loopback only.

Ocelli is built by the caller. GStreamer is taken from the system. Other servers are taken from the environment, by the
path of their program, and left out when it is not set: GO2RTC.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

START_DEADLINE = 15.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server: `pid` is measured, `url` is watched. Used with `with`."""

    name = ""
    pid = 0
    url = ""

    def __init__(self) -> None:
        self.port = free_port()
        self.processes: list[subprocess.Popen] = []

    def start(self, camera: str) -> None:
        raise NotImplementedError

    def spawn(self, command: list[str], **options) -> subprocess.Popen:
        log = subprocess.DEVNULL if not os.environ.get("BENCH_LOG") else None
        options = {"stdout": log, "stderr": log, "start_new_session": True} | options
        process = subprocess.Popen(command, **options)
        self.processes.append(process)
        return process

    def wait_for_port(self) -> None:
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline:
            if any(process.poll() is not None for process in self.processes):
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} did not start on port {self.port}")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Ocelli(Server):
    name = "ocelli"

    def start(self, camera: str) -> None:
        source = camera if camera.startswith(("pattern:", "http:")) else f"exec:{camera}"
        command = [os.environ["OCELLI_BIN"], "serve", "--camera", f"cam={source}", "--address", "127.0.0.1"]
        command += ["--port", str(self.port), "--max-clients", "5000"]
        self.pid = self.spawn(command).pid
        self.url = f"http://127.0.0.1:{self.port}/stream"
        self.wait_for_port()


class GStreamer(Server):
    name = "gstreamer"

    def start(self, camera: str) -> None:
        source = self.spawn(camera.split(), stdout=subprocess.PIPE)
        pipeline = f"fdsrc fd=0 ! jpegparse ! multipartmux boundary=frame ! tcpserversink host=127.0.0.1 port={self.port}"
        self.pid = self.spawn(["gst-launch-1.0", "-q", *pipeline.split()], stdin=source.stdout).pid
        self.url = f"tcp://127.0.0.1:{self.port}"
        self.wait_for_port()


class Go2rtc(Server):
    name = "go2rtc"

    def start(self, camera: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        config = Path(self.folder.name) / "go2rtc.yaml"
        config.write_text(
            "app: {modules: [api, exec, http, mjpeg]}\n"
            f"api: {{listen: '127.0.0.1:{self.port}'}}\n"
            "rtsp: {listen: ''}\n"
            f"streams:\n  cam: \"{camera if camera.startswith('http:') else 'exec:' + camera}\"\n"
        )
        self.pid = self.spawn([os.environ["GO2RTC"], "-config", str(config)]).pid
        self.url = f"http://127.0.0.1:{self.port}/api/stream.mjpeg?src=cam"
        self.wait_for_port()

    def __exit__(self, *exit_) -> None:
        super().__exit__(*exit_)
        self.folder.cleanup()


def available() -> tuple[list[type[Server]], list[str]]:
    """The servers that can be started here, and a line for each that cannot."""
    found: list[type[Server]] = []
    missing = []
    checks = [
        (Ocelli, os.environ.get("OCELLI_BIN"), "OCELLI_BIN is not set"),
        (GStreamer, shutil.which("gst-launch-1.0"), "gst-launch-1.0 is not installed"),
        (Go2rtc, os.environ.get("GO2RTC"), "GO2RTC does not name its program"),
    ]
    for server, program, why_not in checks:
        if program and os.access(program, os.X_OK):
            found.append(server)
        else:
            missing.append(f"{server.name} left out: {why_not}")
    return found, missing
