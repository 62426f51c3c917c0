"""TCP between two hosts by iperf3, through each contender in turn."""

import json
import math
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from . import carriers, machine, network, transfer
from .carriers import ADDRESSES, MIDDLE
from .children import Child, ChildError
from .rounds import Meter

SETTLE_SECONDS = 60  # beyond the stream itself


class Helpers:
    """CPU time of what belongs to a run beside the carrier: guests' copiers, soft interrupts."""

    def __init__(self, link):
        self.link = link
        self.soft_pids = machine.soft_interrupt_threads()
        self.started = self._now()

    def _now(self):
        return [
            sum(machine.process_cpu(pid) for pid in pids)
            for pids in (self.link.guest_pids, self.soft_pids)]

    def read(self):
        """Seconds of the guests' copiers, and of soft interrupts in threads of their own."""
        return [now - then for now, then in zip(self._now(), self.started)]


def whole(seconds):
    """The next length that iperf3 understands."""
    return max(1, math.ceil(seconds))


def client(scenario, address, seconds):
    """The command of the sending end."""
    # By the socket: a namespace may not choose what the machine does not allow everybody.
    congestion = ["--congestion", scenario.congestion] if scenario.congestion else []
    return [
        "iperf3", *congestion, "--client", address, "--json", "--connect-timeout", "5000", "--time",
        str(seconds), "--parallel", str(scenario.streams)]


def outcome(sender, limit):
    """The sums in the report of the sending end, which is waited for."""
    report = json.loads(sender.result(limit))
    if "error" in report:
        raise ChildError(f"{sender.name}: {report['error']}")
    return report["end"]


def processor_seconds(end):
    """CPU time of both ends."""
    share = end["cpu_utilization_percent"]
    return (share["host_total"] + share["remote_total"]) / 100 * end["sum_sent"]["seconds"]


def _measure(scenario, lab, link, directory, seconds):
    """One run of iperf3 from host a to host b.

    - Returns: its report, and what the carrier's processes and the machine used for it.
    """
    address = link.address("a", "b", ADDRESSES)
    with ExitStack() as stack:
        with network.inside(lab["b"]):
            server = stack.enter_context(
                Child("iperf3-server", ["iperf3", "-s", "-1", "-4", "--forceflush"], directory))
        server.await_line("Server listening", carriers.START_LIMIT_SECONDS)
        helpers = Helpers(link)
        meter = Meter(*link.pids)
        with network.inside(lab["a"]):
            sender = stack.enter_context(
                Child("iperf3", client(scenario, address, seconds), directory))
        end = outcome(sender, seconds + SETTLE_SECONDS)
        return end, meter.read(processor_seconds(end) + sum(helpers.read()))


def difference(after, before):
    return {key: count - before.get(key, 0) for key, count in after.items()}


def _losses(lab, link):
    """Everything that was lost until now, by counter."""
    losses = {"cpu.backlog": network.backlog_drops(), **link.losses()}
    for role, name in lab.names.items():
        counts = network.counters(name)
        losses |= {f"{role}.{key}": counts[key] for key in network.LOSS_COUNTERS}
        losses |= {f"{role}.{key}": count for key, count in network.device_drops(name).items()}
    return losses


def _await_reach(lab, link, addresses):
    """Waits until every pair can speak."""
    pairs = zip(list(addresses)[::2], list(addresses)[1::2])
    for role, address in link.reach or [(a, addresses[b]) for a, b in pairs]:
        network.await_reach(lab[role], address, link.check)


def through(contender, scenario, binaries, work, addresses=None, parameters=None):
    """Builds hosts and the contender between them, and lets `work(lab, link, directory)` use them.

    - addresses: of the hosts, by role; a and b by default.
    - parameters: of their kernel, such as `net.ipv4.tcp_ecn`.
    - Returns: what it returns, and what the hosts' kernels and the contender counted.
    """
    addresses = addresses or ADDRESSES
    carrier = carriers.ALL[contender.carrier]
    directory = Path(tempfile.mkdtemp(prefix=network.PREFIX))
    try:
        with ExitStack() as stack:
            lab = stack.enter_context(
                network.Lab([*addresses, *([MIDDLE] if carrier.needs_middle else [])]))
            for role in addresses:
                for key, value in (parameters or {}).items():
                    network.set_parameter(lab[role], key, value)
            link = stack.enter_context(carrier.make(carriers.Setting(
                lab, binaries, directory, contender.ends, contender.mtu, scenario.queue,
                scenario.send_buffer, addresses, contender.switch, contender.port)))
            _await_reach(lab, link, addresses)
            # What got lost before the last guest had joined is nobody's loss.
            lost_before, marks_before = _losses(lab, link), link.marks()
            before = {role: network.counters(lab[role]) for role in addresses}
            figures = work(lab, link, directory)
            counts = {
                role: difference(network.counters(lab[role]), before[role]) for role in addresses}
            marks = link.marks()
            losses = difference(_losses(lab, link), lost_before) | link.end()
            keys = next(iter(counts.values()))
            total = {key: sum(count[key] for count in counts.values()) for key in keys}
            return {
                **figures,
                "segments": total["Tcp.OutSegs"],
                "resent": total["Tcp.RetransSegs"],
                "resent_needlessly": total["TcpExt.TCPDSACKRecv"],
                "checksum_errors": total["Tcp.InCsumErrors"] + total["Udp.InCsumErrors"],
                "losses": {key: count for key, count in losses.items() if count},
                "marks": None if marks is None else marks - marks_before,
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
            "cpu_per_gb": usage["cpu_seconds"] / gigabytes if gigabytes and link.pids else None,
            "machine_cpu_per_gb": usage["machine_cpu_seconds"] / gigabytes if gigabytes else None,
            **usage,
            "iperf3": {key: end[key] for key in ("sum_sent", "sum_received", "streams")},
        }

    return through(contender, scenario, binaries, work)


def run_file(contender, scenario, binaries, path, digest):
    """A file through one contender."""
    return through(
        contender, scenario, binaries,
        lambda lab, link, directory: transfer.send_file(lab, path, digest))


def chosen_of(scenario, names):
    """The contenders to measure: those that were asked for and can run here."""
    missing = carriers.missing(scenario.contenders)
    return [
        replace(entry, mtu=entry.mtu or scenario.mtu)
        for entry in scenario.contenders
        if (names is None or entry.name in names) and entry.name not in missing]


def label(entry):
    """What a result says of a contender."""
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
        for entry in chosen_of(scenario, names):
            progress(f"{scenario.name}: a file through {entry.name}")
            results.append({
                **label(entry), **run_file(entry, scenario, binaries, path, digest)})
    return results


def run_scenario(scenario, names, rounds, seconds, binaries, progress):
    """All contenders in all rounds, which begin with another one each time."""
    network.sweep()
    chosen = chosen_of(scenario, names)
    runs = []
    for number in range(rounds):
        turn = number % len(chosen)
        for entry in chosen[turn:] + chosen[:turn]:
            progress(f"{scenario.name}: round {number + 1} of {rounds}: {entry.name}")
            figures = run_stream(entry, scenario, seconds, binaries)
            runs.append({"round": number, **label(entry), **figures})
    return [{"name": scenario.name, "runs": runs}]
