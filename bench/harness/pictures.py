"""The figures of the kinds that compare contenders by frames and by TCP streams."""

from .contenders import BASELINE
from .figures import cpu_per_frame, of, ratios
from .plots import Bars

_WITH_OFFLOADS = ("raw", "vnet", "offload")


def _names(runs):
    return list(dict.fromkeys(run["contender"] for run in runs))


def _frames(run):
    return run["delivered"] / run["seconds"]


def _compared(result, value):
    """Ratios to the cable by case and contender; a case without the cable has none."""
    groups = {}
    for case in result["cases"]:
        runs = case["runs"]
        if of(runs, BASELINE):
            groups[case["name"]] = {
                name: ratios(runs, name, value) for name in _names(runs) if name != BASELINE}
    return groups


def _absolute(result, value):
    return {
        case["name"]: {
            name: [value(run) for run in of(case["runs"], name)] for name in _names(case["runs"])}
        for case in result["cases"]}


def pairs(result):
    """What a frame costs and how many get across, of the cable where it took part."""
    cpu = _compared(result, cpu_per_frame)
    if not any(cpu.values()):
        return [
            Bars("CPU time a frame", "us a frame", _absolute(result, cpu_per_frame)),
            Bars("Frames delivered", "frames a second", _absolute(result, _frames))]
    note = (
        f"{BASELINE} is the line at 1. A control is the same cable measured again: what a ratio of "
        "this machine is worth.")
    unit = f"of {BASELINE} in the same round"
    return [
        Bars("CPU time a frame: less is better", unit, cpu, note=note, reference=1.0),
        Bars(
            "Frames delivered: more is better", unit, _compared(result, _frames), reference=1.0)]


def _sort_of_ends(run):
    is_large = any(word in end for end in run["ends"] for word in _WITH_OFFLOADS)
    text = "with offloads" if is_large else "without offloads"
    return text if run["mtu"] == 1500 else f"{text}, MTU {run['mtu']}"


def _by_ends(runs, value):
    groups = {}
    for run in runs:
        group = groups.setdefault(_sort_of_ends(run), {})
        group.setdefault(run["contender"], []).append(value(run))
    # A single sort needs no heading.
    return groups if len(groups) > 1 else {"": held for held in groups.values()}


def _in_order(runs):
    """Runs as the scenario lists the contenders: the first round is the one that begins so."""
    return sorted(runs, key=lambda run: run["round"])


def streams(result):
    """The rate, and what it costs."""
    runs = _in_order(result["cases"][0]["runs"])
    found = [Bars("TCP from host to host", "Gbit/s", _by_ends(runs, lambda run: run["gbits"]))]
    found.append(Bars(
        "CPU time a gigabyte, of the whole machine", "CPU s/GB",
        _by_ends(runs, lambda run: run["machine_cpu_per_gb"] or None),
        note="Hosts and iperf3 included, which is the only way to compare with the kernel's "
        "bridge: it has no process."))
    counted = [run for run in runs if run["cpu_per_gb"] is not None]
    if counted:
        found.append(Bars(
            "CPU time a gigabyte, of the contender's process", "CPU s/GB",
            _by_ends(counted, lambda run: run["cpu_per_gb"])))
    return found


def mixes(result):
    """The rate and the cost from each sort of port to each other."""
    def grid(value):
        groups = {}
        for run in _in_order(result["cases"][0]["runs"]):
            source, sink = run["ends"]
            group = groups.setdefault(f"from {source}", {})
            group.setdefault(f"to {sink}", []).append(value(run))
        return groups

    return [
        Bars("TCP from each sort of port to each", "Gbit/s", grid(lambda run: run["gbits"])),
        Bars(
            "CPU time a gigabyte, of the switch", "CPU s/GB",
            grid(lambda run: run["cpu_per_gb"]))]


def mixed(result):
    """The delay of the flow that passes whole."""
    groups = {}
    for case in result["cases"]:
        group = groups[case["name"]] = {}
        for run in case["runs"]:
            group.setdefault(run["variant"], []).append(run["delay_ns"]["p99"] / 1e6)
    return [Bars(
        "Delay of frames that pass whole, by what is cut up beside them", "p99 delay, ms", groups,
        controls=("off", "elsewhere"),
        note="off: nothing is. elsewhere: by another switch on the machine. beside: by the same "
        "switch.")]
