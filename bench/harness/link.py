"""What every carrier is made of: the hosts that it joins, what it runs, and what it has lost.

A carrier is a context manager that takes a `Setting` and yields a `Link`. Hosts are namespaces;
their device is `eth0` and either belongs to the carrier or, with ends `raw` and `none`, to
`ringswitch attach`, which joins a unixgram port as a libkrun guest with or without offloading
would.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import network
from .children import Child

DEVICE = "eth0"
ADDRESSES = {"a": "10.99.0.1", "b": "10.99.0.2"}
ROLES = list(ADDRESSES)
MIDDLE = "middle"  # the namespace of a carrier that needs one of its own
START_LIMIT_SECONDS = 15
HEADERS = 18  # Ethernet and one VLAN tag
LONG_FRAME = 65550
GUEST_ENDS = ("raw", "none")
SYSTEM_DIRECTORIES = "/usr/sbin:/sbin"  # where a user's PATH does not lead


def addresses_of(pairs):
    """Addresses of the hosts of so many pairs, by role: a and b, or a1, b1, a2 and so on."""
    if pairs == 1:
        return dict(ADDRESSES)
    roles = [f"{role}{number}" for number in range(1, pairs + 1) for role in ROLES]
    return {role: f"10.99.0.{index}" for index, role in enumerate(roles, 1)}


@dataclass
class Setting:
    """What a carrier is built for."""

    lab: network.Lab
    binaries: Path
    directory: Path
    ends: list        # of the first and of the second host of each pair
    mtu: int
    queue: int        # frames that wait in a TAP
    send_buffer: int  # what programs ask the kernel for; it grants twice as much
    addresses: dict = field(default_factory=lambda: dict(ADDRESSES))  # of the hosts, by role
    switch_keys: dict = field(default_factory=dict)  # of ringswitch's [switch]
    port_keys: dict = field(default_factory=dict)    # of its [port_defaults]

    def end(self, role):
        return self.ends[list(self.addresses).index(role) % len(ROLES)]

    @property
    def hosts(self):
        """Role and end of each."""
        return [(role, self.end(role)) for role in self.addresses]


@dataclass
class Link:
    """A carrier that carries.

    - children: its processes, the switch itself first; none if it is the kernel.
    - guests: what joins hosts to it, by role: processes that stand for a VM's.
    - losses(): what it has dropped so far, by counter.
    - marks(): frames that it has marked (ECN) so far; None if it does not say.
    - end(): ends what can only say at its end what it dropped, and adds that.
    - dialled: addresses by client and server, where a host is not reached under its own.
    - reach: (role, address) of hosts that must answer before anything is sent; by default the
      second host of each pair the first.
    """

    children: list = field(default_factory=list)
    guests: dict = field(default_factory=dict)
    losses: object = dict
    end: object = dict
    marks: object = lambda: None
    dialled: dict = field(default_factory=dict)
    reach: list = field(default_factory=list)

    def address(self, client, server, addresses):
        """Where a client finds a server, one of the hosts with these addresses."""
        return self.dialled.get((client, server), addresses[server])

    @property
    def pids(self):
        return [child.pid for child in self.children]

    @property
    def guest_pids(self):
        return [child.pid for child in self.guests.values()]

    def check(self):
        for child in [*self.children, *self.guests.values()]:
            child.check()


@dataclass
class Carrier:
    """One way to join hosts, and what has to be there for it.

    - make: the context manager.
    - ends: those that it can have.
    - binaries: programs of this repository.
    - packages: Debian packages by other programs; None where there is none.
    - version: what prints the version of these.
    - pairs_max: pairs of hosts that it can join at once.
    """

    make: object
    ends: set
    binaries: set = field(default_factory=set)
    packages: dict = field(default_factory=dict)
    version: list = None
    needs_middle: bool = False
    pairs_max: int = 100

    def obstacle(self):
        """What is missing here, with its remedy; None if nothing is."""
        for program, package in self.packages.items():
            if program_path(program) is None:
                remedy = f"apt-get install {package}" if package else "put it on the PATH"
                return f"{program} is missing: {remedy}"
        return None


def version(command):
    """The first line with which a program says what it is."""
    result = subprocess.run(
        [program_path(command[0]), *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=START_LIMIT_SECONDS, check=False)
    return result.stdout.partition("\n")[0]


def program_path(program):
    """Where a program of the system is; None if it is not there."""
    return shutil.which(program) or shutil.which(program, path=SYSTEM_DIRECTORIES)


def attach(setting, role, path, address):
    """A guest on a unixgram port."""
    command = [
        setting.binaries / "ringswitch", "attach", path, "--netns", setting.lab[role], "--device",
        DEVICE, "--address", f"{address}/24", "--mtu", setting.mtu, "--json"]
    if setting.end(role) == "raw":
        command.append("--offload")
    return Child(f"attach-{role}", command, setting.directory)


def join_guests(setting, stack, child, paths):
    """A guest on each of these sockets, which are by role, as soon as `child` has made them."""
    child.await_condition(
        lambda: all(path.exists() for path in paths.values()), "its sockets", START_LIMIT_SECONDS)
    return {
        role: stack.enter_context(attach(setting, role, path, setting.addresses[role]))
        for role, path in paths.items()}


def guest_losses(guests):
    """What the guests' copiers dropped; ends them. Their devices are counted by the kernel."""
    losses = {}
    for role, child in guests.items():
        report = json.loads(child.stop())
        for direction in ("to_switch", "from_switch"):
            for key, count in report[direction].items():
                if key.startswith("dropped"):
                    losses[f"attach-{role}.{direction}.{key}"] = count
    return losses
