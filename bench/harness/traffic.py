"""TCP between many hosts at once: what a load is, and one run of it.

A flow is a client of iperf3 on one host and a server on another, a process each, with as many
streams as the load has. Both directions of a pair are two flows: iperf3's own way to do both in one
process can mistake its connections for each other, and then nothing moves.

What a stream carried in each second is read off the receiver. A sender's own account tells what
went into its socket.
"""

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass, field

from . import link as links
from . import network
from .children import Child, ChildError
from .rounds import Meter
from .streams import SETTLE_SECONDS, Helpers, processor_seconds

PORTS = {"there": 5201, "back": 5202}
WAYS = {"there": ["there"], "back": ["back"], "both": ["there", "back"]}
PART_OF_A_WHOLE_SECOND = 0.9  # iperf3's timer is late now and then, and its last bin short


@dataclass
class Load:
    """What the hosts send each other.

    - way: `there` from the first host of a pair to the second, `back`, or `both` at once.
    - streams: of each flow.
    - congestion: TCP's congestion control; empty: the machine's.
    - ecn: whether the hosts allow that frames are marked instead of dropped.
    - zero_copy: whether iperf3 sends a file, without a copy into the kernel.
    """

    name: str
    way: str = "both"
    pairs: int = 1
    streams: int = 1
    congestion: str = ""
    ecn: bool = False
    zero_copy: bool = False

    def __post_init__(self):
        if self.way not in WAYS:
            raise TypeError(f"way = {self.way!r} is none of {', '.join(WAYS)}")

    @property
    def addresses(self):
        return links.addresses_of(self.pairs)

    @property
    def parameters(self):
        """Of the hosts' kernels."""
        return {"net.ipv4.tcp_ecn": 1} if self.ecn else {}

    @property
    def flows(self):
        roles = list(self.addresses)
        found = []
        for first, second in zip(roles[::2], roles[1::2]):
            ends = {"there": (first, second), "back": (second, first)}
            found += [Flow(*ends[way], way, PORTS[way]) for way in WAYS[self.way]]
        return found


@dataclass
class Settings:
    """The keys of the kinds that measure loads."""

    loads: list = field(default_factory=list)

    def __post_init__(self):
        self.loads = [Load(**entry) for entry in self.loads]
        names = [load.name for load in self.loads]
        if not names or len(set(names)) < len(names):
            raise TypeError("loads with names of their own are needed")


@dataclass
class Flow:
    """One client and one server, on hosts given by role."""

    source: str
    sink: str
    way: str
    port: int


def jain(values):
    """Jain's index of fairness: 1 if all are equal, 1/n if one has everything."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None


def fairness_of_streams(run):
    """Jain's index over the streams of the direction in which they were least equal; None where no
    flow has several."""
    return min((flow["jain"] for flow in run["flows"] if flow["jain"] is not None), default=None)


def fairness_of_pairs(run):
    """Jain's index over the pairs of hosts, both directions of a pair as one; None of a single one.
    """
    carried = {}
    for flow in run["flows"]:
        pair = frozenset([flow["source"], flow["sink"]])
        carried[pair] = carried.get(pair, 0) + flow["gbits"]
    return jain(list(carried.values())) if len(carried) > 1 else None


def _start_server(lab, stack, flow, directory):
    name = f"iperf3-server-{flow.sink}-{flow.way}"
    with network.inside(lab[flow.sink]):
        server = stack.enter_context(Child(
            name, ["iperf3", "-s", "-1", "-4", "--json", "--port", flow.port], directory))
    return server


class _Gate:
    """What many programs wait at, to begin together: started one by one, the last would find the
    processors taken by the first."""

    COMMAND = ["sh", "-c", 'read -r _; exec "$@"', "sh"]

    def __enter__(self):
        self.exit, self.entry = os.pipe()
        return self

    def open(self):
        """Ends the input of all of them."""
        os.close(self.entry)
        self.entry = None

    def __exit__(self, kind, value, trace):
        if self.entry is not None:
            os.close(self.entry)
        os.close(self.exit)


def _start_client(lab, stack, gate, flow, load, address, seconds, directory):
    command = [
        *gate.COMMAND, "iperf3", "--client", address, "--port", flow.port, "--json",
        "--connect-timeout", "5000", "--time", seconds, "--parallel", load.streams]
    # By the socket: a namespace may not choose what the machine does not allow everybody.
    command += ["--congestion", load.congestion] if load.congestion else []
    command += ["--zerocopy"] if load.zero_copy else []
    with network.inside(lab[flow.source]):
        return stack.enter_context(
            Child(f"iperf3-{flow.source}-{flow.way}", command, directory, stdin=gate.exit))


def _report(child, limit):
    report = json.loads(child.result(limit))
    if "error" in report:
        raise ChildError(f"{child.name}: {report['error']}")
    return report


def _whole_seconds(report):
    """Bytes of each stream in each whole second, from a receiver's report."""
    seconds = [
        interval["streams"] for interval in report["intervals"]
        if interval["sum"]["seconds"] >= PART_OF_A_WHOLE_SECOND]
    return [[stream["bytes"] for stream in streams] for streams in zip(*seconds)]


def _figures(flow, client, server):
    """A flow's part in the result, from the reports of its two processes."""
    end = client["end"]
    received = end["sum_received"]
    streams = end["streams"]
    carried = [stream["receiver"]["bytes"] for stream in streams]
    round_trips = [stream["sender"]["mean_rtt"] / 1e3 for stream in streams]
    bins = _whole_seconds(server)
    return {
        "source": flow.source, "sink": flow.sink, "way": flow.way,
        "seconds": round(received["seconds"], 4),
        "bytes": received["bytes"],
        "gbits": received["bits_per_second"] / 1e9,
        "streams": carried,
        "jain": jain(carried) if len(carried) > 1 else None,
        "seconds_at_zero": sum(0 in second for second in zip(*bins)),
        "bins": bins,
        "resent": end["sum_sent"]["retransmits"],
        "round_trip_ms": sum(round_trips) / len(round_trips),
        "round_trip_max_ms": max(stream["sender"]["max_rtt"] for stream in streams) / 1e3,
    }


def run(lab, link, load, seconds, directory):
    """All flows of a load at once.

    - Returns: what each carried, and what the carrier and the machine used for it.
    """
    flows = load.flows
    limit = seconds + SETTLE_SECONDS
    with ExitStack() as stack:
        gate = stack.enter_context(_Gate())
        servers = [_start_server(lab, stack, flow, directory) for flow in flows]
        for flow, server in zip(flows, servers):
            server.await_condition(
                lambda: network.is_listening(lab[flow.sink], flow.port), "its port",
                links.START_LIMIT_SECONDS)
        clients = [
            _start_client(
                lab, stack, gate, flow, load,
                link.address(flow.source, flow.sink, load.addresses), seconds, directory)
            for flow in flows]
        helpers = Helpers(link)
        meter = Meter(*link.pids)
        gate.open()
        reports = [_report(client, limit) for client in clients]
        guests, soft = helpers.read()
        ends = sum(processor_seconds(report["end"]) for report in reports)
        usage = meter.read(ends + guests + soft)
        figures = [
            _figures(flow, report, _report(server, limit))
            for flow, report, server in zip(flows, reports, servers)]
    return figures, {**usage, "guest_cpu_seconds": round(guests, 6)}
