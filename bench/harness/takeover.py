"""What two guests notice of their switch being replaced.

Two namespaces joined by `ringswitch attach`, as libkrun guests with offloads, move one TCP stream
(iperf3), and beside it a ping a millisecond. Meanwhile the switch is replaced again and again:

    takeover   `ringswitch run --takeover` beside the running one
    restart    SIGTERM and a new process, which a service manager gives what the old one has left
    kill       SIGKILL, and the same

The gap of a replacement is the longest time between two answers to pings around it. The stream
fills the machine's CPUs, so answers are late without any replacement as well: the longest time
between two answers in the pauses is given beside it. `scripts/service-manager` plays systemd.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from . import network
from .children import Child, ChildError
from .contenders import SWITCH
from .headlines import Headline
from .plots import Bars
from .tables import table

WAYS = ("takeover", "restart", "kill")
ADDRESSES = {"a": "10.79.0.1", "b": "10.79.0.2"}
SMOKE_REPLACEMENTS = 2
LIMIT_SECONDS = 15
LEAD_SECONDS = 1.5  # of the stream before the first replacement
AROUND_SECONDS = 0.5  # of a replacement, in which a gap counts as its own
MANAGER = Path(__file__).resolve().parents[2] / "scripts" / "service-manager"
ANSWER = re.compile(r"\[(\d+\.\d+)\] .*icmp_seq=(\d+) ")


@dataclass
class Settings:
    """Keys of `[settings]`."""

    replacements: int = 10
    pause_seconds: float = 1.07   # between two; no divisor of a second
    pings: int = 1000             # a second


class _Switch:
    """A switch that can be replaced; `with` ends it."""

    def __init__(self, way, binaries, directory, stack):
        self.way, self.binaries, self.directory, self.stack = way, binaries, directory, stack
        self.file = directory / "lan.toml"
        self.file.write_text(
            f'[switch]\nruntime_dir = "{directory}"\n[port_defaults]\ntype = "unixgram"\n'
            'offload = "raw"\n[[port]]\nname = "a"\n[[port]]\nname = "b"\n')
        self.count = 0
        self.current = self._start([])

    def _start(self, words):
        command = [self.binaries / SWITCH, "run", "--config", self.file, *words]
        if self.way != "takeover":
            command = [MANAGER, self.directory / "notify", *command]
        self.count += 1
        child = Child(f"switch-{self.count}", command, self.directory)
        return self.stack.enter_context(child)

    def status(self):
        result = subprocess.run(
            [self.binaries / SWITCH, "status", "--json", "--socket",
             self.directory / "control.sock"], capture_output=True, text=True, check=False,
            timeout=LIMIT_SECONDS)
        return json.loads(result.stdout) if result.returncode == 0 else None

    def await_status(self, condition, what):
        deadline = time.monotonic() + LIMIT_SECONDS
        while (status := self.status()) is None or not condition(status):
            self.current.check()
            if time.monotonic() > deadline:
                raise ChildError(f"{self.way}: not within {LIMIT_SECONDS} s: {what}")
        return status

    def replace(self):
        """- Returns: the moment, by the wall clock."""
        before = self.status()["pid"]
        began = time.time()
        if self.way == "takeover":
            former, self.current = self.current, self._start(["--takeover"])
            former.process.wait(LIMIT_SECONDS)
            if former.process.returncode != 0:
                raise ChildError(f"the former switch ended with {former.process.returncode}")
        elif self.way == "restart":
            os.kill(self.current.pid, signal.SIGUSR2)
        else:
            os.kill(before, signal.SIGKILL)
        self.await_status(lambda status: status["pid"] != before, "another process answers")
        return began


def _is_attached(status):
    return all(port["state"] == "attached" for port in status["ports"])


def _answers(text):
    """Moments of the answers to pings, by the wall clock."""
    return [float(match[1]) for match in map(ANSWER.match, text.splitlines()) if match]


def _gaps(moments, began):
    """The longest time without an answer around each replacement, and the longest of all others.

    - Returns: milliseconds.
    """
    gaps, other = [0.0] * len(began), 0.0
    for before, after in zip(moments, moments[1:]):
        owners = [
            index for index, moment in enumerate(began)
            if after > moment and before < moment + AROUND_SECONDS]
        if owners:
            gaps[owners[-1]] = max(gaps[owners[-1]], (after - before) * 1e3)
        else:
            other = max(other, (after - before) * 1e3)
    return gaps, other


def _measure(way, settings, replacements, binaries, directory, stack):
    lab = stack.enter_context(network.Lab(list(ADDRESSES)))
    switch = _Switch(way, binaries, directory, stack)
    switch.await_status(lambda status: True, "it answers")
    for role, address in ADDRESSES.items():
        stack.enter_context(Child(
            f"guest-{role}",
            [binaries / SWITCH, "attach", directory / f"{role}.sock", "--netns", lab[role],
             "--address", f"{address}/24", "--offload"], directory))
    switch.await_status(_is_attached, "both guests are attached")
    network.await_reach(lab["a"], ADDRESSES["b"], switch.current.check)
    seconds = int(LEAD_SECONDS + replacements * (settings.pause_seconds + 0.5)) + 3
    with network.inside(lab["b"]):
        server = stack.enter_context(Child(
            "iperf3-server", ["iperf3", "-s", "-1", "-4", "--forceflush"], directory))
    server.await_line("Server listening", LIMIT_SECONDS)
    with network.inside(lab["a"]):
        stream = stack.enter_context(Child(
            "iperf3", ["iperf3", "-c", ADDRESSES["b"], "--json", "--time", str(seconds)],
            directory))
        # Into a file: nobody reads a pipe meanwhile, and a full one would hold ping up.
        answers = directory / "answers.txt"
        ping = stack.enter_context(Child(
            "ping", ["sh", "-c", 'exec ping -D -n -i "$1" -w "$2" "$3" > "$4"', "ping",
                     1 / settings.pings, seconds - 1, ADDRESSES["b"], answers], directory))
    began = []
    time.sleep(LEAD_SECONDS)
    for _ in range(replacements):
        began.append(switch.replace())
        time.sleep(settings.pause_seconds)
    report = json.loads(stream.result(seconds + LIMIT_SECONDS))
    if "error" in report:
        raise ChildError(f"iperf3: {report['error']}")
    ping.result(seconds + LIMIT_SECONDS)
    text = answers.read_text()
    status = switch.await_status(
        lambda status: status["totals"]["queued_frames"] == 0, "nothing waits")
    lost = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    gaps, other = _gaps(_answers(text), began)
    totals = status["totals"]
    bits = [part["sum"]["bits_per_second"] for part in report["intervals"]]
    return {
        "contender": way, "gaps_ms": gaps, "other_gap_ms": other,
        "gbit_per_second": report["end"]["sum_received"]["bits_per_second"] / 1e9,
        "resent": report["end"]["sum_sent"]["retransmits"],
        "zero_seconds": sum(value == 0 for value in bits[:seconds]),
        "pings": int(lost[1]), "pings_lost": int(lost[1]) - int(lost[2]),
        "drops": totals["drops"],
        "unaccounted": totals["received_frames"] + totals["flood_copies"]
        + totals["segment_copies"] - totals["sent_frames"] - sum(totals["drops"].values())
        - totals["queued_frames"]}


def _run_once(way, settings, replacements, binaries):
    directory = Path(tempfile.mkdtemp(prefix="rsb-"))
    try:
        with ExitStack() as stack:
            return _measure(way, settings, replacements, binaries, directory, stack)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def obstacle(_, names):
    if SWITCH not in names:
        return f"it measures {SWITCH} alone"
    if shutil.which("ping") is None:
        return "ping is missing"
    return network.obstacle()


def run_scenario(scenario, options, progress):
    settings = scenario.settings
    replacements = SMOKE_REPLACEMENTS if options.is_smoke else settings.replacements
    runs = []
    for number in range(options.rounds):
        for way in WAYS:
            progress(f"{scenario.name}: round {number + 1} of {options.rounds}: {way}")
            run = _run_once(way, settings, replacements, options.binaries)
            runs.append({"round": number, **run})
    return [{"name": scenario.name, "runs": runs}]


def _runs(result):
    return [run for case in result["cases"] for run in case["runs"]]


def markdown(result):
    rows = []
    for way in WAYS:
        own = [run for run in _runs(result) if run["contender"] == way]
        if not own:
            continue
        gaps = [gap for run in own for gap in run["gaps_ms"]]
        other = max(run["other_gap_ms"] for run in own)
        rows.append([
            way, str(len(gaps)), f"{min(gaps):.0f}", f"{median(gaps):.0f}", f"{max(gaps):.0f}",
            f"{other:.0f}",
            f"{sum(run['pings_lost'] for run in own)} of {sum(run['pings'] for run in own)}",
            str(sum(run["zero_seconds"] for run in own)), str(sum(run["resent"] for run in own)),
            f"{median(run['gbit_per_second'] for run in own):.2f}",
            str(sum(sum(run["drops"].values()) for run in own))])
    return table(
        ["replaced by", "times", "gap ms, least", "median", "most", "most without", "pings lost",
         "seconds at zero", "segments resent", "Gbit/s", "frames dropped"], rows)


def headlines(result):
    for way in WAYS:
        gaps = [gap for run in _runs(result) if run["contender"] == way for gap in run["gaps_ms"]]
        if gaps:
            yield Headline(
                f"the switch is replaced: {way}",
                f"gap median {median(gaps):.0f} ms, at most {max(gaps):.0f} ms")


def mistakes(result):
    """Books that do not balance, and a stream that stood still, are wrong on any machine."""
    found = []
    for run in _runs(result):
        where = f"{result['scenario']}: {run['contender']}: round {run['round'] + 1}"
        if run["unaccounted"]:
            found.append(f"{where}: {run['unaccounted']} frames are unaccounted for")
        if run["zero_seconds"]:
            found.append(f"{where}: {run['zero_seconds']} seconds without a byte")
    return found


def plots(result):
    return [Bars(
        "Longest silence around a replacement of the switch", "ms",
        {"gap": {
            way: [gap for run in _runs(result) if run["contender"] == way
                  for gap in run["gaps_ms"]] for way in WAYS}})]
