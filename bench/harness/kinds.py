"""The kinds of scenarios: how each is measured, shown, and found wrong.

A kind is an entry here and, as a rule, a module of its own. What a file of the kind may say beyond
the keys that all have stands in its table `[settings]`, which `settings` describes.
"""

from dataclasses import dataclass, field
from pathlib import Path

from . import (
    carriers, contenders, delay, disturbance, endurance, figures, growth, headlines, idle,
    latency, mixed, network, pictures, restart, rounds, scenario, streams, stress, stress_report,
    tables, takeover, traffic)


@dataclass
class Options:
    """What whoever measures has chosen."""

    names: list          # of contenders
    rounds: int
    seconds: float
    binaries: Path
    file_bytes: int = 0  # of the file to be sent through each contender; 0: none
    is_smoke: bool = False  # does it work? A part of what takes long will do


@dataclass
class Kind:
    """How a scenario of the kind is dealt with.

    - run(scenario, options, progress): its cases, and whatever else its result has, as a dict.
    - markdown(result): its tables.
    - mistakes(result): what is wrong in it at any speed, a line each.
    - obstacle(scenario, names): why it cannot be run here; None if it can.
    - programs(scenario, names): names of the binaries that it needs.
    - check(where, scenario): raises a ScenarioError for a file that makes no sense.
    - plots(result): its figures, of plots.py.
    - headlines(result): what of it is worth a line in a report's first table, of headlines.py; None
      takes it from the first figure.
    - settings: a dataclass of the keys in `[settings]`; None where there are none.
    """

    run: object
    markdown: object
    mistakes: object = figures.mistakes_of_frames
    obstacle: object = lambda scenario, names: None
    programs: object = lambda scenario, names: {"ringswitch", "loadgen"}
    check: object = lambda where, scenario: None
    plots: object = lambda result: []
    headlines: object = None
    settings: object = field(default=None)


def _needs_case(where, chosen):
    if not chosen.cases:
        raise scenario.ScenarioError(f"{where}: no [[case]]")


def _needs_switch(chosen, names):
    return None if contenders.SWITCH in names else f"it measures {contenders.SWITCH} alone"


# Frames of the load generator, through the switch and the cables in turn.

def _run_pairs(chosen, options, progress):
    names = [name for name in options.names if name in contenders.ALL]
    if chosen.transport == "stream":
        names = [name for name in names if name != "cable-mmsg"]  # it would be the third of them
    return {"cases": rounds.run_scenario(
        chosen, names, options.rounds, options.seconds, options.binaries, progress)}


def _has_pair(chosen, names):
    return None if set(names) & set(contenders.ALL) else "it has none of the contenders"


def _programs_of_pairs(chosen, names):
    if chosen.transport == "stream":
        return {"loadgen", contenders.SWITCH, contenders.STREAM_CABLE}
    return {"loadgen"} | {
        name.removesuffix("-control") for name in names if name in contenders.ALL}


def _alone(module):
    """A run of a module that measures the switch alone."""
    return lambda chosen, options, progress: {"cases": module.run_scenario(
        chosen, options.rounds, options.seconds, options.binaries, progress)}


def _run_cases(module):
    """A run of a module that is given all options."""
    return lambda chosen, options, progress: {
        "cases": module.run_scenario(chosen, options, progress)}


# TCP between two hosts, through the contenders that the scenario names.

def _run_streams(chosen, options, progress):
    cases = streams.run_scenario(
        chosen, options.names, options.rounds, streams.whole(options.seconds), options.binaries,
        progress)
    result = {"cases": cases, **_peers(chosen, options.names)}
    if options.file_bytes:
        result["files"] = streams.run_files(
            chosen, options.names, options.file_bytes, options.binaries, progress)
    return result


def _run_loads(chosen, options, progress):
    return {
        "cases": stress.run_scenario(chosen, options, progress), **_peers(chosen, options.names)}


def _peers(chosen, names):
    """What of the system's programs took part, and what lacks for contenders that were asked for.
    """
    entries = [entry for entry in chosen.contenders if entry.name in names]
    return {"versions": carriers.versions(entries), "missing": carriers.missing(entries)}


