"""Turns figures into tables: medians over rounds, ratios taken within each round."""

import os
import platform
from statistics import median

from clips import FRAMES_PER_SECOND

FLOOR = "floor"


def machine() -> str:
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")), "?")
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}"


def brief(row: str, figures) -> str:
    """One measurement in a few words."""
    if isinstance(figures, float):
        return f"{figures:.0f} ms"
    if "error" in figures:
        return figures["error"]
    if row == "memory":
        return ", ".join(f"{name} {value:.1f}" for name, value in figures.items())
    if row == "glass":
        return str(figures)
    if row == "slow":
        return f"age {figures['slow']['age_in_picture_times']}"
    report = figures.get("thousand", figures)
    viewers = report["viewers"]
    latency = viewers["camera_latency_ms"] or {}
    return (
        f"{report['server']['cpu_percent']:.2f} % of a core, {share(report):.1%} of the frames for the unluckiest, "
        f"p50 {latency.get('p50', '?')} p99 {latency.get('p99', '?')} ms, machine {report['machine_idle_percent']} % idle"
    )


def share(report: dict) -> float:
    """Frames of the viewer that got the fewest, of those the camera made in the time."""
    least = (report["viewers"]["viewer_frames"] or [0])[0]
    return least / (FRAMES_PER_SECOND * report["seconds"])


def markdown(about: dict, results: dict) -> str:
    parts = [
        f"{about['machine']}; {about['date']}; `{about['command'].strip()}`; {about['rounds']} rounds of "
        f"{about['seconds']:g} s" + "".join(f"; {size:,} bytes a JPEG of {kind}" for kind, size in about["picture_bytes"].items()) + "."
    ]
    parts += [f"{line}." for line in about["left_out"]]
    cpu = {row: by_server for row, by_server in results.items() if row.startswith("cpu-")}
    if cpu:
        parts.append("### CPU of the server, percent of a core (times the floor)\n\n" + cpu_table(cpu))
        parts.append("The machine's idle share meanwhile: " + idle(cpu) + ".")
    if "many" in results:
        parts.append("### 1000 viewers of 640x480\n\n" + many_table(results["many"]))
    if "latency" in results:
        parts.append("### Added latency, 100 viewers of 1080p30, milliseconds\n\n" + latency_table(results["latency"]))
    if "memory" in results:
        parts.append("### Memory, resident\n\n" + memory_table(results["memory"]))
    if "slow" in results:
        parts.append("### A viewer at half the stream's rate: age of its pictures, in its own picture times\n\n" + slow_table(results["slow"]))
    if "first" in results:
        times = good(results["first"].get("ocelli", []))
        parts.append(f"### Start to first picture, `pattern:`\n\n{middle(times, lambda time: time)} ms")
    if "glass" in results:
        parts.append("### Glass to glass, Chromium's `<img>`, 720p30, milliseconds\n\n" + glass_table(results["glass"]))
    return "\n\n".join(parts) + "\n"


def cpu_table(rows: dict) -> str:
    servers = names(rows.values())
    lines = []
    for row, by_server in rows.items():
        cells = []
        for server in servers:
            measured = good(by_server.get(server, []))
            value = middle(measured, cpu_percent, 2)
            cells.append(value + ratio(by_server, server))
        lines.append([row.removeprefix("cpu-"), *cells])
    return table(["viewers", *servers], lines)


def many_table(by_server: dict) -> str:
    lines = []
    for server, rounds in by_server.items():
        measured = good(rounds)
        thousand = [figures["thousand"] for figures in measured]
        lines.append([
            server,
            middle([figures["hundred"] for figures in measured], cpu_percent, 1),
            middle(thousand, cpu_percent, 1),
            middle(measured, lambda figures: cpu_percent(figures["thousand"]) / cpu_percent(figures["hundred"]), 1),
            middle(thousand, lambda report: 100 * share(report), 1),
            middle(thousand, lambda report: report["viewers"]["frames_per_second"] / FRAMES_PER_SECOND / 10, 1),
            middle(thousand, lambda report: report["viewers"]["interval_ms"]["max"], 0),
        ])
    head = ["server", "CPU 100, %", "CPU 1000, %", "1000 / 100", "frames, unluckiest, %", "frames, all, %", "longest gap, ms"]
    return table(head, lines)


def latency_table(by_server: dict) -> str:
    lines = []
    for server, rounds in by_server.items():
        measured = [report for report in good(rounds) if report["viewers"]["camera_latency_ms"]]
        of = lambda name: middle(measured, lambda report: report["viewers"]["camera_latency_ms"][name], 2)
        lines.append([server, of("p50"), of("p95"), of("p99"), of("max"), middle(measured, lambda report: report["viewers"]["skipped"], 0)])
    return table(["server", "p50", "p95", "p99", "max", "pictures skipped"], lines)


def memory_table(by_server: dict) -> str:
    lines = []
    for server, rounds in by_server.items():
        of = lambda name: middle(good(rounds), lambda figures: figures[name], 1)
        lines.append([server, of("idle_mb"), of("hundred_mb"), of("each_further_kb"), of("stalled_mb")])
    return table(["server", "idle, MB", "100 viewers, MB", "each further, KB", "50 that never read, MB more"], lines)


def slow_table(by_server: dict) -> str:
    lines = []
    for server, rounds in by_server.items():
        measured = [report for report in good(rounds) if report["slow"]["age_in_picture_times"]]
        of = lambda name: middle(measured, lambda report: report["slow"]["age_in_picture_times"][name], 2)
        pictures = middle(measured, lambda report: report["slow"]["frames_per_second"], 1)
        lines.append([server, of("p50"), of("p99"), of("max"), pictures])
    return table(["server", "p50", "p99", "max", "pictures/s"], lines)


def glass_table(by_server: dict) -> str:
    lines = []
    for server, rounds in by_server.items():
        for kind, words in [("alone", ", pattern"), ("behind", ", pattern of another Ocelli over HTTP")]:
            measured = [figures[kind] for figures in good(rounds) if figures.get(kind, {}).get("pictures")]
            if measured:
                of = lambda name: middle(measured, lambda figures: figures[name])
                lines.append([server + words, of("p50"), of("p95"), of("p99"), of("max"), of("pictures")])
    return table(["server", "p50", "p95", "p99", "max", "pictures seen"], lines)


def idle(rows: dict) -> str:
    shares = [report["machine_idle_percent"] for by_server in rows.values() for rounds in by_server.values() for report in good(rounds)]
    return f"{min(shares):.0f} to {max(shares):.0f} %, median {median(shares):.0f} %" if shares else "not known"


def ratio(by_server: dict, server: str) -> str:
    pairs = zip(by_server.get(FLOOR, []), by_server.get(server, []))
    ratios = [cpu_percent(own) / cpu_percent(floor) for floor, own in pairs if len(good([floor, own])) == 2]
    return f" ({median(ratios):.2f}x)" if ratios and server != FLOOR else ""


def cpu_percent(report: dict) -> float:
    return report["server"]["cpu_percent"]


def good(rounds: list) -> list:
    return [figures for figures in rounds if not (isinstance(figures, dict) and "error" in figures)]


def middle(measured: list, of, digits: int = 0) -> str:
    return f"{median(map(of, measured)):.{digits}f}" if measured else "—"


def names(rows) -> list[str]:
    return list(dict.fromkeys(server for by_server in rows for server in by_server))


def table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
