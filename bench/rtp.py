"""The rows about RTP: what a sender of pictures costs, what a receiver costs, each beside the kernel's own price.

`ocelli-load rtp watch` stands where a sender's targets are and runs the sender; `ocelli-load rtp feed` sends to a receiver.
All senders play the same clip, whose Huffman tables are the standard ones, the only ones that FFmpeg and GStreamer
can send; all send IP packets of 1400 bytes at most.
"""

import functools
import json
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import clips
from servers import Server, free_port

LOAD = os.path.abspath(os.environ.get("OCELLI_LOAD", "target/release/ocelli-load"))
MTU = 1400
# Some programs count from the RTP header on.
PACKET = MTU - 28
MOST_TARGETS = 8
FLOOR = "floor"


class Setting:
    """Who sends what to how many: `camera` is a command that writes JPEGs to stdout, in place of the clip."""

    def __init__(self, clip: Path, rate: int, targets: int = 1, cameras: int = 1, camera: str = "") -> None:
        self.clip, self.rate, self.targets, self.cameras, self.camera = clip, rate, targets, cameras, camera
        self.port = free_ports(max(targets, cameras))

    def ports(self, camera: int) -> range:
        """Of the targets of a camera."""
        first = self.port + 2 * camera
        return range(first, first + 2 * self.targets, 2)

    def all_targets(self) -> int:
        return max(self.targets, self.cameras)


class Sender:
    """A program that sends: `command` is what starts it, files it needs go into `folder`."""

    name = ""

    def command(self, setting: Setting, folder: Path) -> list[str] | None:
        """None for what it cannot do."""
        raise NotImplementedError


class FloorSender(Sender):
    """By one way the kernel offers, from memory or with the reading of the file."""

    def __init__(self, name: str, *options: str) -> None:
        self.name, self.options = name, options

    def command(self, setting: Setting, folder: Path) -> list[str] | None:
        if setting.cameras > 1 or setting.camera:
            return None
        command = [LOAD, "rtp", "send", "--to", f"127.0.0.1:{setting.port}", "--targets", str(setting.targets)]
        command += ["--file", str(setting.clip), "--frames-per-second", str(setting.rate), "--mtu", str(MTU)]
        return command + list(self.options)


class OcelliSender(Sender):
    name = "ocelli"

    def command(self, setting: Setting, folder: Path) -> list[str]:
        source = f"exec:{setting.camera}" if setting.camera else f"file:{setting.clip}?fps={setting.rate}&loop=1"
        text = f"[listen]\nhttp = \"127.0.0.1:{free_port()}\"\n"
        for camera in range(setting.cameras):
            push = json.dumps([f"rtp://127.0.0.1:{port}?mtu={MTU}" for port in setting.ports(camera)])
            text += f"[cameras.cam{camera}]\nsource = {json.dumps(source)}\npush = {push}\n"
        config = folder / "ocelli.toml"
        config.write_text(text)
        return [os.environ["OCELLI_BIN"], "serve", "--config", str(config)]


class FFmpegSender(Sender):
    name = "ffmpeg"

    def command(self, setting: Setting, folder: Path) -> list[str]:
        command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
        looped = ["-re", "-stream_loop", "-1", "-framerate", str(setting.rate), "-f", "mjpeg", "-i", str(setting.clip)]
        # Without these FFmpeg looks at five seconds of the pipe before it sends.
        piped = ["-probesize", "32", "-analyzeduration", "0", "-fflags", "nobuffer", "-use_wallclock_as_timestamps", "1"]
        piped += ["-framerate", str(setting.rate), "-f", "mjpeg", "-i", "/dev/stdin"]
        for _ in range(setting.cameras):
            command += piped if setting.camera else looped
        for camera in range(setting.cameras):
            to = [f"rtp://127.0.0.1:{port}?pkt_size={PACKET}" for port in setting.ports(camera)]
            command += ["-map", f"{camera}:v", "-c", "copy"]
            command += ["-f", "rtp", *to] if len(to) == 1 else ["-f", "tee", "|".join(f"[f=rtp]{one}" for one in to)]
        return from_pipe(setting.camera, command)


