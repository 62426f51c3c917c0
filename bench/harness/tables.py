"""Results as Markdown tables."""

from .contenders import BASELINE
from .figures import cpu_per_frame, of, ratios, spread


def _row(cells):
    return "| " + " | ".join(cells) + " |"


def _table(header, rows):
    return "\n".join([_row(header), _row(["---"] * len(header)), *map(_row, rows)])


def _percent_lost(run):
    return 100 * run["lost"] / run["sent"] if run["sent"] else 0.0


def _pair_rows(case):
    runs = case["runs"]
    for name in dict.fromkeys(run["contender"] for run in runs):
        own = of(runs, name)
        yield [
            case["name"], name,
            spread(ratios(runs, name, lambda run: run["delivered"] / run["seconds"])),
            spread(ratios(runs, name, cpu_per_frame)),
            spread([run["delivered"] / run["seconds"] / 1e3 for run in own], "{:.1f}"),
            spread([run["delivered_bytes"] * 8 / run["seconds"] / 1e9 for run in own]),
            spread([value for value in map(cpu_per_frame, own) if value is not None]),
            spread([_percent_lost(run) for run in own], "{:.1f}"),
            spread([run["delay_ns"]["p99"] / 1e6 for run in own], "{:.1f}"),
            f"{sum(run['is_disturbed'] for run in own)} of {len(own)}",
        ]


def pairs(result):
    header = [
        "case", "contender", f"frames / {BASELINE}", f"CPU a frame / {BASELINE}", "kframes/s",
        "Gbit/s", "CPU us a frame", "lost %", "p99 delay ms", "disturbed"]
    return _table(header, [row for case in result["cases"] for row in _pair_rows(case)])


def _growth(runs, variant):
    base = {run["round"]: run["delay_ns"]["p99"] for run in runs if run["variant"] == "detached"}
    return [
        (run["delay_ns"]["p99"] - base[run["round"]]) / 1e6
        for run in runs if run["variant"] == variant and run["round"] in base]


def independence(result):
    rows = []
    for case in result["cases"]:
        for variant in dict.fromkeys(run["variant"] for run in case["runs"]):
            own = [run for run in case["runs"] if run["variant"] == variant]
            rows.append([
                case["name"], variant, str(sum(run["sent"] for run in own)),
                str(sum(run["lost"] for run in own)), str(sum(run["reordered"] for run in own)),
                spread([run["delay_ns"]["p50"] / 1e6 for run in own], "{:.3f}"),
                spread([run["delay_ns"]["p99"] / 1e6 for run in own], "{:.3f}"),
                spread(_growth(case["runs"], variant), "{:+.3f}"),
                spread([run["memory_growth_kib"] for run in own], "{:.0f}"),
                f"{sum(run['is_disturbed'] for run in own)} of {len(own)}",
            ])
    header = [
        "case", "third port's peer", "sent", "lost", "reordered", "p50 ms", "p99 ms",
        "p99 above detached ms", "memory growth KiB", "disturbed"]
    return _table(header, rows)


def markdown(result):
    """A result as a section of Markdown."""
    facts = result["machine"]
    settings = result["settings"]
    table = independence(result) if result["kind"] == "independence" else pairs(result)
    return "\n".join([
        f"### {result['title']}", "",
        f"{settings['rounds']} rounds of {settings['seconds']:g} s, {result['date']}, "
        f"{facts['cpus']} CPUs ({facts['cpu']}), Linux {facts['kernel']}, "
        f"commit {result['commit']}. Median (least-most).", "", table, ""])
