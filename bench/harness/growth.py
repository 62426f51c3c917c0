"""What a frame of one pair costs while more and more ports are attached, or addresses learned.

Each of two axes is walked alone: *ports* (2 are the pair itself, the others are silent) and *MACs*
behind the receiver, which the frames go to in turn. A walk's first place is measured a second time
in each round; how far that strays from the first time is what a ratio is worth. The cable, which
has two ends and no table, is measured once a round: the flat line.
"""

from dataclasses import dataclass, field, replace
from statistics import median

from .contenders import BASELINE, SWITCH
from .figures import cpu_per_frame, spread
from .headlines import Headline
from .plots import Lines
from .rounds import run_once
from .scenario import Endpoint, Flow, ScenarioError
from .tables import table

PAIR = 2


@dataclass
class Settings:
    """Keys of `[settings]`."""

    ports: list = field(default_factory=lambda: [2, 8, 64, 256])
    macs: list = field(default_factory=lambda: [10, 1_000, 10_000, 100_000])
    mac_limit: int = 1 << 18  # in all places of the walk through `macs`


@dataclass(frozen=True)
class Place:
    """One run of a round."""

    contender: str
    axis: str = ""
    value: int = 0
    is_again: bool = False  # the first place of its walk once more


def check(where, scenario):
    settings = scenario.settings
    if not scenario.cases:
        raise ScenarioError(f"{where}: no [[case]]")
    if min(settings.ports) < PAIR or min(settings.macs) < 1:
        raise ScenarioError(f"{where}: fewer than {PAIR} ports, or than 1 MAC")
    # One port may fill half of the table (mac_limit).
    if max(settings.macs) + PAIR > settings.mac_limit // 2:
        raise ScenarioError(f"{where}: mac_limit must be twice the most of macs")


def _places(scenario, names, is_smoke):
    places = [Place(BASELINE)] if BASELINE in names else []
    if SWITCH not in names:
        return places
    for axis in ("ports", "macs"):
        values = sorted(getattr(scenario.settings, axis))
        if is_smoke:
            values = [values[0], values[-1]]
        places += [Place(SWITCH, axis, value) for value in values]
        places.append(Place(SWITCH, axis, values[0], is_again=True))
    return places


def _at(place, scenario):
    """The scenario of `pairs` that stands at a place."""
    ends = [Endpoint("a"), Endpoint("b")]
    flow = Flow("a", "b")
    if place.axis == "macs":
        ends[1].extra_macs = place.value
        flow.spread = True
        return replace(
            scenario, endpoints=ends, flows=[flow],
            switch={"mac_limit": scenario.settings.mac_limit})
    idle = place.value - PAIR if place.axis == "ports" else 0
    return replace(scenario, endpoints=ends, flows=[flow], idle_ports=idle, idle_macs=0)


def _run_place(place, scenario, case, seconds, binaries):
    figures = run_once(place.contender, _at(place, scenario), case, seconds, binaries)
    return {"axis": place.axis, "value": place.value, "is_again": place.is_again, **figures}


def run_scenario(scenario, options, progress):
    """All cases and rounds. A round walks through all places, from another one on each time."""
    places = _places(scenario, options.names, options.is_smoke)
    cases = []
    for case in scenario.cases[:1] if options.is_smoke else scenario.cases:
        runs = []
        for number in range(options.rounds):
            turn = number % len(places)
            for place in places[turn:] + places[:turn]:
                progress(
                    f"{scenario.name}: {case.name}: round {number + 1} of {options.rounds}: "
                    f"{place.contender} {place.value or ''} {place.axis}")
                figures = _run_place(
                    place, scenario, case, options.seconds, options.binaries)
                runs.append({"round": number, **figures})
        cases.append({"name": case.name, "size": case.size, "runs": runs})
    return cases


def _rate(run):
    return run["delivered"] / run["seconds"]


def _walks(case):
    """By axis, by value, the runs; those that were made again stand under `again`."""
    walks = {}
    for run in case["runs"]:
        if run["contender"] == SWITCH:
            key = "again" if run["is_again"] else run["value"]
            walks.setdefault(run["axis"], {}).setdefault(key, []).append(run)
    return walks


def _cable(case):
    return [run for run in case["runs"] if run["contender"] == BASELINE]


def _ratios(runs, others, value):
    """Round by round."""
    base = {run["round"]: value(run) for run in others}
    pairs = [(value(run), base.get(run["round"])) for run in runs]
    return [ours / theirs for ours, theirs in pairs if ours is not None and theirs]


def _cells(own, first, cable):
    cpu = [value for value in map(cpu_per_frame, own) if value is not None]
    return [
        spread([_rate(run) / 1e3 for run in own], "{:.1f}"), spread(cpu),
        spread(_ratios(own, first, _rate)), spread(_ratios(own, first, cpu_per_frame)),
        spread(_ratios(own, cable, cpu_per_frame)),
        str(sum(run["lost"] for run in own)),
        f"{sum(run['is_disturbed'] for run in own)} of {len(own)}"]


def headlines(result):
    """What a frame costs at the end of each walk, and at 64 ports, against its first place."""
    for case in result["cases"]:
        for axis, walk in sorted(_walks(case).items(), reverse=True):
            values = sorted(value for value in walk if value != "again")
            for value in [value for value in values[1:] if value in (64, values[-1])]:
                cpu = [cost for cost in map(cpu_per_frame, walk[value]) if cost is not None]
                grown = _ratios(walk[value], walk[values[0]], cpu_per_frame)
                if cpu and grown:
                    yield Headline(
                        f"{case['name']}: {value:,} {_UNITS[axis]}",
                        f"{median(_rate(run) / 1e3 for run in walk[value]):.0f} kframes/s",
                        cpu=f"{median(cpu):.2f} us/frame",
                        cpu_others=f"{median(grown):.2f} of {values[0]:,} {_UNITS[axis]}")


_UNITS = {"ports": "ports", "macs": "MACs"}
_AXES = {"ports": "attached ports", "macs": "MAC addresses in use"}


def _rows(case):
    cable = _cable(case)
    for axis, walk in sorted(_walks(case).items(), reverse=True):
        values = sorted(value for value in walk if value != "again")
        for value in values:
            yield [case["name"], f"{value:,} {_UNITS[axis]}",
                   *_cells(walk[value], walk[values[0]], cable)]
        if "again" in walk:
            yield [case["name"], f"{values[0]:,} {_UNITS[axis]} again",
                   *_cells(walk["again"], walk[values[0]], cable)]
    if cable:
        yield [case["name"], BASELINE, *_cells(cable, [], cable)]


def markdown(result):
    header = [
        "case", "with", "kframes/s", "CPU us a frame", "frames / first of its kind",
        "CPU a frame / first of its kind", f"CPU a frame / {BASELINE}", "lost", "disturbed"]
    return table(header, [row for case in result["cases"] for row in _rows(case)])


def plots(result):
    """A figure for each axis and length."""
    found = []
    for case in result["cases"]:
        cable = [value for value in map(cpu_per_frame, _cable(case)) if value is not None]
        for axis, walk in sorted(_walks(case).items(), reverse=True):
            values = sorted(value for value in walk if value != "again")
            series = {SWITCH: [
                (value, [cpu for cpu in map(cpu_per_frame, walk[value]) if cpu is not None])
                for value in values]}
            if cable:
                series[BASELINE] = [(value, cable) for value in values]
            found.append(Lines(
                f"A frame among more and more {_UNITS[axis]}, {case['name']}", _AXES[axis],
                "CPU us a frame", series, is_logarithmic=True))
    return found