class GStreamerSender(Sender):
    name = "gstreamer"

    def command(self, setting: Setting, folder: Path) -> list[str]:
        command = ["gst-launch-1.0", "-q"]
        for camera in range(setting.cameras):
            if setting.camera:
                source = f"fdsrc fd=0 do-timestamp=true ! image/jpeg,framerate={setting.rate}/1"
            else:
                pattern = clips.single_pictures(setting.clip)
                # multifilesrc gives pictures no time that a sink could wait for: they get one by their bytes.
                by_bytes = f"identity single-segment=true datarate={setting.rate * clips.mean_bytes(setting.clip)}"
                source = f"multifilesrc location={pattern} loop=true caps=image/jpeg,framerate={setting.rate}/1 ! {by_bytes}"
            clients = ",".join(f"127.0.0.1:{port}" for port in setting.ports(camera))
            sync = "false" if setting.camera else "true"
            command += f"{source} ! jpegparse ! rtpjpegpay mtu={PACKET} ! multiudpsink clients={clients} sync={sync}".split()
        return from_pipe(setting.camera, command)


class FloorReceiver(Server):
    """Takes every byte by one way the kernel offers."""

    way = ""

    def start(self, camera: str) -> None:
        self.pid = self.spawn([LOAD, "rtp", "receive", "--port", str(self.port), "--way", self.way]).pid


class JoinedFloorReceiver(FloorReceiver):
    name, way = FLOOR, "segments"


class BatchFloorReceiver(FloorReceiver):
    name, way = "floor, recvmmsg", "batch"


