"""Lab benches for DRAM channels: `DramUnderTest` for one thing at a time, `TrafficBench` for random traffic.

``python -m tests.unit.dram.bench SEED...`` prints a digest of random runs, to compare lanes in separate interpreters.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field

import numpy as np

from nmpsim.dram.native import (
    REASONS,
    check_balance,
    command_log,
    grant_activations,
    make_state,
    post,
    raise_faults,
    settle,
    step_channel,
)
from nmpsim.kernel import NEVER
from nmpsim.link import fifo as link_fifo
from nmpsim.link import memory_port
from nmpsim.spec.params import COMMANDS, HOLD_COLUMN, HOLD_ROW, RD, WR, DramParams
from tests.unit.dram.chips import SMALL, SMALL_TIER, latency_table


def python_of(function):
    """The plain Python of a compiled function: calling it record by record needs no machine code."""
    return getattr(function, "py_func", function)


credit_at, head_at, push, pop = (
    python_of(getattr(link_fifo, name)) for name in ("credit_at", "head_at", "push", "pop")
)
run_space_at, write_done_at = (python_of(getattr(memory_port, name)) for name in ("run_space_at", "write_done_at"))


class DramUnderTest:
    """One bank or a few on the bench: post runs, let time pass, ask what was legal and what was issued when.

    Without an eater (``eats=False``) beats stay in the landing FIFO until `eat` is called.
    """

    def __init__(self, params: DramParams, latency, *, period=1, plain=True, eats=True, channels=1):
        self.params, self.latency, self.period, self.plain, self.eats = params, latency, period, plain, eats
        self.state = make_state(params, channels, tokens=8, log_capacity=4096)
        self.now = 0

    def issue(self, bank=0, *, ready_at=0, **fields):
        """Post a run that the bank sees from `ready_at` on (cycles)."""
        fields = {"rows": 1, "columns": self.params.columns} | fields
        post(self.state, 0, bank, ready_at * self.period, **fields)

    def supply(self, bank, *cycles):
        """Put write data at the port of a bank, available from the given cycles on."""
        for cycle in cycles:
            fifo, slots = self.state.write_fifo[0, bank], self.state.write_slot[0, bank]
            fifo.reserved += 1
            push(fifo, slots, cycle * self.period, 0, 0)

    def eat(self, bank=0, beats=1, *, free_at=None):
        """Take beats now; their slots are free again at cycle `free_at`, by default nCREDIT after now."""
        cycle = self.now + self.params.nCREDIT if free_at is None else free_at
        for _ in range(beats):
            pop(self.state.fifo[0, bank], self.state.slot[0, bank], cycle * self.period)

    def run_until(self, cycle):
        """Visit the channels on every cycle before `cycle`."""
        while self.now < cycle:
            for c in range(self.state.bank.shape[0]):
                step_channel(
                    c, self.now * self.period, int(self.plain), self.params, self.period, self.latency, self.state
                )
            wake = np.zeros(self.state.bank.shape[0], np.int64)  # every cycle is visited
            grant_activations(self.now * self.period, self.params, self.period, self.latency, self.state, wake)
            for bank in range(self.params.banks):
                fifo, slots = self.state.fifo[0, bank], self.state.slot[0, bank]
                while self.eats and head_at(fifo, slots) <= self.now * self.period:
                    self.eat(bank)
            self.now += 1
        raise_faults(self.state)
        settle(self.now * self.period, self.params, self.period, self.latency, self.state)
        check_balance(self.state, self.now)
        return self

    def commands(self, bank=0):
        """What the bank was told so far, as (cycle, name)."""
        log = command_log(self.state, self.now * self.period)
        return [(int(e.tick) // self.period, COMMANDS[e.command]) for e in log if e.bank == bank and e.channel == 0]

    def cycle_of(self, name, number=0, bank=0):
        """Cycle of the command number `number` of that name."""
        return [cycle for cycle, command in self.commands(bank) if command == name][number]

    def probe(self, name, bank=0):
        """Earliest cycle at which the timing table allows a command of this bank."""
        return int(self.state.ready[0, bank, COMMANDS.index(name)]) // self.period

    def assert_earliest(self, name, bank, cycle):
        """The table allows the command at `cycle` and not one cycle before."""
        assert self.probe(name, bank) == cycle

    def stalls(self, bank=0):
        """Cycles per reason, without the zeros."""
        table = self.state.stall[0, bank]
        return {reason: int(cycles) for reason, cycles in zip(REASONS, table, strict=True) if cycles}


@dataclass
class Traffic:
    """Random traffic, drawn before the run: what happens depends on stamps and on nothing else."""

    params: DramParams
    latency: np.ndarray
    period: int
    world_period: int
    channels: int
    end: int
    runs: dict = field(default_factory=dict)  # (channel, bank) -> list of (post_at, delay, fields)
    eat_delay: dict = field(default_factory=dict)  # (channel, bank) -> delay of beat n
    datum_delay: dict = field(default_factory=dict)  # (channel, bank) -> delay of write datum n


def random_traffic(seed: int, *, end: int | None = None) -> Traffic:
    """Draw parameters and traffic; every wait reason is likely somewhere over a few dozen seeds."""
    rng = np.random.default_rng(seed)

    def pick(*choices):
        return choices[rng.integers(len(choices))]

    columns = pick(1, 2, 4, 8)
    tiers = pick(1, 2)
    params = SMALL._replace(
        banks=pick(1, 2, 3, 4),
        rows=16,
        columns=columns,
        tiers=tiers,
        rows_per_tier=16 // tiers,
        fifo_columns=columns + pick(0, 1, columns, 3 * columns),
        run_queue=pick(1, 2, 3),
        nCL=pick(0, 1, 4),
        nCWL=pick(0, 2),
        nPORT=pick(1, 3),
        nCREDIT=pick(1, 2),
        nRRD=pick(0, 0, 1, 4),
        nFAW=pick(0, 0, 20, 45),
        nREFI=pick(40, 90, 200),
        refresh=pick(0, 1, 1),
        postpone=pick(0, 1, 4),
        pull_in=pick(0, 0, 1, 3),
        row_hits=pick(1, 1, 0, 2, 3),
        die_nRRD=pick(0, 0, 0, 1, 3),
        die_nFAW=pick(0, 0, 0, 15, 40),
        die_acts=pick(1, 2, 5),
        port_hold=pick(HOLD_ROW, HOLD_COLUMN),
    )
    port_banks = pick(1, 1, 2, params.banks)
    params = params._replace(port_banks=port_banks, ports=int(rng.integers(1, port_banks + 1)))
    names = (*SMALL_TIER, "nRFC")
    tables = []
    for _ in range(tiers):
        table = {name: int(rng.integers(0, 12)) for name in names}
        table |= {"nCCD": pick(1, 1, 2, 3), "nRFC": pick(1, 9, 25)}
        tables.append({name: cycles for name, cycles in table.items() if rng.random() < 0.9})
    latency = latency_table(*tables)
    odd = rng.random(latency.shape) < pick(0.0, 0.3)  # pairs that no standard ties together
    latency[odd] = rng.integers(-1, 25, int(odd.sum()))
    shortest = max(1, min(int(latency[tier, kind, kind]) for tier in range(tiers) for kind in (RD, WR)))
    params = params._replace(nBL=int(rng.integers(1, shortest + 1)))
    traffic = Traffic(params, latency, pick(1, 4), pick(1, 3, 5), pick(1, 1, 2), end or int(rng.integers(150, 900)))
    slow_eater, slow_writer = pick(0.0, 0.1, 0.4), pick(0.0, 0.1, 0.4)
    ticks_per_run = pick(5, 30, 120)
    for c in range(traffic.channels):
        for b in range(params.banks):
            at = 0
            runs = []
            while at < traffic.end and len(runs) < 40:
                width = int(rng.integers(1, columns + 1))
                rows = int(rng.integers(1, 4))
                stride = pick(-2, 0, 1, 3)
                first = int(rng.integers(0, 16 - (rows - 1) * abs(stride))) + max(0, -stride * (rows - 1))
                fields = {
                    "first_row": first,
                    "rows": rows,
                    "row_stride": stride,
                    "first_column": int(rng.integers(0, columns - width + 1)),
                    "columns": width,
                    "is_write": int(rng.random() < 0.35),
                    "target": pick(0, int(rng.integers(1, 4096))),
                    "target_stride": pick(32, 64, 0),
                    "token": b * 40 + len(runs),
                }
                at += int(rng.integers(0, 2 * ticks_per_run))
                runs.append((at, 1 + int(rng.integers(0, 9)), fields))
            traffic.runs[c, b] = runs
            for delays, share in ((traffic.eat_delay, slow_eater), (traffic.datum_delay, slow_writer)):
                late = rng.random(2000) < share
                delays[c, b] = np.where(late, rng.integers(1, 60, 2000), 0).tolist()
    return traffic


class TrafficBench:
    """Runs one `Traffic` and records everything that can be seen from outside.

    Parameters
    ----------
    traffic : Traffic
    plain : bool
        Mode of the kernel.
    eager : bool
        Visit the channels on every edge although their wake has not come; must change nothing.
    reverse : bool
        Visit channels from the last to the first, and the world before them.
    settle_every : int
        Settle every so many ticks; 0 = at the end only.  Must change nothing.
    """

    def __init__(self, traffic: Traffic, *, plain=False, eager=False, reverse=False, settle_every=0):
        self.traffic, self.plain, self.eager, self.reverse, self.settle_every = (
            traffic,
            plain,
            eager or plain,
            reverse,
            settle_every,
        )
        t = traffic
        self.state = make_state(t.params, t.channels, tokens=40 * t.params.banks, log_capacity=20000)
        self.wake = np.zeros(t.channels, np.int64)
        self.posted = dict.fromkeys(t.runs, 0)
        self.eaten = dict.fromkeys(t.runs, 0)
        self.data_put = dict.fromkeys(t.runs, 0)
        self.last_eaten_at = dict.fromkeys(t.runs, 0)
        self.open_tokens: list[tuple[int, int]] = []
        self.beats: list[tuple[int, ...]] = []  # (tick, channel, bank, number, ready_at, target, token)
        self.written: list[tuple[int, ...]] = []  # (tick, channel, token)
        self.snapshots: list[str] = []
        self.visits = 0

    def run(self) -> TrafficBench:
        t = self.traffic
        for now in range(t.end):
            steps = [self.step_world, self.step_channels]
            for step in steps if self.reverse else reversed(steps):
                step(now)
            if self.settle_every and now % self.settle_every == 0:
                self.settle(now)
                self.snapshots.append(self.tables())
        self.settle(t.end)
        raise_faults(self.state)
        check_balance(self.state, -(-t.end // t.period))
        return self

    def settle(self, now):
        t = self.traffic
        settle(now, t.params, t.period, t.latency, self.state)

    def step_channels(self, now):
        t = self.traffic
        if now % t.period:
            return
        order = range(t.channels)
        for c in reversed(order) if self.reverse else order:
            if self.eager or self.wake[c] <= now:
                self.visits += 1
                self.wake[c] = step_channel(c, now, int(self.plain), t.params, t.period, t.latency, self.state)
                assert self.wake[c] > now
                assert self.state.channel[c].first_ready_at > now
        grant_activations(now, t.params, t.period, t.latency, self.state, self.wake)
        assert min(self.wake) > now or not self.eager

    def step_world(self, now):
        if now % self.traffic.world_period == 0:
            for c, b in self.traffic.runs:
                self.step_port(now, c, b)
            done = [(c, k) for c, k in self.open_tokens if write_done_at(self.state.token[c, k]) <= now]
            for c, k in done:
                self.written.append((now, c, k))
                self.open_tokens.remove((c, k))

    def step_port(self, now, c, b):
        """The data mover and the eater of one bank, each doing at most one thing per visit."""
        t, key = self.traffic, (c, b)
        state = self.state
        runs = t.runs[key]
        number = self.posted[key]
        wants_post = number < len(runs) and runs[number][0] <= now
        if wants_post and run_space_at(state.queue[c, b], state.run[c, b]) <= now:
            _, delay, fields = runs[number]
            if fields["is_write"]:
                state.token[c, fields["token"]].left = fields["rows"] * fields["columns"]
                self.open_tokens.append((c, fields["token"]))
            post(state, c, b, now + delay, **fields)
            self.posted[key] += 1
            self.wake[c] = min(self.wake[c], now + delay)
        fifo, slots = state.write_fifo[c, b], state.write_slot[c, b]
        wanted = sum(f["rows"] * f["columns"] for _, _, f in runs[: self.posted[key]] if f["is_write"])
        if self.data_put[key] < wanted and credit_at(fifo, slots, 1) <= now:
            ready_at = now + 1 + t.datum_delay[key][self.data_put[key] % 2000]
            fifo.reserved += 1
            push(fifo, slots, ready_at, 0, 0)
            self.data_put[key] += 1
            self.wake[c] = min(self.wake[c], ready_at)
        fifo, slots = state.fifo[c, b], state.slot[c, b]
        ready_at = int(head_at(fifo, slots))
        eaten = self.eaten[key]
        if ready_at < NEVER:
            eat_at = max(ready_at, self.last_eaten_at[key]) + t.eat_delay[key][eaten % 2000]
            if eat_at <= now:
                slot = slots[fifo.head % len(slots)]
                self.beats.append((now, c, b, eaten, ready_at, int(slot.target), int(slot.token)))
                free_at = now + t.params.nCREDIT * t.period
                pop(fifo, slots, free_at)
                self.eaten[key] += 1
                self.last_eaten_at[key] = now
                self.wake[c] = min(self.wake[c], free_at)

    def tables(self) -> str:
        """Counters and stalls as they stand."""
        return hashlib.sha256(self.state.counter.tobytes() + self.state.stall.tobytes()).hexdigest()

    def log(self) -> np.ndarray:
        """Commands before the end."""
        return command_log(self.state, self.traffic.end)

    def seen(self) -> dict[str, object]:
        """Everything that must not depend on the mode."""
        return {
            "counters": self.state.counter.tolist(),
            "stalls": self.state.stall.tolist(),
            "log": self.log().tolist(),
            "beats": sorted(self.beats),
            "written": sorted(self.written),
            "snapshots": self.snapshots,
        }

    def expected_beats(self, c, b):
        """(target, token) of every read beat of the posted runs, in order."""
        beats = []
        for _, _, fields in self.traffic.runs[c, b][: self.posted[c, b]]:
            if not fields["is_write"]:
                for beat in range(fields["rows"] * fields["columns"]):
                    target = fields["target"] and fields["target"] + beat * fields["target_stride"]
                    beats.append((target, fields["token"]))
        return beats


def digest(seeds) -> str:
    """One hash over what is seen in plain and skip mode of some random runs."""
    total = hashlib.sha256()
    for seed in seeds:
        for plain in (True, False):
            total.update(repr(TrafficBench(random_traffic(seed, end=200), plain=plain).run().seen()).encode())
    return total.hexdigest()


if __name__ == "__main__":
    print(digest(int(seed) for seed in sys.argv[1:]))
