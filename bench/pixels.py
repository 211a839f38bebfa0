"""The rows about pixels: what it costs to make other pictures of a camera's, how soon they are there, and how many can watch.

The floor is `codecs.c`, the codec libraries alone in one thread; the other peer is an `ffmpeg` process that does the same
with the same clip; all of them are given as many pictures a second as a camera gives. CPU is that of the server and its
worker together, for each picture that came to a viewer.
"""

import json
import os
import resource
import shlex
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import clips
from rows import LOAD, resident_mb
from servers import Server, free_port

FLOOR = "floor"
WORKER = "ocelli-codec"
QUALITY = 85
VARIANTS = [1920, 1280, 960, 640, 320]
KBPS = 3000
# What the worker's own encoder is told, so that the same is compared.
PRESET = "superfast"
FLOOR_PICTURES = 300
# With those of its start no more than the clip of H.264 has, which FFmpeg cannot play twice.
FFMPEG_PICTURES = 200
# Pictures that pay for a program's start, which is taken off.
FFMPEG_START_PICTURES = 30
STARTS = 5
STILL_CLIENTS = 50
STILLS = 1000
# How long the worker may stay when nobody watches any more, and a little.
IDLE_SECONDS = 20
WORK = {
    "pixels-jpeg-small": "JPEG 1080p30 → JPEG 640 wide",
    "pixels-h264-jpeg": "H.264 1080p30 → JPEG 1080p",
    "pixels-h264-five": "H.264 1080p30 → JPEG, five sizes",
    "pixels-jpeg-h264": "JPEG 720p30 → H.264",
}
COUNTS = {"pixels-viewers-1": 1, "pixels-viewers-10": 10, "pixels-viewers-100": 100}
ROWS = [*WORK, *COUNTS, "pixels-idle", "pixels-first", "pixels-still"]


class PixelServer(Server):
    """Ocelli with one camera, which plays a clip over and over."""

    name = "ocelli"

    def start(self, clip: Path, on_demand: bool = False) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.rtsp_port = free_port()
        config = Path(self.folder.name) / "config.toml"
        config.write_text(
            f"[listen]\nhttp = \"127.0.0.1:{self.port}\"\nrtsp = \"127.0.0.1:{self.rtsp_port}\"\n"
            "[limits]\nviewers = 5000\nconnections = 5000\n"
            f"[cameras.cam]\nsource = \"file:{clip}?loop=1&fps={clips.FRAMES_PER_SECOND}\"\non_demand = {str(on_demand).lower()}\n"
        )
        self.pid = self.spawn([os.environ["OCELLI_BIN"], "serve", "--config", str(config)]).pid
        self.wait_for_port()
        if not on_demand:
            self.wait_for_picture()

    def wait_for_picture(self) -> None:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats", timeout=5) as answer:
                if json.load(answer)["cameras"][0]["state"] == "ready":
                    return
            time.sleep(0.05)
        raise RuntimeError("the camera gives no picture")

    def http(self, width: int) -> str:
        return f"http://127.0.0.1:{self.port}/cameras/cam/stream?codec=mjpeg&width={width}&quality={QUALITY}"

    def workers(self) -> list[int]:
        """Its children that are workers."""
        lists = Path(f"/proc/{self.pid}/task").glob("*/children")
        found = [int(pid) for children in lists for pid in children.read_text().split()]
        return [pid for pid in found if name_of(pid).startswith(WORKER[:15])]

    def wait_for_no_worker(self) -> None:
        deadline = time.monotonic() + IDLE_SECONDS
        while self.workers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the worker is still there after {IDLE_SECONDS} s without a viewer")
            time.sleep(0.1)

    def __exit__(self, *exit_) -> None:
        super().__exit__(*exit_)
        if hasattr(self, "folder"):
            self.folder.cleanup()


