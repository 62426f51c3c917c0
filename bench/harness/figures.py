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


def ratios(runs, name, value, baseline=BASELINE):
    """`value` of a contender by that of the baseline, round by round."""
    base = {run["round"]: value(run) for run in of(runs, baseline)}
    pairs = [(value(run), base.get(run["round"])) for run in of(runs, name)]
    return [ours / theirs for ours, theirs in pairs if ours is not None and theirs]


def drops(runs):
    """What a switch dropped in all runs together, by reason."""
    total = {}
    for run in runs:
        for reason, count in ((run.get("counters") or {}).get("drops") or {}).items():
            total[reason] = total.get(reason, 0) + count
    return ", ".join(f"{reason} {count}" for reason, count in sorted(total.items())) or "none"


def mistakes_of_streams(result):
    """Everything in a result of streams that is wrong however fast it was."""
    found = []
    runs = [run for case in result["cases"] for run in case["runs"]]
    for run in runs + result.get("files", []):
        who = f"{result['scenario']}: {run['contender']}: "
        who += f"round {run['round'] + 1}" if "round" in run else "the file"
        if run["checksum_errors"]:
            found.append(f"{who}: {run['checksum_errors']} wrong checksums at the receiver")
        if run["bytes"] == 0:
            found.append(f"{who}: nothing was delivered")
        if not run.get("is_equal", True):
            found.append(f"{who}: not what was sent: {run['error'] or 'other bytes'}")
    return found


def mistakes_of_frames(result):
    """Everything in a result of the load generator's frames that is wrong however fast it was."""
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
            if run.get("beside") and run["beside"]["delivered"] == 0:
                found.append(f"{who}: nothing of the flow beside it was delivered")
    return found
