"""The headline table of a report: what a reader who reads nothing else should know.

A kind says what of its result is worth a line; of a kind that does not, its first figure is.
Medians only: how far they are to be trusted is in the tables.
"""

from dataclasses import dataclass
from statistics import median

from .contenders import BASELINE, SWITCH
from .figures import cpu_per_frame, of, ratios
from .plots import Bars
from .tables import growth, names_of
from .traffic import fairness_of_pairs, fairness_of_streams


@dataclass
class Headline:
    """A line of texts: what ringswitch reached, how that is held against others, and the same of
    its CPU time."""

    case: str
    ours: str
    others: str = ""
    cpu: str = ""
    cpu_others: str = ""
    lost: str = ""


def _median(values, form="{:.2f}"):
    values = [value for value in values if value is not None]
    return form.format(median(values)) if values else "-"


def _percent(part, whole):
    if not whole:
        return "-"
    percent = 100 * part / whole
    if 0 < percent < 0.001:
        return "< 0.001 %"
    return f"{percent:.1f} %" if percent >= 1 else f"{percent:.3f} %" if part else "0"


def _of_others(runs, name, others, value):
    """Ratios to others, as `1.04 of this, 0.90 of that`."""
    found = [(other, ratios(runs, name, value, other)) for other in others]
    return ", ".join(f"{median(values):.2f} of {other}" for other, values in found if values)


def pairs(result):
    """A line for each length of frames."""
    for case in result["cases"]:
        runs = case["runs"]
        if own := of(runs, SWITCH):
            yield Headline(
                case["name"],
                _median([run["delivered"] / run["seconds"] / 1e3 for run in own], "{:.0f}")
                + " kframes/s",
                _of_others(
                    runs, SWITCH, [BASELINE], lambda run: run["delivered"] / run["seconds"]),
                _median(map(cpu_per_frame, own)) + " us/frame",
                _of_others(runs, SWITCH, [BASELINE], cpu_per_frame),
                _percent(sum(run["lost"] for run in own), sum(run["sent"] for run in own)))


def _fairness(run):
    """Jain's index over the streams of a flow, or else over the pairs of hosts."""
    if "flows" not in run:
        return None
    of_streams = fairness_of_streams(run)
    return fairness_of_pairs(run) if of_streams is None else of_streams


def loads(result):
    """A line for each load of TCP and contender of ringswitch."""
    for case in result["cases"]:
        runs = [run for run in case["runs"] if "error" not in run]
        for name in names_of([run for run in runs if run["carrier"] == SWITCH]):
            own = of(runs, name)
            others = own[0].get("against", [])
            ours = _median([run["gbits"] for run in own]) + " Gbit/s"
            fairness = [value for value in map(_fairness, own) if value is not None]
            if fairness:
                ours += f", Jain {median(fairness):.3f}"
            yield Headline(
                name if len(result["cases"]) == 1 else f"{case['name']}: {name}", ours,
                _of_others(runs, name, others, lambda run: run["gbits"]),
                _median([run["cpu_per_gb"] for run in own]) + " s/GB",
                _of_others(runs, name, others, lambda run: run["cpu_per_gb"]),
                _percent(sum(run["resent"] for run in own), sum(run["segments"] for run in own)))


def mixes(result):
    """The slowest way and the fastest one."""
    runs = result["cases"][0]["runs"]
    rates = {name: median(run["gbits"] for run in of(runs, name)) for name in names_of(runs)}
    for word, choose in (("slowest", min), ("fastest", max)):
        name = choose(rates, key=rates.get)
        own = of(runs, name)
        yield Headline(
            f"{word}: {name}", f"{rates[name]:.2f} Gbit/s",
            cpu=_median([run["cpu_per_gb"] for run in own]) + " s/GB",
            lost=_percent(sum(run["resent"] for run in own), sum(run["segments"] for run in own)))


