"""What stands between the hosts of a stream: the switch, a cable, the kernel's bridge, a peer."""

import json
import subprocess
from contextlib import ExitStack, contextmanager

from . import link, network, peers
from .children import Child
from .link import (
    ADDRESSES, DEVICE, GUEST_ENDS, HEADERS, LONG_FRAME, MIDDLE, ROLES, START_LIMIT_SECONDS,
    Carrier, Link, Setting, addresses_of, guest_losses, join_guests)

STATUS_LIMIT_SECONDS = 10


def _lines(keys):
    """Keys as TOML; their values are numbers and strings."""
    return [f"{key} = {json.dumps(value)}" for key, value in keys.items()]


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
            f'netns = "{setting.lab[role]}"', f'address = ["{setting.addresses[role]}/24"]',
            f"mtu = {setting.mtu}", f"tx_queue_length = {setting.queue}"]
    return lines


def _status(setting):
    control = setting.directory / "control.sock"
    result = subprocess.run(
        [setting.binaries / "ringswitch", "status", "--json", "--socket", control],
        capture_output=True, text=True, timeout=STATUS_LIMIT_SECONDS, check=True)
    return json.loads(result.stdout)


def _configuration(setting):
    lines = [
        "[switch]", 'name = "bench"', f'runtime_dir = "{setting.directory}"',
        *_lines(setting.switch_keys), "", "[port_defaults]",
        f'send_buffer = "{2 * setting.send_buffer >> 10}KiB"', *_lines(setting.port_keys)]
    for role, end in setting.hosts:
        lines += _port(setting, role, end)
    return "\n".join(lines) + "\n"


@contextmanager
def ringswitch(setting):
    configuration = setting.directory / "switch.toml"
    configuration.write_text(_configuration(setting), encoding="utf-8")
    paths = {
        role: setting.directory / f"{role}.sock"
        for role, end in setting.hosts if end in GUEST_ENDS}
    with ExitStack() as stack:
        child = stack.enter_context(Child(
            "ringswitch", [setting.binaries / "ringswitch", "run", "--config", configuration],
            setting.directory))
        guests = join_guests(setting, stack, child, paths)

        def losses():
            drops = _status(setting)["totals"]["drops"]
            return {f"ringswitch.{reason}": count for reason, count in drops.items()}

        def marks():
            return sum(port["queue"]["marks"] for port in _status(setting)["ports"])

        yield Link([child], guests, losses, lambda: guest_losses(guests), marks)


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
                setting.lab[role], DEVICE, setting.addresses[role], setting.mtu, setting.queue)

        def end():
            return {"cable-tap.failed": json.loads(child.stop())["failed"]}

        yield Link([child], end=end)


@contextmanager
def cable_uring(setting):
    paths = {role: setting.directory / f"{role}.sock" for role in setting.addresses}
    longest = LONG_FRAME if "raw" in setting.ends else setting.mtu + HEADERS
    command = [
        setting.binaries / "cable-uring", "--buffers", 64 if longest <= 2048 else 16,
        "--buffer-size", max(2048, longest), "--send-buffer", setting.send_buffer,
        *paths.values()]
    with ExitStack() as stack:
        child = stack.enter_context(Child("cable-uring", command, setting.directory))
        guests = join_guests(setting, stack, child, paths)

        def end():
            losses = guest_losses(guests)
            counts = json.loads(child.stop())
            return losses | {
                f"cable-uring.{key}": counts[key] for key in ("dropped", "failed", "cut")}

        yield Link([child], guests, end=end)


@contextmanager
def bridge(setting):
    ends = [(role, DEVICE, address) for role, address in setting.addresses.items()]
    network.make_bridge(setting.lab, MIDDLE, ends, setting.mtu)
    for role, end in setting.hosts:
        if end == "veth-none":
            network.switch_offloads_off(setting.lab[role], DEVICE)
    yield Link()


_TAPS = {"tap-vnet", "tap-none"}

ALL = {
    "ringswitch": Carrier(ringswitch, {*_TAPS, *GUEST_ENDS}, {"ringswitch"}),
    "cable-tap": Carrier(cable_tap, _TAPS, {"cable-tap"}, pairs_max=1),
    "cable-tap-uring": Carrier(
        lambda setting: cable_tap(setting, "--uring"), _TAPS, {"cable-tap"}, pairs_max=1),
    "cable-uring": Carrier(cable_uring, set(GUEST_ENDS), {"cable-uring"}),
    "bridge": Carrier(bridge, {"veth-offload", "veth-none"}, needs_middle=True),
    **peers.ALL,
}


def programs(carrier, ends):
    """The binaries that a carrier needs."""
    needs_guests = set(ends) & set(GUEST_ENDS)
    return ALL[carrier].binaries | ({"ringswitch"} if needs_guests else set())


def versions(entries):
    """What the programs of the system that take part say they are, by carrier."""
    taking_part = {entry.carrier: ALL[entry.carrier] for entry in entries}
    return {
        name: link.version(carrier.version) for name, carrier in taking_part.items()
        if carrier.version and carrier.obstacle() is None}


def missing(entries):
    """Contenders that cannot be measured here, by name, with what is missing."""
    reasons = {entry.name: ALL[entry.carrier].obstacle() for entry in entries}
    return {name: reason for name, reason in reasons.items() if reason}
