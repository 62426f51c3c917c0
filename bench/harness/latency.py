"""How long a question and its answer take through each contender, in turn.

Contenders with the ends `port` are asked at their unixgram ports, with nothing between pingpong and
them; all others over UDP between two hosts. How they are asked:

- *idle*: so many questions a second. Between them processors halt, and most of the time goes into
  waking them.
- *warm*: each question after the last answer, while no processor halts.
- *bulk*: as in idle, beside a stream of TCP from the asking host to the other one.

Who is woken where is the kernel's decision, and on few processors it outweighs all that contenders
do: waking somebody on the own processor takes a fraction of waking another one. So idle and warm
are measured *apart*, too: both ends, and what stands for their VMs, on one processor, the contender
on another, as a switch beside guests would be.
"""

import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import carriers, network, pingpong, streams
from .children import Child
from .contenders import ALL as CONTENDERS
from .contenders import Contender
from .figures import of, ratios, spread
from .link import ADDRESSES, START_LIMIT_SECONDS
from .plots import Bars
from .rounds import Meter
from .scenario import Case, ScenarioError, check_contenders
from .tables import losses, names_of, table

PORT_END = "port"
PERCENTILES = ["p50", "p99"]  # that are held against others
BULK_EXCESS_SECONDS = 1.0     # by which the stream outlasts the questions
BULK_SEGMENTS = 200           # a stream that has come so far is under way
BULK_LIMIT_SECONDS = 10


@dataclass(frozen=True)
class Variant:
    """One way to ask."""

    name: str
    is_warm: bool = False
    is_apart: bool = False
    has_bulk: bool = False

    @property
    def processors(self):
        """Those of the ends, and that of the contender; nothing where all may have all."""
        if not self.is_apart:
            return set(), set()
        allowed = sorted(os.sched_getaffinity(0))
        return {allowed[0]}, {allowed[-1]}


VARIANTS = {variant.name: variant for variant in [
    Variant("idle"), Variant("idle apart", is_apart=True), Variant("warm", is_warm=True),
    Variant("warm apart", is_warm=True, is_apart=True), Variant("bulk", has_bulk=True)]}


@dataclass
class Settings:
    """Keys of `[settings]`."""

    variants: list = field(default_factory=lambda: list(VARIANTS))
    rate: int = 1000  # questions a second, idle and beside bulk
    size: int = 64    # bytes: of a frame, or of a payload of UDP


def check(where, scenario):
    if not scenario.settings.variants or not set(scenario.settings.variants) <= set(VARIANTS):
        raise ScenarioError(f"{where}: variants are some of {', '.join(VARIANTS)}")
    check_contenders(where, scenario, {
        name.removesuffix("-control"): {PORT_END} for name in CONTENDERS})
    if any(map(_has_ports, scenario.contenders)) and any(
            VARIANTS[name].has_bulk for name in scenario.settings.variants):
        raise ScenarioError(f"{where}: there is no bulk between ports")


def _has_ports(entry):
    return PORT_END in entry.ends


def obstacle(chosen, names):
    entries = [entry for entry in chosen.contenders if entry.name in names]
    if not entries:
        return "it has none of the contenders"
    return None if all(map(_has_ports, entries)) else network.obstacle()


def programs(chosen, names):
    wanted = {"pingpong"}
    for entry in chosen.contenders:
        if entry.name in names:
            wanted |= {entry.carrier} if _has_ports(entry) else carriers.programs(
                entry.carrier, entry.ends)
    return wanted


