"""What the kernel says of the machine and of the processes that run on it."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class CpuTimes:
    """CPU seconds of all processors since boot."""

    busy: float
    stolen: float
    total: float

    @staticmethod
    def now():
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        user, nice, system, idle, waiting, hard, soft, stolen = fields[:8]
        busy = user + nice + system + hard + soft
        return CpuTimes(
            busy / TICKS_A_SECOND, stolen / TICKS_A_SECOND,
            (busy + idle + waiting + stolen) / TICKS_A_SECOND)

    def since(self, earlier):
        return CpuTimes(
            self.busy - earlier.busy, self.stolen - earlier.stolen, self.total - earlier.total)


def process_cpu(pid):
    """CPU seconds that a process has used.

    The schedulers' own sum has nanoseconds; /proc/PID/stat, in ticks, stands in where threads ended
    meanwhile (their share is in no schedstat) or the kernel keeps none.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    in_ticks = (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
    try:
        nanoseconds = sum(
            int((task / "schedstat").read_text().split()[0])
            for task in Path(f"/proc/{pid}/task").iterdir())
    except (OSError, ValueError, IndexError):
        return in_ticks
    precise = nanoseconds / 1e9
    return precise if abs(precise - in_ticks) <= 0.05 + 0.02 * in_ticks else in_ticks


def soft_interrupt_threads():
    """The kernel's threads for soft interrupts: what networking puts off runs in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().startswith("ksoftirqd/"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def process_memory(pid):
    """Resident KiB of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _sysctl(name):
    try:
        return Path("/proc/sys", name.replace(".", "/")).read_text().strip()
    except OSError:
        return None


def describe():
    """The facts without which a figure means nothing."""
    model = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.machine())
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "net.core.wmem_max": _sysctl("net.core.wmem_max"),
        "net.unix.max_dgram_qlen": _sysctl("net.unix.max_dgram_qlen"),
        "net.ipv4.tcp_congestion_control": _sysctl("net.ipv4.tcp_congestion_control"),
    }


def slug():
    """A name of the machine for a directory: processor and number of CPUs."""
    facts = describe()
    words = "".join(c.lower() if c.isalnum() else " " for c in facts["cpu"]).split()
    return "-".join([str(facts["cpus"]) + "x"] + words[:4])


def commit(directory):
    """The commit of the working tree, with a mark if it was changed; None outside of a clone."""
    result = subprocess.run(
        ["git", "-C", str(directory), "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True, text=True, check=False)
    return result.stdout.strip() or None
