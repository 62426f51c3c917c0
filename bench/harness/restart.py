"""How long a port is out of order when its guest dies: from SIGKILL until frames flow to another.

A load generator sends to c's address all the time. c's guest is a process of its own, and so is its
successor, which waits for the word to attach. A clock is read just before the kill, when the dead
process has ended, and by the successor when it is connected and when it has read the first frame of
the flow. Until the switch has noticed the death the kernel refuses the successor, which asks again
every 100 us. libkrun does not ask again: its guest would stay without a network. A successor that
was let in but not noticed speaks again after a second, as guests do.
"""

import json
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from . import successor
from .children import ChildError
from .contenders import SWITCH, Contender
from .guests import endpoint
from .headlines import Headline
from .loadgen import Loadgen, mac
from .plots import Bars
from .rounds import Meter
from .scenario import Case
from .tables import table

A, C = 0, 1
FLOW = Case("flow", 60)
SMOKE_RESTARTS = 5
LIMIT_SECONDS = 10
LONGER_THAN_ANY_RUN = 3600
STEPS = {
    "ended_ms": "the process has ended", "connected_ms": "the successor is connected",
    "first_ms": "the first frame has reached it"}


@dataclass
class Settings:
    """Keys of `[settings]`."""

    restarts: int = 50
    rate: int = 10_000             # frames a second to the guest
    pause_seconds: float = 0.073   # between two restarts; no divisor of a second


class _Guest:
    """A process of successor.py; `with` kills it."""

    def __init__(self, port_path, own_path):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", successor.__file__, str(port_path), str(own_path), mac(C)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()

    def line(self):
        if not select.select([self.process.stdout], [], [], LIMIT_SECONDS)[0]:
            return ""
        return self.process.stdout.readline().decode()

    def await_ready(self):
        if "ready" not in self.line():
            raise ChildError("a guest did not start")

    def go(self):
        self.process.stdin.write(b"\n")

    def kill(self):
        self.process.kill()
        self.process.wait()


def _replace(guest, heir):
    """Kills a guest and lets its heir attach.

    - Returns: milliseconds from the kill to each step, how often the heir was refused, and how
      often it had to speak; None if no frame reached it.
    """
    killed = time.monotonic_ns()
    guest.process.kill()
    heir.go()
    guest.process.wait()
    ended = time.monotonic_ns()
    line = heir.line()
    if not line:
        return None
    said = json.loads(line)
    return {
        "ended_ms": (ended - killed) / 1e6,
        "connected_ms": (said["connected_ns"] - killed) / 1e6,
        "first_ms": (said["first_ns"] - killed) / 1e6,
        "refusals": said["refusals"], "spoken": said["spoken"]}


@contextmanager
def _directory():
    directory = tempfile.mkdtemp(prefix="rsb-")
    try:
        yield Path(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run_once(scenario, restarts, binaries):
    settings = scenario.settings
    with ExitStack() as stack:
        directory = stack.enter_context(_directory())
        switch = stack.enter_context(
            Contender(SWITCH, binaries, directory, FLOW, scenario.send_buffer, 2))
        lines = [
            endpoint("a", A, switch.paths[A]),
            f"flow from=a to={mac(C)} size={FLOW.size} rate={settings.rate}"
            f" duration={LONGER_THAN_ANY_RUN}"]
        load = stack.enter_context(Loadgen(binaries, lines))
        load.ready()

        def guest(number):
            made = stack.enter_context(_Guest(switch.paths[C], directory / f"c{number}.sock"))
            made.await_ready()
            return made

        living = guest(0)
        load.go()
        living.go()
        if not living.line():
            raise ChildError("no frame reached the first guest")
        meter = Meter(switch.pid)
        measured = []
        for number in range(1, restarts + 1):
            heir = guest(number)
            time.sleep(settings.pause_seconds)
            measured.append(_replace(living, heir))
            living = heir
        load.end()
        report = load.result(LIMIT_SECONDS + 60)
        usage = meter.read(sum(report["cpu_seconds"].values()))
        switch.note_counters()
    return {
        "contender": SWITCH, "restarts": measured, **usage,
        "errors": sum(flow["errors"] for flow in report["sent"]), "counters": switch.counters}


def run_scenario(scenario, options, progress):
    restarts = SMOKE_RESTARTS if options.is_smoke else scenario.settings.restarts
    runs = []
    for number in range(options.rounds):
        progress(f"{scenario.name}: round {number + 1} of {options.rounds}: {restarts} restarts")
        runs.append({"round": number, **_run_once(scenario, restarts, options.binaries)})
    return [{"name": scenario.name, "runs": runs}]


def _measured(result):
    return [
        entry for case in result["cases"] for run in case["runs"] for entry in run["restarts"]
        if entry is not None]


def markdown(result):
    measured = _measured(result)
    rows = []
    for key, text in STEPS.items():
        values = [entry[key] for entry in measured]
        if not values:
            continue
        tenths = quantiles(values, n=10, method="inclusive") if len(values) > 1 else values * 9
        rows.append([
            text, str(len(values)), f"{min(values):.2f}", f"{median(values):.2f}",
            f"{tenths[8]:.2f}", f"{max(values):.2f}"])
    note = "No frame reached any successor."
    if measured:
        refusals = [entry["refusals"] for entry in measured]
        again = sum(entry["spoken"] > 1 for entry in measured)
        note = (
            f"Refused by the kernel meanwhile: {median(refusals):.0f} times in the median, "
            f"{max(refusals)} at most. Let in, but not noticed before they spoke again: {again}.")
    header = ["milliseconds from the kill until", "restarts", "least", "median", "p90", "most"]
    return table(header, rows) + "\n\n" + note


def headlines(result):
    measured = _measured(result)
    if measured:
        values = [entry["first_ms"] for entry in measured]
        yield Headline(
            STEPS["first_ms"], f"median {median(values):.1f} ms, at most {max(values):.0f} ms")


def mistakes(result):
    """A successor that nothing reaches is wrong however slow the machine is."""
    found = []
    for case in result["cases"]:
        for run in case["runs"]:
            silent = run["restarts"].count(None)
            if silent:
                found.append(
                    f"{result['scenario']}: round {run['round'] + 1}: nothing reached {silent} of "
                    f"{len(run['restarts'])} successors within {LIMIT_SECONDS} s")
            if run["errors"]:
                found.append(
                    f"{result['scenario']}: round {run['round'] + 1}: {run['errors']} errors of "
                    "the sender")
    return found


def plots(result):
    measured = _measured(result)
    return [Bars(
        "From the death of a guest to its successor's first frame", "ms",
        {text: {SWITCH: [entry[key] for entry in measured]} for key, text in STEPS.items()})]