class _Bulk:
    """A stream of TCP from host a to host b, under way; `with` ends it."""

    def __init__(self, scenario, lab, link, directory, seconds):
        self.scenario = scenario
        self.lab = lab
        self.address = link.address("a", "b", ADDRESSES)
        self.directory = directory
        self.seconds = streams.whole(seconds + BULK_EXCESS_SECONDS)
        self.stack = ExitStack()
        self.sender = None

    def __enter__(self):
        with ExitStack() as stack:
            with network.inside(self.lab["b"]):
                server = stack.enter_context(Child(
                    "iperf3-server", ["iperf3", "-s", "-1", "-4", "--forceflush"], self.directory))
            server.await_line("Server listening", START_LIMIT_SECONDS)
            before = self._segments()
            with network.inside(self.lab["a"]):
                self.sender = stack.enter_context(Child(
                    "iperf3", streams.client(self.scenario, self.address, self.seconds),
                    self.directory))
            self.sender.await_condition(
                lambda: self._segments() - before > BULK_SEGMENTS, "a stream under way",
                BULK_LIMIT_SECONDS)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, kind, value, trace):
        self.stack.__exit__(kind, value, trace)

    def _segments(self):
        return network.counters(self.lab["b"])["Tcp.InSegs"]

    def end(self):
        """Its sums, when it is over."""
        return streams.outcome(self.sender, self.seconds + BULK_LIMIT_SECONDS)


def _ask(variant, both, scenario, seconds):
    settings = scenario.settings
    return both.ask(
        seconds, settings.size, 0 if variant.is_warm else settings.rate, variant.is_warm)


def _place(variant, pids, guest_pids=()):
    """Keeps everybody where the variant wants them.

    - Returns: processors for the two ends.
    """
    ends, own = variant.processors
    if variant.is_apart:
        for pid in pids:
            pingpong.keep_to(own, pid)
        for pid in guest_pids:
            pingpong.keep_to(ends, pid)
    return ends


def _at_ports(entry, variant, scenario, seconds, binaries):
    """One contender, asked at its ports."""
    directory = Path(tempfile.mkdtemp(prefix=network.PREFIX))
    case = Case("question", scenario.settings.size)
    try:
        with Contender(
                entry.carrier, binaries, directory, case, scenario.send_buffer, 2,
                switch_keys=entry.switch, port_keys=entry.port) as contender:
            ends = _place(variant, [contender.pid])
            with pingpong.of_ports(binaries, directory, contender.paths, ends) as both:
                meter, started = Meter(contender.pid), time.monotonic()
                report = _ask(variant, both, scenario, seconds)
                elapsed = time.monotonic() - started
                usage = meter.read(report.pop("load_cpu_seconds"))
            contender.note_counters()
        drops = (contender.counters or {}).get("drops", {})
        losses = {f"{entry.carrier}.{reason}": count for reason, count in drops.items() if count}
        return {**report, **usage, "elapsed_seconds": elapsed, "losses": losses}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _between_hosts(entry, variant, scenario, seconds, binaries):
    """One contender, asked over UDP from host a to host b."""
    def work(lab, link, directory):
        ends = _place(variant, link.pids, link.guest_pids)
        with ExitStack() as stack:
            helpers = streams.Helpers(link)
            meter, started = Meter(*link.pids), time.monotonic()
            bulk = None
            if variant.has_bulk:
                bulk = stack.enter_context(_Bulk(scenario, lab, link, directory, seconds))
            both = stack.enter_context(pingpong.of_hosts(binaries, directory, lab, ends))
            report = _ask(variant, both, scenario, seconds)
            load_cpu = report.pop("load_cpu_seconds")
            figures = {}
            if bulk is not None:
                end = bulk.end()
                load_cpu += streams.processor_seconds(end)
                figures = {"bulk_gbits": end["sum_received"]["bits_per_second"] / 1e9}
            elapsed = time.monotonic() - started
            usage = meter.read(load_cpu + sum(helpers.read()))
        return {**report, **usage, **figures, "elapsed_seconds": elapsed}

    return streams.through(entry, scenario, binaries, work)


def _entries(scenario, names):
    """The contenders to measure, which can all run here."""
    ports = [entry for entry in scenario.contenders if entry.name in names and _has_ports(entry)]
    hosts = replace(
        scenario, contenders=[entry for entry in scenario.contenders if not _has_ports(entry)])
    return ports + streams.chosen_of(hosts, names)


