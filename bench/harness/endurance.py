"""Long stress beside a guest that keeps restarting: do the books balance to the last frame, and is
nothing left behind?

Ports a to e. Frames pass from a to b and from b to a as fast as they go, and from c to d at a
steady rate. Beside them a and c send to e, whose guest SIGKILL ends every second. The switch's
memory and descriptors are looked at once a second.

Afterwards, with the switch still running and nobody attached any more:

- received + flood_copies + segment_copies = sent + dropped + queued, exactly.
- What the switch says it received from a port, and sent to it, is what the guests of a to d say
  they sent and received. e's guests died with their numbers.
- The switch has as many descriptors as before anybody came.

Frames that wait are memory in use, which comes and goes with each restart. What stays behind shows
in the least of a minute: that of the last one is held against that of the second.
"""

import shutil
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import machine
from .contenders import SWITCH, Contender
from .figures import drops, mistakes_of_frames, spread
from .guests import RestartingGuest, endpoint
from .headlines import Headline
from .loadgen import Loadgen, mac
from .plots import Lines
from .rounds import Meter, load_figures
from .tables import table

NAMES = "abcde"
A, B, C, D, E = range(len(NAMES))
LEAST_SECONDS = 2.0
WARM_UP_SECONDS = 60
REST_LIMIT_SECONDS = 60


@dataclass
class Settings:
    """Keys of `[settings]`."""

    steady_a_second: int = 10_000    # frames from c to d
    to_restarting: int = 5_000       # frames a second from a and from c to e, each
    restart_seconds: float = 1.0
    sample_seconds: float = 1.0


class _Watch:
    """Looks at the switch's process at an interval."""

    def __init__(self, pid, interval):
        self.pid = pid
        self.interval = interval
        self.samples = []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.started = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.is_over.set()
        self.thread.join()

    def _run(self):
        while not self.is_over.wait(self.interval):
            self.samples.append({
                "second": round(time.monotonic() - self.started, 2),
                "memory_kib": machine.process_memory(self.pid),
                "descriptors": descriptors(self.pid)})


def descriptors(pid):
    """How many files a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _plan(scenario, case, paths, seconds):
    settings = scenario.settings
    flow = f"size={case.size} duration={seconds} when-full=wait"
    return [
        *(endpoint(NAMES[index], index, paths[index]) for index in (A, B, C, D)),
        f"flow id=0 from=a to=b rate=max {flow}", f"flow id=1 from=b to=a rate=max {flow}",
        f"flow id=2 from=c to=d rate={settings.steady_a_second} {flow}",
        f"flow id=3 from=a to={mac(E)} rate={settings.to_restarting} {flow}",
        f"flow id=4 from=c to={mac(E)} rate={settings.to_restarting} {flow}"]


def books(totals):
    """Frames that came in or were copied, and frames that are accounted for."""
    return (
        totals["received_frames"] + totals["flood_copies"] + totals["segment_copies"],
        totals["sent_frames"] + sum(totals["drops"].values()) + totals["queued_frames"])


def _is_at_rest(status):
    totals = status["totals"]
    return totals["queued_frames"] == 0 and all(
        port["state"] == "listening" for port in status["ports"])


def _witnesses(status, report):
    """What guests that lived to the end say, beside what the switch says of their ports."""
    found = []
    for entry, port in zip(report["endpoints"], status["ports"]):
        flows = [flow for flow in report["sent"] if flow["from"] == entry["name"]]
        said = entry["announcements_sent"] + entry["extras_sent"]
        found.append({
            "port": port["name"],
            "guest_sent": said + sum(flow["sent"] for flow in flows),
            "received_frames": port["counters"]["received_frames"],
            "guest_received": entry["received"],
            "sent_frames": port["counters"]["sent_frames"]})
    return found


def _memory(run):
    """KiB by which the floor of the process's memory rose after a warm-up (a minute, or a tenth of a
    short run), and by how much waiting frames lifted it above that floor at most."""
    warm = min(WARM_UP_SECONDS, run["seconds"] / 10)
    samples = run["samples"]
    end = samples[-1]["second"] if samples else 0
    first = [each["memory_kib"] for each in samples if warm <= each["second"] < 2 * warm]
    last = [each["memory_kib"] for each in samples if each["second"] >= end - warm]
    if not first or not last:
        return 0, 0
    return min(last) - min(first), max(each["memory_kib"] for each in samples) - min(first)


def _run_once(scenario, case, seconds, binaries):
    settings = scenario.settings
    directory = tempfile.mkdtemp(prefix="rsb-")
    try:
        with ExitStack() as stack:
            switch = stack.enter_context(Contender(
                SWITCH, binaries, directory, case, scenario.send_buffer, len(NAMES)))
            switch.await_status(lambda status: True, "a first word")
            before = descriptors(switch.pid)
            interval = min(settings.restart_seconds, seconds / 4)
            restarting = stack.enter_context(
                RestartingGuest(binaries, E, switch.paths[E], directory, interval, seconds))
            load = stack.enter_context(Loadgen(
                binaries, _plan(scenario, case, switch.paths, seconds), "--bin", "1"))
            load.ready()
            meter = Meter(switch.pid)
            with _Watch(switch.pid, min(settings.sample_seconds, seconds / 10)) as watch:
                restarting.begin()
                load.go()
                report = load.result(seconds + 60)
            restarting.finish()
            usage = meter.read(sum(report["cpu_seconds"].values()) + restarting.cpu_seconds)
            status = switch.await_status(_is_at_rest, "nobody attached and nothing queued")
            after = _descriptors_at_rest(switch.pid, before)
        came, went = books(status["totals"])
        checked = dict(report)
        checked["sent"] = [flow for flow in report["sent"] if flow["id"] < 3]
        checked["received"] = [entry for entry in report["received"] if entry["flow"] < 3]
        return {
            "contender": SWITCH, **load_figures(checked), **usage,
            "restarts": restarting.restarts, "came": came, "went": went,
            "descriptors": [before, after],
            "witnesses": _witnesses(status, report), "samples": watch.samples,
            "flows": [
                {"flow": entry["flow"], "bins": entry["bins"], "lost": entry["lost"],
                 "p99_ns": entry["delay_ns"]["p99"]} for entry in checked["received"]],
            "counters": status["totals"]}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _descriptors_at_rest(pid, expected):
    """Their number, once what the last question opened is closed again."""
    deadline = time.monotonic() + REST_LIMIT_SECONDS / 10
    while (count := descriptors(pid)) > expected and time.monotonic() < deadline:
        time.sleep(0.05)
    return count


def run_scenario(scenario, options, progress):
    seconds = max(LEAST_SECONDS, options.seconds)
    cases = []
    for case in scenario.cases:
        runs = []
        for number in range(options.rounds):
            progress(
                f"{scenario.name}: {case.name}: round {number + 1} of {options.rounds}: "
                f"{seconds:g} s")
            runs.append({"round": number, **_run_once(scenario, case, seconds, options.binaries)})
        cases.append({"name": case.name, "size": case.size, "runs": runs})
    return cases


def _surpluses(run):
    """Where a port's account is not what its guest says."""
    for entry in run["witnesses"]:
        for ours, theirs in (("received_frames", "guest_sent"), ("sent_frames", "guest_received")):
            if entry[ours] != entry[theirs]:
                yield (
                    f"port {entry['port']}: {ours} {entry[ours]}, but {theirs} {entry[theirs]}")


