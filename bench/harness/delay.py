"""What a lone frame waits for behind somebody else's bulk to the same port.

Ports a, p, b, c. a sends bulk to b at full rate, p a probe: short frames, a thousand a second. The
stamps are the load generator's own, and nothing stands between it and the switch. The bulk is
served by a `fair` queue or by a `fifo` of the same bytes; *alone* there is no bulk, and *apart* it
goes to c, so that the probe meets neither it nor its queue: what it waits for then is the machine's
doing and the reader's, who gets the CPU as late. A cable has two ends and no part in this.

The promise is that of a fair queue: p99 of the probe is at most the queue's age limit and 1 ms.
"""

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass

from .contenders import SWITCH, Contender
from .figures import drops, spread
from .loadgen import Loadgen, mac
from .plots import Bars
from .rounds import Meter, load_figures
from .tables import table

ORDERS = {"alone": "fair", "apart": "fair", "fair": "fair", "fifo": "fifo"}  # of each variant
ENDPOINTS = ["a", "p", "b", "c"]
READER = ENDPOINTS.index("b")
PROBE, BULK = 0, 1  # flows
LEAD_SECONDS = 0.25  # by which the bulk begins earlier and ends later
MARGIN_MS = 1.0      # of the promise


@dataclass
class Settings:
    """Keys of `[settings]`."""

    probe_rate: int = 1000  # frames a second
    probe_size: int = 60    # bytes
    reader_batch: int = 16  # frames that a limited reader reads before it pauses
    queue_bytes: str = "1MiB"
    queue_delay_ms: int = 5

    @property
    def limit_ms(self):
        return self.queue_delay_ms + MARGIN_MS


def _lines(variant, scenario, case, paths, seconds):
    settings = scenario.settings
    lines = [
        f"endpoint name={name} port={path} mac={mac(index)} magic=yes"
        for index, (name, path) in enumerate(zip(ENDPOINTS, paths))]
    if case.read_pause_us:
        lines[READER] += f" read=slow:{case.read_pause_us} batch={settings.reader_batch}"
    lines.append(
        f"flow id={PROBE} from=p to=b size={settings.probe_size} rate={settings.probe_rate}"
        f" duration={seconds} start={LEAD_SECONDS}")
    if variant != "alone":
        egress = "c" if variant == "apart" else "b"
        lines.append(
            f"flow id={BULK} from=a to={egress} size={case.size} rate=max"
            f" duration={seconds + 2 * LEAD_SECONDS}")
    return lines


def _flow(report, number):
    """Figures of one flow; None if there is none."""
    sent = [flow for flow in report["sent"] if flow["id"] == number]
    received = [entry for entry in report["received"] if entry["flow"] == number]
    if not sent:
        return None
    return {
        **load_figures({"seconds": report["seconds"], "sent": sent, "received": received}),
        "missed": sent[0]["missed"], "lag_max_ns": sent[0]["lag_max_ns"]}


def _run_variant(variant, scenario, case, seconds, binaries):
    settings = scenario.settings
    directory = tempfile.mkdtemp(prefix="rsb-")
    keys = {
        "queue": ORDERS[variant], "queue_bytes": settings.queue_bytes,
        "queue_delay": f"{settings.queue_delay_ms}ms"}
    try:
        with ExitStack() as stack:
            switch = stack.enter_context(Contender(
                SWITCH, binaries, directory, case, scenario.send_buffer, len(ENDPOINTS),
                port_keys=keys))
            load = stack.enter_context(
                Loadgen(binaries, _lines(variant, scenario, case, switch.paths, seconds)))
            load.ready()
            meter = Meter(switch.pid)
            load.go()
            report = load.result(seconds + 60)
            usage = meter.read(sum(report["cpu_seconds"].values()))
            status = switch.status()
        return {
            "variant": variant, "contender": SWITCH, **_flow(report, PROBE), **usage,
            "bulk": _flow(report, BULK), "counters": status["totals"],
            "egress": status["ports"][READER]["queue"]}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run_scenario(scenario, options, progress):
    """All cases and rounds; variants follow one another in a round, as contenders do elsewhere."""
    variants = list(ORDERS)
    cases = []
    for case in scenario.cases:
        runs = []
        for number in range(options.rounds):
            turn = number % len(variants)
            for variant in variants[turn:] + variants[:turn]:
                progress(
                    f"{scenario.name}: {case.name}: round {number + 1} of {options.rounds}:"
                    f" {variant}")
                figures = _run_variant(variant, scenario, case, options.seconds, options.binaries)
                runs.append({"round": number, **figures})
        cases.append({
            "name": case.name, "size": case.size, "limit_ms": scenario.settings.limit_ms,
            "runs": runs})
    return cases


