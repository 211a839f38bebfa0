"""Turns the figures of the rows about pixels into tables: medians over rounds, ratios taken within each round."""

from statistics import median

from pixels import COUNTS, FLOOR, WORK
from tables import good, middle, table


def brief(figures: dict) -> str:
    """One measurement in a few words."""
    if "error" in figures:
        return figures["error"]
    words = []
    if "ms" in figures:
        words.append(f"{figures['ms']:.2f} ms a picture")
    if "worker_percent" in figures:
        words.append(f"server {figures['server_percent']:.1f} %, worker {figures['worker_percent']:.1f} %")
        words.append(f"{figures['server_mb']:.0f} and {figures['worker_mb']:.0f} MB")
        words.append(f"pictures a second: {', '.join(f'{rate:.1f}' for rate in figures['rates'])}")
        words.append(f"machine {figures['idle_percent']:.0f} % idle")
    elif "server_percent" in figures:
        words.append(f"{figures['server_percent']:.2f} % of a core, {figures['workers']} workers, {figures['server_mb']:.1f} MB")
    for name, what in [("first_ms", "first"), ("still_ms", "snapshots p50, p99, max")]:
        if name in figures:
            words.append(f"{what} {', '.join(f'{time:.1f}' for time in figures[name])} ms")
    return "; ".join(words)


def sections(results: dict) -> list[str]:
    """The tables of the rows that were measured."""
    parts = []
    if work := {row: results[row] for row in WORK if row in results}:
        parts.append(f"### Pixels, CPU of server and worker together for each picture, ms\n\n{work_table(work)}")
    if counts := {row: results[row] for row in COUNTS if row in results}:
        parts.append(f"### Pixels, viewers of one derived stream, H.264 1080p30 → JPEG 640 wide\n\n{viewers_table(counts)}")
    if "pixels-first" in results:
        parts.append(f"### Pixels, request to first picture, H.264 1080p30 → JPEG 640 wide, ms\n\n{first_table(results['pixels-first'])}")
    lines = []
    for figures in good(results.get("pixels-idle", {}).get("ocelli", [])):
        lines.append(["nobody watches", f"{figures['server_percent']:.2f} % of a core, {figures['workers']} workers"])
    for figures in good(results.get("pixels-still", {}).get("ocelli", [])):
        p50, p99, most = figures["still_ms"]
        words = f"first {figures['first_ms'][0]:.1f} ms, then p50 {p50:.1f}, p99 {p99:.1f}, most {most:.1f} ms"
        lines.append(["snapshots of 1080p H.264 by 50 clients at once", words])
    if lines:
        parts.append(f"### Pixels, at rest and by snapshots\n\n{table(['what', 'figure'], lines)}")
    return parts


def work_table(rows: dict) -> str:
    lines = []
    for row, by_name in rows.items():
        own = good(by_name.get("ocelli", []))
        cell = lambda name: middle(good(by_name.get(name, [])), lambda figures: figures["ms"], 2)
        lines.append([
            WORK[row],
            cell("ocelli"),
            cell(FLOOR),
            ratio(by_name, FLOOR),
            cell("ffmpeg"),
            ratio(by_name, "ffmpeg"),
            middle(own, lambda figures: min(figures["rates"]), 1),
            middle(own, lambda figures: figures["server_mb"], 1),
            middle(own, lambda figures: figures["worker_mb"], 1),
            middle(own, lambda figures: figures["idle_percent"]),
        ])
    head = ["work", "Ocelli", "libraries alone", "of these", "`ffmpeg`", "of that", "pictures a second", "server, MB", "worker, MB"]
    return table([*head, "machine idle, %"], lines)


def viewers_table(rows: dict) -> str:
    lines = []
    for row, by_name in rows.items():
        own = good(by_name.get("ocelli", []))
        lines.append([
            str(COUNTS[row]),
            middle(own, lambda figures: figures["worker_percent"], 1),
            middle(own, lambda figures: figures["server_percent"], 1),
            middle(own, lambda figures: figures["rates"][0], 1),
            middle(own, lambda figures: figures["idle_percent"]),
        ])
    return table(["viewers", "worker, %", "server, %", "pictures a second and viewer", "machine idle, %"], lines)


def first_table(by_name: dict) -> str:
    lines = []
    for name, rounds in by_name.items():
        times = [time for figures in good(rounds) for time in figures["first_ms"]]
        lines.append([name, *(f"{of(times):.0f}" if times else "—" for of in (median, max))])
    return table(["", "median", "most"], lines)


def ratio(by_name: dict, other: str) -> str:
    """Within each round."""
    pairs = zip(by_name.get(other, []), by_name.get("ocelli", []))
    ratios = [own["ms"] / its["ms"] for its, own in pairs if len(good([its, own])) == 2]
    return f"{median(ratios):.2f}x" if ratios else "—"
