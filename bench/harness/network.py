"""Network namespaces that play hosts, and what the kernel counted in them.

Everything made here has a name that begins with `rsb-PID-`, lives in these namespaces and goes with
them: devices, a bridge, addresses. What a killed run left behind, the next one removes.
"""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from .children import undisturbed

PREFIX = "rsb-"
NAMES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
REACH_LIMIT_SECONDS = 15
LISTENING = "0A"  # the state of a socket in /proc/net/tcp
UNUSED_PORT = 9  # discard: nobody listens, and the refusal says that the way is open

_libc = ctypes.CDLL(None, use_errno=True)


class NetworkError(Exception):
    """A namespace or device that could not be made, or a host that cannot be reached."""


def _ip(*words):
    return _run(["ip", *words])


def _run(command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise NetworkError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


def _enter(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise NetworkError(f"entering a namespace: {os.strerror(ctypes.get_errno())}")


@contextmanager
def inside(name):
    """Moves the calling thread into a namespace; what is opened or started there stays there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(NAMES / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def obstacle():
    """Why no namespaces with devices can be made here; None if they can."""
    if os.geteuid() != 0:
        return "only root makes named network namespaces"
    for program in ("ip", "iperf3", "ethtool"):
        if shutil.which(program) is None:
            return f"{program} is missing"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened"
    try:
        with Lab(["probe"]):
            return None
    except NetworkError as error:
        return str(error)


def sweep():
    """Removes the namespaces of runs that were killed."""
    for path in NAMES.glob(f"{PREFIX}*-*"):
        owner = path.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            subprocess.run(["ip", "netns", "delete", path.name], capture_output=True, check=False)


class Lab:
    """Namespaces, named by roles; `with` removes them."""

    def __init__(self, roles):
        self.names = {role: f"{PREFIX}{os.getpid()}-{role}" for role in roles}

    def __getitem__(self, role):
        return self.names[role]

    def __enter__(self):
        try:
            for name in self.names.values():
                _ip("netns", "add", name)
                self._furnish(name)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        with undisturbed():
            for name in self.names.values():
                subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def _furnish(self, name):
        _ip("-netns", name, "link", "set", "lo", "up")
        with inside(name):
            # The chatter of address configuration is no part of what is measured.
            for part in ("all", "default"):
                with suppress(OSError):  # a kernel without IPv6 is as good
                    Path(f"/proc/sys/net/ipv6/conf/{part}/disable_ipv6").write_text("1")


def configure(name, device, address, mtu, queue):
    """Gives a device of a namespace its address and brings it up."""
    _ip("-netns", name, "link", "set", device, "mtu", str(mtu), "txqueuelen", str(queue), "up")
    _ip("-netns", name, "address", "add", f"{address}/24", "dev", device)


def has_device(name, device):
    """Whether a namespace has a device of this name yet."""
    with inside(name):
        return device in [found for _, found in socket.if_nameindex()]


def move(device, source, sink, name):
    """Moves a device to another namespace, where it has another name."""
    _ip("-netns", source, "link", "set", "dev", device, "netns", sink, "name", name)


def set_parameter(name, key, value):
    """Sets a parameter of the kernel (`net.ipv4.tcp_ecn`) for a namespace alone."""
    with inside(name):
        Path("/proc/sys", key.replace(".", "/")).write_text(str(value))


def make_bridge(lab, middle, ends, mtu):
    """Joins namespaces by veth pairs to a bridge that has a namespace of its own.

    `ends` are (role, device, address).
    """
    _ip("-netns", lab[middle], "link", "add", "br0", "type", "bridge")
    _ip("-netns", lab[middle], "link", "set", "br0", "mtu", str(mtu), "up")
    for role, device, address in ends:
        _ip("-netns", lab[middle], "link", "add", f"to-{role}", "type", "veth", "peer", "name",
            device, "netns", lab[role])
        _ip("-netns", lab[middle], "link", "set", f"to-{role}", "mtu", str(mtu), "master", "br0",
            "up")
        _ip("-netns", lab[role], "link", "set", device, "mtu", str(mtu), "up")
        _ip("-netns", lab[role], "address", "add", f"{address}/24", "dev", device)


def switch_offloads_off(name, device):
    """Makes a device of a namespace send finished frames of at most its MTU."""
    with inside(name):
        _run(["ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off", "tx", "off"])


def await_reach(name, address, check):
    """Waits until a host answers in a namespace: the refusal of a connection has gone both ways.

    `check()` raises when waiting has become useless.
    """
    deadline = time.monotonic() + REACH_LIMIT_SECONDS
    error = None
    while time.monotonic() < deadline:
        check()
        with inside(name):
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with probe:
            probe.settimeout(0.5)
            try:
                probe.connect((address, UNUSED_PORT))
                return
            except ConnectionRefusedError:
                return
            except OSError as failure:
                error = failure
        time.sleep(0.01)
    raise NetworkError(f"{address} cannot be reached from {name}: {error}")


def is_listening(name, port):
    """Whether somebody in a namespace takes connections to a port."""
    with inside(name):
        rows = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    # Local address and port, remote address and port, state; in hexadecimal.
    return any(
        row.split()[3] == LISTENING and int(row.split()[1].split(":")[1], 16) == port
        for row in rows)


# Beside the sums: what a host itself loses, and what tells retransmissions that were not needed
# (acknowledged twice, or sent for fear) from those of lost segments; and packets with a mark (ECN).
_COUNTERS = {
    "Tcp": ["InSegs", "OutSegs", "RetransSegs", "InErrs", "InCsumErrors"],
    "Udp": ["InCsumErrors"],
    "Ip": ["InHdrErrors", "InDiscards", "OutDiscards"],
    "TcpExt": ["TCPBacklogDrop", "TCPRcvQDrop", "TCPOFODrop", "RcvPruned", "TCPDSACKRecv",
               "TCPLossProbes", "TCPSpuriousRTOs", "TCPTimeouts"],
    "IpExt": ["InCEPkts"],
}
LOSS_COUNTERS = [
    "Tcp.InErrs", "Udp.InCsumErrors", "Ip.InHdrErrors", "Ip.InDiscards", "Ip.OutDiscards",
    "TcpExt.TCPBacklogDrop", "TcpExt.TCPRcvQDrop", "TcpExt.TCPOFODrop", "TcpExt.RcvPruned"]


def counters(name):
    """What the kernel counted in a namespace since it was made: `Tcp.OutSegs` and others."""
    found = {}
    for file in ("snmp", "netstat"):
        with inside(name):
            lines = Path("/proc/thread-self/net", file).read_text().splitlines()
        # A line of names, then a line of values.
        for names, values in zip(lines[::2], lines[1::2]):
            part = names.split(":")[0]
            entries = dict(zip(names.split()[1:], map(int, values.split()[1:])))
            found |= {f"{part}.{key}": entries.get(key, 0) for key in _COUNTERS.get(part, [])}
    return found


def device_drops(name):
    """Frames that the devices of a namespace dropped, by device and direction."""
    found = {}
    for link in json.loads(_ip("-netns", name, "-json", "-statistics", "link", "show")):
        for direction in ("tx", "rx"):
            counts = link.get("stats64", {}).get(direction, {})
            for key in ("dropped", "errors"):
                found[f"{link['ifname']}.{direction}_{key}"] = counts.get(key, 0)
    return found


def backlog_drops():
    """Frames that the machine's processors dropped because their input queue was full."""
    rows = Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(row.split()[1], 16) for row in rows)
