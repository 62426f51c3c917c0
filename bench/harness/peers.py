"""Other switches in user space, as Debian has them or as they are found on the PATH.

Each runs with everything that it keeps in the directory of the run and, but for gvproxy, in a
namespace of its own, where the devices that it makes do not meet those of the machine:

- `vde`: vde_switch. It has the devices of its hosts itself (`tap-none`), or a process for each,
  vde_plug2tap, joins a host as a VM would be joined (`plug`).
- `ovs`: Open vSwitch with its datapath in user space. A database and a daemon; its `internal` ports
  are TAP devices, which move into the hosts. It is told to leave a datapath in the kernel alone,
  which may belong to the Open vSwitch of the machine.
- `gvproxy`: it is no switch between hosts, but ends the TCP of its VM (b) and begins another to or
  from the loopback of the host (a): through a forwarded port to the VM, and through the address
  that stands for the host from it. The VM joins as on krunkit.
"""

import http.client
import json
import socket
import subprocess
from contextlib import ExitStack, contextmanager

from . import network
from .children import Child, ChildError
from .link import (
    DEVICE, MIDDLE, START_LIMIT_SECONDS, Carrier, Link, attach, guest_losses, program_path)

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
COMMAND_LIMIT_SECONDS = 30

GUEST_ADDRESS = "192.168.127.2"      # those that gvproxy has by default
HOST_ADDRESS = "192.168.127.254"
FORWARDED_PORT = 5201


def _start(setting, stack, role, name, command, **options):
    """A program inside a namespace of the run."""
    with network.inside(setting.lab[role]):
        return stack.enter_context(Child(name, command, setting.directory, **options))


def _give_devices(setting, child):
    """Moves the devices of a carrier, which bear the names of the hosts, to these."""
    for role, address in setting.addresses.items():
        child.await_condition(
            lambda: network.has_device(setting.lab[MIDDLE], role), f"its device {role}",
            START_LIMIT_SECONDS)
        network.move(role, setting.lab[MIDDLE], setting.lab[role], DEVICE)
        network.configure(setting.lab[role], DEVICE, address, setting.mtu, setting.queue)


# vde_switch

def _plug(setting, stack, child, socket_path):
    """Joins every host by a process of its own."""
    child.await_condition(
        (socket_path / "ctl").exists, "its socket", START_LIMIT_SECONDS)
    plugs = {}
    for role, address in setting.addresses.items():
        plugs[role] = _start(
            setting, stack, role, f"plug-{role}",
            [program_path("vde_plug2tap"), "--sock", socket_path, DEVICE])
        plugs[role].await_condition(
            lambda: network.has_device(setting.lab[role], DEVICE), "its device",
            START_LIMIT_SECONDS)
        network.configure(setting.lab[role], DEVICE, address, setting.mtu, setting.queue)
    return plugs


@contextmanager
def vde(setting):
    socket_path = setting.directory / "vde"
    command = [
        program_path("vde_switch"), "--sock", socket_path, "--numports",
        2 * len(setting.addresses)]
    is_plugged = "plug" in setting.ends
    if not is_plugged:
        for role in setting.addresses:
            command += ["--tap", role]
    with ExitStack() as stack:
        # It ends when its console does.
        child = _start(setting, stack, MIDDLE, "vde_switch", command, stdin=subprocess.PIPE)
        if is_plugged:
            yield Link([child], _plug(setting, stack, child, socket_path))
        else:
            _give_devices(setting, child)
            yield Link([child])


# Open vSwitch

def _run(command):
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True,
        timeout=COMMAND_LIMIT_SECONDS, check=False)
    if result.returncode != 0:
        raise ChildError(f"{command[0]} ended with {result.returncode}: {result.stderr.strip()}")


def _start_ovs(setting, stack):
    """The database and the daemon, both with all of their files in the run's directory."""
    database = setting.directory / "conf.db"
    remote = setting.directory / "db.sock"
    # Paths that no option sets come from the environment.
    places = {
        f"OVS_{name}": str(setting.directory)
        for name in ("RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR")}
    _run([program_path("ovsdb-tool"), "create", database, SCHEMA])
    server = _start(
        setting, stack, MIDDLE, "ovsdb-server",
        [program_path("ovsdb-server"), database, f"--remote=punix:{remote}",
         f"--unixctl={setting.directory / 'ovsdb.ctl'}"], environment=places)
    server.await_condition(remote.exists, "its socket", START_LIMIT_SECONDS)
    control = [program_path("ovs-vsctl"), f"--timeout={START_LIMIT_SECONDS}", f"--db=unix:{remote}"]
    _run([*control, "--no-wait", "init"])
    daemon = _start(
        setting, stack, MIDDLE, "ovs-vswitchd",
        [program_path("ovs-vswitchd"), f"unix:{remote}",
         f"--unixctl={setting.directory / 'vswitchd.ctl'}", "--disable-system",
         "--disable-system-route"], environment=places)
    return server, daemon, control


@contextmanager
def ovs(setting):
    with ExitStack() as stack:
        server, daemon, control = _start_ovs(setting, stack)
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]
        for role in setting.addresses:
            words += [
                "--", "add-port", "br0", role, "--", "set", "interface", role, "type=internal"]
        _run([*control, *words])
        _give_devices(setting, daemon)
        yield Link([daemon, server])


# gvproxy

class _Services(http.client.HTTPConnection):
    """gvproxy's own HTTP, on a UNIX socket."""

    def __init__(self, path):
        super().__init__("gvproxy", timeout=COMMAND_LIMIT_SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def _forward(path, port):
    """Opens a port of the host's loopback to the VM."""
    services = _Services(path)
    services.request("POST", "/services/forwarder/expose", json.dumps({
        "local": f"127.0.0.1:{port}", "remote": f"{GUEST_ADDRESS}:{port}", "protocol": "tcp"}))
    answer = services.getresponse()
    if answer.status != 200:
        raise ChildError(f"gvproxy forwards no port: {answer.status} {answer.read().decode()}")
    services.close()


@contextmanager
def gvproxy(setting):
    host, guest = setting.addresses
    path, services = (setting.directory / name for name in ("vm.sock", "services.sock"))
    command = [
        program_path("gvproxy"), "-listen-vfkit", f"unixgram://{path}", "-services",
        f"unix://{services}", "-mtu", setting.mtu]
    with ExitStack() as stack:
        child = _start(setting, stack, host, "gvproxy", command)
        child.await_condition(
            lambda: path.exists() and services.exists(), "its sockets", START_LIMIT_SECONDS)
        guests = {guest: stack.enter_context(attach(setting, guest, path, GUEST_ADDRESS))}
        _forward(services, FORWARDED_PORT)
        yield Link(
            [child], guests, end=lambda: guest_losses(guests),
            dialled={(host, guest): "127.0.0.1", (guest, host): HOST_ADDRESS},
            reach=[(guest, HOST_ADDRESS)])


ALL = {
    "vde": Carrier(
        vde, {"tap-none", "plug"}, packages={"vde_switch": "vde2", "vde_plug2tap": "vde2"},
        version=["vde_switch", "--version"], needs_middle=True),
    "ovs": Carrier(
        ovs, {"tap-none"}, packages={
            program: "openvswitch-switch"
            for program in ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl")},
        version=["ovs-vswitchd", "--version"], needs_middle=True),
    "gvproxy": Carrier(
        gvproxy, {"loopback", "none"}, {"ringswitch"}, packages={"gvproxy": None},
        version=["gvproxy", "-version"], pairs_max=1),
}
