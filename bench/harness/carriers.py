"""What stands between the hosts `a` and `b` of a stream: the switch, a cable, the kernel's bridge.

Each is a context manager that yields a `Link`. Hosts are namespaces; their device is `eth0` and
either belongs to the carrier or, with ends `raw` and `none`, to `ringswitch attach`, which joins a
unixgram port as a libkrun guest with or without offloading would.
"""

import json
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import network
from .children import Child

DEVICE = "eth0"
ADDRESSES = {"a": "10.99.0.1", "b": "10.99.0.2"}
ROLES = list(ADDRESSES)
START_LIMIT_SECONDS = 15
STATUS_LIMIT_SECONDS = 10
HEADERS = 18  # Ethernet and one VLAN tag
LONG_FRAME = 65550
GUEST_ENDS = ("raw", "none")


@dataclass
class Setting:
    """What a carrier is built for."""

    lab: network.Lab
    binaries: Path
    directory: Path
    ends: list
    mtu: int
    queue: int        # frames that wait in a TAP
    send_buffer: int  # what programs ask the kernel for; it grants twice as much


@dataclass
class Link:
    """A carrier that carries. `losses()` says what it has dropped so far, by counter; `end()` ends
    what can only say so at its end, and adds that."""

    children: list = field(default_factory=list)
    guests: dict = field(default_factory=dict)
    losses: object = dict
    end: object = dict

    @property
    def pid(self):
        """The process of the carrier; None if it is the kernel."""
        return self.children[0].pid if self.children else None

    @property
    def guest_pids(self):
        return [child.pid for child in self.guests.values()]

    def check(self):
        for child in [*self.children, *self.guests.values()]:
            child.check()


def _has_device(name):
    with network.inside(name):
        return DEVICE in [device for _, device in socket.if_nameindex()]


def _attach(setting, role, path):
    """A guest on a unixgram port."""
    end = setting.ends[ROLES.index(role)]
    command = [
        setting.binaries / "ringswitch", "attach", path, "--netns", setting.lab[role], "--device",
        DEVICE, "--address", f"{ADDRESSES[role]}/24", "--mtu", setting.mtu, "--json"]
    if end == "raw":
        command.append("--offload")
    return Child(f"attach-{role}", command, setting.directory)


def _guest_losses(guests):
    """What the guests' copiers dropped; ends them. Their devices are counted by the kernel."""
    losses = {}
    for role, child in guests.items():
        report = json.loads(child.stop())
        for direction in ("to_switch", "from_switch"):
            for key, count in report[direction].items():
                if key.startswith("dropped"):
                    losses[f"attach-{role}.{direction}.{key}"] = count
    return losses


def _join_guests(setting, stack, child, paths):
    child.await_condition(
        lambda: all(path.exists() for path in paths.values()), "its sockets", START_LIMIT_SECONDS)
    return {role: stack.enter_context(_attach(setting, role, path)) for role, path in paths.items()}


def _port(setting, role, end):
    """A port as the configuration has it. What can stay at its default does."""
    lines = ["", "[[port]]", f'name = "{role}"']
    if end in GUEST_ENDS:
        lines += ['type = "unixgram"', f'offload = "{end}"']
        if end == "none" and setting.mtu > 1500:
            lines.append(f"max_frame = {min(setting.mtu + HEADERS, LONG_FRAME)}")
    else:
        lines += [
            'type = "tap"', f'offload = "{end.removeprefix("tap-")}"', f'device = "{DEVICE}"',
            f'netns = "{setting.lab[role]}"', f'address = ["{ADDRESSES[role]}/24"]',
            f"mtu = {setting.mtu}", f"tx_queue_length = {setting.queue}"]
    return lines


def _status(setting):
    control = setting.directory / "control.sock"
    result = subprocess.run(
        [setting.binaries / "ringswitch", "status", "--json", "--socket", control],
        capture_output=True, text=True, timeout=STATUS_LIMIT_SECONDS, check=True)
    return json.loads(result.stdout)


@contextmanager
def ringswitch(setting):
    lines = ["[switch]", 'name = "bench"', f'runtime_dir = "{setting.directory}"', "",
             "[port_defaults]", f'send_buffer = "{2 * setting.send_buffer >> 10}KiB"']
    for role, end in zip(ROLES, setting.ends):
        lines += _port(setting, role, end)
    configuration = setting.directory / "switch.toml"
    configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
    paths = {
        role: setting.directory / f"{role}.sock"
        for role, end in zip(ROLES, setting.ends) if end in GUEST_ENDS}
    with ExitStack() as stack:
        child = stack.enter_context(Child(
            "ringswitch", [setting.binaries / "ringswitch", "run", "--config", configuration],
            setting.directory))
        guests = _join_guests(setting, stack, child, paths)

        def losses():
            drops = _status(setting)["totals"]["drops"]
            return {f"ringswitch.{reason}": count for reason, count in drops.items()}

        yield Link([child], guests, losses, lambda: _guest_losses(guests))


@contextmanager
def cable_tap(setting, *options):
    places = [f"{setting.lab[role]}:{DEVICE}" for role in ROLES]
    options += ("--vnet",) if setting.ends == ["tap-vnet"] * 2 else ()
    with Child(
            "cable-tap", [setting.binaries / "cable-tap", *options, *places],
            setting.directory) as child:
        child.await_line("ready", START_LIMIT_SECONDS)
        for role in ROLES:
            network.configure(
                setting.lab[role], DEVICE, ADDRESSES[role], setting.mtu, setting.queue)

        def end():
            return {"cable-tap.failed": json.loads(child.stop())["failed"]}

        yield Link([child], end=end)


@contextmanager
def cable_uring(setting):
    paths = {role: setting.directory / f"{role}.sock" for role in ROLES}
    longest = LONG_FRAME if "raw" in setting.ends else setting.mtu + HEADERS
    command = [
        setting.binaries / "cable-uring", "--buffers", 64 if longest <= 2048 else 16,
        "--buffer-size", max(2048, longest), "--send-buffer", setting.send_buffer,
        *paths.values()]
    with ExitStack() as stack:
        child = stack.enter_context(Child("cable-uring", command, setting.directory))
        guests = _join_guests(setting, stack, child, paths)

        def end():
            losses = _guest_losses(guests)
            counts = json.loads(child.stop())
            return losses | {
                f"cable-uring.{key}": counts[key] for key in ("dropped", "failed", "cut")}

        yield Link([child], guests, end=end)


@contextmanager
def bridge(setting):
    ends = [(role, DEVICE, address) for role, address in ADDRESSES.items()]
    network.make_bridge(setting.lab, "bridge", ends, setting.mtu)
    for role, end in zip(ROLES, setting.ends):
        if end == "veth-none":
            network.switch_offloads_off(setting.lab[role], DEVICE)
    yield Link()


# Each with the ends that it can have.
ALL = {
    "ringswitch": (ringswitch, {"tap-vnet", "tap-none", "raw", "none"}),
    "cable-tap": (cable_tap, {"tap-vnet", "tap-none"}),
    "cable-tap-uring": (
        lambda setting: cable_tap(setting, "--uring"), {"tap-vnet", "tap-none"}),
    "cable-uring": (cable_uring, {"raw", "none"}),
    "bridge": (bridge, {"veth-offload", "veth-none"}),
}


def programs(carrier, ends):
    """The binaries that a carrier needs."""
    wanted = {"bridge": set(), "cable-tap-uring": {"cable-tap"}}.get(carrier, {carrier})
    return wanted | ({"ringswitch"} if set(ends) & set(GUEST_ENDS) else set())
