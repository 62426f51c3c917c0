"""Measured rounds: each contender in turn carries the same load."""

import shutil
import tempfile
from contextlib import ExitStack

from . import machine
from .contenders import Contender
from .loadgen import Loadgen, mac

STEAL_LIMIT = 0.05    # of the CPU time of the machine: above it a run is flagged
FOREIGN_LIMIT = 0.10  # the same for processes that are no part of the run


def plan_lines(scenario, case, paths, seconds):
    """The load generator's plan of a scenario."""
    lines = []
    for index, endpoint in enumerate(scenario.endpoints):
        line = f"endpoint name={endpoint.name} port={paths[index]} mac={mac(index)} "
        line += "stream=yes" if scenario.transport == "stream" else "magic=yes"
        if endpoint.extra_macs:
            line += f" extra-macs={endpoint.extra_macs}"
        if endpoint.reader == "slow":
            line += f" read=slow:{case.read_pause_us}"
        lines.append(line)
    for flow in scenario.flows:
        lines.append(
            f"flow from={flow.from_} to={flow.to} size={case.size} rate=max duration={seconds}"
            + (" spread=yes" if flow.spread else ""))
    return lines


def idle_lines(scenario, paths):
    """Endpoints that only make the switch's tables long."""
    return [
        f"endpoint name=i{index} port={path} mac={mac(0x1000 + index)} magic=yes"
        f" extra-macs={scenario.idle_macs_per_port}"
        for index, path in enumerate(paths)]


class Meter:
    """CPU time of a contender's processes, and of the rest of the machine, between two moments. A
    contender without a process, the kernel itself, uses none of its own."""

    def __init__(self, *pids):
        self.pids = pids
        self.machine = machine.CpuTimes.now()
        self.process, self.memory = self._look()

    def _look(self):
        return (sum(map(machine.process_cpu, self.pids)),
                sum(map(machine.process_memory, self.pids)))

    def read(self, load_cpu):
        cpu, memory = self._look()
        process = cpu - self.process
        times = machine.CpuTimes.now().since(self.machine)
        stolen = times.stolen / times.total if times.total > 0 else 0.0
        foreign = (times.busy - process - load_cpu) / times.total if times.total > 0 else 0.0
        return {
            "cpu_seconds": round(process, 6),
            "load_cpu_seconds": round(load_cpu, 6),
            "machine_cpu_seconds": round(times.busy, 3),
            "stolen": round(stolen, 4),
            "foreign": round(max(0.0, foreign), 4),
            "is_disturbed": stolen > STEAL_LIMIT or foreign > FOREIGN_LIMIT,
            "memory_kib": memory,
            "memory_growth_kib": memory - self.memory,
        }


def load_figures(report):
    """Sums of all flows; delays are those of the worst flow."""
    received = report["received"]
    sent = report["sent"]
    seconds = max((flow["seconds"] for flow in sent), default=0.0) or report["seconds"]
    frames = sum(entry["frames"] for entry in received)
    delays = [entry["delay_ns"] for entry in received]
    return {
        "seconds": seconds,
        "sent": sum(flow["sent"] for flow in sent),
        "refused": sum(flow["refused"] for flow in sent),
        "errors": sum(flow["errors"] for flow in sent),
        "delivered": frames,
        "delivered_bytes": sum(entry["bytes"] for entry in received),
        "lost": sum(flow["sent"] for flow in sent) - frames
        + sum(entry["duplicates"] for entry in received),
        "reordered": sum(entry["reordered"] for entry in received),
        "duplicates": sum(entry["duplicates"] for entry in received),
        "corrupted": sum(entry["corrupted"] for entry in received),
        "delay_ns": {
            key: max((delay[key] for delay in delays), default=0)
            for key in ("p50", "p99", "p99.9", "max")},
    }


def run_once(name, scenario, case, seconds, binaries):
    """One contender, one case, one round."""
    directory = tempfile.mkdtemp(prefix="rsb-")
    try:
        contender = Contender(
            name, binaries, directory, case, scenario.send_buffer, len(scenario.endpoints),
            scenario.idle_ports, switch_keys=scenario.switch, transport=scenario.transport)
        with ExitStack() as stack:
            stack.enter_context(contender)
            if contender.idle_paths:
                idle = stack.enter_context(
                    Loadgen(binaries, idle_lines(scenario, contender.idle_paths)))
                idle.ready()
            lines = plan_lines(scenario, case, contender.paths, seconds)
            with Loadgen(binaries, lines) as load:
                load.ready()
                status = contender.await_rest()
                meter = Meter(contender.pid)
                load.go()
                report = load.result(seconds + 60)
                load_cpu = sum(report["cpu_seconds"].values())
                figures = {"contender": name, **load_figures(report), **meter.read(load_cpu)}
            contender.note_counters()
        if status is not None:
            figures["macs_known"] = status["mac_table"]["entries"]
        figures["counters"] = contender.counters
        return figures
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run_scenario(scenario, names, rounds, seconds, binaries, progress):
    """All cases and rounds. Contenders follow one another within a round, which begins with another
    one each time, so that a slow minute of the machine meets all of them."""
    cases = []
    for case in scenario.cases:
        runs = []
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                progress(f"{scenario.name}: {case.name}: round {number + 1} of {rounds}: {name}")
                figures = run_once(name, scenario, case, seconds, binaries)
                runs.append({"round": number, **figures})
        cases.append({"name": case.name, "size": case.size, "runs": runs})
    return cases
