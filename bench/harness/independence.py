"""What the peer of a third port costs a pair: detached, reading, stopped."""

import os
import shutil
import signal
import tempfile
from contextlib import ExitStack

from .contenders import SWITCH, Contender
from .loadgen import Loadgen, mac
from .rounds import Meter, load_figures

VARIANTS = ["detached", "reading", "stopped"]
PAIR_FLOW = 0


def _endpoint(name, index, path):
    return f"endpoint name={name} port={path} mac={mac(index)} magic=yes"


def measure_most(scenario, case, seconds, binaries):
    """Frames a second that the pair gets across when nothing holds it back."""
    directory = tempfile.mkdtemp(prefix="rsb-")
    try:
        with Contender(SWITCH, binaries, directory, case, scenario.send_buffer, 4) as switch:
            lines = [
                _endpoint("a", 0, switch.paths[0]), _endpoint("b", 1, switch.paths[1]),
                f"flow from=a to=b size={case.size} rate=max duration={seconds}"]
            with Loadgen(binaries, lines) as load:
                load.ready()
                load.go()
                figures = load_figures(load.result(seconds + 60))
        return figures["delivered"] / figures["seconds"]
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _plan(scenario, case, paths, rate, seconds):
    side_rate = max(1, int(rate * scenario.side_load))
    common = f"size={case.size} duration={seconds} when-full=wait"
    return [
        _endpoint("a", 0, paths[0]), _endpoint("b", 1, paths[1]), _endpoint("d", 3, paths[3]),
        f"flow id={PAIR_FLOW} from=a to=b rate={max(1, int(rate))} {common}",
        f"flow id=1 from=a to={mac(2)} rate={side_rate} {common}",
        f"flow id=2 from=d to={mac(2)} rate={side_rate} {common}"]


def _run_variant(variant, scenario, case, rate, seconds, binaries):
    directory = tempfile.mkdtemp(prefix="rsb-")
    try:
        switch = Contender(SWITCH, binaries, directory, case, scenario.send_buffer, 4)
        with ExitStack() as stack:
            stack.enter_context(switch)
            third = None
            if variant != "detached":
                third = stack.enter_context(
                    Loadgen(binaries, [_endpoint("c", 2, switch.paths[2])]))
                third.ready()
                third.go()
            lines = _plan(scenario, case, switch.paths, rate, seconds)
            load = stack.enter_context(Loadgen(binaries, lines))
            load.ready()
            meter = Meter(switch.pid)
            if variant == "stopped":
                os.kill(third.pid, signal.SIGSTOP)
            try:
                load.go()
                report = load.result(seconds + 60)
            finally:
                if variant == "stopped":
                    os.kill(third.pid, signal.SIGCONT)
            figures = meter.read(sum(report["cpu_seconds"].values()))
            switch.note_counters()
            if third is not None:
                third.end()
                figures["third_received"] = third.result(60)["totals"]["received"]
        pair = dict(report)
        pair["sent"] = [flow for flow in report["sent"] if flow["id"] == PAIR_FLOW]
        pair["received"] = [entry for entry in report["received"] if entry["flow"] == PAIR_FLOW]
        missed = sum(flow["missed"] for flow in pair["sent"])
        return {"variant": variant, "contender": SWITCH, "missed": missed, **load_figures(pair),
                **figures, "counters": switch.counters}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run_scenario(scenario, rounds, seconds, binaries, progress):
    """All cases and rounds; variants follow one another in a round, as contenders do elsewhere."""
    cases = []
    for case in scenario.cases:
        progress(f"{scenario.name}: {case.name}: the most that the pair gets across")
        most = measure_most(scenario, case, seconds, binaries)
        runs = []
        for number in range(rounds):
            turn = number % len(VARIANTS)
            for variant in VARIANTS[turn:] + VARIANTS[:turn]:
                progress(f"{scenario.name}: {case.name}: round {number + 1} of {rounds}: {variant}")
                figures = _run_variant(
                    variant, scenario, case, most * scenario.load, seconds, binaries)
                runs.append({"round": number, **figures})
        cases.append({
            "name": case.name, "size": case.size, "most_frames_a_second": round(most),
            "runs": runs})
    return cases
