"""Running pingpong: one process that asks, and one that answers."""

import json
import os
from contextlib import contextmanager
from pathlib import Path

from . import network
from .children import Child, ChildError
from .link import ADDRESSES

PORT = 5203
RESULT_LIMIT_SECONDS = 30  # beyond the asking itself


def of_ports(binaries, directory, paths, processors):
    """Asks at the first of two unixgram ports, answers at the second."""
    asks, answers = (["--port", path] for path in paths)
    return Pingpong(binaries, directory, asks, answers, _here, processors)


def of_hosts(binaries, directory, lab, processors):
    """Asks in host a over UDP, answers in host b."""
    where = ["--udp", f"{ADDRESSES['b']}:{PORT}"]
    return Pingpong(
        binaries, directory, where, where, lambda role: network.inside(lab[role]), processors)


@contextmanager
def _here(role):
    yield


@contextmanager
def _kept_to(processors):
    """Children that are started here run on these processors alone; on all, where there are none.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def keep_to(processors, pid):
    """Moves a running process, with all of its threads, to these processors."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), processors)


class Pingpong:
    """Both ends: `ask()` measures; `with` ends the one that answers.

    - asks, answers: words of the command line of either.
    - inside: a context in which the end of a role, a or b, is started.
    - processors: those that both are kept to; none: all.
    """

    def __init__(self, binaries, directory, asks, answers, inside, processors):
        self.program = binaries / "pingpong"
        self.directory = directory
        self.asks = asks
        self.answers = answers
        self.inside = inside
        self.processors = processors
        self.answering = None

    def __enter__(self):
        with self.inside("b"), _kept_to(self.processors):
            self.answering = Child(
                "pingpong-answer", [self.program, *self.answers, "--answer"], self.directory)
        return self

    def __exit__(self, kind, value, trace):
        self.answering.__exit__(kind, value, trace)

    def ask(self, seconds, size, rate=0, is_warm=False):
        """Asks, and ends the answering side.

        - Returns: the report, with the CPU seconds of all who took part as `load_cpu_seconds`.
        """
        words = ["--duration", seconds, "--size", size, "--rate", rate]
        words += ["--warm"] if is_warm else []
        with self.inside("a"), _kept_to(self.processors):
            asking = Child("pingpong", [self.program, *self.asks, *words], self.directory)
        with asking:
            output = asking.result(seconds + RESULT_LIMIT_SECONDS)
            if not output:
                raise ChildError(f"pingpong: {asking.said()}")
        report = json.loads(output)
        answered = json.loads(self.answering.stop())
        report["strangers"] += answered["strangers"]
        report["load_cpu_seconds"] = sum(report.pop("cpu_seconds").values())
        report["load_cpu_seconds"] += answered["cpu_seconds"]
        return report
