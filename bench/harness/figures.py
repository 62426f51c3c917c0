"""From runs to figures: medians, and ratios of runs of the same round."""

from statistics import median

from .contenders import BASELINE


def spread(values, form="{:.2f}"):
    """Median and, in brackets, the least and the most."""
    if not values:
        return "-"
    return f"{form.format(median(values))} ({form.format(min(values))}-{form.format(max(values))})"


def cpu_per_frame(run):
    """Microseconds of the contender's CPU time for each delivered frame."""
    return run["cpu_seconds"] * 1e6 / run["delivered"] if run["delivered"] else None


def of(runs, name):
    return [run for run in runs if run["contender"] == name]


def ratios(runs, name, value):
    """`value` of a contender by that of the baseline, round by round."""
    base = {run["round"]: value(run) for run in of(runs, BASELINE)}
    pairs = [(value(run), base.get(run["round"])) for run in of(runs, name)]
    return [ours / theirs for ours, theirs in pairs if ours is not None and theirs]


def mistakes(result):
    """Everything in a result that is wrong however fast it was."""
    found = []
    for case in result["cases"]:
        for run in case["runs"]:
            who = f"{result['scenario']}: {case['name']}: round {run['round'] + 1}: "
            who += run.get("variant", run["contender"])
            for key in ("reordered", "duplicates", "corrupted", "errors"):
                if run[key]:
                    found.append(f"{who}: {run[key]} {key}")
            if run["delivered"] == 0:
                found.append(f"{who}: nothing was delivered")
    return found
