# ruff: noqa: INP001  (a folder of scripts, no package)
"""Speed of three ways to hold the state of a kernel, with and without numba's reference counting.

The unit is a bank with a FIFO of 16 slots: 9 fields per bank, 3 per slot, one step per bank and cycle.

    records  a tuple of two arrays of records, as in nmpsim: bank[bank], slot[bank, place]
    arrays   a tuple of twelve plain arrays, one per field
    nested   an array of records that hold their slots: the number of slots is part of the type

Run: ``python benchmarks/state_layout.py`` (CPU time, cases interleaved, median of 5; results must be equal).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

BANKS, PLACES, CYCLES, ROUNDS = 256, 16, 20_000, 5
BANK_FIELDS = ("filled", "head", "next_at", "issued", "taken", "late", "stalled", "row", "activations")
SLOT_FIELDS = ("ready_at", "free_at", "target")
SLOT = np.dtype((np.record, [(name, "i8") for name in SLOT_FIELDS]))


class Records(NamedTuple):
    """Two arrays of records."""

    bank: Any
    slot: Any


class Nested(NamedTuple):
    """One array of records with their slots inside."""

    bank: Any


Arrays = NamedTuple("Arrays", [(name, Any) for name in (*BANK_FIELDS, *SLOT_FIELDS)])  # type: ignore[misc]


def make(layout: str) -> Any:
    """Return the state of all banks at tick 0."""
    bank = [(name, "i8") for name in BANK_FIELDS]
    if layout == "arrays":
        sizes = [BANKS] * len(BANK_FIELDS) + [(BANKS, PLACES)] * len(SLOT_FIELDS)
        return Arrays(*(np.zeros(size, np.int64) for size in sizes))
    if layout == "nested":
        return Nested(np.zeros(BANKS, np.dtype((np.record, [*bank, ("slot", SLOT, PLACES)]))).view(np.recarray))
    slots = np.zeros((BANKS, PLACES), SLOT).view(np.recarray)
    return Records(np.zeros(BANKS, np.dtype((np.record, bank))).view(np.recarray), slots)


def step_records(state: Any, b: int, now: int) -> None:
    """Step one bank; also for nested records, whose slots are found in the bank."""
    bank = state.bank[b]
    if now >= bank.next_at:
        if bank.filled - bank.head < PLACES:
            slot = state.slot[b, bank.filled % PLACES]
            if slot.free_at <= now:
                slot.ready_at = now + 7
                slot.target = bank.filled & 3
                bank.filled += 1
                bank.issued += 1
                bank.next_at = now + 1 + (bank.filled & 1)
                if bank.filled % PLACES == 0:
                    bank.row += 1
                    bank.activations += 1
        else:
            bank.stalled += 1
    if bank.head < bank.filled:
        slot = state.slot[b, bank.head % PLACES]
        if slot.ready_at <= now:
            bank.taken += slot.target
            slot.free_at = now + 2
            bank.head += 1
        else:
            bank.late += 1


def step_nested(state: Any, b: int, now: int) -> None:
    """Step one bank of the nested layout."""
    bank = state.bank[b]
    slots = bank.slot
    if now >= bank.next_at:
        if bank.filled - bank.head < PLACES:
            slot = slots[bank.filled % PLACES]
            if slot.free_at <= now:
                slot.ready_at = now + 7
                slot.target = bank.filled & 3
                bank.filled += 1
                bank.issued += 1
                bank.next_at = now + 1 + (bank.filled & 1)
                if bank.filled % PLACES == 0:
                    bank.row += 1
                    bank.activations += 1
        else:
            bank.stalled += 1
    if bank.head < bank.filled:
        slot = slots[bank.head % PLACES]
        if slot.ready_at <= now:
            bank.taken += slot.target
            slot.free_at = now + 2
            bank.head += 1
        else:
            bank.late += 1


def step_arrays(state: Any, b: int, now: int) -> None:
    """Step one bank of the layout of plain arrays."""
    if now >= state.next_at[b]:
        if state.filled[b] - state.head[b] < PLACES:
            place = state.filled[b] % PLACES
            if state.free_at[b, place] <= now:
                state.ready_at[b, place] = now + 7
                state.target[b, place] = state.filled[b] & 3
                state.filled[b] += 1
                state.issued[b] += 1
                state.next_at[b] = now + 1 + (state.filled[b] & 1)
                if state.filled[b] % PLACES == 0:
                    state.row[b] += 1
                    state.activations[b] += 1
        else:
            state.stalled[b] += 1
    if state.head[b] < state.filled[b]:
        place = state.head[b] % PLACES
        if state.ready_at[b, place] <= now:
            state.taken[b] += state.target[b, place]
            state.free_at[b, place] = now + 2
            state.head[b] += 1
        else:
            state.late[b] += 1


STEPS = {"records": step_records, "arrays": step_arrays, "nested": step_nested}


def compiled(step: Callable[..., None], counting: bool) -> Callable[..., None]:
    """Return a compiled loop over all banks and cycles."""
    inner = numba.njit(_nrt=counting)(step)

    @numba.njit(_nrt=counting)
    def run(state: Any, first: int, last: int) -> None:
        for now in range(first, last):
            for b in range(BANKS):
                inner(state, b, now)

    return run


def totals(state: Any) -> list[int]:
    """Return what must be the same in all layouts: the sum of every field of the banks."""
    source = state.bank if hasattr(state, "bank") else state
    return [int(np.sum(getattr(source, name))) for name in BANK_FIELDS]


def main() -> None:
    """Print one line per case."""
    cases = [(layout, counting) for counting in (True, False) for layout in STEPS]
    loops = {case: compiled(STEPS[case[0]], case[1]) for case in cases}
    seconds: dict[tuple[str, bool], list[float]] = {case: [] for case in cases}
    for case in cases:
        loops[case](make(case[0]), 0, 1)
    found = set()
    for _ in range(ROUNDS):
        for case in cases:
            state = make(case[0])
            start = time.process_time()
            loops[case](state, 0, CYCLES)
            seconds[case].append(time.process_time() - start)
            found.add(tuple(totals(state)))
    if len(found) != 1:
        sys.exit(f"the layouts do not agree: {found}")
    for layout, counting in cases:
        speed = BANKS * CYCLES / statistics.median(seconds[layout, counting]) / 1e6
        word = "counted" if counting else "not counted"
        sys.stdout.write(f"{layout:8} references {word:12} {speed:7.1f} M bank steps per CPU second\n")


if __name__ == "__main__":
    main()
