"""Running the load generator in step with whoever measures."""

import json
import select
import signal
import subprocess

READY_LIMIT_SECONDS = 30
END_LIMIT_SECONDS = 5


class LoadError(Exception):
    """A load generator that failed."""


def mac(index):
    """The address of the `index`th endpoint of a scenario."""
    return f"02:00:00:00:{index >> 8:02x}:{index & 255:02x}"


class Loadgen:
    """One load generator process: `ready()`, `go()`, `result()`; `with` ends it."""

    def __init__(self, binaries, lines, *options):
        self.command = [binaries / "loadgen", "--scenario", "-", "--ready", "--hold", *options]
        self.lines = lines
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)
        self.process.stdin.write("\n".join([*self.lines, "end", ""]))
        self.process.stdin.flush()
        return self

    def __exit__(self, kind, value, trace):
        # Asked first: a load generator that is killed leaves its sockets behind.
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=END_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    @property
    def pid(self):
        return self.process.pid

    def ready(self):
        """Waits until all endpoints are attached and known."""
        readable, _, _ = select.select([self.process.stdout], [], [], READY_LIMIT_SECONDS)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            raise LoadError(f"loadgen was not ready: {self._said()}")

    def go(self):
        """Starts the flows."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        """Ends a process that only receives."""
        self.process.send_signal(signal.SIGTERM)

    def result(self, limit):
        """The report, waited for at most `limit` seconds."""
        try:
            output, errors = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise LoadError(f"loadgen took more than {limit:.0f} s") from None
        if self.process.returncode != 0:
            raise LoadError(f"loadgen ended with {self.process.returncode}: {errors.strip()}")
        return json.loads(output.splitlines()[-1])

    def _said(self):
        self.process.kill()
        return self.process.stderr.read().strip() or "(nothing on standard error)"
