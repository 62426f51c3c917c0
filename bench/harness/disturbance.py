"""What the doings of other ports cost a pair: a guest that is stopped, slow or restarts, a storm.

Ports a, b, c, d. a sends to b at a part of the measured most; that is the pair. Beside it frames go
to c, from a and from d, or d storms. On few CPUs anything delays everybody, whatever the switch
does, so each disturbance is held against two controls of the same round:

- *dropped*: the same frames, at the same rate from the same senders, are addressed to their own
  sender, and the switch drops them where they come in. The control of the senders' CPU time.
- *elsewhere*: the disturbance happens whole, guests and copies included, at a second switch that
  shares nothing with the pair but the machine. What is left is the switch's own doing; less so in a
  storm, of which the pair's receiver has to read its copies.

*detached* is a third for frames to c: nobody is attached there. Its frames are of unknown
destination and flooded, so that a, b and d receive copies that they would not get otherwise.
"""

import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from .contenders import SWITCH, Contender
from .figures import drops, spread
from .guests import Guest, RestartingGuest, StoppedGuest, endpoint
from .loadgen import Loadgen, mac
from .plots import Bars
from .rounds import Meter, load_figures
from .tables import growth, table, variant_cells

PORTS = 4
A, B, C, D = range(PORTS)
PAIR_FLOW = 0
UNKNOWN = mac(0xFFFE)
MOST_RUNS = 3
LEAD_SECONDS = 0.25  # by which the disturbance begins earlier and ends later
CONTROLS = ["dropped", "detached", "elsewhere"]


@dataclass
class Settings:
    """Keys of `[settings]`."""

    broadcasts_a_second: int = 100_000
    unknown_unicasts_a_second: int = 100_000
    storm_size: int = 60          # bytes
    slow_pause_us: int = 20_000    # after each batch of 16 frames that the slow guest reads
    restart_seconds: float = 1.0  # between two deaths of the restarting guest


@dataclass(frozen=True)
class Variant:
    """One disturbance, or a control of some.

    - load: which frames disturb: `guest` (from a and d to c), `broadcasts` or `unknown` (from d).
    - guest: how c behaves; empty where nobody is attached to it.
    - flood_rate: storm control, 0 to do without.
    - controls: by name, the variants that it is held against.
    """

    name: str
    load: str
    guest: str = ""
    is_dropped: bool = False
    is_elsewhere: bool = False
    flood_rate: int | None = None  # of every port; None: the default
    controls: tuple = ()

    @property
    def against(self):
        return dict(self.controls)


def _variants():
    guests = ["reading", "slow", "stopped", "restarting"]
    dropped = {"guest": "dropped", "broadcasts": "dropped broadcasts", "unknown": "dropped unknown"}
    yield from (Variant(name, load, is_dropped=True) for load, name in dropped.items())
    yield Variant("detached", "guest", controls=(("dropped", "dropped"),))
    for load, name in [("guest", guest) for guest in guests] + [
            ("broadcasts", "broadcasts"), ("unknown", "unknown unicasts")]:
        guest = name if load == "guest" else ""
        elsewhere = f"{name} elsewhere"
        controls = [("dropped", dropped[load]), ("elsewhere", elsewhere)]
        if load == "guest":
            controls.append(("detached", "detached"))
        yield Variant(name, load, guest, controls=tuple(controls))
        yield Variant(elsewhere, load, guest, is_elsewhere=True)
        if load != "guest":
            yield Variant(
                f"{name}, no limit", load, flood_rate=0, controls=(("dropped", dropped[load]),))


VARIANTS = list(_variants())
SMOKE_VARIANTS = {"dropped", "stopped", "restarting", "restarting elsewhere", "unknown unicasts"}


@contextmanager
def _switch(scenario, case, binaries, flood_rate=None):
    keys = {} if flood_rate is None else {"flood_rate": flood_rate}
    directory = tempfile.mkdtemp(prefix="rsb-")
    try:
        with Contender(
                SWITCH, binaries, directory, case, scenario.send_buffer, PORTS,
                port_keys=keys) as switch:
            yield switch
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure_most(scenario, case, seconds, binaries):
    """Frames a second that the pair gets across when nothing holds it back: the best of some runs,
    as a slow moment of the machine is not its limit."""
    return max(_measure_once(scenario, case, seconds, binaries) for _ in range(MOST_RUNS))


