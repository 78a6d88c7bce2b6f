"""The native DRAM controller against its oracle: random chips, random requests, posted and delayed while time passes.

A Hypothesis state machine drives one kernel in plain mode, one in skip mode and the oracle of
tests/oracle/dram_native.py side by side.  Whenever time has passed, all three must have issued the same commands, with
the same row, column and port, at the same ticks, and the two kernels must agree in every counter and stall reason.

How long a row access may wait, in cycles, whatever the others do (checked by `assert_bounded`)::

    L    longest entry of the constraint table          R   1 + REFpb of the bank while it waited
    Dc   max(1, nRRD, nFAW)                             T   max(nBL, turnaround of a port to RD, to WR)
    Dd   max(1, die_nRRD, die_nFAW)                     H   longest time that any access took from first to last column
    m, n banks and ports of a group                     C   columns of a row

*To begin*: ``2 L + R (2 L + banks (Dc + channels Dd))``.  PRE is legal L after the last column, ACT L after PRE; each
REFpb waits L and delays the next ACT by L.  From then on the bank wants an ACT.  Dc after its last ACT a channel may
have one as far as its own budget goes; then, at most Dd apart, somebody gets an ACT whenever the die's budget allows,
and the turn passes on to the channel in at most `channels` of them.  Likewise the channel's turn passes on to the bank
in at most `banks` of its ACT.

*For ports* (cycles in which a column is legal and has no port, summed over an access): ``2 m C T`` where ports are held
by column, ``2 m (H + (n + 1) T)`` by row.  Only older accesses can pass, at most m - 1, as a younger one never gets the
port that the waiting one keeps.  The kept port is free T after its last column, unless an older access becomes legal or
issues, which happens 2 (m - 1) C times by column and 2 (m - 1) times by row; between such events a lower port may be
released at most n times, and where all are held it takes H to the first release.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from nmpsim.dram.native import REASONS, check_balance, raise_faults
from nmpsim.spec.params import ACT, COMMANDS, HOLD_COLUMN, HOLD_ROW, PRE, RD, REF, WR
from tests.oracle.dram_native import Oracle
from tests.oracle.dram_native_world import Run, World
from tests.unit.dram.bench import Traffic, TrafficBench
from tests.unit.dram.chips import SMALL, latency_table

RUNS_PER_BANK = 40
DELAYS = 2000
LONGEST = 60_000

ANY_PAGE = {"refresh while owed", "refresh postponed", "forced refresh", "landing space missing"}
OPEN_PAGE = ANY_PAGE | {
    "closed by conflict",
    "closed for refresh owed",
    "closed at the refresh limit",
    "row hit",
    "row hit of another run",
    "row stays open",
}
SHARED = {"port busy", "port handed over", "port handed over and turned around", "turnaround to RD", "turnaround to WR"}
BY_ROW = SHARED | {"port held by another bank", "late datum while a port is held"}
BY_COLUMN = SHARED | {"port handed over within an access"}
CHANNELS = {"two channels activate in one cycle", "two banks of a channel activate in one cycle"}

FAMILIES = {
    "closed page, a port per bank, budget of the channel": (
        {"refresh": 1, "row_hits": 1, "sharing": "port per bank", "budget": "channel", "pull_in": 1, "banks": 3},
        ANY_PAGE | {"closed page", "refresh ahead", "channel budget"},
    ),
    "open page, a bus held by row": (
        {"refresh": 1, "row_hits": 0, "sharing": "bus", "port_hold": HOLD_ROW, "budget": "none", "banks": 3}
        | {"columns": 4, "every datum that is late": 3},
        OPEN_PAGE | BY_ROW | {"port kept for an older bank"},
    ),
    "open page, a bus held by column": (
        {"refresh": 1, "row_hits": 0, "sharing": "bus", "port_hold": HOLD_COLUMN, "budget": "none", "banks": 3},
        OPEN_PAGE | BY_COLUMN | {"port kept for an older bank"},
    ),
    "capped page, shared ports held by row": (
        {"refresh": 1, "row_hits": 2, "port_banks": 4, "ports": 2, "port_hold": HOLD_ROW, "budget": "none"}
        | {"sharing": "shared ports", "banks": 4, "channels": 1, "columns": 4, "every datum that is late": 3},
        ANY_PAGE | BY_ROW | {"row hit", "closed by the cap", "closed by conflict", "port of a higher number"},
    ),
    "closed page, shared ports held by column": (
        {"refresh": 1, "row_hits": 1, "port_banks": 4, "ports": 2, "port_hold": HOLD_COLUMN, "budget": "none"}
        | {"sharing": "shared ports", "banks": 5, "channels": 1, "columns": 4},
        ANY_PAGE | BY_COLUMN | {"closed page", "port of a higher number"},
    ),
    "open page, budgets of channel and die": (
        {"refresh": 1, "row_hits": 0, "sharing": "port per bank", "budget": "both", "channels": 2, "banks": 3}
        | {"die_nRRD": 0, "clocks": (1, 1), "nREFI": 120},
        {"channel budget", "die budget", "the turn of a later channel", "two channels activate in one cycle"},
    ),
    "closed page, budget of the die": (
        {"refresh": 0, "row_hits": 1, "sharing": "port per bank", "budget": "die", "channels": 3, "banks": 2}
        | {"die_nRRD": 0, "die_nFAW": 20, "columns": 2, "clocks": (1, 1)},
        CHANNELS | {"die budget", "the turn of a later channel"},
    ),
    "open page, long before PRE": (
        {"refresh": 1, "row_hits": 0, "sharing": "port per bank", "budget": "none", "banks": 2, "pull_in": 0}
        | {"least column to PRE": 30, "nREFI": 120, "clocks": (1, 1)},
        OPEN_PAGE | {"closing not taken back"},
    ),
    "anything": ({}, {"row hit", "forced refresh", "port busy"}),
}
"""Name -> what is fixed of the system, and the situations (names of `Oracle.met`) that runs of it must meet."""


class LiveBench(TrafficBench):
    """A `TrafficBench` that goes on and whose traffic grows; watches that nothing overflows."""

    def __init__(self, traffic, **options):
        super().__init__(traffic, **options)
        self.now = 0

    def run_until(self, tick):
        for now in range(self.now, tick):
            for step in (
                (self.step_world, self.step_channels) if self.reverse else (self.step_channels, self.step_world)
            ):
                step(now)
            if self.plain and now % self.traffic.period == 0:
                self.assert_room(now)
        self.now = tick
        raise_faults(self.state)
        return self

    def assert_room(self, now):
        """No queue holds more than it has places; a place counts until the tick that its stamp names."""
        state, params = self.state, self.traffic.params
        for counter, slots, taken, capacity in (
            (state.queue["posted"], state.run, state.queue["taken"], params.run_queue),
            (state.fifo["reserved"], state.slot, state.fifo["head"], params.fifo_columns),
            (state.write_fifo["reserved"], state.write_slot, state.write_fifo["head"], params.fifo_columns),
        ):
            used = counter - taken
            age = (taken[..., None] - 1 - np.arange(capacity)) % capacity
            free_at = np.take_along_axis(slots["free_at"], age, axis=-1)  # of those taken last, the newest first
            left_behind = np.arange(capacity) < np.minimum(taken, capacity - used)[..., None]
            assert (used >= 0).all()
            assert (used + ((free_at > now) & left_behind).sum(axis=-1) <= capacity).all()

    def commands(self):
        """Everything before now, as the oracle tells it."""
        names = ("tick", "channel", "bank", "command", "row", "column", "port")
        return sorted(tuple(entry) for entry in self.log()[list(names)].tolist())

    def log(self):
        self.traffic.end = self.now
        return super().log()

    def accounts(self):
        self.settle(self.now)
        check_balance(self.state, -(-self.now // self.traffic.period))
        return self.state.counter.tolist(), self.state.stall.tolist()


@st.composite
def latencies(draw, tiers):
    """A constraint table in which the entries of JEDEC have any length, and sometimes any other entry too."""
    names = ("nRCD", "nRAS", "nRC", "nRP", "nRTP", "nWTP")
    lengths = st.sampled_from((3, 1, 0, 2, 6, 11))
    turns = st.sampled_from((5, 9, 2))
    tables = [
        {name: draw(lengths) for name in names}
        | {"nRTW": draw(turns), "nWTR": draw(turns)}
        | {"nCCD": draw(st.sampled_from((1, 2, 4))), "nRFC": draw(st.sampled_from((10, 1, 25)))}
        for _ in range(tiers)
    ]
    table = latency_table(*tables)
    for previous in (ACT, PRE):
        table[:, previous, REF] = draw(st.sampled_from((table[0, previous, ACT], 1, 40)))
    for _ in range(draw(st.sampled_from((0, 0, 0, 3)))):
        table[draw(st.integers(0, tiers - 1)), draw(st.integers(0, 4)), draw(st.integers(0, 4))] = draw(lengths)
    return table


@st.composite
def systems(draw, fixed):
    """Parameters of one to three channels of one to four banks, and who shares what; `fixed` choices are not drawn."""

    def pick(name, *choices):
        return fixed[name] if name in fixed else draw(st.sampled_from(choices))

    columns, tiers = pick("columns", 4, 2, 1), pick("tiers", 1, 2)
    params = SMALL._replace(
        banks=pick("banks", 4, 3, 2, 1),
        columns=columns,
        tiers=tiers,
        rows_per_tier=16 // tiers,
        fifo_columns=columns * pick("rows of landing space", 2, 1, 4),
        run_queue=pick("run_queue", 2, 1, 3),
        nCL=pick("nCL", 2, 0),
        nCWL=pick("nCWL", 1, 0, 3),
        nPORT=pick("nPORT", 1, 2),
        nCREDIT=pick("nCREDIT", 1, 2),
        nREFI=pick("nREFI", 60, 120),
        refresh=pick("refresh", 1, 1, 0),
        postpone=pick("postpone", 1, 0, 4),
        pull_in=pick("pull_in", 0, 1, 3),
        row_hits=pick("row_hits", 0, 1, 2, 3),
        port_hold=pick("port_hold", HOLD_ROW, HOLD_COLUMN),
    )
    latency = draw(latencies(tiers))
    latency[:, [RD, WR], PRE] = np.maximum(latency[:, [RD, WR], PRE], fixed.get("least column to PRE", 0))
    match pick("sharing", "shared ports", "bus", "port per bank"):
        case "bus":
            params = params._replace(port_banks=params.banks)
        case "shared ports":
            m = pick("port_banks", *range(min(2, params.banks), params.banks + 1))
            params = params._replace(port_banks=m, ports=pick("ports", *range(1, m + 1)))
    shortest = min(max(1, int(tier[kind, kind])) for tier in latency for kind in (RD, WR))
    params = params._replace(nBL=draw(st.integers(1, shortest)))
    match pick("budget", "none", "channel", "die", "both"):
        case "channel":
            params = params._replace(nRRD=pick("nRRD", 2, 0, 1, 5), nFAW=pick("nFAW", 15, 0, 40))
        case "die":
            params = params._replace(die_nRRD=pick("die_nRRD", 2, 0, 1), die_nFAW=pick("die_nFAW", 20, 0), die_acts=3)
        case "both":
            params = params._replace(nRRD=1, nFAW=12, die_nRRD=pick("die_nRRD", 0, 1), die_nFAW=20, die_acts=4)
    period, world_period = pick("clocks", (1, 1), (1, 1), (1, 1), (2, 3))
    return Traffic(params, latency, period, world_period, channels=pick("channels", 1, 2, 3), end=0)


row_runs = st.fixed_dictionaries(
    {
        "first_row": st.integers(5, 10),
        "rows": st.sampled_from((1, 2, 5)),
        "row_stride": st.sampled_from((0, 1, -1)),
        "columns": st.sampled_from((4, 2, 1, 3)),
        "first_column": st.integers(0, 3),
        "is_write": st.sampled_from((0, 1, 0)),
        "target": st.sampled_from((0, 640)),
        "target_stride": st.sampled_from((32, 0)),
    }
)


HITS = {
    "first_row": 3,
    "row_stride": 0,
    "columns": 2,
    "first_column": 0,
    "is_write": 0,
    "target": 0,
    "target_stride": 0,
}


class NativeController(RuleBasedStateMachine):
    """What may happen to a die's channels: more work, a slow eater, late data, time."""

    fixed: ClassVar[dict] = {}
    met: ClassVar[Counter] = Counter()
    reasons: ClassVar[Counter] = Counter()

    @initialize(drawn=st.data(), late=st.sampled_from((3, 0, 5)), slow=st.sampled_from((0, 6)))
    def build(self, drawn, late, slow):
        self.system = system = drawn.draw(systems(self.fixed))
        params, late = system.params, self.fixed.get("every datum that is late", late)
        self.keys = [(c, b) for c in range(system.channels) for b in range(params.banks)]
        for key in self.keys:
            system.runs[key] = []
            system.eat_delay[key] = [30 * (slow > 0 and n % slow == 1) for n in range(DELAYS)]
            system.datum_delay[key] = [20 * (late > 0 and n % late == 1) for n in range(DELAYS)]
        self.worlds = {
            key: World([], dict(enumerate(system.eat_delay[key])), dict(enumerate(system.datum_delay[key])))
            for key in self.keys
        }
        clocks = {"period": system.period, "world_period": system.world_period}
        self.oracle = Oracle(params, system.latency, self.worlds, **clocks)
        self.plain, self.skip = LiveBench(system, plain=True), LiveBench(system, reverse=True)
        self.now = 0

    def post(self, key, fields, pause, delay):
        """Give a bank's poster one more run, which it posts after the earlier ones and not before now + pause."""
        runs, columns = self.system.runs[key], self.system.params.columns
        if len(runs) == RUNS_PER_BANK:
            return
        width = min(fields["columns"], columns)
        fields = fields | {
            "columns": width,
            "first_column": min(fields["first_column"], columns - width),
            "token": key[1] * RUNS_PER_BANK + len(runs),
        }
        runs.append((self.now + pause, delay, fields))
        known = {name: value for name, value in fields.items() if name in Run.__dataclass_fields__}
        self.worlds[key].runs.append(Run(self.now + pause, delay, **known))

    @rule(number=st.integers(0, 11), runs=st.lists(row_runs, min_size=1, max_size=3), pause=st.integers(0, 30))
    def one_bank_gets_work(self, number, runs, pause):
        for fields in runs:
            self.post(self.keys[number % len(self.keys)], fields, pause, 1 + pause % 4)

    @rule(runs=st.lists(row_runs, min_size=2, max_size=5), pause=st.sampled_from((0, 1, 7)))
    def every_bank_gets_work(self, runs, pause):
        for number, fields in enumerate(runs * len(self.keys)):
            bank = number % len(self.keys)
            self.post(self.keys[bank], fields, pause * bank, 1)

    @precondition(lambda self: self.system.params.refresh)
    @rule(
        number=st.integers(0, 11),
        rows=st.sampled_from((1, 12)),
        limit=st.sampled_from(("due", "early", "limit")),
        offset=st.sampled_from((0, -6, -1, -15, 1)),
        second=st.sampled_from((8, 20, 0)),
    )
    def a_bank_gets_work_around_a_refresh(self, number, rows, limit, offset, second):
        """Time passes to just before a bank is due, and hits are seen when it is, or about then, and after it."""
        key = self.keys[number % len(self.keys)]
        bank = self.oracle.channels[key[0]].banks[key[1]]
        seen_at = (getattr(bank, limit) + offset) * self.system.period
        if self.now < seen_at < self.now + 400:
            self.time_passes(seen_at - 1 - self.now)
            self.post(key, HITS | {"rows": rows}, 0, 1)
            if second:
                self.post(key, HITS | {"rows": 1}, 0, 1 + second * self.system.period)

    def delay(self, delays_of, known, done, number, count, ticks):
        key = self.keys[number % len(self.keys)]
        for n in range(done[key], min(done[key] + count, DELAYS)):
            delays_of[key][n] = ticks
            getattr(self.worlds[key], known)[n] = ticks

    @rule(number=st.integers(0, 11), count=st.integers(1, 4), ticks=st.integers(1, 80))
    def an_eater_is_slow(self, number, count, ticks):
        self.delay(self.system.eat_delay, "eat_delay", self.plain.eaten, number, count, ticks)

    @rule(number=st.integers(0, 11), count=st.integers(1, 4), ticks=st.integers(1, 40))
    def write_data_come_late(self, number, count, ticks):
        self.delay(self.system.datum_delay, "datum_delay", self.plain.data_put, number, count, ticks)

    @rule()
    def skip_mode_is_settled(self):
        self.skip.settle(self.now)

    @precondition(lambda self: any(self.system.runs.values()) or self.system.params.refresh)
    @rule(ticks=st.sampled_from((40, 7, 1, 150, 400)))
    def time_passes(self, ticks):
        self.now += ticks
        self.oracle.run_until(self.now)
        expected = [tuple(command) for command in self.oracle.sorted_commands()]
        plain, skip = self.plain.run_until(self.now), self.skip.run_until(self.now)
        assert plain.commands() == expected
        assert skip.commands() == expected
        assert skip.log().tolist() == plain.log().tolist()
        assert skip.accounts() == plain.accounts()
        assert sorted(skip.beats) == sorted(plain.beats)
        assert sorted(skip.written) == sorted(plain.written)
        for key in self.keys:
            bank, world = self.oracle.channels[key[0]].banks[key[1]], self.worlds[key]
            for bench in (plain, skip):
                done = bench.posted[key], bench.data_put[key], bench.eaten[key]
                assert done == (world.posted, len(bank.datum_at), world.eaten)
        self.assert_in_order(expected)

    def assert_in_order(self, commands):
        """Columns of a bank are those of its runs, in order, writes not before their data; so are its beats."""
        for key in self.keys:
            bank = self.oracle.channels[key[0]].banks[key[1]]
            wanted = [
                (WR if fields["is_write"] else RD, fields["first_row"] + row * fields["row_stride"], column)
                for _, _, fields in self.system.runs[key][: self.plain.posted[key]]
                for row in range(fields["rows"])
                for column in range(fields["first_column"], fields["first_column"] + fields["columns"])
            ]
            columns = [c for c in commands if c[1:3] == key and c[3] in {RD, WR}]
            assert [c[3:6] for c in columns] == wanted[: len(columns)]
            writes = [c[0] for c in columns if c[3] == WR]
            assert all(tick >= datum_at for tick, datum_at in zip(writes, bank.datum_at, strict=False))
            beats = sorted(beat[3:] for beat in self.plain.beats if beat[1:3] == key)
            assert [number for number, *_ in beats] == list(range(len(beats)))
            assert [ready_at for _, ready_at, *_ in beats] == bank.beat_at[: len(beats)]
            assert all(later > earlier for (_, earlier, *_), (_, later, *_) in pairwise(beats))
            assert [beat[2:] for beat in beats] == self.plain.expected_beats(*key)[: len(beats)]

    def assert_bounded(self):
        """No row access waited longer than the bounds of the file allow."""
        params, latency = self.system.params, self.system.latency
        L = max(1, int(latency.max()))
        Dc, Dd = max(1, params.nRRD, params.nFAW), max(1, params.die_nRRD, params.die_nFAW)
        T = max(params.nBL, self.oracle.nRTW, self.oracle.nWTR)
        H = max((wait.held for wait in self.oracle.waits), default=0)
        m, n = params.port_banks, params.ports
        turn = 2 * L + params.banks * (Dc + self.system.channels * Dd)
        by_column = params.port_hold == HOLD_COLUMN
        port = 2 * m * (params.columns * T if by_column else H + (n + 1) * T)
        for wait in self.oracle.waits:
            assert wait.began - wait.asked <= 2 * L + (1 + wait.refreshes) * turn
            assert wait.port <= (port if m > 1 else 0)

    def teardown(self):
        if not hasattr(self, "oracle"):
            return
        while not self.oracle.is_quiet():
            self.time_passes(300)
            assert self.now < LONGEST
        self.time_passes(50)
        for key in self.keys:
            runs = [fields for _, _, fields in self.system.runs[key]]
            counter = self.plain.state.counter[key]
            for name, is_write in (("RD", 0), ("WR", 1)):
                posted = sum(f["rows"] * f["columns"] for f in runs if f["is_write"] == is_write)
                assert counter[name] == posted
            assert counter.beats == counter.RD + counter.WR
            assert counter.ACT + counter.hits == sum(fields["rows"] for fields in runs)
            assert self.plain.eaten[key] == counter.RD
        assert not self.plain.open_tokens
        assert not self.skip.open_tokens
        self.assert_bounded()
        self.met.update(self.oracle.met)
        for bench in (self.plain, self.skip):
            for reason, cycles in zip(REASONS, bench.state.stall.sum(axis=(0, 1)).tolist(), strict=True):
                self.reasons[reason] += cycles
        for command in self.oracle.commands:
            self.met[COMMANDS[command.command]] += 1


