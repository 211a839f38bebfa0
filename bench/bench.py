#!/usr/bin/env python3
"""`make bench`: Ocelli beside the kernel's own price (the floor) and other servers, in one run on one machine.

Rounds are interleaved, server after server for each row, because a shared machine's noise drifts over minutes: what
counts is the ratio within a round, and the median of those. Writes results.json and results.md to .cache/bench.
"""

import argparse
import json
import subprocess
import sys
import time

import clips
import pixels
import pixels_tables
import rtp
import rtp_tables
import rtsp
import rtsp_tables
import tables
from rows import FLOOR, Bench
from servers import GStreamer, Ocelli, available

HTTP_ROWS = ["cpu-1", "cpu-10", "cpu-100", "many", "latency", "memory", "slow", "first", "glass"]
ROWS = HTTP_ROWS + rtp.ROWS + rtsp.ROWS + pixels.ROWS


def main() -> None:
    options = parse()
    found, missing = available()
    missing += rtp.missing() + rtsp.missing()
    for line in missing:
        print(line, file=sys.stderr)
    bench = Bench(options.seconds, options.warmup, options.floor.split())
    rtp_bench = rtp.RtpBench(options.seconds, options.warmup)
    rtsp_bench = rtsp.RtspBench(options.seconds, options.warmup, options.churn)
    pixels_bench = pixels.PixelsBench(options.seconds, options.warmup)
    servers = [server for server in found if not options.only or server.name in options.only]
    results: dict[str, dict[str, list]] = {}
    for round_ in range(options.rounds):
        for row in options.rows:
            progress = f"round {round_ + 1}/{options.rounds}"
            own_takers = [(rtp, rtp_bench), (rtsp, rtsp_bench), (pixels, pixels_bench)]
            if taking := next((taking for rows, taking in own_takers if row in rows.ROWS), None):
                for name, take in taking.takers(row, options.only):
                    measure(take, row, name, results, progress, options.patience)
                continue
            for server in [FLOOR, *servers]:
                name = server if server == FLOOR else server.name
                if take := taker(bench, row, server):
                    measure(take, row, name, results, progress, options.patience)
        write(options, bench, results, missing)
    print(write(options, bench, results, missing))


def measure(take, row: str, name: str, results: dict, progress: str, patience: float) -> None:
    wait_for_quiet(patience)
    start = time.monotonic()
    try:
        figures = take()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        figures = {"error": str(error)}
    results.setdefault(row, {}).setdefault(name, []).append(figures)
    if row in rtp.ROWS:
        words = rtp_tables.brief(figures)
    elif row in rtsp.ROWS:
        words = rtsp_tables.brief(figures)
    elif row in pixels.ROWS:
        words = pixels_tables.brief(figures)
    else:
        words = tables.brief(row, figures)
    print(f"{progress}, {row}, {name}: {words} ({time.monotonic() - start:.0f} s)", file=sys.stderr)


def wait_for_quiet(patience: float) -> None:
    """Waits until the machine has been idle for a second, or patience ends: the figure is taken either way."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = machine_ticks()
        time.sleep(1)
        idle, total = (now - then for now, then in zip(machine_ticks(), before))
        if idle >= 0.9 * total:
            return


def machine_ticks() -> tuple[int, int]:
    """Idle and all ticks of all processors so far."""
    with open("/proc/stat") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def taker(bench: Bench, row: str, server):
    """How a row is measured for a server; None where it means nothing."""
    if row.startswith("cpu-"):
        return lambda: bench.cpu(server, int(row.removeprefix("cpu-")), bench.large)
    if row == "many":
        return lambda: {
            "hundred": bench.cpu(server, 100, bench.small),
            "thousand": bench.cpu(server, 1000, bench.small),
        }
    if row == "latency":
        return lambda: bench.latency(server, 100)
    if server == FLOOR:
        return None
    if row == "memory":
        return lambda: bench.memory(server)
    if row == "slow":
        return lambda: bench.slow(server)
    if row == "first" and server is Ocelli:
        return lambda: bench.first_picture(server)
    if row == "glass" and server is Ocelli:
        return lambda: {"alone": bench.glass_alone(), "behind": bench.glass(server)}
    if row == "glass" and server is not GStreamer:  # which speaks no HTTP
        return lambda: {"behind": bench.glass(server)}
    return None


def write(options, bench: Bench, results: dict, missing: list[str]) -> str:
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "command": "make bench " + (f"ARGS=\"{' '.join(sys.argv[1:])}\"" if sys.argv[1:] else ""),
        "machine": tables.machine(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "picture_bytes": {
            words: clips.mean_bytes(clip())
            for words, clip, rows in [
                ("1080p30", lambda: bench.large, HTTP_ROWS),
                ("640x480", lambda: bench.small, ["many"]),
                ("1080p30 in RTP", clips.rtp_clip, rtp.ROWS),
            ]
            if not set(rows).isdisjoint(results)
        },
        "left_out": missing,
    }
    (clips.CACHE / "results.json").write_text(json.dumps({"about": about, "results": results}, indent=1))
    sections = [*rtp_tables.sections(results), *rtsp_tables.sections(results), *pixels_tables.sections(results)]
    text = "\n\n".join([tables.markdown(about, results).rstrip(), *sections]) + "\n"
    (clips.CACHE / "results.md").write_text(text)
    return text


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="measured, for each figure")
    parser.add_argument("--warmup", type=float, default=3)
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for a quiet machine before each figure")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--only", nargs="+", metavar="SERVER", help="these servers alone, beside the floor")
    parser.add_argument("--churn", type=float, default=60, metavar="SECONDS", help="how long readers come and go in rtsp-churn")
    parser.add_argument("--floor", default="", metavar="OPTIONS", help="for ocelli-load floor, as --send-buffer=BYTES")
    return parser.parse_args()


if __name__ == "__main__":
    main()
