"""How loads of TCP between hosts are shown, and what is wrong in them at any speed."""

import re

from .figures import of, ratios, spread
from .plots import Bars, Lines
from .tables import losses, names_of, table
from .traffic import fairness_of_pairs, fairness_of_streams


def _done(runs):
    """Those that came to their end."""
    return [run for run in runs if "error" not in run]


def _percent(part, whole):
    return 100 * part / whole if whole else 0.0


def _rows(result, cells):
    """`cells(own)` of every load and contender, behind the names of both."""
    for case in result["cases"]:
        for name in names_of(case["runs"]):
            if own := _done(of(case["runs"], name)):
                for row in cells(own):
                    yield [case["name"], name, *row]


def _known(values):
    return [value for value in values if value is not None]


def _of_way(own, way):
    """The flows of one direction, of all runs."""
    return [flow for run in own for flow in run["flows"] if flow["way"] == way]


def _ways(own):
    return list(dict.fromkeys(flow["way"] for flow in own[0]["flows"]))


def _direction_cells(own):
    for way in _ways(own):
        flows = _of_way(own, way)
        segments = sum(flow["segments"] for flow in flows)
        yield [
            f"{flows[0]['source']} to {flows[0]['sink']}",
            spread([flow["gbits"] for flow in flows]),
            spread(_known([flow["jain"] for flow in flows]), "{:.4f}"),
            spread(
                [min(flow["streams"]) / max(flow["streams"]) for flow in flows
                 if any(flow["streams"])]),
            str(sum(flow["seconds_at_zero"] for flow in flows)),
            spread([_percent(flow["resent"], flow["segments"]) for flow in flows], "{:.4f}"),
            f"{sum(flow['resent'] for flow in flows)} of {segments}",
            spread([flow["round_trip_ms"] for flow in flows], "{:.1f}"),
        ]


def _role(counter):
    """A counter of one of many hosts, without the host's number."""
    return re.sub(r"^(attach-)?([ab])\d+\.", r"\1\2.", counter)


def _losses(own):
    merged = []
    for run in own:
        sums = {}
        for counter, count in run["losses"].items():
            sums[_role(counter)] = sums.get(_role(counter), 0) + count
        merged.append({"losses": sums})
    return losses(merged)


def _cost_cells(own):
    """What every table of loads tells of the price of a gigabyte."""
    return [
        spread(_known([run[key] for run in own]))
        for key in ("cpu_per_gb", "guest_cpu_per_gb", "machine_cpu_per_gb")]


def _truth_cells(own):
    """And of what went wrong."""
    return [
        _losses(own), str(sum(run["checksum_errors"] for run in own)),
        f"{sum(run['is_disturbed'] for run in own)} of {len(own)}"]


def _run_cells(own):
    marks = _known([run["marks"] for run in own])
    yield [
        spread([run["gbits"] for run in own]), *_cost_cells(own),
        spread([run["memory_growth_kib"] for run in own], "{:.0f}"),
        str(sum(marks)) if marks else "-",
        str(sum(run["resent_needlessly"] for run in own)), *_truth_cells(own)]


COST_HEADER = ["CPU s/GB", "guests' CPU s/GB", "machine's CPU s/GB"]
TRUTH_HEADER = ["losses by counter", "wrong checksums", "disturbed"]


def _ratio_rows(result):
    for case in result["cases"]:
        runs = _done(case["runs"])
        for name in names_of(runs):
            for other in of(runs, name)[0]["against"]:
                if of(runs, other):
                    yield [
                        case["name"], name, other,
                        spread(ratios(runs, name, lambda run: run["gbits"], other)),
                        spread(ratios(runs, name, lambda run: run["cpu_per_gb"], other)),
                        spread(ratios(runs, name, lambda run: run["machine_cpu_per_gb"], other))]


def _ratio_tables(result):
    rows = list(_ratio_rows(result))
    header = [
        "load", "contender", "of", "Gbit/s ratio", "CPU a GB ratio", "machine's CPU a GB ratio"]
    return [table(header, rows)] if rows else []


def _failures(result):
    """Runs that came to no end, as a paragraph; none if all did."""
    lines = [
        f"- {case['name']}: {run['contender']}, round {run['round'] + 1}: {run['error']}"
        for case in result["cases"] for run in case["runs"] if "error" in run]
    return ["\n".join(["Failed:", "", *lines])] if lines else []


def stress(result):
    """Directions one by one, then what they had in common."""
    directions = [
        "load", "contender", "direction", "Gbit/s", "Jain's index", "slowest / fastest stream",
        "seconds with a stream at zero", "resent %", "resent segments", "round trip ms"]
    common = [
        "load", "contender", "Gbit/s, both", *COST_HEADER, "memory growth KiB", "marked (ECN)",
        "resent needlessly", *TRUTH_HEADER]
    return "\n\n".join([
        table(directions, _rows(result, _direction_cells)),
        table(common, _rows(result, _run_cells)), *_ratio_tables(result), *_failures(result)])