def needs_hosts(chosen, names):
    """An obstacle where the scenario needs namespaces and has contenders of its own."""
    wanted = [entry.name for entry in chosen.contenders if entry.name in names]
    if not wanted:
        return "it has none of the contenders"
    missing = carriers.missing(entry for entry in chosen.contenders if entry.name in names)
    if len(missing) == len(wanted):
        return "; ".join(sorted(set(missing.values())))
    return network.obstacle()


def programs_of_hosts(chosen, names):
    """The binaries of the carriers that a scenario names."""
    wanted = set()
    for entry in chosen.contenders:
        if entry.name in names:
            wanted |= carriers.programs(entry.carrier, entry.ends)
    return wanted


def _streams(markdown, plots, headline):
    return Kind(
        run=_run_streams, markdown=markdown, mistakes=figures.mistakes_of_streams,
        obstacle=needs_hosts, programs=programs_of_hosts, check=scenario.check_contenders,
        plots=plots, headlines=headline)


def _loads(markdown, plots):
    return Kind(
        run=_run_loads, markdown=markdown, mistakes=stress_report.mistakes, obstacle=needs_hosts,
        programs=programs_of_hosts, check=stress.check, plots=plots, settings=traffic.Settings,
        headlines=headlines.loads)


ALL = {
    "pairs": Kind(
        run=_run_pairs, markdown=tables.pairs, obstacle=_has_pair, programs=_programs_of_pairs,
        check=_needs_case, plots=pictures.pairs, headlines=headlines.pairs),
    "disturbance": Kind(
        run=_run_cases(disturbance), markdown=disturbance.markdown, obstacle=_needs_switch,
        check=_needs_case, plots=disturbance.plots, settings=disturbance.Settings,
        headlines=headlines.disturbance),
    "growth": Kind(
        run=_run_cases(growth), markdown=growth.markdown, obstacle=_has_pair,
        programs=_programs_of_pairs, check=growth.check, plots=growth.plots,
        headlines=growth.headlines, settings=growth.Settings),
    "idle": Kind(
        run=_run_cases(idle), markdown=idle.markdown, mistakes=idle.mistakes,
        obstacle=_needs_switch, plots=idle.plots, headlines=idle.headlines,
        settings=idle.Settings),
    "endurance": Kind(
        run=_run_cases(endurance), markdown=endurance.markdown, mistakes=endurance.mistakes,
        obstacle=_needs_switch, check=_needs_case, plots=endurance.plots,
        headlines=endurance.headlines, settings=endurance.Settings),
    "restart": Kind(
        run=_run_cases(restart), markdown=restart.markdown, mistakes=restart.mistakes,
        obstacle=_needs_switch, plots=restart.plots, headlines=restart.headlines,
        settings=restart.Settings),
    "takeover": Kind(
        run=_run_cases(takeover), markdown=takeover.markdown, mistakes=takeover.mistakes,
        obstacle=takeover.obstacle, programs=lambda scenario, names: {"ringswitch"},
        plots=takeover.plots, headlines=takeover.headlines, settings=takeover.Settings),
    "latency": Kind(
        run=_run_cases(latency), markdown=latency.markdown, mistakes=latency.mistakes,
        obstacle=latency.obstacle, programs=latency.programs, check=latency.check,
        plots=latency.plots, settings=latency.Settings, headlines=headlines.latency),
    "delay": Kind(
        run=_run_cases(delay), markdown=delay.markdown, mistakes=delay.mistakes,
        obstacle=_needs_switch, check=_needs_case, plots=delay.plots, settings=delay.Settings,
        headlines=headlines.delay),
    "mixed": Kind(
        run=_alone(mixed), markdown=tables.mixed, obstacle=_needs_switch, check=_needs_case,
        plots=pictures.mixed, headlines=headlines.mixed),
    "streams": _streams(tables.streams, pictures.streams, headlines.loads),
    "mixes": _streams(tables.mixes, pictures.mixes, headlines.mixes),
    "stress": _loads(stress_report.stress, stress_report.plots_of_stress),
    "hosts": _loads(stress_report.hosts, stress_report.plots_of_hosts),
}


FORMER = {"independence": "disturbance"}  # names in older results


def of(result):
    """The kind of a result."""
    return ALL[FORMER.get(result["kind"], result["kind"])]


def markdown(result):
    """A result as a section of Markdown."""
    return tables.section(result, of(result).markdown(result))
