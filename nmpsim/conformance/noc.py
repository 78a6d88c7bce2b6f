"""Runs recorded networks again and compares every value within its tolerance.

================  =========================================================================================
zero load         exact
router delays     exact, for every pair that visits so many routers
batch             exact: the cycles until all packets are made, and until the last has arrived
curve             figures of random traffic, below
================  =========================================================================================

A curve was recorded with one seed per point.  A point passes if the means of a few runs of ours lie within a share of
the recorded values: 3 %, or 10 % for rates accepted on rings and tori, where throughput collapses.  If one does not,
more runs tell how much one run differs from another by chance, and each recorded value must lie within that share or
within `DEVIATIONS` standard deviations of the mean; four, not three, as a set of curves has hundreds of values, of
which three would reject one by chance.  If the file of the seed spread has the point, its deviation counts too, if
larger.
With the knee as the greatest rate recorded as stable in latency mode:

==========================  ===============================================================================
up to 85 % of the knee      stable; mean packet and network latency, routers visited, accepted rate
above, recorded as stable   stable, and the accepted rate
recorded as unstable        unstable
throughput mode             the accepted rate
==========================  ===============================================================================

Stability is not compared within the share of the other side of the knee.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

from nmpsim.conformance.booksim import (
    Config,
    UnsupportedError,
    pattern_of,
    read_config,
    sampling_of,
    settings_of,
    topology_of,
)
from nmpsim.conformance.case import CaseError
from nmpsim.conformance.noc_files import BATCH, DELAYS, SPREAD, ZERO_LOAD, Recorded, config_path, find_files
from nmpsim.errors import Fault, NmpsimError
from nmpsim.noc.router.build import build_network
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.synthetic.patterns import Pattern, make_pattern
from nmpsim.noc.synthetic.run import Measured, finish, measure
from nmpsim.noc.synthetic.traffic import Message, batch, bernoulli, trace
from nmpsim.noc.topology import Topology

SEEDS, MORE_SEEDS = 3, 24
"""Runs of each point of a curve, and of one whose figures are off by more than the share."""

SHARE, COLLAPSING_SHARE = 0.03, 0.10
BELOW_KNEE = 0.85
DEVIATIONS = 4
TINY = 1e-9
"""Two rates that differ by less are the same."""

APART = 5000
"""Cycles between two packets that shall not meet."""

LIMIT = 10**8
"""Cycle at which a batch is given up."""


@dataclass
class Outcome:
    """How one file, or one batch, went.

    Parameters
    ----------
    name : str
    equal, compared : int
        Values within their tolerance, and values looked at.
    differences : list of str
        The others, in words.
    skipped : str
        Why nothing was compared; empty if something was.
    worst : float
        Largest share of its tolerance that a compared figure was off; 0 where values are exact.
    """

    name: str
    equal: int = 0
    compared: int = 0
    differences: list[str] = field(default_factory=list)
    skipped: str = ""
    worst: float = 0.0

    def check(self, what: str, got: float, expected: float, tolerance: float = 0.0) -> None:
        """Compare a value.

        Parameters
        ----------
        what : str
            For the message.
        got, expected, tolerance : float
        """
        self.compared += 1
        if tolerance:
            self.worst = max(self.worst, abs(got - expected) / tolerance)
        if abs(got - expected) <= tolerance:
            self.equal += 1
        else:
            within = f" +- {tolerance:.4g}" if tolerance else ""
            self.differences.append(f"{what}: got {got:.6g}, expected {expected:.6g}{within}")

    def add(self, point: Outcome) -> None:
        """Take over what was compared in a part.

        Parameters
        ----------
        point : Outcome
        """
        self.equal += point.equal
        self.compared += point.compared
        self.differences += point.differences
        self.worst = max(self.worst, point.worst)

    def line(self) -> str:
        """One line for a person; the first difference with it."""
        if self.skipped:
            return f"{self.name}: not compared: {self.skipped}"
        more = f"; first difference: {self.differences[0]}" if self.differences else ""
        spread = f", at most {self.worst:.2f} of the tolerance" if self.worst else ""
        return f"{self.name}: values {self.equal}/{self.compared}{spread}{more}"


def run_paths(paths: Sequence[Path], *, seeds: int = MORE_SEEDS, plain: bool = False) -> Iterator[Outcome]:
    """Compare every recorded network among or below the given paths.

    Parameters
    ----------
    paths : sequence of Path
    seeds : int
        Most runs of each point of a curve.
    plain : bool
        Step every cycle.

    Raises
    ------
    CaseError
        With every fault of all files, after the sound ones were compared.
    """
    faults: list[Fault] = []
    for recorded in find_files(paths):
        try:
            yield from compare_file(recorded, seeds=seeds, plain=plain)
        except NmpsimError as error:
            faults += error.faults or [Fault(str(recorded.path), str(error), "a sound case", "correct it")]
    if faults:
        raise CaseError("recorded networks cannot be read", faults)


def compare_file(recorded: Recorded, *, seeds: int = MORE_SEEDS, plain: bool = False) -> Iterator[Outcome]:
    """Compare one file; a file of batches gives an outcome for each of them.

    Parameters
    ----------
    recorded : Recorded
    seeds : int
        Most runs of each point of a curve.
    plain : bool
        Step every cycle.

    Raises
    ------
    CaseError
        If the file or its configuration is wrong.
    """
    name = recorded.path.stem
    if recorded.kind == SPREAD:
        yield Outcome(name, skipped="it is read for the tolerances of curves")
        return
    if not recorded.rows:
        yield Outcome(name, skipped="no rows")
        return
    if recorded.kind == BATCH:
        for row in recorded.rows:
            title = "batch {topology} {traffic} {setting} p{packet_size}".format(**row)
            outcome = Outcome(title)
            yield _guarded(outcome, recorded, row, _compare_batch, plain=plain)
        return
    outcome = Outcome(f"{recorded.kind} {name}")
    compare = {ZERO_LOAD: _compare_zero_load, DELAYS: _compare_delays}.get(recorded.kind)
    if compare is not None:
        yield _guarded(outcome, recorded, recorded.rows[0], compare, plain=plain)
    else:
        yield _guarded(outcome, recorded, recorded.rows[0], _curve_comparison(seeds), plain=plain)


Comparison = Callable[[Outcome, Recorded, dict[str, str], Config, bool], None]


def _guarded(outcome: Outcome, recorded: Recorded, row: dict[str, str], compare: Comparison, *, plain: bool) -> Outcome:
    """Return the outcome of a comparison, or why there is none."""
    path = config_path(recorded, row)
    if path is None:
        fault = Fault(f"{recorded.path}:{row['line']}", "no configuration", "one beside it or in configs/", "add it")
        raise CaseError("a recorded network cannot be read", [fault])
    try:
        compare(outcome, recorded, row, read_config(path), plain)
    except UnsupportedError as error:
        if not outcome.compared:
            outcome.skipped = str(error)
    return outcome


def _lone_latencies(
    topology: Topology, settings: RouterSettings, messages: Sequence[Message], *, plain: bool
) -> tuple[list[int], list[int]]:
    """Return network latency and routers visited of packets that do not meet."""
    fabric = build_network(topology, settings, log=len(messages))
    finish(fabric, trace(fabric, messages), LIMIT, plain=plain)
    logged = fabric.state.logged
    return (logged.arrived_at - logged.entered_at).tolist(), logged.hops.tolist()


def _compare_zero_load(outcome: Outcome, recorded: Recorded, _: dict[str, str], config: Config, plain: bool) -> None:
    """Compare the latency of every pair."""
    settings, topology = settings_of(config), topology_of(config)
    flits = config.count("packet_size")
    pairs = [(int(recorded.number(row, "src")), int(recorded.number(row, "dst"))) for row in recorded.rows]
    messages = [Message(n * APART, source, sink, flits) for n, (source, sink) in enumerate(pairs)]
    latencies = _lone_latencies(topology, settings, messages, plain=plain)[0]
    for row, (source, sink), latency in zip(recorded.rows, pairs, latencies, strict=True):
        expected = recorded.number(row, "network_latency_zero_load")
        outcome.check(f"node {source} to {sink}", latency, expected)


def _compare_delays(outcome: Outcome, recorded: Recorded, _: dict[str, str], config: Config, plain: bool) -> None:
    """Compare latency by routers visited, setting by setting."""
    left_out = []
    for row in recorded.rows:
        changes = dict(part.split("=", 1) for part in row["overrides"].split(";") if "=" in part)
        try:
            settings, topology = settings_of(config.changed(changes)), topology_of(config)
        except UnsupportedError as error:
            left_out.append(str(error))
            continue
        flits = int(recorded.number(row, "packet_size"))
        messages = [Message(n * APART, 0, n, flits) for n in range(topology.nodes)]
        for latency, hops in zip(*_lone_latencies(topology, settings, messages, plain=plain), strict=True):
            if f"H{hops}" in row:
                what = f"setting {row['setting']}, {flits} flits, {hops} routers"
                outcome.check(what, latency, recorded.number(row, f"H{hops}"))
    if left_out:
        outcome.name += f" (without {', '.join(sorted(set(left_out)))})"


def _pattern(config: Config, topology: Topology) -> Pattern:
    """Return the traffic of a configuration."""
    text, radix = pattern_of(config, topology.radix)
    return make_pattern(text, topology.nodes, radix)


def _compare_batch(outcome: Outcome, recorded: Recorded, row: dict[str, str], config: Config, plain: bool) -> None:
    """Compare the ends of a batch."""
    if row["deterministic"] != "1":
        raise UnsupportedError("the recorded batch has random numbers")
    fabric = build_network(topology_of(config), settings_of(config))
    packets, flits = int(recorded.number(row, "packets_per_node")), int(recorded.number(row, "packet_size"))
    finish(fabric, batch(fabric, _pattern(config, fabric.topology), packets, flits), LIMIT, plain=plain)
    totals = fabric.state.totals[0]
    outcome.check("cycles to inject", int(totals.last_made_at) + 1, recorded.number(row, "cycles_to_inject"))
    outcome.check("cycles to complete", int(totals.last_arrival) + 1, recorded.number(row, "cycles_to_complete"))


def _spreads(recorded: Recorded) -> list[dict[str, str]]:
    """Return the rows of the seed spread that lies with a curve."""
    for folder in (recorded.path.parent, recorded.path.parent.parent):
        if (folder / "seed_spread.csv").is_file():
            spread = find_files([folder / "seed_spread.csv"])[0]
            keys = ("topology", "traffic", "setting", "packet_size")
            return [row for row in spread.rows if all(row[key] == recorded.rows[0][key] for key in keys)]
    return []


@dataclass(frozen=True)
class _Curve:
    """What the points of one curve have in common."""

    recorded: Recorded
    spreads: list[dict[str, str]]
    knee: float
    edge: float
    share: float  # of accepted rates

    def spread_of(self, quantity: str, rate: float) -> float:
        """Return the recorded relative deviation of a quantity at a rate; 0 if there is none."""
        for row in self.spreads:
            if row["quantity"].startswith(quantity) and abs(float(row["rate"]) - rate) < TINY:
                return float(row["rel_stdev"])
        return 0.0

    def figure(
        self, point: Outcome, what: str, values: Sequence[float], expected: float, share: float, spread: float
    ) -> None:
        """Compare the mean of our runs with a recorded figure."""
        tolerance = share * abs(expected)
        if len(values) > SEEDS:
            own = stdev(values) * (1 + 1 / len(values)) ** 0.5
            tolerance = max(tolerance, DEVIATIONS * own, DEVIATIONS * spread * abs(expected))
        point.check(what, fmean(values), expected, tolerance)

    def compare(self, row: dict[str, str], runs: Sequence[Measured]) -> Outcome:
        """Compare one point."""
        number = self.recorded.number
        rate = number(row, "rate")
        where = f"rate {rate} ({row['mode']})"
        point = Outcome(where)
        stable = sum(run.stable for run in runs) * 2 > len(runs)
        if row["status"] == "unstable":
            if rate > self.knee * (1 + self.share):
                point.check(f"{where} stable", float(stable), 0.0)
            return point
        accepted, expected = [run.accepted[0] for run in runs], number(row, "acc_flits")
        if row["mode"] == "throughput":
            spread = self.spread_of("saturation", rate)
            self.figure(point, f"{where} accepted", accepted, expected, self.share, spread)
            return point
        if rate * (1 + self.share) < self.edge:
            point.check(f"{where} stable", float(stable), 1.0)
        self.figure(point, f"{where} accepted", accepted, expected, self.share, 0.0)
        if rate <= BELOW_KNEE * self.knee and all(run.stable for run in runs):
            spread = self.spread_of("latency", rate)
            figures = {
                "plat_avg": [run.latency[0] for run in runs],
                "nlat_avg": [run.network_latency[0] for run in runs],
                "hops_avg": [run.hops for run in runs],
            }
            for column, values in figures.items():
                self.figure(point, f"{where} {column}", values, number(row, column), SHARE, spread)
        return point


def _curve_comparison(seeds: int) -> Comparison:
    """Return the comparison of a curve with at most so many runs of each point."""

    def compare(outcome: Outcome, recorded: Recorded, _: dict[str, str], config: Config, plain: bool) -> None:
        settings, topology = settings_of(config), topology_of(config)
        pattern = _pattern(config, topology)
        latency_rows = [row for row in recorded.rows if row["mode"] == "latency"]
        rates = {
            status: [recorded.number(row, "rate") for row in latency_rows if row["status"] == status]
            for status in ("ok", "unstable")
        }
        curve = _Curve(
            recorded,
            _spreads(recorded),
            knee=max(rates["ok"], default=0.0),
            edge=min(rates["unstable"], default=float("inf")),
            share=COLLAPSING_SHARE if config.values["topology"] == "torus" else SHARE,
        )
        for row in recorded.rows:
            rate, flits = recorded.number(row, "rate"), int(recorded.number(row, "packet_size"))
            sampling = sampling_of(config, throughput_only=row["mode"] == "throughput")
            runs: list[Measured] = []
            for wanted in (min(SEEDS, seeds), seeds):
                while len(runs) < wanted:
                    fabric = build_network(topology, settings)
                    traffic = bernoulli(fabric, pattern, rate, flits, seed=len(runs) + 1)
                    runs.append(measure(fabric, traffic, rate, sampling, plain=plain))
                point = curve.compare(row, runs)
                if not point.differences:
                    break
            outcome.add(point)

    return compare


__all__ = ["MORE_SEEDS", "Outcome", "compare_file", "run_paths"]
