"""Results as Markdown tables."""

from .contenders import BASELINE
from .figures import cpu_per_frame, of, ratios, spread
from .mixed import HEADERS as TCP_HEADERS


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(header, rows):
    return "\n".join([row(header), row(["---"] * len(header)), *map(row, rows)])


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


_DROPS_OF_CABLES = ("dropped", "failed", "cut")


def _drops(run):
    """Frames that a switch or a cable dropped, by reason."""
    counters = run.get("counters") or {}
    drops = counters.get("drops", {key: counters.get(key, 0) for key in _DROPS_OF_CABLES})
    return {"losses": {reason: count for reason, count in drops.items() if count}}


def _losses_of_frames(result):
    """Where frames were lost, by whom and by which counter, in all rounds together."""
    rows = []
    for case in result["cases"]:
        runs = case["runs"]
        for name in dict.fromkeys(run.get("variant", run["contender"]) for run in runs):
            own = [run for run in runs if run.get("variant", run["contender"]) == name]
            if lost := sum(run["lost"] for run in own):
                rows.append([
                    case["name"], name, f"{lost} of {sum(run['sent'] for run in own)}",
                    losses(map(_drops, own))])
    return "\n\n" + table(["case", "lost by", "frames", "by counter"], rows) if rows else ""


def pairs(result):
    header = [
        "case", "contender", f"frames / {BASELINE}", f"CPU a frame / {BASELINE}", "kframes/s",
        "Gbit/s", "CPU us a frame", "lost %", "p99 delay ms", "disturbed"]
    rows = [row for case in result["cases"] for row in _pair_rows(case)]
    return table(header, rows) + _losses_of_frames(result)


def growth(runs, variant, control):
    """Milliseconds by which the p99 delay of a variant is above that of its control, by round."""
    base = {run["round"]: run["delay_ns"]["p99"] for run in runs if run["variant"] == control}
    return [
        (run["delay_ns"]["p99"] - base[run["round"]]) / 1e6
        for run in runs if run["variant"] == variant and run["round"] in base]


def variant_cells(own):
    """What every table of variants tells of one."""
    return [
        str(sum(run["sent"] for run in own)), str(sum(run["lost"] for run in own)),
        str(sum(run["reordered"] for run in own)),
        spread([run["delay_ns"]["p50"] / 1e6 for run in own], "{:.3f}"),
        spread([run["delay_ns"]["p99"] / 1e6 for run in own], "{:.3f}")]


def _percent_lost_beside(case, run):
    payload = run["beside"]["sent"] * (case["size"] - TCP_HEADERS)
    return 100 * run["beside"]["lost_payload"] / payload if payload else 0.0


def mixed(result):
    rows = []
    for case in result["cases"]:
        for variant in dict.fromkeys(run["variant"] for run in case["runs"]):
            own = [run for run in case["runs"] if run["variant"] == variant]
            sides = [run for run in own if run["beside"]]
            rows.append([
                case["name"], variant, *variant_cells(own),
                *(spread(growth(case["runs"], variant, control), "{:+.3f}")
                  for control in ("off", "elsewhere")),
                spread([run["delivered"] / run["seconds"] for run in own], "{:.0f}"),
                spread(
                    [run["beside"]["delivered"] / run["beside"]["seconds"] for run in sides],
                    "{:.0f}"),
                spread([_percent_lost_beside(case, run) for run in sides], "{:.2f}"),
                f"{sum(run['is_disturbed'] for run in own)} of {len(own)}",
            ])
    header = [
        "case", "flow that is cut up", "sent", "lost", "reordered", "p50 ms", "p99 ms",
        "p99 above off ms", "p99 above elsewhere ms", "frames/s", "frames/s cut up",
        "lost % cut up", "disturbed"]
    return table(header, rows) + _losses_of_frames(result)


def names_of(runs):
    """The contenders, in the order in which they were measured first."""
    return list(dict.fromkeys(run["contender"] for run in runs))


def _percent_resent(run):
    return 100 * run["resent"] / run["segments"] if run["segments"] else 0.0


