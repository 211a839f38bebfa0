"""Makes the pictures every server is fed: moving test bars under enough noise to give each JPEG the wanted size.

Clips are kept in .cache/bench and made once.
"""

import functools
import shutil
import subprocess
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "bench"
FRAMES_PER_SECOND = 30
# ffmpeg's loop of a raw clip loses a picture at the seam: long clips keep that out of most measurements.
SECONDS = 5
REPEATS = 6


def clip(size: str, picture_bytes: int, huffman: str = "optimal", repeats: int = REPEATS) -> Path:
    """A .mjpeg of `repeats` times 5 s at 30 pictures a second, about `picture_bytes` each.

    With `huffman` "default" its Huffman tables are those that every RTP/JPEG sender can send.
    """
    name = f"{size}-{picture_bytes // 1000}k" + ("-standard" if huffman == "default" else "")
    name += "" if repeats == REPEATS else f"-{repeats * SECONDS}s"
    path = CACHE / f"{name}.mjpeg"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        noise = min(range(4, 30, 1), key=lambda strength: abs(_mean(size, strength, huffman) - picture_bytes))
        once = _encode(size, noise, huffman, SECONDS * FRAMES_PER_SECOND)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(once * repeats)
        unfinished.rename(path)
    return path


def rtp_clip(huffman: str = "default") -> Path:
    """What the RTP rows send: short, so that what is sent comes from the processor's caches, as a camera's pictures do."""
    return clip("1920x1080", 142_000, huffman, 1)


def h264_clip(key_seconds: int) -> Path:
    """A .h264 of 8 s of 1080p30 at 4 Mbit/s, a keyframe every `key_seconds`, one slice a picture, no others' marks in it."""
    path = CACHE / f"1920x1080-4M-key{key_seconds}.h264"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        source = f"testsrc2=size=1920x1080:rate={FRAMES_PER_SECOND},noise=alls=10:allf=t"
        group = key_seconds * FRAMES_PER_SECOND
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", source]
        command += ["-frames:v", str(8 * FRAMES_PER_SECOND), "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"]
        command += ["-bf", "0", "-g", str(group), "-keyint_min", str(group), "-sc_threshold", "0", "-threads", "1"]
        command += ["-b:v", "4M", "-maxrate", "4M", "-bufsize", "2M", "-x264-params", "sliced-threads=0:slices=1"]
        command += ["-bsf:v", "filter_units=remove_types=6", "-f", "h264", str(unfinished)]
        subprocess.run(command, check=True)
        unfinished.rename(path)
    return path


def single_pictures(path: Path) -> str:
    """The clip's pictures as a file each: the pattern of their names."""
    folder = path.with_suffix("")
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        pictures = path.read_bytes().split(b"\xff\xd9\xff\xd8")
        for index, picture in enumerate(pictures):
            head = b"\xff\xd8" if index else b""
            tail = b"\xff\xd9" if index + 1 < len(pictures) else b""
            (unfinished / f"{index:05}.jpg").write_bytes(head + picture + tail)
        unfinished.rename(folder)
    return f"{folder}/%05d.jpg"


@functools.cache
def mean_bytes(path: Path) -> int:
    """What one picture of a clip really weighs."""
    pictures = path.read_bytes().count(b"\xff\xd9\xff\xd8") + 1
    return path.stat().st_size // pictures


def ffmpeg_camera(path: Path) -> str:
    """A command line that plays a clip on stdout in real time, for ever, without touching its pictures."""
    return (
        f"ffmpeg -nostdin -hide_banner -loglevel fatal -re -stream_loop -1 -framerate {FRAMES_PER_SECOND} "
        f"-f mjpeg -i {path} -c copy -f mjpeg -"
    )


def _mean(size: str, noise: int, huffman: str) -> int:
    return len(_encode(size, noise, huffman, 3)) // 3


def _encode(size: str, noise: int, huffman: str, frames: int) -> bytes:
    source = f"testsrc2=size={size}:rate={FRAMES_PER_SECOND},noise=alls={noise}:allf=t"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", source, "-frames:v", str(frames)]
    command += ["-c:v", "mjpeg", "-q:v", "8", "-huffman", huffman, "-pix_fmt", "yuvj420p", "-f", "mjpeg", "-"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