def mistakes(result):
    """What is wrong at any speed: frames, books, descriptors."""
    found = mistakes_of_frames(result)
    for case in result["cases"]:
        for run in case["runs"]:
            who = f"{result['scenario']}: {case['name']}: round {run['round'] + 1}"
            if run["came"] != run["went"]:
                found.append(
                    f"{who}: the books do not balance: {run['came']} frames received or copied, "
                    f"{run['went']} sent, dropped or queued")
            before, after = run["descriptors"]
            if after != before:
                found.append(f"{who}: {before} descriptors before, {after} afterwards")
            found += [f"{who}: {surplus}" for surplus in _surpluses(run)]
    return found


def headlines(result):
    for case in result["cases"]:
        own = case["runs"]
        frames = sum(run["came"] for run in own)
        unaccounted = sum(abs(run["came"] - run["went"]) for run in own)
        left = sum(after - before for before, after in (run["descriptors"] for run in own))
        grown = max(_memory(run)[0] for run in own)
        yield Headline(
            case["name"],
            f"{unaccounted} of {frames:,} frames unaccounted, {left} descriptors left open, "
            f"memory's floor {grown / 1024:+.1f} MiB after warm-up",
            lost=f"{100 * sum(run['lost'] for run in own) / sum(run['sent'] for run in own):.2f} %")


def _row(case):
    own = case["runs"]
    unbalanced = [f"{run['came'] - run['went']:+d}" for run in own]
    return [
        case["name"], str(sum(run["restarts"] for run in own)),
        f"{sum(run['came'] for run in own):,}", ", ".join(unbalanced),
        str(sum(1 for run in own for _ in _surpluses(run))),
        spread([run["delivered"] / run["seconds"] / 1e3 for run in own], "{:.1f}"),
        str(sum(run["lost"] for run in own)), str(sum(run["reordered"] for run in own)), drops(own),
        ", ".join(f"{before} / {after}" for before, after in (run["descriptors"] for run in own)),
        spread([_memory(run)[0] for run in own], "{:+.0f}"),
        spread([_memory(run)[1] for run in own], "{:.0f}"),
        spread([run["memory_kib"] / 1024 for run in own], "{:.1f}"),
        f"{sum(run['is_disturbed'] for run in own)} of {len(own)}"]


def markdown(result):
    header = [
        "case", "restarts", "frames in and copied", "of them unaccounted",
        "ports at odds with their guests", "kframes/s of the pairs", "lost by them", "reordered",
        "drops by reason", "descriptors before / after", "floor of memory after warm-up KiB",
        "waiting frames above it at most KiB", "memory MiB", "disturbed"]
    return table(header, map(_row, result["cases"]))


def plots(result):
    found = []
    for case in result["cases"]:
        places = {}
        for run in case["runs"]:
            for sample in run["samples"]:
                places.setdefault(round(sample["second"]), []).append(sample["memory_kib"] / 1024)
        found.append(Lines(
            f"Memory of the switch under stress, {case['name']}", "seconds", "resident MiB",
            {SWITCH: sorted(places.items())}))
    return found
