"""TCP between two hosts by iperf3, through each contender in turn."""

import json
import math
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from . import carriers, machine, network, transfer
from .carriers import ADDRESSES, ROLES
from .children import Child, ChildError
from .rounds import Meter

SETTLE_SECONDS = 60  # beyond the stream itself


class _Helpers:
    """CPU time of what belongs to a run beside the carrier: guests' copiers, soft interrupts."""

    def __init__(self, link):
        self.pids = [*link.guest_pids, *machine.soft_interrupt_threads()]
        self.started = self._now()

    def _now(self):
        return sum(machine.process_cpu(pid) for pid in self.pids)

    def read(self):
        return self._now() - self.started


def whole(seconds):
    """The next length that iperf3 understands."""
    return max(1, math.ceil(seconds))


def _client(scenario, seconds):
    # By the socket: a namespace may not choose what the machine does not allow everybody.
    congestion = ["--congestion", scenario.congestion] if scenario.congestion else []
    return [
        "iperf3", *congestion, "--client", ADDRESSES["b"], "--json", "--connect-timeout", "5000", "--time",
        str(seconds), "--parallel", str(scenario.streams)]


def _measure(scenario, lab, link, directory, seconds):
    """One run of iperf3 from host a to host b.

    - Returns: its report, and what the carrier's process and the machine used for it.
    """
    with ExitStack() as stack:
        with network.inside(lab["b"]):
            server = stack.enter_context(
                Child("iperf3-server", ["iperf3", "-s", "-1", "-4", "--forceflush"], directory))
        server.await_line("Server listening", carriers.START_LIMIT_SECONDS)
        helpers = _Helpers(link)
        meter = Meter(link.pid)
        with network.inside(lab["a"]):
            client = stack.enter_context(
                Child("iperf3", _client(scenario, seconds), directory))
        report = json.loads(client.result(seconds + SETTLE_SECONDS))
        if "error" in report:
            raise ChildError(f"iperf3: {report['error']}")
        end = report["end"]
        share = end["cpu_utilization_percent"]
        iperf_cpu = (share["host_total"] + share["remote_total"]) / 100 * end["sum_sent"]["seconds"]
        return end, meter.read(iperf_cpu + helpers.read())


def _difference(after, before):
    return {key: count - before.get(key, 0) for key, count in after.items()}


def _losses(lab, link):
    """Everything that was lost until now, by counter."""
    losses = {"cpu.backlog": network.backlog_drops(), **link.losses()}
    for role, name in lab.names.items():
        counts = network.counters(name)
        losses |= {f"{role}.{key}": counts[key] for key in network.LOSS_COUNTERS}
        losses |= {f"{role}.{key}": count for key, count in network.device_drops(name).items()}
    return losses


def _through(contender, scenario, binaries, work):
    """Builds two hosts and the contender between them, and lets `work(lab, link, directory)` use
    them.

    - Returns: what it returns, and what the hosts' kernels and the contender counted.
    """
    roles = ROLES + (["bridge"] if contender.carrier == "bridge" else [])
    directory = Path(tempfile.mkdtemp(prefix=network.PREFIX))
    try:
        with ExitStack() as stack:
            lab = stack.enter_context(network.Lab(roles))
            make, _ = carriers.ALL[contender.carrier]
            link = stack.enter_context(make(carriers.Setting(
                lab, binaries, directory, contender.ends, contender.mtu, scenario.queue,
                scenario.send_buffer)))
            network.await_reach(lab["a"], ADDRESSES["b"], link.check)
            # What got lost before the last guest had joined is nobody's loss.
            lost_before = _losses(lab, link)
            before = {role: network.counters(lab[role]) for role in ROLES}
            figures = work(lab, link, directory)
            counts = {
                role: _difference(network.counters(lab[role]), before[role]) for role in ROLES}
            losses = _difference(_losses(lab, link), lost_before) | link.end()
            total = {key: sum(counts[role][key] for role in ROLES) for key in counts["a"]}
            return {
                **figures,
                "segments": total["Tcp.OutSegs"],
                "resent": total["Tcp.RetransSegs"],
                "resent_needlessly": total["TcpExt.TCPDSACKRecv"],
                "checksum_errors": total["Tcp.InCsumErrors"] + total["Udp.InCsumErrors"],
                "losses": {key: count for key, count in losses.items() if count},
                "hosts": counts,
            }
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run_stream(contender, scenario, seconds, binaries):
    """One round of one contender."""
    def work(lab, link, directory):
        end, usage = _measure(scenario, lab, link, directory, seconds)
        received = end["sum_received"]
        gigabytes = received["bytes"] / 1e9
        return {
            "seconds": round(received["seconds"], 4),
            "bytes": received["bytes"],
            "gbits": received["bits_per_second"] / 1e9,
            "cpu_per_gb": usage["cpu_seconds"] / gigabytes if gigabytes and link.pid else None,
            "machine_cpu_per_gb": usage["machine_cpu_seconds"] / gigabytes if gigabytes else None,
            **usage,
            "iperf3": {key: end[key] for key in ("sum_sent", "sum_received", "streams")},
        }

    return _through(contender, scenario, binaries, work)


def run_file(contender, scenario, binaries, path, digest):
    """A file through one contender."""
    return _through(
        contender, scenario, binaries,
        lambda lab, link, directory: transfer.send_file(lab, path, digest))


def _contenders(scenario, names):
    return [
        replace(entry, mtu=entry.mtu or scenario.mtu)
        for entry in scenario.contenders if names is None or entry.name in names]


def _label(entry):
    return {
        "contender": entry.name, "carrier": entry.carrier, "ends": entry.ends, "mtu": entry.mtu,
        "against": entry.against}


def run_files(scenario, names, size, binaries, progress):
    """A file of `size` bytes through each contender."""
    results = []
    with tempfile.TemporaryDirectory(prefix=network.PREFIX) as directory:
        path = Path(directory, "file")
        progress(f"{scenario.name}: making a file of {size} bytes")
        digest = transfer.make_file(path, size)
        for entry in _contenders(scenario, names):
            progress(f"{scenario.name}: a file through {entry.name}")
            results.append({
                **_label(entry), **run_file(entry, scenario, binaries, path, digest)})
    return results


def run_scenario(scenario, names, rounds, seconds, binaries, progress):
    """All contenders in all rounds, which begin with another one each time."""
    network.sweep()
    chosen = _contenders(scenario, names)
    runs = []
    for number in range(rounds):
        turn = number % len(chosen)
        for entry in chosen[turn:] + chosen[:turn]:
            progress(f"{scenario.name}: round {number + 1} of {rounds}: {entry.name}")
            figures = run_stream(entry, scenario, seconds, binaries)
            runs.append({"round": number, **_label(entry), **figures})
    return [{"name": scenario.name, "runs": runs}]
