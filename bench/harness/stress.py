"""Loads of TCP between hosts, through each contender in turn: fair, calm and never stuck?"""

import subprocess

from . import carriers, network, streams, traffic
from .children import ChildError
from .scenario import ScenarioError, check_contenders


def check(where, scenario):
    """Refuses contenders that no carrier can be, and loads that one of them cannot carry."""
    check_contenders(where, scenario)
    for entry in scenario.contenders:
        most = carriers.ALL[entry.carrier].pairs_max
        for load in scenario.settings.loads:
            if load.pairs > most:
                raise ScenarioError(
                    f"{where}: {entry.name} joins at most {most} pairs, {load.name} has more")


def _per_gigabyte(cpu_seconds, gigabytes):
    return cpu_seconds / gigabytes if gigabytes else None


def _rates(flows, usage, has_process, has_guests):
    """What all flows carried together, and what that cost."""
    gigabytes = sum(flow["bytes"] for flow in flows) / 1e9
    return {
        "flows": flows,
        "bytes": sum(flow["bytes"] for flow in flows),
        # Flows begin a moment after one another, so the sum of their own rates it is.
        "gbits": sum(flow["gbits"] for flow in flows),
        "cpu_per_gb": _per_gigabyte(usage["cpu_seconds"], gigabytes) if has_process else None,
        "guest_cpu_per_gb":
            _per_gigabyte(usage["guest_cpu_seconds"], gigabytes) if has_guests else None,
        "machine_cpu_per_gb": _per_gigabyte(usage["machine_cpu_seconds"], gigabytes),
        **usage,
    }


def _with_segments(flow, hosts):
    """What a sender resent of all segments that it sent; acknowledgements of the other direction
    are among these."""
    return flow | {"segments": hosts[flow["source"]]["Tcp.OutSegs"]}


def run_once(contender, scenario, load, seconds, binaries):
    """One round of one contender under one load."""
    def work(lab, link, directory):
        flows, usage = traffic.run(lab, link, load, seconds, directory)
        return _rates(flows, usage, bool(link.pids), bool(link.guests))

    result = streams.through(
        contender, scenario, binaries, work, load.addresses, load.parameters)
    result["flows"] = [_with_segments(flow, result["hosts"]) for flow in result["flows"]]
    if load.pairs > 1:
        del result["hosts"]  # they are many, and their sums are there
    return result


def _attempt(contender, scenario, load, seconds, binaries):
    """A contender that fails is a row of the table, not the end of the evening."""
    try:
        return run_once(contender, scenario, load, seconds, binaries)
    except (ChildError, network.NetworkError, subprocess.SubprocessError, ValueError) as error:
        return {"error": str(error), "bytes": 0}


def _runs(scenario, load, chosen, options, progress):
    seconds = streams.whole(options.seconds)
    for number in range(options.rounds):
        turn = number % len(chosen)
        for entry in chosen[turn:] + chosen[:turn]:
            progress(
                f"{scenario.name}: {load.name}: round {number + 1} of {options.rounds}: "
                f"{entry.name}")
            figures = _attempt(entry, scenario, load, seconds, options.binaries)
            yield {"round": number, **streams.label(entry), **figures}


def _smoke(loads, chosen):
    """Enough to see that everything works: the first load with all contenders, the last with one.
    """
    return [(loads[0], chosen)] + [(load, chosen[:1]) for load in loads[1:][-1:]]


def run_scenario(scenario, options, progress):
    """All loads, each with all contenders in all rounds, which begin with another one each time."""
    network.sweep()
    chosen = streams.chosen_of(scenario, options.names)
    loads = scenario.settings.loads
    plan = _smoke(loads, chosen) if options.is_smoke else [(load, chosen) for load in loads]
    return [
        {"name": load.name, "load": vars(load),
         "runs": list(_runs(scenario, load, entries, options, progress))}
        for load, entries in plan]
