"""Child processes that end with whoever started them."""

import ctypes
import os
import select
import signal
import subprocess
import time
from contextlib import contextmanager

PR_SET_PDEATHSIG = 1
STOP_LIMIT_SECONDS = 10

_libc = ctypes.CDLL(None)


class ChildError(Exception):
    """A program that did not start, or did not end, as it should."""


@contextmanager
def undisturbed():
    """Holds signals back while something is taken away: a second ^C must not leave half of it."""
    held = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _prepare():
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    # ^C reaches the harness alone, which then ends its children in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A running program, with its standard error in a file; `with` ends it.

    - stdin: as subprocess takes it; a pipe is closed at the end.
    - environment: what it has beside that of the harness.
    """

    def __init__(self, name, command, directory, stdin=subprocess.DEVNULL, environment=None):
        self.name = name
        self.log = open(directory / f"{name}.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=stdin, stdout=subprocess.PIPE,
            stderr=self.log, bufsize=0, env=os.environ | (environment or {}),
            preexec_fn=_prepare)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        with undisturbed():
            self._end()
            self.log.close()

    @property
    def pid(self):
        return self.process.pid

    def check(self):
        """Raises if the program has ended."""
        if self.process.poll() is not None:
            raise ChildError(f"{self.name} ended with {self.process.returncode}: {self.said()}")

    def await_condition(self, condition, what, limit):
        """Waits until `condition()` holds."""
        deadline = time.monotonic() + limit
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise ChildError(f"{self.name}: {what}: waited {limit} s: {self.said()}")
            time.sleep(0.005)

    def await_line(self, text, limit):
        """Waits until the program has printed a line with `text` in it."""
        deadline = time.monotonic() + limit
        line = ""
        while text not in line:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise ChildError(f"{self.name}: no '{text}' within {limit} s: {self.said()}")
            # Unbuffered, so that select() sees what has not been read.
            line = self.process.stdout.readline().decode()
            if not line:
                raise ChildError(f"{self.name} ended early: {self.said()}")

    def result(self, limit):
        """What the program prints until it ends by itself."""
        try:
            output, _ = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise ChildError(f"{self.name} took more than {limit:.0f} s") from None
        return output.decode()

    def stop(self):
        """Asks the program to end.

        - Returns: what it printed.
        """
        output = self._end()
        if self.process.returncode != 0:
            raise ChildError(f"{self.name} ended with {self.process.returncode}: {self.said()}")
        return output

    def _end(self):
        if self.process.returncode is not None:
            return ""
        self.process.terminate()
        try:
            output, _ = self.process.communicate(timeout=STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
        return output.decode()

    def said(self):
        """The end of its standard error."""
        self.log.flush()
        self.log.seek(0)
        return self.log.read()[-2000:].strip() or "(nothing on standard error)"
