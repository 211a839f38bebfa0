"""Turns the RTP rows' figures into tables: medians over rounds, ratios taken within each round."""

from statistics import median

from tables import good, middle, table

FLOOR = "floor"
COST = "cpu_micros_per_picture"
TITLES = {
    "rtp-1": "CPU of the sender, 1080p30 to one target",
    "rtp-fast": "CPU of the sender, 300 pictures a second to one target",
    "rtp-joined": "CPU of the sender, 300 pictures a second to a target that takes joined datagrams",
    "rtp-optimised": "CPU of the sender, 1080p30 whose Huffman tables have to be exchanged, to one target",
    "rtp-receive": "CPU of the receiver, 1080p30, sent by segmentation offload",
    "rtp-receive-single": "CPU of the receiver, 1080p30, sent packet by packet",
}


def brief(figures: dict) -> str:
    """One measurement in a few words."""
    if "error" in figures:
        return figures["error"]
    if "eight" in figures:
        return f"one: {brief(figures['one'])}; eight: {brief(figures['eight'])}"
    words = f"{figures[COST]:.0f} µs a picture, {figures['pictures_per_second']:.1f} pictures/s, {lacks(figures)} lacked"
    if latency := figures.get("camera_latency_ms"):
        words += f", p50 {latency['p50']} p99 {latency['p99']} ms"
    return words + f", {figures['server']['rss_peak_kb'] / 1024:.1f} MB, machine {figures['machine_idle_percent']} % idle"


def lacks(figures: dict) -> int:
    """Packets that did not arrive, wherever they went missing, and pictures that were not understood."""
    lost = sum(max(target["lost"], target["dropped_by_receiver"]) + target["damaged"] for target in figures["targets"])
    if "received" in figures:  # by a count that began before the measurement
        lost += max(0, figures["targets"][0]["pictures"] - figures["received"])
    return lost


def sections(results: dict) -> list[str]:
    """The tables of the rows that were measured."""
    parts = []
    for row, by_name in results.items():
        if row in TITLES:
            parts.append(f"### {TITLES[row]}\n\n{cost_table(by_name)}")
        elif row == "rtp-8":
            parts.append(f"### One camera to eight targets, 100 pictures a second\n\n{eight_table(by_name)}")
        elif row == "rtp-latency":
            parts.append(f"### RTP, last byte out of the camera to the last packet's arrival, milliseconds\n\n{latency_table(by_name)}")
        elif row == "rtp-memory":
            parts.append(f"### RTP, two 1080p30 cameras to a target each: memory\n\n{memory_table(by_name)}")
    return parts


def cost_table(by_name: dict) -> str:
    lines = []
    for name, rounds in by_name.items():
        measured = good(rounds)
        lines.append([
            name,
            middle(measured, lambda report: report[COST], 1),
            ratio(by_name, name, lambda report: report[COST]),
            middle(measured, lambda report: report["pictures_per_second"], 1),
            middle(measured, lacks),
            middle(measured, lambda report: report["machine_idle_percent"]),
        ])
    return table(["program", "µs a picture", "of the floor", "pictures/s", "lacked", "machine idle, %"], lines)


def eight_table(by_name: dict) -> str:
    lines = []
    for name, rounds in by_name.items():
        measured = good(rounds)
        lines.append([
            name,
            middle(measured, lambda figures: figures["one"][COST], 1),
            middle(measured, lambda figures: figures["eight"][COST], 1),
            middle(measured, lambda figures: figures["eight"][COST] / figures["one"][COST], 2),
            middle(measured, further, 1),
            ratio(by_name, name, further),
            middle(measured, lambda figures: lacks(figures["one"]) + lacks(figures["eight"])),
        ])
    head = ["program", "one target, µs a picture", "eight targets", "eight / one", "each further target", "of the floor's", "lacked"]
    return table(head, lines)


def further(figures: dict) -> float:
    """What each target behind the first costs for a picture."""
    return (figures["eight"][COST] - figures["one"][COST]) / 7


def latency_table(by_name: dict) -> str:
    lines = []
    for name, rounds in by_name.items():
        measured = [report for report in good(rounds) if report.get("camera_latency_ms")]
        of = lambda what: middle(measured, lambda report: report["camera_latency_ms"][what], 2)
        lines.append([name, of("p50"), of("p95"), of("p99"), of("max"), middle(measured, lacks)])
    return table(["program", "p50", "p95", "p99", "max", "lacked"], lines)


def memory_table(by_name: dict) -> str:
    lines = []
    for name, rounds in by_name.items():
        of = lambda field: middle(good(rounds), lambda report: report["server"][field] / 1024, 1)
        lines.append([name, of("rss_peak_kb"), of("pss_kb")])
    return table(["program", "resident at most, MB", "own share, MB"], lines)


def ratio(by_name: dict, name: str, of) -> str:
    if name == FLOOR:
        return ""
    pairs = zip(by_name.get(FLOOR, []), by_name[name])
    ratios = [of(own) / of(floor) for floor, own in pairs if len(good([floor, own])) == 2]
    return f"{median(ratios):.2f}x" if ratios else "—"
