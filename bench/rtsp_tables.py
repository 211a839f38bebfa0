"""Turns the RTSP rows' figures into tables: medians over rounds, ratios taken within each round."""

from statistics import median

from tables import good, middle, table

FLOOR = "floor"
COST = "cpu_micros_per_picture"


def brief(figures: dict) -> str:
    """One measurement in a few words."""
    if "error" in figures:
        return figures["error"]
    if "plain_ms" in figures:
        return ", ".join(f"{name} {median(times):.0f} (at most {max(times):.0f})" for name, times in figures.items())
    if "after" in figures:
        churn, before, after = figures["churn"], figures["before"], figures["after"]
        memory = [round(kb / 1024, 1) for kb in churn["memory_kb"]]
        return (
            f"{churn['left']} came and left, {churn['failed']} failed {churn['failures']}, {churn['damaged']} damaged, {churn['missed']} missed, "
            f"{churn['without_picture']} without a picture; MB {before['mb']:.1f}, {memory}, {after['mb']:.1f}; "
            f"open files {before['descriptors']}, {churn['descriptors']}, {after['descriptors']}"
        )
    words = f"{figures['server']['cpu_percent']:.2f} % of a core, {figures['server']['rss_peak_kb'] / 1024:.1f} MB"
    readers = figures["readers"]
    if figures[COST]:
        words += f", {figures[COST]:.2f} µs a picture and reader, {lacks(figures)}"
    if latency := figures["camera_latency_ms"]:
        words += f", p50 {latency['p50']} p99 {latency['p99']} ms"
    if readers["failures"]:
        words += f", {readers['failed']} failed: {readers['failures'][0]}"
    return words + f", machine {figures['machine_idle_percent']:.0f} % idle"


def lacks(figures: dict) -> str:
    """What did not come: pictures that nobody sent, pictures that came torn, packets that the readers' sockets dropped."""
    readers = figures["readers"]
    return f"{readers['missed'] or 0} missed, {readers['damaged']} damaged, {readers['dropped_by_reader']} dropped by readers"


def sections(results: dict) -> list[str]:
    """The tables of the rows that were measured."""
    parts = []
    for row, by_name in results.items():
        match row.split("-"):
            case ["rtsp", ("tcp" | "udp") as transport, readers]:
                parts.append(f"### RTSP, {readers} readers by {transport.upper()} of 1080p30 at 4 Mbit/s\n\n{many_table(by_name)}")
            case ["rtsp", "latency", transport]:
                title = f"### RTSP, camera's packet to reader's, 100 readers by {transport.upper()}, milliseconds"
                parts.append(f"{title}\n\n{latency_table(by_name)}")
            case ["rtsp", "pull"]:
                parts.append(f"### RTSP, one camera pulled that nobody watches\n\n{pull_table(by_name)}")
            case ["rtsp", "first"]:
                title = "### RTSP over TCP, start of FFmpeg to its first decoded picture, a keyframe every 4 s, milliseconds"
                parts.append(f"{title}\n\n{first_table(by_name)}")
            case ["rtsp", "churn"]:
                parts.append(f"### RTSP, 200 readers that come and go at random\n\n{churn_table(by_name)}")
    return parts


def churn_table(by_name: dict) -> str:
    lines = []
    for name, rounds in by_name.items():
        measured = good(rounds)
        of = lambda field: middle(measured, lambda report: report["churn"][field])
        lines.append([
            name,
            middle(measured, lambda report: report["seconds"]),
            of("left"),
            of("failed"),
            of("damaged"),
            of("missed"),
            of("without_picture"),
            *(middle(measured, figure, digits) for figure, digits in [
                (lambda report: report["before"]["mb"], 1),
                (lambda report: report["churn"]["memory_kb"][1] / 1024, 1),
                (lambda report: report["churn"]["memory_kb"][-1] / 1024, 1),
                (lambda report: report["after"]["mb"], 1),
                (lambda report: report["before"]["descriptors"], 0),
                (lambda report: report["after"]["descriptors"], 0),
            ]),
        ])
    head = ["server", "seconds", "came and left", "failed", "damaged", "missed", "without a picture"]
    head += ["MB before", "in the 2nd tenth", "in the last tenth", "after", "open files before", "after"]
    return table(head, lines)


def many_table(by_name: dict) -> str:
    lines = []
    for name, rounds in by_name.items():
        measured = good(rounds)
        lines.append([
            name,
            middle(measured, lambda report: report["server"]["cpu_percent"], 1),
            middle(measured, lambda report: report[COST], 2),
            ratio(by_name, name),
            middle(measured, lambda report: report["server"]["rss_peak_kb"] / 1024, 1),
            middle(measured, lambda report: report["readers"]["missed"] or 0),
            middle(measured, lambda report: report["readers"]["damaged"]),
            middle(measured, lambda report: report["readers"]["failed"]),
            middle(measured, lambda report: report["machine_idle_percent"]),
        ])
    head = ["server", "CPU, %", "µs a picture and reader", "of the floor", "memory, MB", "missed", "damaged", "failed", "machine idle, %"]
    return table(head, lines)


def latency_table(by_name: dict) -> str:
    lines = []
    for name, rounds in by_name.items():
        measured = [report for report in good(rounds) if report["camera_latency_ms"]]
        of = lambda what: middle(measured, lambda report: report["camera_latency_ms"][what], 2)
        idle = middle(measured, lambda report: report["machine_idle_percent"])
        lines.append([name, of("p50"), of("p95"), of("p99"), of("max"), idle])
    return table(["server", "p50", "p95", "p99", "max", "machine idle, %"], lines)


def pull_table(by_name: dict) -> str:
    lines = []
    for name, rounds in by_name.items():
        measured = good(rounds)
        lines.append([
            name,
            middle(measured, lambda report: report["server"]["cpu_percent"], 2),
            middle(measured, lambda report: report["server"]["rss_peak_kb"] / 1024, 1),
            middle(measured, lambda report: report["machine_idle_percent"]),
        ])
    return table(["server", "CPU, %", "memory, MB", "machine idle, %"], lines)


def first_table(by_name: dict) -> str:
    lines = []
    for name, rounds in by_name.items():
        cells = [name]
        for kind in ("plain_ms", "unprobed_ms"):
            times = [time for figures in good(rounds) for time in figures[kind]]
            cells += [f"{of(times):.0f}" if times else "—" for of in (median, max)]
        lines.append(cells)
    head = ["server", "as it comes: median", "most", "`-fpsprobesize 0`: median", "most"]
    return table(head, lines)


def ratio(by_name: dict, name: str) -> str:
    if name == FLOOR:
        return ""
    pairs = zip(by_name.get(FLOOR, []), by_name[name])
    ratios = [own[COST] / floor[COST] for floor, own in pairs if len(good([floor, own])) == 2 and floor[COST] and own[COST]]
    return f"{median(ratios):.2f}x" if ratios else "—"