def _delays(runs, key):
    """Milliseconds, of the rounds in which the generator came to send the probe at all."""
    return [run["delay_ns"][key] / 1e6 for run in runs if run["delivered"]]


def _percent_lost(flow):
    return 100 * flow["lost"] / flow["sent"] if flow["sent"] else 0.0


def _kept(runs, limit):
    """Rounds in which the promise was kept, of a fair queue."""
    if runs[0]["variant"] != "fair":
        return "-"
    delays = _delays(runs, "p99")
    return f"{sum(delay <= limit for delay in delays)} of {len(delays)}"


def _bulk_cells(runs):
    bulks = [run["bulk"] for run in runs if run["bulk"]]
    return [
        spread([bulk["delivered"] / bulk["seconds"] / 1e3 for bulk in bulks], "{:.1f}"),
        spread([bulk["delivered_bytes"] * 8 / bulk["seconds"] / 1e9 for bulk in bulks]),
        spread([_percent_lost(bulk) for bulk in bulks], "{:.1f}")]


def _variants(case):
    """Those that a result has, in the order of their definition."""
    names = {run["variant"] for run in case["runs"]}
    return [variant for variant in ORDERS if variant in names]


def _rows(case):
    for variant in _variants(case):
        own = [run for run in case["runs"] if run["variant"] == variant]
        yield [
            case["name"], variant,
            *(spread(_delays(own, key), "{:.3f}") for key in ("p50", "p99", "max")),
            spread([_percent_lost(run) for run in own]), str(sum(run["missed"] for run in own)),
            _kept(own, case["limit_ms"]),
            *_bulk_cells(own), drops(own), str(sum(run["egress"]["marks"] for run in own)),
            f"{sum(run['is_disturbed'] for run in own)} of {len(own)}"]


def markdown(result):
    limits = " or ".join(
        f"{limit:g}" for limit in dict.fromkeys(case["limit_ms"] for case in result["cases"]))
    header = [
        "case", "queue", "probe's p50 ms", "p99 ms", "most ms", "lost %", "not sent",
        f"p99 at most {limits} ms", "bulk kframes/s", "bulk Gbit/s", "bulk lost %",
        "drops by reason", "marks", "disturbed"]
    return table(header, [row for case in result["cases"] for row in _rows(case)])


def mistakes(result):
    """Everything in a result that is wrong however long it took."""
    found = []
    for case in result["cases"]:
        for run in case["runs"]:
            who = f"{result['scenario']}: {case['name']}: round {run['round'] + 1}: "
            who += run["variant"]
            for name, flow in (("probe", run), ("bulk", run["bulk"])):
                if flow is None:
                    continue
                for key in ("reordered", "duplicates", "corrupted", "errors"):
                    if flow[key]:
                        found.append(f"{who}: {name}: {flow[key]} {key}")
                if flow["sent"] and not flow["delivered"]:
                    found.append(f"{who}: {name}: nothing was delivered")
    return found


def plots(result):
    return [
        Bars(
            f"A probe beside bulk to the same port, {case['name']}", "p99 delay, ms",
            {"": {variant: _delays(
                [run for run in case["runs"] if run["variant"] == variant], "p99")
                for variant in _variants(case)}},
            note="alone: no bulk; apart: it goes to another port. Line: what a fair queue promises",
            controls=("alone", "apart"), reference=case["limit_ms"])
        for case in result["cases"]]
