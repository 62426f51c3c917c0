"""Guests of a third port that do not behave: one that stops, one that reads slowly, one that is
killed again and again."""

import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from . import machine
from .loadgen import Loadgen, mac

RESULT_LIMIT_SECONDS = 60


def endpoint(name, index, path, *words):
    """A line of a plan: one guest with the `index`th address."""
    return " ".join([f"endpoint name={name} port={path} mac={mac(index)} magic=yes", *words])


class Guest:
    """A guest that only receives; `with` attaches it and ends it.

    - reader: `words` of its endpoint, such as `read=slow:5000`.
    """

    def __init__(self, binaries, index, path, *words):
        self.load = Loadgen(binaries, [endpoint("c", index, path, *words)])
        self.cpu_seconds = 0.0
        self.received = None

    def __enter__(self):
        self.load.__enter__()
        try:
            self.load.ready()
            self.load.go()
        except BaseException:
            self.load.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.load.__exit__(kind, value, trace)

    def begin(self):
        """What the guest is there for begins."""

    def finish(self):
        """It is over; counts are true from now on."""
        self.load.end()
        report = self.load.result(RESULT_LIMIT_SECONDS)
        self.cpu_seconds = sum(report["cpu_seconds"].values())
        self.received = report["totals"]["received"]

    def figures(self):
        return {"third_received": self.received}


class StoppedGuest(Guest):
    """It reads until SIGSTOP."""

    def begin(self):
        os.kill(self.load.pid, signal.SIGSTOP)

    def __exit__(self, kind, value, trace):
        self._resume()
        super().__exit__(kind, value, trace)

    def finish(self):
        self._resume()
        super().finish()

    def _resume(self):
        if self.load.process.returncode is None:
            os.kill(self.load.pid, signal.SIGCONT)


class RestartingGuest:
    """A guest that SIGKILL ends at an interval; a successor attaches to the same port at once.

    Each life has a socket path of its own, as a VM's is named by its process. The last one begins
    within `seconds`: its greeting is a broadcast, which those who count must still be there for.
    """

    def __init__(self, binaries, index, path, directory, interval_seconds, seconds):
        self.make = lambda: Guest(
            binaries, index, path, f"own={Path(directory) / f'c{self.restarts}.sock'}")
        self.interval_seconds = interval_seconds
        self.seconds = seconds
        self.restarts = 0
        self.cpu_seconds = 0.0
        self.guest = None
        self.stack = ExitStack()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.error = None

    def __enter__(self):
        self._attach()
        return self

    def __exit__(self, kind, value, trace):
        self._join()
        self.stack.close()

    def begin(self):
        self.thread.start()

    def finish(self):
        self._join()
        if self.error is not None:
            raise self.error
        self._kill()

    def figures(self):
        return {"restarts": self.restarts}

    def _join(self):
        self.is_over.set()
        if self.thread.ident is not None:
            self.thread.join()

    def _attach(self):
        self.guest = self.stack.enter_context(self.make())

    def _kill(self):
        self.cpu_seconds += machine.process_cpu(self.guest.load.pid)
        self.guest.load.process.kill()
        self.stack.close()

    def _run(self):
        end = time.monotonic() + self.seconds - self.interval_seconds
        try:
            while time.monotonic() < end and not self.is_over.wait(self.interval_seconds):
                self._kill()
                self.restarts += 1
                self._attach()
        except Exception as error:  # whoever waits for the thread raises it again
            self.error = error