def _measure_once(scenario, case, seconds, binaries):
    with _switch(scenario, case, binaries) as switch:
        lines = [
            endpoint("a", A, switch.paths[A]), endpoint("b", B, switch.paths[B]),
            f"flow from=a to=b size={case.size} rate=max duration={seconds}"]
        with Loadgen(binaries, lines) as load:
            load.ready()
            load.go()
            figures = load_figures(load.result(seconds + 60))
    return figures["delivered"] / figures["seconds"]


def _pair_flow(case, rate, seconds):
    return (
        f"flow id={PAIR_FLOW} from=a to=b size={case.size} rate={max(1, int(rate))}"
        f" duration={seconds} start={LEAD_SECONDS} when-full=wait")


def _disturbing_flows(variant, scenario, case, rate, seconds):
    """The frames that disturb. Nothing else differs between a disturbance and its controls."""
    settings = scenario.settings
    destination, rates, size = {
        "guest": (mac(C), dict.fromkeys("ad", rate * scenario.side_load), case.size),
        "broadcasts": ("broadcast", {"d": settings.broadcasts_a_second}, settings.storm_size),
        "unknown": (UNKNOWN, {"d": settings.unknown_unicasts_a_second}, settings.storm_size),
    }[variant.load]
    own = {"a": mac(A), "d": mac(D)}
    return [
        f"flow id={1 + number} from={name} to={own[name] if variant.is_dropped else destination}"
        f" size={size} rate={max(1, int(flow_rate))} duration={seconds + 2 * LEAD_SECONDS}"
        " when-full=wait"
        for number, (name, flow_rate) in enumerate(rates.items())]


def _guest(variant, scenario, seconds, binaries, switch):
    """The guest of port c, attached; None where there is none."""
    settings = scenario.settings
    path = switch.paths[C]
    if not variant.guest:
        return None
    if variant.guest == "restarting":
        interval = min(settings.restart_seconds, seconds / 4)
        return RestartingGuest(
            binaries, C, path, switch.directory, interval, seconds + LEAD_SECONDS)
    if variant.guest == "stopped":
        return StoppedGuest(binaries, C, path)
    slow = [f"read=slow:{settings.slow_pause_us}"] if variant.guest == "slow" else []
    return Guest(binaries, C, path, *slow)


def _disturbing_figures(reports):
    """What the disturbing senders managed, and how much of it reached anybody but c."""
    sent = [flow for report in reports for flow in report["sent"] if flow["id"] != PAIR_FLOW]
    copies = sum(entry["overheard"] for report in reports for entry in report["endpoints"])
    copies += sum(
        entry["frames"] for report in reports for entry in report["received"]
        if entry["flow"] != PAIR_FLOW)
    return {
        "disturbing_sent": sum(flow["sent"] for flow in sent),
        "disturbing_missed": sum(flow["missed"] for flow in sent),
        "disturbing_seconds": max((flow["seconds"] for flow in sent), default=0.0),
        "disturbing_copies": copies,
    }


def _run_variant(variant, scenario, case, rate, seconds, binaries):
    with ExitStack() as stack:
        switch = stack.enter_context(_switch(scenario, case, binaries, variant.flood_rate))
        stage, other = switch, None
        if variant.is_elsewhere:
            stage = stack.enter_context(_switch(scenario, case, binaries))
            other = Meter(stage.pid)
        guest = _guest(variant, scenario, seconds, binaries, stage)
        if guest is not None:
            stack.enter_context(guest)

        def endpoints(paths, names):
            return [endpoint(name, i, paths[i]) for name, i in (("a", A), ("b", B), ("d", D))
                    if name in names]

        pair_flow = [_pair_flow(case, rate, seconds)]
        flows = _disturbing_flows(variant, scenario, case, rate, seconds)
        plans = [endpoints(switch.paths, "abd") + pair_flow + flows]
        if variant.is_elsewhere:
            plans = [endpoints(switch.paths, "ab") + pair_flow,
                     endpoints(stage.paths, "abd") + flows]
        loads = [stack.enter_context(Loadgen(binaries, lines)) for lines in plans]
        for load in loads:
            load.ready()
        meter = Meter(switch.pid)
        if guest is not None:
            guest.begin()
        for load in loads:
            load.go()
        reports = [load.result(seconds + 60) for load in loads]
        if guest is not None:
            guest.finish()
        cpu = sum(sum(report["cpu_seconds"].values()) for report in reports)
        cpu += guest.cpu_seconds if guest is not None else 0.0
        cpu += other.read(0)["cpu_seconds"] if other is not None else 0.0
        usage = meter.read(cpu)
        switch.note_counters()
        pair = {
            "seconds": seconds,
            "sent": [flow for flow in reports[0]["sent"] if flow["id"] == PAIR_FLOW],
            "received": [
                entry for entry in reports[0]["received"] if entry["flow"] == PAIR_FLOW]}
        return {
            "variant": variant.name, "contender": SWITCH, "against": variant.against,
            "missed": sum(flow["missed"] for flow in pair["sent"]), **load_figures(pair), **usage,
            **_disturbing_figures(reports), **(guest.figures() if guest is not None else {}),
            "counters": switch.counters}


