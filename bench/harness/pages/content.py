"""From results to the blocks of a report."""

import re
from dataclasses import dataclass
from pathlib import Path

from .. import drawing, headlines, kinds
from ..plots import Bars
from .blocks import Figure, Heading, Listing, Paragraph, Table, from_markdown

_METHOD = [
    "A round is one run of each contender, one after another, each started afresh; the next round "
    "begins with another one. A slow minute of the machine so meets all of them.",
    "Bars and lines are medians of the rounds, whiskers and bands reach from the least to the "
    "most; tables say median (least-most).",
    "Only runs of the same round are divided by each other; a ratio is the median of the rounds' "
    "ratios. A contender named control is one of the others measured a second time: how far its "
    "ratio strays from 1 is what a ratio of this machine is worth.",
    "Runs are called disturbed when the hypervisor stole more than 5 % of the CPU time, or "
    "processes that are no part of the run used more than 10 %. They are counted, and not left "
    "out.",
    "CPU time of a contender includes what the kernel does in its name: copying, waking, "
    "allocating.",
]

_FACTS = {
    "cpu": "processor", "cpus": "CPUs", "kernel": "Linux",
    "net.ipv4.tcp_congestion_control": "TCP congestion control",
    "net.core.wmem_max": "net.core.wmem_max", "net.unix.max_dgram_qlen": "net.unix.max_dgram_qlen"}


@dataclass
class Entry:
    """A result, and where it came from."""

    path: Path
    result: dict
    anchor: str
    plots: list
    is_only: bool  # of its scenario in the report

    @property
    def title(self):
        title = self.result["title"]
        return title if self.is_only else f"{title}, {self.result['date']}"


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _is_empty(plot):
    if isinstance(plot, Bars):
        return not any(
            value is not None for held in plot.groups.values() for values in held.values()
            for value in values)
    return not any(values for points in plot.series.values() for _, values in points)


def entries(results):
    """Results, given by path, in the order of a report: kinds as they are listed, then names."""
    order = list(kinds.ALL.values())
    listed = sorted(results.items(), key=lambda item: (
        order.index(kinds.of(item[1])), item[1]["scenario"], item[1]["date"], str(item[0])))
    taken = {}
    for path, result in listed:
        anchor = slug(result["scenario"])
        taken[anchor] = taken.get(anchor, 0) + 1
        if taken[anchor] > 1:
            anchor += f"-again-{taken[anchor] - 1}"
        plots = [plot for plot in kinds.of(result).plots(result) if not _is_empty(plot)]
        is_only = sum(other["scenario"] == result["scenario"] for _, other in listed) == 1
        yield Entry(path, result, anchor, plots, is_only)


def _machines(listed):
    """A column for each machine, or state of one, on which something was measured."""
    machines = {}
    for entry in listed:
        facts = entry.result["machine"]
        machines.setdefault(tuple(sorted(facts.items())), []).append(entry.result["date"])
    rows = []
    for key, text in _FACTS.items():
        values = [dict(machine).get(key) for machine in machines]
        if any(value is not None for value in values):
            rows.append([text, *(str(value) if value is not None else "not noted"
                                 for value in values)])
    days = [sorted(set(dates)) for dates in machines.values()]
    rows.append(["measured on", *(" to ".join(dict.fromkeys((d[0], d[-1]))) for d in days)])
    return Table(
        ["", *(f"machine {1 + i}" for i in range(len(machines)))] if len(machines) > 1
        else ["", "machine"], rows, is_of_contenders=False)


def _headlines(listed):
    rows = []
    for entry in listed:
        say = kinds.of(entry.result).headlines
        lines = say(entry.result) if say else headlines.of_figures(entry.plots)
        name = f"[{entry.result['scenario']}](#{entry.anchor})"
        for line in lines:
            rows.append([
                name, line.case, line.ours, line.others, line.cpu, line.cpu_others, line.lost])
            name = ""
    return Table(
        ["scenario", "case", "ringswitch", "against others", "its CPU", "against others",
         "lost or resent"], rows, is_of_contenders=False)


def _disturbed(runs):
    told = [run for run in runs if "is_disturbed" in run]
    if not told:
        return "Whether runs were disturbed was not noted."
    count = sum(run["is_disturbed"] for run in told)
    text = f"Disturbed: {count} of {len(told)} runs"
    if not count:
        return f"{text}."
    stolen = max(run.get("stolen", 0.0) for run in told)
    foreign = max(run.get("foreign", 0.0) for run in told)
    return (
        f"{text}; at most {100 * stolen:.0f} % of the CPU time was stolen, and at most "
        f"{100 * foreign:.0f} % went to processes that are no part of the run.")


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _provenance(entry):
    result = entry.result
    settings = result["settings"]
    text = (
        f"{_count(settings['rounds'], 'round')} of {settings['seconds']:g} s, {result['date']}, "
        f"commit {result['commit'] or 'not noted'}; `{entry.path.name}`.")
    if result["kind"] in kinds.ALL:
        text += (
            f" Repeat with `bench/run {result['scenario']} --rounds {settings['rounds']} "
            f"--seconds {settings['seconds']:g}`.")
    return text


def _figures(entry):
    for number, plot in enumerate(entry.plots):
        yield Figure(plot.title, f"{entry.anchor}-{number + 1}", drawing.svg(plot))


def _section(entry, with_figures):
    result = entry.result
    runs = [run for case in result["cases"] for run in case["runs"]]
    yield Heading(2, entry.title, entry.anchor)
    for part in result.get("about", "").split("\n\n"):
        if part:
            yield Paragraph(part)
    for name, reason in result.get("missing", {}).items():
        yield Paragraph(f"Not measured: {name}; {reason}.")
    if with_figures:
        yield from _figures(entry)
    yield from from_markdown(kinds.of(result).markdown(result))
    if wrong := kinds.of(result).mistakes(result):
        yield Heading(3, "Wrong at any speed")
        yield Listing(wrong)
    yield Paragraph(f"{_disturbed(runs)} {_provenance(entry)}", is_small=True)


def report(results, with_figures):
    """The blocks of a report of results, which are given by their paths."""
    listed = list(entries(results))
    yield Heading(1, "ringswitch, measured")
    if not with_figures:
        yield Paragraph(f"Without figures: {drawing.MISSING}.")
    yield Heading(2, "In short", "in-short")
    yield _headlines(listed)
    yield Paragraph(
        "Medians; how far they reach is in the tables below. Against others: divided by them, or "
        "milliseconds above a control, in the same round; without either, their own medians. Its "
        "CPU: of the process of ringswitch. Lost or resent: frames that were sent and not "
        "delivered; segments that TCP sent again.",
        is_small=True)
    yield Heading(2, "Scenarios", "scenarios")
    yield Listing([
        f"[{entry.title}](#{entry.anchor}) (`{entry.result['scenario']}`)" for entry in listed])
    yield Heading(2, "Machine", "machine")
    yield _machines(listed)
    yield Heading(2, "Method", "method")
    yield Listing(_METHOD)
    yield Paragraph(
        "What is measured how, and which traps there are: `bench/README.md`. Raw results are the "
        "JSON files of which this is drawn; `bench/report` draws it again.")
    for entry in listed:
        yield from _section(entry, with_figures)