def losses(runs):
    """What all runs lost together, by counter."""
    total = {}
    for run in runs:
        for key, count in run["losses"].items():
            total[key] = total.get(key, 0) + count
    return ", ".join(f"{key} {count}" for key, count in sorted(total.items())) or "none"


def _stream_rows(runs):
    for name in names_of(runs):
        own = of(runs, name)
        cpu = [run["cpu_per_gb"] for run in own if run["cpu_per_gb"] is not None]
        machine_cpu = [run["machine_cpu_per_gb"] for run in own if run["machine_cpu_per_gb"]]
        yield [
            name, spread([run["gbits"] for run in own]), spread(cpu), spread(machine_cpu),
            spread([_percent_resent(run) for run in own], "{:.3f}"),
            f"{sum(run['resent'] for run in own)} of {sum(run['segments'] for run in own)}",
            str(sum(run["resent_needlessly"] for run in own)), losses(own),
            str(sum(run["checksum_errors"] for run in own)),
            f"{sum(run['is_disturbed'] for run in own)} of {len(own)}",
        ]


def _stream_ratios(runs):
    for name in names_of(runs):
        for other in of(runs, name)[0].get("against", []):
            if of(runs, other):
                yield [
                    name, other, spread(ratios(runs, name, lambda run: run["gbits"], other)),
                    spread(ratios(runs, name, lambda run: run["cpu_per_gb"], other))]


def _file_rows(files):
    for entry in files:
        outcome = "equal" if entry["is_equal"] else entry["error"] or "not equal"
        yield [
            entry["contender"], str(entry["bytes"]), outcome,
            f"{entry['bytes'] * 8e-9 / entry['seconds']:.2f}",
            f"{entry['resent']} of {entry['segments']}", losses([entry]),
            str(entry["checksum_errors"])]


def streams(result):
    runs = result["cases"][0]["runs"]
    parts = [table(
        ["contender", "Gbit/s", "CPU s/GB", "machine's CPU s/GB", "resent %", "resent segments",
         "of them needless", "losses by counter", "wrong checksums", "disturbed"],
        _stream_rows(runs))]
    if compared := list(_stream_ratios(runs)):
        parts.append(table(["contender", "of", "Gbit/s ratio", "CPU a GB ratio"], compared))
    if result.get("files"):
        parts.append(table(
            ["file through", "bytes", "SHA-256", "Gbit/s", "resent segments", "losses by counter",
             "wrong checksums"], _file_rows(result["files"])))
    return "\n\n".join(parts)


def mixes(result):
    """A grid of the medians above all else."""
    runs = result["cases"][0]["runs"]
    cells = {}
    for run in runs:
        cells.setdefault(tuple(run["ends"]), []).append(run)
    sources, sinks = (list(dict.fromkeys(pair[i] for pair in cells)) for i in (0, 1))
    grid = [
        [source] + [
            spread([run["gbits"] for run in cells[source, sink]]) + "; "
            + spread([_percent_resent(run) for run in cells[source, sink]], "{:.3f}")
            if (source, sink) in cells else "-" for sink in sinks]
        for source in sources]
    header = ["Gbit/s; resent %"] + [f"to {sink}" for sink in sinks]
    return table(header, grid) + "\n\n" + streams(result)


def _peers(result):
    """Programs of the system that took part, and contenders that lacked one."""
    lines = [f"{name}: {line}." for name, line in result.get("versions", {}).items()]
    lines += [
        f"Not measured: {name}; {reason}." for name, reason in result.get("missing", {}).items()]
    return ["", *lines] if lines else []


def section(result, tables):
    """A result as a section of Markdown, of its tables."""
    facts = result["machine"]
    settings = result["settings"]
    return "\n".join([
        f"### {result['title']}", "",
        f"{settings['rounds']} rounds of {settings['seconds']:g} s, {result['date']}, "
        f"{facts['cpus']} CPUs ({facts['cpu']}), Linux {facts['kernel']}, "
        f"commit {result['commit']}. Median (least-most).", *_peers(result), "", tables, ""])