class PixelsBench:
    """One function for each row and who takes it."""

    def __init__(self, seconds: float, warmup: float) -> None:
        self.seconds, self.warmup = seconds, warmup

    def takers(self, row: str, only: list[str] | None) -> list[tuple]:
        """Each name and what measures it."""
        if row in WORK:
            found = [(FLOOR, lambda: floor(row)), ("ocelli", lambda: self.work(row)), ("ffmpeg", lambda: ffmpeg(row))]
        elif row in COUNTS:
            found = [("ocelli", lambda: self.viewers(COUNTS[row]))]
        elif row == "pixels-idle":
            found = [("ocelli", self.idle)]
        elif row == "pixels-first":
            found = [("ocelli", self.first), ("ffmpeg", ffmpeg_first)]
        else:
            found = [("ocelli", self.stills)]
        return [(name, take) for name, take in found if not only or name in (*only, FLOOR)]

    def work(self, row: str) -> dict:
        with PixelServer() as server:
            server.start(clip_of(row))
            if row == "pixels-jpeg-h264":
                url = f"rtsp://127.0.0.1:{server.rtsp_port}/cam?codec=h264&bitrate={KBPS}"
                return self.measured(server, [rtsp_reader(url)])
            return self.measured(server, [http_viewers(server.http(width), 1) for width in widths_of(row)])

    def viewers(self, count: int) -> dict:
        with PixelServer() as server:
            server.start(clips.h264_clip(2))
            return self.measured(server, [http_viewers(server.http(640), count)])

    def measured(self, server: PixelServer, commands: list[list[str]]) -> dict:
        """Has viewers watch, and meanwhile looks at the server and its worker."""
        times = ["--seconds", str(self.seconds + 2), "--warmup", str(self.warmup)]
        # Their window begins first and ends last.
        readers = [subprocess.Popen([*command, *times], stdout=subprocess.PIPE, text=True) for command in commands]
        try:
            time.sleep(self.warmup + 1)
            workers = server.workers()
            if len(workers) != 1:
                raise RuntimeError(f"{len(workers)} workers")
            before, began = [cpu_seconds(pid) for pid in (server.pid, *workers)], time.monotonic()
            time.sleep(self.seconds)
            after, took = [cpu_seconds(pid) for pid in (server.pid, *workers)], time.monotonic() - began
            memory = [resident_mb(server.pid), resident_mb(workers[0])]
            reports = [json.loads(reader.communicate()[0]) for reader in readers]
        finally:
            for reader in readers:
                reader.kill()
                reader.wait()
        groups = [report.get("viewers") or report["readers"] for report in reports]
        if failed := [group["failures"] for group in groups if group["failed"]]:
            raise RuntimeError(str(failed[0]))
        rates = [group.get("frames_per_second") or group["pictures_per_second"] for group in groups]
        count = groups[0]["asked"]
        cpu = [(now - then) / took * 100 for now, then in zip(after, before)]
        rate = rates[0] / count
        return {
            "ms": sum(cpu) * 10 / rate,
            "server_percent": cpu[0],
            "worker_percent": cpu[1],
            "rates": [each / count for each in rates],
            "server_mb": memory[0],
            "worker_mb": memory[1],
            "idle_percent": reports[0]["machine_idle_percent"],
        }

    def idle(self) -> dict:
        """A camera that nobody watches, after somebody has."""
        with PixelServer() as server:
            server.start(clips.h264_clip(2), on_demand=True)
            request_picture(server.http(640))
            server.wait_for_no_worker()
            before = cpu_seconds(server.pid)
            time.sleep(self.seconds)
            cpu = (cpu_seconds(server.pid) - before) / self.seconds * 100
            return {"server_percent": cpu, "workers": len(server.workers()), "server_mb": resident_mb(server.pid)}

    def first(self) -> dict:
        """From the request to the first whole picture, with no worker there, at moments between two keyframes."""
        with PixelServer() as server:
            server.start(clips.h264_clip(2))
            found = []
            for _ in range(STARTS):
                server.wait_for_no_worker()
                found.append(request_picture(server.http(640)))
            return {"first_ms": found}

    def stills(self) -> dict:
        """Snapshots by many clients at once, while nobody watches."""
        with PixelServer() as server:
            server.start(clips.h264_clip(2))
            url = f"http://127.0.0.1:{server.port}/cameras/cam/snapshot"
            began = time.monotonic()
            with urllib.request.urlopen(url, timeout=10) as answer:
                answer.read()
            first = (time.monotonic() - began) * 1000
            command = ["curl", "--silent", "--show-error", "--fail", "--parallel", "--parallel-immediate"]
            command += ["--parallel-max", str(STILL_CLIENTS), "--write-out", "%{time_total}\\n"]
            for _ in range(STILLS):
                command += ["--output", "/dev/null", url]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            times = sorted(float(line) * 1000 for line in done.stdout.split())
            return {"first_ms": [first], "still_ms": [times[len(times) // 2], times[len(times) * 99 // 100], times[-1]]}


def clip_of(row: str) -> Path:
    if row == "pixels-jpeg-small":
        return clips.clip("1920x1080", 140_000)
    if row == "pixels-jpeg-h264":
        return clips.clip("1280x720", 70_000)
    return clips.h264_clip(2)


def widths_of(row: str) -> list[int]:
    return {"pixels-jpeg-small": [640], "pixels-h264-jpeg": [1920]}.get(row, VARIANTS)


def http_viewers(url: str, count: int) -> list[str]:
    return [LOAD, "--url", url, "--viewers", str(count), "--json", "--quiet"]


def rtsp_reader(url: str) -> list[str]:
    return [LOAD, "rtsp", "readers", "--url", url, "--readers", "1", "--transport", "tcp", "--json", "--quiet"]


def floor(row: str) -> dict:
    """The libraries alone."""
    work = {"pixels-jpeg-small": "jpeg-jpeg", "pixels-jpeg-h264": "jpeg-h264"}.get(row, "h264-jpeg")
    more = [KBPS, PRESET] if work == "jpeg-h264" else widths_of(row)
    command = [codecs(), "-r", clips.FRAMES_PER_SECOND, work, clip_of(row), FLOOR_PICTURES, *more]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True)
    report = json.loads(done.stdout)
    return {"ms": report["cpu_seconds"] * 1000 / report["pictures"]}


def codecs() -> Path:
    """The floor's program, linked to the libjpeg-turbo that Ocelli has in it."""
    source = Path(__file__).with_name("codecs.c")
    target = Path(os.environ["OCELLI_BIN"]).resolve().parent
    built = sorted(target.glob("build/turbojpeg-sys-*/out/lib/libturbojpeg.a"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise RuntimeError(f"no libjpeg-turbo was built in {target}")
    program = clips.CACHE / "codecs"
    if not program.exists() or program.stat().st_mtime < max(source.stat().st_mtime, built[-1].stat().st_mtime):
        clips.CACHE.mkdir(parents=True, exist_ok=True)
        flags = subprocess.run(
            ["pkg-config", "--cflags", "--libs", "libavcodec", "libavutil", "libswscale"], stdout=subprocess.PIPE, text=True, check=True
        )
        include = built[-1].parents[1] / "include"
        command = ["cc", "-O2", "-o", str(program), str(source), f"-I{include}", *shlex.split(flags.stdout), str(built[-1]), "-lm"]
        subprocess.run(command, check=True)
    return program


def ffmpeg(row: str) -> dict:
    """An `ffmpeg` process that does the same, without its start."""
    def seconds(pictures: int) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(ffmpeg_command(row, pictures), check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    more = seconds(FFMPEG_START_PICTURES + FFMPEG_PICTURES) - seconds(FFMPEG_START_PICTURES)
    return {"ms": more * 1000 / FFMPEG_PICTURES}


def ffmpeg_command(row: str, pictures: int) -> list[str]:
    source = clip_of(row)
    demuxer = "mjpeg" if source.suffix == ".mjpeg" else "h264"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-re", "-stream_loop", "-1"]
    command += ["-framerate", str(clips.FRAMES_PER_SECOND), "-f", demuxer, "-i", str(source)]
    jpeg = ["-c:v", "mjpeg", "-q:v", "4", "-frames:v", str(pictures), "-f", "mjpeg", "/dev/null"]
    if row == "pixels-jpeg-h264":
        encoder = ["-c:v", "libx264", "-preset", PRESET, "-tune", "zerolatency", "-profile:v", "baseline", "-b:v", f"{KBPS}k", "-g", "60"]
        return [*command, *encoder, "-frames:v", str(pictures), "-f", "h264", "/dev/null"]
    for width in widths_of(row):
        command += [*([] if width == 1920 else ["-vf", f"scale={width}:-2"]), *jpeg]
    return command


def ffmpeg_first() -> dict:
    """What starting FFmpeg for the same takes until its first JPEG is written."""
    found = []
    for _ in range(STARTS):
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "h264", "-i", str(clips.h264_clip(2))]
        command += ["-vf", "scale=640:-2", "-c:v", "mjpeg", "-f", "mjpeg", "-frames:v", "1", "-"]
        began = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append((time.monotonic() - began) * 1000)
    return {"first_ms": found}


def request_picture(url: str) -> float:
    """Milliseconds until the first whole picture of a stream."""
    began = time.monotonic()
    with urllib.request.urlopen(url, timeout=15) as answer:
        got = b""
        while b"\xff\xd9" not in got:
            more = answer.read1(1 << 16)
            if not more:
                raise RuntimeError("the stream ended before its first picture")
            got += more
        return (time.monotonic() - began) * 1000


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors, by its own clock (`clock_getcpuclockid`)."""
    return time.clock_gettime(~pid << 3 | 2)


def name_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as name:
            return name.read().strip()
    except OSError:
        return ""
