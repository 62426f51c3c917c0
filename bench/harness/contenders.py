"""The programs that carry frames: the switch and the cables that it is held against."""

import json
import signal
import subprocess
import time
from pathlib import Path

from .scenario import LENGTH_OF_A_LONG_PORT, LENGTH_OF_A_PORT

BASELINE = "cable-uring"
CONTROL = "cable-uring-control"
SWITCH = "ringswitch"
STREAM_CABLE = "cable-stream"  # what every cable is where frames travel in streams
ALL = [BASELINE, SWITCH, CONTROL, "cable-mmsg"]

START_LIMIT_SECONDS = 15
STOP_LIMIT_SECONDS = 10
STATUS_LIMIT_SECONDS = 20


class ContenderError(Exception):
    """A contender that did not start, or did not end, as it should."""


def _size(count):
    """Bytes as the configuration writes them."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count % factor == 0:
            return f"{count // factor}{unit}"
    return f"{count}B"


def _toml(keys):
    """Keys of numbers and strings, which JSON writes as TOML does."""
    return [f"{key} = {json.dumps(value)}" for key, value in keys.items()]


class Contender:
    """A running contender; `with` ends it."""

    def __init__(
            self, name, binaries, directory, case, send_buffer, ports, idle_ports=0,
            offloads=None, switch_keys=None, port_keys=None, transport="unixgram"):
        self.name = name
        self.binaries = binaries
        self.directory = Path(directory)
        self.case = case
        self.send_buffer = send_buffer
        self.offloads = offloads  # of the ports, which are else all the same
        self.switch_keys = switch_keys or {}  # of its configuration, beside those that are here
        self.port_keys = port_keys or {}
        self.transport = transport
        self.paths = [self.directory / f"p{i}.sock" for i in range(ports)]
        self.idle_paths = []
        if name == SWITCH:
            self.idle_paths = [self.directory / f"i{i}.sock" for i in range(idle_ports)]
        self.log = None
        self.process = None
        self.counters = None

    def __enter__(self):
        command = self._switch_command() if self.name == SWITCH else self._cable_command()
        self.log = open(self.directory / "contender.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        try:
            self._await_paths()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            output, _ = self.process.communicate(timeout=STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            if kind is None:
                raise ContenderError(f"{self.name} did not end at SIGTERM") from None
            return
        if kind is None and self.process.returncode != 0:
            code = self.process.returncode
            raise ContenderError(f"{self.name} ended with {code}: {self._said()}")
        if self.name != SWITCH:
            self.counters = json.loads(output) if output.strip() else None
        self.log.close()

    @property
    def pid(self):
        return self.process.pid

    def status(self):
        """What the switch says of itself; None from a cable."""
        if self.name != SWITCH:
            return None
        control = self.directory / "control.sock"
        result = subprocess.run(
            [self.binaries / SWITCH, "status", "--json", "--socket", control],
            capture_output=True, text=True, timeout=STOP_LIMIT_SECONDS, check=False)
        return json.loads(result.stdout) if result.returncode == 0 else None

    def note_counters(self):
        """Keeps the switch's own account of what happened, while it still runs."""
        if (status := self.status()) is not None:
            self.counters = status.get("totals")

    def await_status(self, condition, what):
        """Waits until the switch says of itself that something holds.

        - Returns: what it said then.
        """
        deadline = time.monotonic() + STATUS_LIMIT_SECONDS
        while (status := self.status()) is None or not condition(status):
            if time.monotonic() > deadline:
                raise ContenderError(f"{self.name}: not within {STATUS_LIMIT_SECONDS} s: {what}")
            time.sleep(0.02)
        return status

    def await_rest(self):
        """Waits until the switch moves nothing any more: hundreds of ports greet each other, and
        addresses that it has still to learn would be flooded to.

        - Returns: what it says of itself then; None from a cable.
        """
        if self.name != SWITCH:
            return None
        last = None

        def is_at_rest(status):
            nonlocal last
            before, last = last, status["totals"]
            return last == before

        return self.await_status(is_at_rest, "nothing moves")

    def _cable_command(self):
        program = self.binaries / self.name.removesuffix("-control")
        if self.transport == "stream":
            program = self.binaries / STREAM_CABLE
        buffer_size = max(2048, self.case.max_frame)
        return [
            program, "--buffers", str(self.case.buffers), "--buffer-size", str(buffer_size),
            "--send-buffer", str(self.send_buffer), *self.paths]

    def _switch_command(self):
        lines = [
            "[switch]", 'name = "bench"', f'runtime_dir = "{self.directory}"',
            *_toml(self.switch_keys), "",
            "[port_defaults]", f"max_frame = {self.case.max_frame}",
            # The cables ask the kernel, which doubles; the switch's key means what the kernel then has.
            f'send_buffer = "{_size(2 * self.send_buffer)}"', *_toml(self.port_keys)]
        for path in self.paths + self.idle_paths:
            lines += [
                "", "[[port]]", f'name = "{path.stem}"', f'type = "{self.transport}"', f'path = "{path}"']
            if self.offloads:
                offload = self.offloads[self.paths.index(path)]
                longest = LENGTH_OF_A_LONG_PORT if offload == "raw" else LENGTH_OF_A_PORT
                lines += [f'offload = "{offload}"', f"max_frame = {longest}"]
        configuration = self.directory / "switch.toml"
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [self.binaries / SWITCH, "run", "--config", configuration]

    def _await_paths(self):
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while not all(path.exists() for path in self.paths + self.idle_paths):
            if self.process.poll() is not None:
                raise ContenderError(f"{self.name} ended at its start: {self._said()}")
            if time.monotonic() > deadline:
                raise ContenderError(f"{self.name} does not listen: {self._said()}")
            time.sleep(0.005)

    def _said(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read()[-2000:].strip() or "(nothing on standard error)"