def _held_against(case, variant, control):
    """The delay of a variant, and how far it is above that of its control."""
    own = [run for run in case["runs"] if run["variant"] == variant]
    grown = growth(case["runs"], variant, control)
    return Headline(
        f"{case['name']}: {variant}",
        "p99 " + _median([run["delay_ns"]["p99"] / 1e6 for run in own]) + " ms",
        f"{median(grown):+.2f} ms against {control.removeprefix(variant).strip()}" if grown else "",
        lost=_percent(sum(run["lost"] for run in own), sum(run["sent"] for run in own)))


def mixed(result):
    """The delay of what passes whole, against that beside the same load at another switch."""
    for case in result["cases"]:
        yield _held_against(case, "beside", "elsewhere")


def disturbance(result):
    """The delay of the pair beside each disturbance, against the same one at another switch; in
    results of the former kind `independence`, against frames to a port where nobody is."""
    for case in result["cases"]:
        variants = list(dict.fromkeys(run["variant"] for run in case["runs"]))
        for variant in variants:
            control = f"{variant} elsewhere"
            if control in variants:
                yield _held_against(case, variant, control)
            elif variant == "stopped":
                yield _held_against(case, variant, "detached")


def delay(result):
    """The delay of the probe in a fair queue, against a FIFO, and against the same bulk to another
    port, which keeps readers from their CPU as much."""
    for case in result["cases"]:
        by_variant = {}
        for run in case["runs"]:
            if run["delivered"]:
                by_variant.setdefault(run["variant"], []).append(run["delay_ns"]["p99"] / 1e6)
        grown = growth(case["runs"], "fair", "apart")
        others = [f"{median(grown):+.2f} ms against bulk to another port"] if grown else []
        if "fifo" in by_variant:
            others.append(f"a FIFO {_median(by_variant['fifo'])} ms")
        yield Headline(
            case["name"], f"p99 {_median(by_variant.get('fair', []))} ms", ", ".join(others),
            lost=_percent(
                sum(run["lost"] for run in case["runs"] if run["variant"] == "fair"),
                sum(run["sent"] for run in case["runs"] if run["variant"] == "fair")))


def latency(result):
    """A line for each way of asking and contender of ringswitch."""
    for case in result["cases"]:
        runs = case["runs"]
        for name in names_of([run for run in runs if run["carrier"] == SWITCH]):
            own = of(runs, name)
            compared = []
            for other in own[0].get("against", []):
                by_key = [
                    ratios(runs, name, lambda run, key=key: run["rtt_ns"][key], other)
                    for key in ("p50", "p99")]
                if all(by_key):
                    compared.append(
                        " and ".join(f"{median(values):.2f}" for values in by_key) + f" of {other}")
            asked = sum(run["asked"] for run in own)
            yield Headline(
                f"{case['name']}: {name}",
                "p50 and p99 " + " and ".join(
                    _median([run["rtt_ns"][key] / 1e3 for run in own], "{:.0f}")
                    for key in ("p50", "p99")) + " us",
                ", ".join(compared),
                lost=_percent(asked - sum(run["answered"] for run in own), asked))


def _of_bars(bars):
    what, comma, unit = bars.unit.rpartition(", ")
    for group, held in bars.groups.items():
        ours = next((label for label in held if label.startswith(SWITCH)), next(iter(held), ""))
        if ours:
            yield Headline(
                group or bars.title, f"{what}{' ' if comma else ''}{_median(held[ours])} {unit}",
                ", ".join(f"{label} {_median(held[label])}" for label in held if label != ours))


def _of_lines(lines):
    """Both ends of each line of ringswitch."""
    for name, points in lines.series.items():
        points = sorted((x, values) for x, values in points if values)
        if name.startswith(SWITCH) and points:
            (first, at_first), (last, at_last) = points[0], points[-1]
            yield Headline(
                f"{lines.title}, {first:,g} to {last:,g} {lines.x}",
                f"{_median(at_first)} to {_median(at_last)} {lines.y}")


def of_figures(plots):
    """Lines from the first figure of bars, or else from all that there are. Their values have lost
    their rounds, so nothing is divided here."""
    bars = next((plot for plot in plots if isinstance(plot, Bars)), None)
    if bars is not None:
        yield from _of_bars(bars)
        return
    for lines in plots:
        yield from _of_lines(lines)