def run_family(name, examples, steps):
    """Run the state machine on systems of a family, then fail unless the situations of the family were met."""
    fixed, situations = FAMILIES[name]
    machine = type("NativeController", (NativeController,), {"fixed": fixed, "met": Counter(), "reasons": Counter()})
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps))
    print("\n".join(f"{times:8d} {met}" for met, times in sorted((machine.met | machine.reasons).items())))
    assert not [situation for situation in situations if machine.met[situation] == 0]
    return machine


@pytest.mark.parametrize("name", FAMILIES)
def test_both_modes_issue_the_commands_of_the_oracle(name):
    run_family(name, examples=9, steps=16)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_both_modes_issue_the_commands_of_the_oracle_in_many_long_runs(name):
    machine = run_family(name, examples=200, steps=40)
    assert not [command for command in COMMANDS if not machine.met[command] and (command != "REFpb")]
    if name == "anything":
        assert not [reason for reason in REASONS if not machine.reasons[reason]]


def test_some_family_asks_for_every_situation_that_the_oracle_names():
    source = Path(inspect.getfile(Oracle)).read_text()
    named = set(re.findall(r'met\("([^"]+)"\)|met\["([^"]+)"\]|return "([^"]+)"|"(closed page)"', source))
    named = {name for names in named for name in names if name}
    assert named - {"turnaround to WR"} <= set().union(*(situations for _, situations in FAMILIES.values()))