def _way_rate(run, way):
    return sum(flow["gbits"] for flow in run["flows"] if flow["way"] == way)


def _host_cells(own):
    ways = _ways(own)
    yield [
        spread([run["gbits"] for run in own]),
        *(spread([_way_rate(run, way) for run in own]) if way in ways else "-"
          for way in ("there", "back")),
        spread(_known(map(fairness_of_pairs, own)), "{:.4f}"),
        *_cost_cells(own),
        spread([_percent(run["resent"], run["segments"]) for run in own], "{:.4f}"),
        *_truth_cells(own)]


def hosts(result):
    """Sums over all pairs."""
    header = [
        "load", "contender", "Gbit/s", "there", "back", "Jain's index of the pairs", *COST_HEADER,
        "resent %", *TRUTH_HEADER]
    return "\n\n".join([
        table(header, _rows(result, _host_cells)), *_ratio_tables(result), *_failures(result)])


# Figures.

def _bars(result, title, unit, value, note=""):
    groups = {}
    for case in result["cases"]:
        runs = _done(case["runs"])
        labels = {
            name: _known([value(run) for run in of(runs, name)]) for name in names_of(runs)}
        groups[case["name"]] = {name: values for name, values in labels.items() if values}
    groups = {name: labels for name, labels in groups.items() if labels}
    return [Bars(title, unit, groups, note)] if groups else []


def _costs(result):
    return [
        *_bars(result, "Payload carried", "Gbit/s", lambda run: run["gbits"], "all flows together"),
        *_bars(result, "CPU of the carrier", "s/GB", lambda run: run["cpu_per_gb"],
               "a bridge in the kernel has no process"),
        *_bars(result, "CPU of the whole machine", "s/GB", lambda run: run["machine_cpu_per_gb"])]


def _least_fair(runs):
    """The flow of the round and direction in which the streams were least equal."""
    flows = [flow for run in runs for flow in run["flows"] if flow["jain"] is not None]
    return min(flows, key=lambda flow: flow["jain"], default=None)


def _course(flow):
    """What the streams of a flow carried in each second, by what a stream did in the mean."""
    mean = sum(map(sum, flow["bins"])) / sum(map(len, flow["bins"]))
    return [
        (second, [count / mean for count in counts])
        for second, counts in enumerate(zip(*flow["bins"]), 1)]


def _courses(result):
    """The streams second by second, a figure for each load."""
    for case in result["cases"]:
        runs = _done(case["runs"])
        flows = {name: _least_fair(of(runs, name)) for name in names_of(runs)}
        series = {
            name: _course(flow) for name, flow in flows.items()
            if flow and any(map(sum, flow["bins"]))}
        if series:
            yield Lines(
                f"Streams second by second, {case['name']}", "second", "of the mean", series,
                note="the median stream, and from the slowest to the fastest, by what a stream "
                "carried in the mean; the round and direction in which they were least equal")


def plots_of_stress(result):
    return [
        *_bars(result, "Fairness of the streams", "Jain's index", fairness_of_streams,
               "of the direction in which it is lower"),
        *_bars(result, "Resent segments", "%",
               lambda run: _percent(run["resent"], run["segments"])),
        *_bars(result, "Round trip under load", "ms",
               lambda run: max(flow["round_trip_ms"] for flow in run["flows"]),
               "the mean that TCP measured, of the direction in which it is higher"),
        *_costs(result), *_courses(result)]


def _by_pairs(result, title, unit, value):
    """A figure along the number of pairs."""
    series = {}
    for case in result["cases"]:
        runs = _done(case["runs"])
        for name in names_of(runs):
            values = _known([value(run) for run in of(runs, name)])
            if values:
                series.setdefault(name, []).append((case["load"]["pairs"], values))
    return Lines(title, "pairs of hosts", unit, series, is_logarithmic=True)


def plots_of_hosts(result):
    if len({case["load"]["pairs"] for case in result["cases"]}) < 2:
        return _costs(result)
    return [
        _by_pairs(result, "Payload carried", "Gbit/s", lambda run: run["gbits"]),
        _by_pairs(result, "Fairness of the pairs", "Jain's index", fairness_of_pairs),
        _by_pairs(result, "CPU of the carrier", "s/GB", lambda run: run["cpu_per_gb"]),
        _by_pairs(
            result, "CPU of the whole machine", "s/GB", lambda run: run["machine_cpu_per_gb"])]


def mistakes(result):
    """A stream at zero for a second is a figure, not a mistake."""
    found = []
    for case in result["cases"]:
        for run in case["runs"]:
            who = (f"{result['scenario']}: {case['name']}: {run['contender']}: "
                   f"round {run['round'] + 1}")
            if "error" in run:
                found.append(f"{who}: {run['error']}")
                continue
            if run["checksum_errors"]:
                found.append(f"{who}: {run['checksum_errors']} wrong checksums at the receivers")
            for flow in run["flows"]:
                if flow["bytes"] == 0:
                    found.append(f"{who}: nothing from {flow['source']} to {flow['sink']}")
    return found
