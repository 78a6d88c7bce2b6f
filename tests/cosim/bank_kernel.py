"""A bank of the kernel under random traffic: what it saw and what it did, cycle by cycle.

The world stalls on every handshake: runs come late, landing places come back late, write data are late, the
activation budget is refused.  Each of these changes its pace every few dozen cycles, from never to always.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nmpsim.dram.native import budget, grant_activations, make_state, post, raise_faults, settle, step_channel
from nmpsim.link import fifo as link_fifo
from nmpsim.link import memory_port
from nmpsim.spec.params import ACT, RD, WR, DramParams
from rtl_models.dram.bank_sequencer import bank_sequencer
from tests.cosim.replay import Replay
from tests.unit.dram.bench import python_of
from tests.unit.dram.chips import SMALL, SMALL_TIER, latency_table

credit_at, head_at, push, pop = (
    python_of(getattr(link_fifo, name)) for name in ("credit_at", "head_at", "push", "pop")
)
run_at, run_space_at = python_of(memory_port.run_at), python_of(memory_port.run_space_at)
budget_at = python_of(budget.budget_at)

RUN_FIELDS = ("first_row", "rows", "row_stride", "first_column", "columns", "is_write")
HANDSHAKES = ("run", "credit", "datum", "grant")


@dataclass
class BankCase:
    """One bank: its integers, and the seed of its traffic."""

    params: DramParams
    latency: np.ndarray
    seed: int = 0
    bank: int = 0  # which bank of the channel has the traffic; the others only refresh


def draw_case(seed: int, **fixed: int) -> BankCase:
    """Draw the integers of a bank; `fixed` overrides some of them."""
    rng = np.random.default_rng([seed, 1])

    def pick(*choices):
        return choices[rng.integers(len(choices))]

    columns, tiers = pick(1, 2, 4, 7), pick(1, 2, 3)
    params = SMALL._replace(
        banks=pick(1, 1, 1, 3),
        rows=8 * tiers,
        columns=columns,
        tiers=tiers,
        rows_per_tier=8,
        fifo_columns=columns + pick(0, 1, columns, 3 * columns),
        run_queue=pick(1, 2, 3),
        nCL=pick(0, 1, 4),
        nCWL=pick(0, 2),
        nPORT=pick(1, 3),
        nCREDIT=pick(1, 2),
        nRRD=pick(0, 0, 20),
        nFAW=pick(0, 0, 90),
        nREFI=pick(40, 40, 90, 200),
        refresh=pick(0, 1, 1, 1),
        postpone=pick(0, 1, 2, 3),
        pull_in=pick(0, 0, 1, 2, 3),
        row_hits=pick(0, 1, 2, 3),
        die_nRRD=1,  # the budget of the die is asked from outside the channel: the bench grants or does not
    )._replace(**fixed)
    tables = []
    for _ in range(params.tiers):
        table = {name: int(rng.integers(0, 12)) for name in SMALL_TIER}
        table |= {"nCCD": pick(1, 1, 2, 3), "nRC": int(rng.integers(0, 30)), "nRFC": pick(1, 9, 25)}
        tables.append({name: cycles for name, cycles in table.items() if rng.random() < 0.9})
    latency = latency_table(*tables)
    odd = rng.random(latency.shape) < pick(0.0, 0.0, 0.3)  # pairs that no standard ties together
    latency[odd] = rng.integers(-1, 25, int(odd.sum()))
    return BankCase(params, latency, seed, bank=int(rng.integers(params.banks)))


@dataclass
class Recording:
    """What the kernel's bank saw and did; entry t of each list is cycle t."""

    case: BankCase
    inputs: list[dict[str, int]] = field(default_factory=list)
    outputs: list[dict[str, int]] = field(default_factory=list)  # what RTL must show; what has no meaning is left out
    latest: int = 0  # farthest that a refresh was from its due cycle, either way; DRAM cycles

    def replay(self, name: str) -> Replay:
        """The RTL for this case, its cycle count as narrow as this recording allows, so that it wraps often."""
        params = self.case.params
        longest = max(self.latest, (params.postpone + 1) * params.nREFI, (params.pull_in + 2) * params.nREFI)
        bits = longest.bit_length() + 1
        block = bank_sequencer(params, self.case.latency, bank=self.case.bank, cycle_bits=bits)
        return Replay(name, block, self.inputs, self.outputs)


