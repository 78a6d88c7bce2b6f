"""No violation in random runs of the controllers; and the checker says what the definition says, of any trace.

The definition (tests/unit/dram/definition.py) is quadratic and shares nothing with the checker but names of rules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from nmpsim.dram.check import BusRule, all_bank_refresh, check_commands, per_bank_refresh, row_text
from nmpsim.dram.check import violation as rules
from nmpsim.dram.check.native import check_native
from nmpsim.dram.reference import ControllerSettings, make_requests, run_trace
from nmpsim.errors import DeadlockError, LimitReached
from nmpsim.spec.params import COMMANDS
from nmpsim.spec.protocol import Command, Constraint, IssuedCommand, Protocol
from nmpsim.spec.standard import load_standard, native_protocol
from tests.unit.dram import definition
from tests.unit.dram.bench import TrafficBench, random_traffic

STANDARDS = {"hbm2": "HBM12", "hbm3": "HBM34", "hbm4": "HBM34"}
PROTOCOLS = {name: load_standard(name) for name in STANDARDS}
TABLE_RULES = {rules.SEPARATION, *rules.STATE_RULES, *rules.BUS_RULES}
ROOT_BUSES = {"level": None, "split": True}
BANK_BUSES = {"level": "Bank", "split": False}

SLOW = pytest.param("slow", marks=pytest.mark.slow)
SHORT_RUNS = {"fast": range(110), "slow": range(110, 520)}
TABLES = {"fast": range(400), "slow": range(400, 4000)}
MUTANTS = {"fast": range(40), "slow": range(40, 400)}
LANES = pytest.mark.parametrize("lane", ["fast", SLOW])


# ------------------------------------------------------------------------------------------- runs of the controllers


def native_run(seed):
    """(log, traffic) of a random run of the native controller."""
    traffic = random_traffic(seed)
    return TrafficBench(traffic).run().log(), traffic


def reference_run(seed):
    """(run, protocol, settings) of a random run of the reference controller; None if it has no end."""
    rng = np.random.default_rng(seed)
    name = list(STANDARDS)[seed % len(STANDARDS)]
    protocol, model = PROTOCOLS[name], STANDARDS[name]
    settings = ControllerSettings(
        model=model,
        scheduler=str(rng.choice(["FRFCFS", "FRFCFS-RowHit"])),
        refresh=str(rng.choice(["NoRefresh", "AllBank", "PerBank" if model == "HBM12" else "HBM34PerBankRefresh"])),
        row_policy=str(rng.choice(["Open", "ClosedCAP"])),
        row_policy_cap=int(rng.integers(1, 5)),
    )
    count = int(rng.integers(20, 120))
    at = np.sort(rng.integers(0, int(rng.choice([50, 500, 3000, 15_000])), count))
    spread = int(rng.integers(1, 5))  # few places: many row conflicts and row hits
    address = np.stack([rng.integers(0, min(size, spread), count) for size in protocol.sizes], axis=1)
    is_write = rng.random(count) < rng.choice([0.0, 0.3, 0.8])
    requests = make_requests(protocol, at, is_write, address, rng.integers(0, 3, count), rng.integers(0, 4, count))
    try:
        run = run_trace(protocol, settings, requests, limit=200_000)
    except (DeadlockError, LimitReached):
        # closing a row under an activated request can lock the controller: a run that does not end has no log
        assert settings.row_policy == "ClosedCAP"
        return None
    return run, protocol, settings


def refresh_rule(protocol, settings):
    """Each refresh within one interval after it falls due: no controller may owe two."""
    if settings.refresh == "NoRefresh":
        return None
    if settings.refresh == "AllBank":
        return all_bank_refresh(protocol, protocol.timing["nREFI"])
    scope = "Channel" if settings.refresh == "PerBank" else "PseudoChannel"
    return per_bank_refresh(protocol, protocol.timing["nREFI"], scope=scope)


@LANES
def test_random_runs_of_the_native_controller_break_no_rule(lane):
    met = Counter()
    for seed in SHORT_RUNS[lane]:
        log, traffic = native_run(seed)
        until = -(-traffic.end // traffic.period)
        arguments = (traffic.params, traffic.latency, traffic.period)
        assert check_native(log, *arguments, channels=traffic.channels, until=until) == [], seed
        met.update(COMMANDS[command] for command in log["command"].tolist())
    assert set(met) == set(COMMANDS)


@LANES
def test_random_runs_of_the_reference_controller_break_no_rule(lane):
    met, endless = Counter(), 0
    for seed in SHORT_RUNS[lane]:
        if (complete := reference_run(seed)) is None:
            endless += 1
            continue
        run, protocol, settings = complete
        options = {"beyond_peer": False, "refresh": refresh_rule(protocol, settings), "until": run.ticks}
        assert check_commands(run.issued(), protocol, **options) == [], seed
        met.update(issued.command for issued in run.issued())
    assert {"ACT", "PREpb", "PREab", "RD", "WR", "RDA", "WRA", "REFab", "REFpb"} <= set(met)
    assert endless < len(SHORT_RUNS[lane]) / 20


# ------------------------------------------------------------------------------------ the checker and the definition


def said_by_checker(trace, protocol, buses, *, strict=False):
    """{(cycle, command, address, rule, row)} of every violation of table, state and buses."""
    bus = BusRule(buses["level"] or protocol.levels[0], buses["split"])
    return {
        (v.cycle, v.pair.rpartition("-")[2], v.address, v.rule, v.row)
        for v in check_commands(trace, protocol, bus=bus, strict=strict)
        if v.rule in TABLE_RULES
    }


def said_by_definition(trace, protocol, buses, *, strict=False):
    trace = sorted(trace, key=lambda issued: issued.clock)
    return {
        (trace[i].clock, trace[i].command, trace[i].address, rule, row_text(row) if row else "")
        for i, rule, row in definition.broken(protocol, trace, strict=strict, **buses)
    }


def mutated(trace, rng):
    """A trace with one command moved earlier, dropped, issued twice, or sent to another row."""
    i = int(rng.integers(len(trace)))
    kind = ("earlier", "dropped", "twice", "other row")[rng.integers(4)]
    if kind == "other row":
        return [*trace[:i], replace(trace[i], row=max(0, trace[i].row - 1)), *trace[i + 1 :]]
    if kind == "dropped":
        return [*trace[:i], *trace[i + 1 :]]
    if kind == "twice":
        return [*trace[: i + 1], replace(trace[i], clock=trace[i].clock + int(rng.integers(0, 20))), *trace[i + 1 :]]
    moved = replace(trace[i], clock=max(0, trace[i].clock - int(rng.integers(1, 30))))
    return [*trace[:i], moved, *trace[i + 1 :]]


def native_trace(seed):
    """(commands, protocol) of a random native run: the separations that have a name, ports and budgets."""
    log, traffic = native_run(seed)
    protocol = native_protocol(traffic.params, traffic.latency, traffic.channels)
    trace = []
    for tick, channel, bank, command, row, column, _, port in log.tolist():
        address = (0, channel, *divmod(bank, protocol.sizes[-1]))
        trace.append(IssuedCommand(tick // traffic.period, COMMANDS[command], address, row, column, port))
    return trace, protocol


def cut(trace, rng, length):
    """A stretch of a trace that begins at its begin, or where nothing before it matters: it may be illegal."""
    first = int(rng.integers(0, max(1, len(trace) - length)))
    return trace[first : first + length]


@LANES
@pytest.mark.parametrize("controller", ["native", "reference"])
def test_a_mutated_trace_breaks_what_the_definition_says(controller, lane):
    said = Counter()
    for seed in MUTANTS[lane]:
        rng = np.random.default_rng(seed)
        if controller == "native":
            trace, protocol = native_trace(seed)
            buses = BANK_BUSES
        elif (complete := reference_run(seed)) is not None:
            trace, protocol, buses = complete[0].issued(), complete[1], ROOT_BUSES
        else:
            continue
        if not trace:
            continue
        stretch = trace[:50] if rng.random() < 0.5 else cut(trace, rng, 50)
        for _ in range(4):
            mutant = mutated(stretch, rng)
            expected = said_by_definition(mutant, protocol, buses)
            assert said_by_checker(mutant, protocol, buses) == expected, seed
            said.update(rule for *_, rule, _ in expected)
    expected_rules = {rules.SEPARATION, rules.ACT_OPEN, rules.COLUMN_CLOSED, rules.WRONG_ROW, rules.BUS}
    assert expected_rules <= set(said)


def random_protocol(rng):
    """A protocol of a few banks whose table ties anything to anything."""
    levels = ("Channel", "PseudoChannel", "Group", "Bank")[-int(rng.integers(2, 5)) :]
    sizes = tuple(int(rng.integers(1, 4)) for _ in levels)
    wide = levels[int(rng.integers(len(levels) - 1))]
    commands = (
        Command("ACT", "row", int(rng.integers(1, 4)), "Bank", "open"),
        Command("PREpb", "row", 1, "Bank", "close"),
        Command("PREab", "row", int(rng.integers(1, 3)), wide, "close"),
        Command("RD", "column", int(rng.integers(1, 3)), "Bank", "none"),
        Command("WRA", "column", 1, "Bank", "close"),
        Command("REFpb", "row", 1, "Bank", "none"),
        Command("REFab", "row", 1, wide, "none"),
    )
    names = [command.name for command in commands]
    tiers = int(rng.integers(1, 4))

    def some():
        return tuple(str(name) for name in rng.choice(names, int(rng.integers(1, 4)), replace=False))

    table = []
    for number in range(int(rng.integers(1, 9))):
        level = str(rng.choice([*levels, "Port", "Port"]))
        latency = tuple(int(ticks) for ticks in rng.integers(0, 30, tiers if rng.random() < 0.5 else 1))
        sibling = level not in {"Port", levels[0]} and bool(rng.random() < 0.4)
        first, second = some(), some()
        if level == "Port":
            first, second = ("RD",), ("RD", "WRA")
        window = int(rng.integers(1, 5))
        first = first if window == 1 else first[:1]  # a window follows one command
        table.append(Constraint(level, first, second, latency, f"row {number}", window, sibling))
    edges = "PseudoChannel" in levels and levels[0] == "Channel" and bool(rng.random() < 0.5)
    return Protocol("random", levels, sizes, 2 * tiers, 4, 32, 2, 1000, 1, commands, tuple(table), {}, 0, edges)


def random_trace(protocol, rng, length):
    """Commands that know nothing of any rule but their addresses."""
    clock, trace = 0, []
    for _ in range(length):
        clock += int(rng.integers(0, 8))
        kind = protocol.commands[rng.integers(len(protocol.commands))]
        depth = protocol.levels.index(kind.level)
        address = tuple(int(rng.integers(size)) if d <= depth else -1 for d, size in enumerate(protocol.sizes))
        row, column, port = -1, -1, -1
        if kind.effect == "open" or kind.moves_data:
            row = int(rng.integers(protocol.rows))
        if kind.moves_data:
            column, port = int(rng.integers(protocol.columns)), int(rng.integers(2))
        trace.append(IssuedCommand(clock, kind.name, address, row, column, port))
    return trace


@LANES
def test_on_random_tables_and_traces_the_checker_says_what_the_definition_says(lane):
    said, shapes = Counter(), Counter()
    for seed in TABLES[lane]:
        rng = np.random.default_rng(seed)
        protocol = random_protocol(rng)
        trace = random_trace(protocol, rng, 40)
        buses = {"level": str(rng.choice(protocol.levels)), "split": bool(rng.integers(2))}
        if protocol.half_clock_edges:
            buses = ROOT_BUSES
        expected = said_by_definition(trace, protocol, buses, strict=True)
        assert said_by_checker(trace, protocol, buses, strict=True) == expected, seed
        said.update(rule for *_, rule, _ in expected)
        broken = {row for *_, row in expected}
        for row in protocol.constraints:
            if row_text(row) in broken:
                shapes[row.level == "Port", row.sibling, row.window > 1, len(set(row.latency)) > 1] += 1
    assert set(said) == TABLE_RULES
    assert len(shapes) == 12  # Port or not, sibling or not (never both), window or not, tiers or not