def run_scenario(scenario, options, progress):
    """All cases and rounds; variants follow one another in a round, as contenders do elsewhere."""
    rounds, seconds, binaries = options.rounds, options.seconds, options.binaries
    variants = [
        variant for variant in VARIANTS if not options.is_smoke or variant.name in SMOKE_VARIANTS]
    cases = []
    for case in scenario.cases:
        progress(f"{scenario.name}: {case.name}: the most that the pair gets across")
        most = measure_most(scenario, case, seconds, binaries)
        runs = []
        for number in range(rounds):
            turn = number % len(variants)
            for variant in variants[turn:] + variants[:turn]:
                progress(
                    f"{scenario.name}: {case.name}: round {number + 1} of {rounds}: {variant.name}")
                figures = _run_variant(
                    variant, scenario, case, most * scenario.load, seconds, binaries)
                runs.append({"round": number, **figures})
        cases.append({
            "name": case.name, "size": case.size, "most_frames_a_second": round(most),
            "runs": runs})
    return cases


# Shown. Results of the former kind `independence` have three variants of the guest, no names of
# controls and no counts of the disturbing frames.

def _controls(run):
    return run.get("against", {"detached": "detached"})


def _order(runs):
    """Names of the variants as they are defined, whichever a round began with."""
    places = {variant.name: place for place, variant in enumerate(VARIANTS)}
    names = dict.fromkeys(run["variant"] for run in runs)
    return sorted(names, key=lambda name: places.get(name, len(places)))


def _disturbing_rate(run):
    return run["disturbing_sent"] / run["disturbing_seconds"] if run.get(
        "disturbing_seconds") else None


def _rows(case):
    for name in _order(case["runs"]):
        own = [run for run in case["runs"] if run["variant"] == name]
        controls = _controls(own[0])
        rates = [rate / 1e3 for rate in map(_disturbing_rate, own) if rate is not None]
        yield [
            case["name"], name, str(sum(run["missed"] for run in own)), *variant_cells(own),
            *(spread(growth(case["runs"], name, controls[control]), "{:+.3f}")
              if control in controls else "-" for control in CONTROLS),
            spread(rates, "{:.1f}"), drops(own),
            spread([run["memory_growth_kib"] for run in own], "{:.0f}"),
            f"{sum(run['is_disturbed'] for run in own)} of {len(own)}"]


def markdown(result):
    header = [
        "case", "disturbance", "not sent", "sent", "lost", "reordered", "p50 ms", "p99 ms",
        *(f"p99 above {control} ms" for control in CONTROLS), "disturbing kframes/s",
        "drops by reason", "memory growth KiB", "disturbed"]
    return table(header, [row for case in result["cases"] for row in _rows(case)])


def plots(result):
    found = []
    for case in result["cases"]:
        groups = {}
        for name in _order(case["runs"]):
            group, _, _ = name.partition(" elsewhere")
            label = "elsewhere" if name.endswith(" elsewhere") else "here"
            groups.setdefault(group, {})[label] = [
                run["delay_ns"]["p99"] / 1e6 for run in case["runs"] if run["variant"] == name]
        found.append(Bars(
            f"Delay of the pair beside a disturbance, {case['name']}", "p99 delay, ms", groups,
            note="elsewhere: the same disturbance at a second switch on the machine",
            controls=("elsewhere",)))
    return found
