"""Scenarios: what is measured, as TOML files."""

import tomllib
from dataclasses import dataclass, field

from . import carriers

DEFAULT_ROUNDS = 15
DEFAULT_SECONDS = 2.0
DEFAULT_SEND_BUFFER = 4 << 20

LENGTH_OF_A_PORT = 1518
LENGTH_OF_A_LONG_PORT = 65550


class ScenarioError(Exception):
    """A scenario file that makes no sense."""


@dataclass
class Case:
    """One row of a scenario: a frame length, and how slowly slow readers read it."""

    name: str
    size: int
    read_pause_us: int = 0

    @property
    def max_frame(self):
        return LENGTH_OF_A_PORT if self.size <= LENGTH_OF_A_PORT else LENGTH_OF_A_LONG_PORT

    @property
    def buffers(self):
        """Receive buffers of a port, the same for the switch and the cables."""
        if self.max_frame <= 2048:
            return 64
        return 32 if self.max_frame <= 9216 else 16


@dataclass
class Endpoint:
    name: str
    reader: str = "fast"
    extra_macs: int = 0


@dataclass
class Flow:
    from_: str
    to: str
    spread: bool = False


@dataclass
class Entry:
    """A contender of streams. `carrier` and `ends` are those of carriers.py."""

    name: str
    carrier: str
    ends: list
    mtu: int = 0  # the scenario's
    switch: dict = field(default_factory=dict)  # keys of ringswitch's [switch]
    port: dict = field(default_factory=dict)    # and of its [port_defaults]
    against: list = field(default_factory=list)  # contenders that it is divided by


@dataclass
class Scenario:
    name: str
    title: str
    cases: list
    about: str = ""  # the comment at the head of its file
    endpoints: list = field(default_factory=list)
    flows: list = field(default_factory=list)
    kind: str = "pairs"
    rounds: int = DEFAULT_ROUNDS
    seconds: float = DEFAULT_SECONDS
    send_buffer: int = DEFAULT_SEND_BUFFER
    idle_ports: int = 0
    idle_macs: int = 0
    switch: dict = field(default_factory=dict)  # keys of ringswitch's [switch] in pairs
    transport: str = "unixgram"  # of the ports in pairs: "stream" has cable-stream for every cable
    load: float = 0.25
    side_load: float = 0.1
    contenders: list = field(default_factory=list)
    mtu: int = 1500
    queue: int = 10000
    streams: int = 1
    congestion: str = ""  # TCP's congestion control in streams; empty: the machine's
    file_bytes: int = 0   # of the file that --hash sends
    settings: object = None  # what only the kind has

    @property
    def idle_macs_per_port(self):
        """Addresses behind each idle port, so that the whole table has `idle_macs`."""
        if self.idle_ports == 0:
            return 0
        others = sum(1 + endpoint.extra_macs for endpoint in self.endpoints)
        return max(1, -(-(self.idle_macs - others) // self.idle_ports))


def _take(table, where, kind, renamed=None):
    """Makes a `kind` of a TOML table, refusing keys that it does not have."""
    values = {(renamed or {}).get(key, key): value for key, value in table.items()}
    unknown = set(values) - set(kind.__dataclass_fields__)
    if unknown:
        raise ScenarioError(f"{where}: unknown key {', '.join(sorted(unknown))}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ScenarioError(f"{where}: {error}") from None


_END_OF_A_MIX = {"vnet": "tap-vnet"}


def check_contenders(where, scenario, more_ends=None):
    """Refuses contenders that no carrier can be.

    - more_ends: by carrier, ends that only the kind of the scenario knows.
    """
    known = {name: carrier.ends for name, carrier in carriers.ALL.items()}
    for name, ends in (more_ends or {}).items():
        known[name] = known.get(name, set()) | ends
    names = [entry.name for entry in scenario.contenders]
    if not names or len(set(names)) < len(names):
        raise ScenarioError(f"{where}: contenders with names of their own are needed")
    for entry in scenario.contenders:
        if isinstance(entry.ends, str):
            entry.ends = [entry.ends, entry.ends]
        if len(entry.ends) != 2 or not set(entry.ends) <= known.get(entry.carrier, set()):
            raise ScenarioError(f"{where}: {entry.name}: {entry.carrier} with {entry.ends}")
        if not set(entry.against) <= set(names):
            raise ScenarioError(f"{where}: {entry.name}: against {entry.against}")


def about(path):
    """The comment at the head of a scenario's file, in paragraphs: what it asks, and how. Reports
    begin with it."""
    paragraphs = [[]]
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if not line.startswith("#"):
                    break
                if text := line.lstrip("#").strip():
                    paragraphs[-1].append(text)
                else:
                    paragraphs.append([])
    except FileNotFoundError:
        return ""
    return "\n\n".join(" ".join(lines) for lines in paragraphs if lines)


def load(path, kinds):
    """Reads a scenario file of one of `kinds`, which are by name."""
    with open(path, "rb") as file:
        table = tomllib.load(file)
    where = path.name
    name = table.get("kind", Scenario.kind)
    if name not in kinds:
        raise ScenarioError(f"{where}: kind = {name!r} is none of {', '.join(kinds)}")
    kind = kinds[name]
    idle = table.pop("idle", {})
    table["name"] = path.stem
    table["about"] = about(path)
    table["idle_ports"] = idle.get("ports", 0)
    table["idle_macs"] = idle.get("macs", 0)
    table["cases"] = [_take(entry, where, Case) for entry in table.pop("case", [])]
    table["endpoints"] = [_take(entry, where, Endpoint) for entry in table.pop("endpoint", [])]
    table["flows"] = [
        _take(entry, where, Flow, {"from": "from_"}) for entry in table.pop("flow", [])]
    mix = table.pop("mix", [])
    table["contenders"] = [_take(entry, where, Entry) for entry in table.pop("contender", [])]
    table["contenders"] += [
        Entry(f"{a} to {b}", "ringswitch", [_END_OF_A_MIX.get(end, end) for end in (a, b)])
        for a in mix for b in mix]
    if kind.settings is not None:
        table["settings"] = _take(table.pop("settings", {}), where, kind.settings)
    elif "settings" in table:
        raise ScenarioError(f"{where}: [settings] is not for kind = {name!r}")
    scenario = _take(table, where, Scenario)
    kind.check(where, scenario)
    return scenario
