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

from collections import Counter
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from nmpsim.dram.native import REASONS, check_balance, raise_faults
from nmpsim.spec.params import COMMANDS, HOLD_COLUMN, RD, WR
from tests.oracle.dram_native import SITUATIONS, Oracle
from tests.oracle.dram_native_world import Run, World
from tests.property.native_systems import FAMILIES, HITS, row_runs, systems
from tests.unit.dram.bench import TrafficBench, random_traffic

RUNS_PER_BANK = 40
DELAYS = 2000
LONGEST = 60_000


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


def known_fields(fields):
    """The fields of a run that matter to the oracle."""
    return {name: value for name, value in fields.items() if name in Run.__dataclass_fields__}


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
        self.worlds[key].runs.append(Run(self.now + pause, delay, **known_fields(fields)))

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
    run_family(name, examples=12, steps=16)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_both_modes_issue_the_commands_of_the_oracle_in_many_long_runs(name):
    machine = run_family(name, examples=50, steps=30)
    assert all(machine.met[command] for command in ("ACT", "PRE", "RD", "WR"))
    if name == "anything":
        assert not [reason for reason in REASONS if not machine.reasons[reason]]


@pytest.mark.parametrize("seed", range(24))
def test_the_random_traffic_of_the_bench_agrees_and_the_oracle_misses_no_visit(seed):
    traffic = random_traffic(seed)
    logs = []
    for every_cycle in (False, True):
        worlds = {
            key: World(
                [Run(at, delay, **known_fields(fields)) for at, delay, fields in runs],
                dict(enumerate(traffic.eat_delay[key])),
                dict(enumerate(traffic.datum_delay[key])),
            )
            for key, runs in traffic.runs.items()
        }
        clocks = {"period": traffic.period, "world_period": traffic.world_period}
        oracle = Oracle(traffic.params, traffic.latency, worlds, every_cycle=every_cycle, **clocks)
        logs.append([tuple(command) for command in oracle.run_until(traffic.end).sorted_commands()])
    assert logs[0] == logs[1]
    assert LiveBench(traffic).run_until(traffic.end).commands() == logs[0]


def test_every_situation_that_the_oracle_names_is_asked_of_some_family():
    assert set().union(*(situations for _, situations in FAMILIES.values())) == SITUATIONS
