"""What a flow that has to be cut into segments costs a flow beside it that passes whole."""

import shutil
import tempfile
from contextlib import ExitStack, contextmanager

from .contenders import SWITCH, Contender
from .loadgen import Loadgen, mac
from .rounds import Meter, load_figures

VARIANTS = ["off", "elsewhere", "beside"]
OFFLOADS = ["raw", "raw", "raw", "none"]  # of the ports a, b, c, d
LONGEST_SEGMENT = 1518
HEADERS = 54     # of a frame of the load generator that has the shape of TCP
MOST_RUNS = 3
LEAD_SECONDS = 0.5  # by which the flow beside begins earlier and ends later


def _lines(paths, first, size, flow):
    """Two endpoints, the `first` and the next, and a flow between them."""
    names = "abcd"[first:first + 2]
    return [
        *(f"endpoint name={name} port={paths[first + i]} mac={mac(first + i)} magic=yes"
          for i, name in enumerate(names)),
        f"flow id={first} from={names[0]} to={names[1]} size={size} shape=tcp-partial {flow}"]


def _pair(binaries, switch, case, flow):
    return Loadgen(binaries, _lines(switch.paths, 0, case.size, flow))


def _beside(binaries, switch, case, flow):
    # Its receiver reads short frames: more of them in a batch.
    return Loadgen(
        binaries, _lines(switch.paths, 2, case.size, flow), "--frame-max", str(LONGEST_SEGMENT))


@contextmanager
def _switch(scenario, case, binaries):
    directory = tempfile.mkdtemp(prefix="rsb-")
    try:
        with Contender(
                SWITCH, binaries, directory, case, scenario.send_buffer, len(OFFLOADS),
                offloads=OFFLOADS) as switch:
            yield switch
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _side_figures(report, case):
    """The flow that is cut up. Its receiver knows bytes alone."""
    sent = report["sent"][0]
    receiver = next(entry for entry in report["endpoints"] if entry["name"] == "d")
    payload = case.size - HEADERS
    return {
        "sent": sent["sent"],
        "seconds": sent["seconds"],
        "missed": sent["missed"],
        "segments": receiver["segments"],
        "delivered": receiver["segment_payload"] / payload,
        "lost_payload": sent["sent"] * payload - receiver["segment_payload"],
        "aliens": receiver["aliens"],
    }


def _rate_alone(scenario, case, seconds, binaries, start, read):
    """The most of some runs of a flow alone, in frames a second: a slow moment is not its limit."""
    best = 0.0
    for _ in range(MOST_RUNS):
        with _switch(scenario, case, binaries) as switch:
            with start(binaries, switch, case, f"rate=max duration={seconds}") as load:
                load.ready()
                load.go()
                figures = read(load.result(seconds + 60))
        best = max(best, figures["delivered"] / figures["seconds"])
    return best


def measure_most(scenario, case, seconds, binaries):
    """What the pair gets across when nothing is beside it, and the other flow the same."""
    return (
        _rate_alone(scenario, case, seconds, binaries, _pair, load_figures),
        _rate_alone(
            scenario, case, seconds, binaries, _beside, lambda report: _side_figures(report, case)))


def _run_variant(variant, scenario, case, rates, seconds, binaries):
    rate, side_rate = (max(1, int(rate)) for rate in rates)
    with ExitStack() as stack:
        switch = stack.enter_context(_switch(scenario, case, binaries))
        other = None
        elsewhere = None
        if variant != "off":
            carrier = switch
            if variant == "elsewhere":
                carrier = stack.enter_context(_switch(scenario, case, binaries))
                elsewhere = Meter(carrier.pid)
            other = stack.enter_context(_beside(
                binaries, carrier, case, f"rate={side_rate} duration={seconds + 2 * LEAD_SECONDS}"))
            other.ready()
        load = stack.enter_context(_pair(
            binaries, switch, case,
            f"rate={rate} duration={seconds} start={LEAD_SECONDS} when-full=wait"))
        load.ready()
        meter = Meter(switch.pid)
        if other is not None:
            other.go()
        load.go()
        report = load.result(seconds + 60)
        side = None
        load_cpu = sum(report["cpu_seconds"].values())
        if other is not None:
            side_report = other.result(seconds + 60)
            side = _side_figures(side_report, case)
            load_cpu += sum(side_report["cpu_seconds"].values())
        if elsewhere is not None:
            load_cpu += elsewhere.read(0)["cpu_seconds"]
        usage = meter.read(load_cpu)
        switch.note_counters()
        return {
            "variant": variant, "contender": SWITCH,
            "missed": sum(flow["missed"] for flow in report["sent"]), **load_figures(report),
            **usage, "beside": side, "counters": switch.counters}


def run_scenario(scenario, rounds, seconds, binaries, progress):
    """All cases and rounds; variants follow one another in a round, as contenders do elsewhere."""
    cases = []
    for case in scenario.cases:
        progress(f"{scenario.name}: {case.name}: the most of each flow alone")
        most, side_most = measure_most(scenario, case, seconds, binaries)
        rates = (most * scenario.load, side_most * scenario.side_load)
        runs = []
        for number in range(rounds):
            turn = number % len(VARIANTS)
            for variant in VARIANTS[turn:] + VARIANTS[:turn]:
                progress(f"{scenario.name}: {case.name}: round {number + 1} of {rounds}: {variant}")
                runs.append({
                    "round": number,
                    **_run_variant(variant, scenario, case, rates, seconds, binaries)})
        cases.append({
            "name": case.name, "size": case.size, "most_frames_a_second": round(most),
            "most_frames_a_second_beside": round(side_most), "runs": runs})
    return cases