class KernelBank:
    """One channel of the kernel in plain mode, one of its banks under traffic.

    Parameters
    ----------
    case : BankCase
    """

    def __init__(self, case: BankCase) -> None:
        self.case = case
        self.bank = case.bank
        self.rng = np.random.default_rng([case.seed, 2])
        self.state = make_state(case.params, 1, tokens=1, log_capacity=20000)
        self.wake = np.zeros(1, np.int64)
        self.pace = dict.fromkeys(HANDSHAKES, 1.0)
        self.beats_free_at = 0  # free_at of the latest landing place given back
        self.datum_at = 0  # ready_at of the latest write datum
        self.row = 0  # first row of the latest run

    def record(self, cycles: int) -> Recording:
        """Run from cycle 0 up to `cycles`."""
        recording = Recording(self.case)
        params = self.case.params
        for now in range(cycles):
            self.step_world(now)
            recording.inputs.append(self.inputs(now))
            before = self.counts()
            refreshes = int(self.state.bank[0, self.bank].refreshes)
            due_at = params.nREFI * (refreshes + 1) + params.nREFI * self.bank // params.banks
            recording.latest = max(recording.latest, abs(now - due_at))
            wants = self.step_kernel(now, granted=recording.inputs[-1]["act_grant"])
            recording.outputs.append(self.outputs(before, self.counts(), wants, refreshes))
        raise_faults(self.state)
        return recording

    # ------------------------------------------------------------------------------------------------- the kernel

    def step_kernel(self, now: int, *, granted: int) -> int:
        """Step the channel, ask the arbiter where `granted`, and settle; return whether the bank wanted an ACT."""
        params, latency, state = self.case.params, self.case.latency, self.state
        step_channel(0, now, 1, params, 1, latency, state)
        wants = int(state.channel[0].wants_act)
        if granted:
            grant_activations(now, params, 1, latency, state, self.wake)
        settle(now + 1, params, 1, latency, state)
        return wants

    def counts(self):
        """What is compared before and after a cycle."""
        state = self.state
        return {
            "logged": int(state.channel[0].logged),
            "taken": int(state.queue[0, self.bank].taken),
            "popped": int(state.write_fifo[0, self.bank].head),
            "stall": state.stall[0, self.bank].copy(),
        }

    def outputs(self, before, after, wants: int, refreshes: int) -> dict[str, int]:
        """What the RTL must show in the cycle between two counts."""
        entries = [e for e in self.state.log[0, before["logged"] : after["logged"]] if e.bank == self.bank]
        assert len(entries) <= 1, "two commands in one cycle"
        stall = after["stall"] - before["stall"]
        assert stall.sum() == 1, "a cycle with no reason or several"
        shown = {
            "command_valid": len(entries),
            "row": int(self.state.bank[0, self.bank].row),
            "take_run": after["taken"] - before["taken"],
            "pop_write": after["popped"] - before["popped"],
            "want_act": wants,
            "refreshes": refreshes,
            "reason": int(stall.argmax()),
        }
        for entry in entries:
            shown["command"] = int(entry.command)
            if entry.command in {ACT, RD, WR}:
                shown["column"] = int(entry.column)
                assert entry.row == shown["row"]
        return shown

    # -------------------------------------------------------------------------------------------------- the world

    def step_world(self, now: int) -> None:
        """Post a run, take a beat, put a write datum: at most one each."""
        rng, state, params = self.rng, self.state, self.case.params
        for name in HANDSHAKES:
            if rng.random() < 1 / 40:
                self.pace[name] = float(rng.choice([0.0, 0.03, 0.3, 1.0, 1.0]))
        if rng.random() < self.pace["run"] and run_space_at(state.queue[0, self.bank], state.run[0, self.bank]) <= now:
            post(state, 0, self.bank, now + int(rng.integers(0, 3)), **self.draw_run())
        fifo, slots = state.fifo[0, self.bank], state.slot[0, self.bank]
        if rng.random() < self.pace["credit"] and head_at(fifo, slots) <= now:
            self.beats_free_at = max(now + params.nCREDIT, self.beats_free_at + 1)  # one place per cycle comes back
            pop(fifo, slots, self.beats_free_at)
        fifo, slots = state.write_fifo[0, self.bank], state.write_slot[0, self.bank]
        if rng.random() < self.pace["datum"] and credit_at(fifo, slots, 1) <= now:
            self.datum_at = max(now + int(rng.integers(0, 3)), self.datum_at)
            fifo.reserved += 1
            push(fifo, slots, self.datum_at, 0, 0)

    def draw_run(self) -> dict[str, int]:
        """Draw a run; it often stays on the row of the run before."""
        rng, params = self.rng, self.case.params
        width = int(rng.integers(1, params.columns + 1))
        rows, stride = int(rng.integers(1, 5)), int(rng.choice([-2, 0, 0, 1, 3]))
        first = self.row if rng.random() < 0.5 else int(rng.integers(params.rows))
        if not 0 <= first + (rows - 1) * stride < params.rows:
            rows = 1
        self.row = first + (rows - 1) * stride
        return {
            "first_row": first,
            "rows": rows,
            "row_stride": stride,
            "first_column": int(rng.integers(0, params.columns - width + 1)),
            "columns": width,
            "is_write": int(rng.random() < 0.35),
        }

    def inputs(self, now: int) -> dict[str, int]:
        """What the RTL sees in cycle `now`: wires that are not valid carry anything."""
        rng, state, params = self.rng, self.state, self.case.params
        queue, runs = state.queue[0, self.bank], state.run[0, self.bank]
        seen = run_at(queue, runs) <= now
        head = runs[queue.taken % len(runs)]
        budget_free = budget_at(state, 0, params, 1) <= now
        free_at = state.slot[0, self.bank].free_at
        return {f"run_{name}": int(head[name]) if seen else int(rng.integers(0, 64)) for name in RUN_FIELDS} | {
            "run_valid": int(seen),
            "write_valid": int(head_at(state.write_fifo[0, self.bank], state.write_slot[0, self.bank]) <= now),
            "act_grant": int(rng.random() < self.pace["grant"] and budget_free),
            "credit_return": int((free_at == now + 1).sum()),
            "cycle": now,
        }