class OcelliReceiver(Server):
    name = "ocelli"

    def start(self, camera: str) -> None:
        self.http = free_port()
        command = [os.environ["OCELLI_BIN"], "serve", "--camera", f"cam=rtp://127.0.0.1:{self.port}?codec=jpeg"]
        self.pid = self.spawn([*command, "--address", "127.0.0.1", "--port", str(self.http)]).pid

    def pictures(self) -> int:
        """Whole ones, so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/stats", timeout=5) as answer:
            return json.load(answer)["cameras"][0]["frames"]


class GStreamerReceiver(Server):
    name = "gstreamer"

    def start(self, camera: str) -> None:
        caps = "application/x-rtp,media=video,encoding-name=JPEG,payload=26,clock-rate=90000"
        pipeline = f"udpsrc address=127.0.0.1 port={self.port} buffer-size=4194304 caps={caps} ! rtpjpegdepay ! fakesink sync=false"
        self.pid = self.spawn(["gst-launch-1.0", "-q", *pipeline.split()]).pid


class FFmpegReceiver(Server):
    name = "ffmpeg"

    def start(self, camera: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        sdp = Path(self.folder.name) / "stream.sdp"
        sdp.write_text(f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {self.port} RTP/AVP 26\n")
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-protocol_whitelist", "file,udp,rtp", "-buffer_size", "4194304"]
        command += ["-i", str(sdp), "-c", "copy", "-f", "null", "-"]
        self.pid = self.spawn(command).pid

    def __exit__(self, *exit_) -> None:
        super().__exit__(*exit_)
        self.folder.cleanup()


GSO = FloorSender(FLOOR)
SENDERS = [
    GSO,
    FloorSender("floor, and reading", "--read"),
    FloorSender("floor, sendmmsg", "--way", "batch"),
    FloorSender("floor, sendto", "--way", "single"),
    OcelliSender(),
    FFmpegSender(),
    GStreamerSender(),
]
RECEIVERS = [JoinedFloorReceiver, BatchFloorReceiver, OcelliReceiver, FFmpegReceiver, GStreamerReceiver]
ROWS = ["rtp-1", "rtp-fast", "rtp-joined", "rtp-8", "rtp-optimised", "rtp-latency", "rtp-memory", "rtp-receive", "rtp-receive-single"]


class RtpBench:
    """One function for each row and program; None where the row means nothing for it."""

    def __init__(self, seconds: float, warmup: float) -> None:
        self.times = ["--seconds", seconds, "--warmup", warmup]

    @functools.cached_property
    def clip(self) -> Path:
        return clips.rtp_clip()

    @functools.cached_property
    def optimised(self) -> Path:
        return clips.rtp_clip("optimal")

    def takers(self, row: str, only: list[str] | None) -> list[tuple]:
        """Each program's name and what measures it."""
        wanted = [one for one in self.contestants(row) if not only or one.name in only or one.name.startswith(FLOOR)]
        return [(one.name, lambda one=one: self.take(row, one)) for one in wanted]

    def contestants(self, row: str) -> list:
        if row.startswith("rtp-receive"):
            return RECEIVERS
        if row in ("rtp-8", "rtp-joined"):
            return [sender for sender in SENDERS if not sender.name.startswith("floor, ")]
        if row == "rtp-optimised":  # which the others cannot send
            return [GSO, OcelliSender()]
        if row in ("rtp-latency", "rtp-memory"):
            return [sender for sender in SENDERS if not isinstance(sender, FloorSender)]
        return SENDERS

    def take(self, row: str, contestant) -> dict:
        match row:
            case "rtp-1":
                return self.watch(contestant, Setting(self.clip, 30))
            case "rtp-fast":
                return self.watch(contestant, Setting(self.clip, 300))
            case "rtp-joined":
                return self.watch(contestant, Setting(self.clip, 300), "--joined")
            case "rtp-optimised":
                return self.watch(contestant, Setting(self.optimised, 30))
            case "rtp-8":
                of = lambda targets: self.watch(contestant, Setting(self.clip, 100, targets))
                return {"one": of(1), "eight": of(MOST_TARGETS)}
            case "rtp-latency":
                return self.latency(contestant)
            case "rtp-memory":
                camera = f"{LOAD} camera --clip {self.clip}"
                piped = isinstance(contestant, OcelliSender)  # the others have one standard input
                return self.watch(contestant, Setting(self.clip, 30, cameras=2, camera=camera if piped else ""))
            case "rtp-receive":
                return self.feed(contestant, "segments")
            case "rtp-receive-single":
                return self.feed(contestant, "single")
        raise ValueError(row)

    def watch(self, sender: Sender, setting: Setting, *options: object) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            command = sender.command(setting, Path(folder))
            if command is None:
                raise RuntimeError(f"{sender.name} has no part in this")
            arguments = ["--port", setting.port, "--targets", setting.all_targets(), *options]
            return load("watch", *arguments, *self.times, "--", *command)

    def latency(self, sender: Sender) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "camera.log"
            camera = f"{LOAD} camera --fps {clips.FRAMES_PER_SECOND} --clip {self.clip} --log {log}"
            return self.watch(sender, Setting(self.clip, clips.FRAMES_PER_SECOND, camera=camera), "--camera-log", log)

    def feed(self, receiver: type[Server], way: str) -> dict:
        with receiver() as running:
            running.port = free_ports(1)
            running.start("")
            arguments = ["--to", f"127.0.0.1:{running.port}", "--file", self.clip, "--mtu", MTU, "--way", way]
            report = load("feed", *arguments, *self.times, "--pid", running.pid)
            if isinstance(running, OcelliReceiver):
                # All since it began, the warming up included: what it must have seen at least.
                report["received"] = running.pictures()
            return report


def load(*arguments: object) -> dict:
    """Runs ocelli-load rtp."""
    quiet = [] if os.environ.get("BENCH_LOG") else ["--quiet"]
    command = [LOAD, "rtp", arguments[0], "--json", *quiet, *map(str, arguments[1:])]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)} failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def from_pipe(camera: str, command: list[str]) -> list[str]:
    """The command with a camera's pictures on its standard input, as the same process."""
    return ["bash", "-c", f"exec {shlex.join(command)} < <(exec {camera})"] if camera else command


def free_ports(targets: int) -> int:
    """An even port from which on there is a free pair for each target."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        first = free_port() & ~1
        held = []
        try:
            for port in range(first, first + 2 * targets):
                held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                held[-1].bind(("127.0.0.1", port))
            return first
        except (OSError, OverflowError):
            continue
        finally:
            for one in held:
                one.close()
    raise RuntimeError("no free row of ports")


def missing() -> list[str]:
    """A line for each program that is not here."""
    return [f"{name} left out: not installed" for name in ("ffmpeg", "gst-launch-1.0") if not shutil.which(name)]