def _is_possible(variant):
    return not variant.is_apart or len(os.sched_getaffinity(0)) > 1


def _turns(scenario, options):
    """Who is asked how in one round. Whether it works is known when each contender was asked once,
    and each variant was used."""
    entries = _entries(scenario, options.names)
    names = [name for name in scenario.settings.variants if _is_possible(VARIANTS[name])]
    if options.is_smoke:
        return [(entry, [names[i % len(names)]]) for i, entry in enumerate(entries)]
    return [(entry, names) for entry in entries]


def run_scenario(scenario, options, progress):
    """A case for each variant, with all contenders in all rounds."""
    network.sweep()
    turns = _turns(scenario, options)
    cases = {}
    for number in range(options.rounds):
        first = number % len(turns)
        for entry, variants in turns[first:] + turns[:first]:
            for variant in variants:
                progress(
                    f"{scenario.name}: {variant}: round {number + 1} of {options.rounds}:"
                    f" {entry.name}")
                run = _at_ports if _has_ports(entry) else _between_hosts
                figures = run(
                    entry, VARIANTS[variant], scenario, options.seconds, options.binaries)
                cases.setdefault(variant, []).append(
                    {"round": number, **streams.label(entry), **figures})
    return [{"name": variant, "runs": runs} for variant, runs in cases.items()]


def _microseconds(runs, key):
    return [run["rtt_ns"][key] / 1e3 for run in runs]


def _rows(case):
    for name in names_of(case["runs"]):
        own = of(case["runs"], name)
        asked = sum(run["asked"] for run in own)
        yield [
            case["name"], name,
            *(spread(_microseconds(own, key), "{:.0f}") for key in ("p50", "p99", "p99.9", "max")),
            spread([100 * run["cpu_seconds"] / run["elapsed_seconds"] for run in own], "{:.1f}"),
            f"{asked - sum(run['answered'] for run in own)} of {asked}", losses(own),
            spread([run["bulk_gbits"] for run in own if "bulk_gbits" in run]),
            f"{sum(run['is_disturbed'] for run in own)} of {len(own)}"]


def _comparisons(case):
    """Contender, whom it is held against, and by percentile the ratios of the rounds."""
    for name in names_of(case["runs"]):
        for other in of(case["runs"], name)[0]["against"]:
            if of(case["runs"], other):
                yield name, other, {
                    key: ratios(case["runs"], name, lambda run, key=key: run["rtt_ns"][key], other)
                    for key in PERCENTILES}


def markdown(result):
    header = [
        "asked", "contender", "p50 us", "p99 us", "p99.9 us", "most us", "contender's CPU %",
        "lost", "losses by counter", "bulk Gbit/s", "disturbed"]
    parts = [table(header, [row for case in result["cases"] for row in _rows(case)])]
    compared = [
        [case["name"], name, other, *(spread(values) for values in by_percentile.values())]
        for case in result["cases"] for name, other, by_percentile in _comparisons(case)]
    if compared:
        parts.append(table(["asked", "contender", "of", "p50 ratio", "p99 ratio"], compared))
    return "\n\n".join(parts)


def mistakes(result):
    """Everything in a result that is wrong however long it took."""
    found = []
    for case in result["cases"]:
        for run in case["runs"]:
            who = f"{result['scenario']}: {case['name']}: round {run['round'] + 1}: "
            who += run["contender"]
            if run["answered"] == 0:
                found.append(f"{who}: nothing was answered")
            if run["disordered"]:
                found.append(f"{who}: {run['disordered']} answers came again, or late")
            if run.get("checksum_errors"):
                found.append(f"{who}: {run['checksum_errors']} wrong checksums at the receiver")
    return found


def plots(result):
    found = []
    for key in PERCENTILES:
        groups = {
            case["name"]: {
                name: _microseconds(of(case["runs"], name), key) for name in names_of(case["runs"])}
            for case in result["cases"]}
        found.append(Bars(f"{result['title']}: {key}", "time to the answer, us", groups))
    return found
