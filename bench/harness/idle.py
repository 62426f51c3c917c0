"""What a switch costs while nothing happens: CPU time, and how often which thread wakes up."""

import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from .contenders import SWITCH, Contender
from .figures import spread
from .guests import endpoint
from .headlines import Headline
from .loadgen import Loadgen
from .plots import Bars
from .rounds import Meter
from .scenario import Case
from .tables import table

SILENT = Case("silent", 60)
SETTLE_SECONDS = 1.0  # what attaching set off is over


@dataclass
class Settings:
    """Keys of `[settings]`."""

    attached: list = field(default_factory=lambda: [64, 256])   # ports with silent guests
    listening: list = field(default_factory=lambda: [64])  # ports without guests, for comparison


def _threads(pid):
    """By thread: its name, nanoseconds of CPU time, and how often it went to sleep or was put off.

    A thread's sleeps are its wake-ups: it has gone to sleep as often as it was woken.
    """
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = dict(
            line.split(":\t", 1) for line in (task / "status").read_text().splitlines()
            if ":\t" in line)
        found[task.name] = {
            "name": status["Name"],
            "cpu_ns": int((task / "schedstat").read_text().split()[0]),
            "wakeups": int(status["voluntary_ctxt_switches"]),
            "preemptions": int(status["nonvoluntary_ctxt_switches"]),
        }
    return found


def _difference(before, after, seconds):
    """Threads that did anything, the busiest first. A thread that ended meanwhile is not seen."""
    threads = []
    for key, now in after.items():
        then = before.get(key, {"cpu_ns": 0, "wakeups": 0, "preemptions": 0})
        spent = {name: now[name] - then[name] for name in ("cpu_ns", "wakeups", "preemptions")}
        if any(spent.values()):
            threads.append({
                "name": now["name"], "cpu_percent": 100 * spent["cpu_ns"] / 1e9 / seconds,
                "wakeups_a_second": spent["wakeups"] / seconds,
                "preemptions_a_second": spent["preemptions"] / seconds})
    return sorted(threads, key=lambda thread: -thread["cpu_percent"])


def _worker_wakeups(before, after):
    """How often a second workers were woken between two reports of the switch."""
    woken = [sum(worker["wakeups"] for worker in status["workers"]) for status in (before, after)]
    return (woken[1] - woken[0]) / (after["uptime_seconds"] - before["uptime_seconds"])


def _run_once(ports, is_attached, scenario, seconds, binaries):
    directory = tempfile.mkdtemp(prefix="rsb-")
    try:
        with ExitStack() as stack:
            switch = stack.enter_context(
                Contender(SWITCH, binaries, directory, SILENT, scenario.send_buffer, ports))
            if is_attached:
                guests = stack.enter_context(Loadgen(binaries, [
                    endpoint(f"e{index}", index, path)
                    for index, path in enumerate(switch.paths)]))
                guests.ready()
            status = switch.await_status(
                lambda status: not is_attached or all(
                    port["state"] == "attached" for port in status["ports"]),
                f"{ports} ports attached")
            time.sleep(SETTLE_SECONDS)
            meter = Meter(switch.pid)
            started, before = time.monotonic(), _threads(switch.pid)
            time.sleep(seconds)
            elapsed, after = time.monotonic() - started, _threads(switch.pid)
            usage = meter.read(0)
            later = switch.status()
        threads = _difference(before, after, elapsed)
        return {
            "contender": SWITCH, "ports": ports, "is_attached": is_attached, "seconds": elapsed,
            "cpu_percent": sum(thread["cpu_percent"] for thread in threads),
            "wakeups_a_second": sum(thread["wakeups_a_second"] for thread in threads),
            "preemptions_a_second": sum(thread["preemptions_a_second"] for thread in threads),
            "worker_wakeups_a_second": _worker_wakeups(status, later),
            "threads": threads, "stolen": usage["stolen"], "foreign": usage["foreign"],
            "is_disturbed": usage["is_disturbed"], "memory_kib": usage["memory_kib"]}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _name(ports, is_attached):
    return f"{ports} ports, {'attached and silent' if is_attached else 'nobody attached'}"


def run_scenario(scenario, options, progress):
    settings = scenario.settings
    wanted = [(ports, False) for ports in settings.listening]
    wanted += [(ports, True) for ports in settings.attached]
    runs = {key: [] for key in wanted}
    for number in range(options.rounds):
        for key in wanted:
            progress(f"{scenario.name}: round {number + 1} of {options.rounds}: {_name(*key)}")
            figures = _run_once(*key, scenario, options.seconds, options.binaries)
            runs[key].append({"round": number, **figures})
    return [{"name": _name(*key), "runs": runs[key]} for key in wanted]


def _thread_rows(case):
    """Threads of the same name are one row: in each round, their sum."""
    names = dict.fromkeys(thread["name"] for run in case["runs"] for thread in run["threads"])
    for name in names:
        sums = [
            {key: sum(thread[key] for thread in run["threads"] if thread["name"] == name)
             for key in ("cpu_percent", "wakeups_a_second", "preemptions_a_second")}
            for run in case["runs"]]
        yield [
            case["name"], name, spread([entry["cpu_percent"] for entry in sums], "{:.3f}"),
            spread([entry["wakeups_a_second"] for entry in sums]),
            spread([entry["preemptions_a_second"] for entry in sums])]


def _rows(case):
    own = case["runs"]
    return [
        case["name"], spread([run["cpu_percent"] for run in own], "{:.3f}"),
        spread([run["wakeups_a_second"] for run in own]),
        spread([run["worker_wakeups_a_second"] for run in own]),
        spread([run["memory_kib"] / 1024 for run in own], "{:.1f}"),
        f"{sum(run['is_disturbed'] for run in own)} of {len(own)}"]


def markdown(result):
    header = [
        "case", "CPU %", "wake-ups a second", "of them turns of workers", "memory MiB", "disturbed"]
    return table(header, map(_rows, result["cases"])) + "\n\n" + table(
        ["case", "threads", "CPU %", "wake-ups a second", "put off a second"],
        [row for case in result["cases"] for row in _thread_rows(case)])


def headlines(result):
    for case in result["cases"]:
        cpu = median(run["cpu_percent"] for run in case["runs"])
        wakeups = median(run["wakeups_a_second"] for run in case["runs"])
        yield Headline(case["name"], f"{wakeups:.1f} wake-ups a second", cpu=f"{cpu:.2f} %")


def mistakes(result):
    """Silence is measured: nothing can be wrong at any speed."""
    return []


def plots(result):
    return [
        Bars(title, unit, {
            case["name"]: {SWITCH: [run[key] for run in case["runs"]]} for case in result["cases"]})
        for title, unit, key in (
            ("CPU time of an idle switch", "% of a CPU", "cpu_percent"),
            ("Wake-ups of an idle switch", "a second", "wakeups_a_second"))]
