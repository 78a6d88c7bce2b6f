"""Time of GEMMs chunk by chunk on one chip, each unit in the order of the program: of teams, and of experts ahead.

    array     [passes 0][passes 1]       [passes 2] ...
    network             [sums 0]  [sums 1]         [sums 2]
    vector unit           [add 0][consume 0] [add 1][consume 1] ...

A chunk is what is handed over at once; over N it is a pass.  Two spaces take turns, so that passes 2 wait until chunk 0
is consumed.  Workers of a team send to all owners at once; an owner adds part after part, each behind the one before.
Where passes write several planes, those of chunk 1 are added up before the parts of chunk 0, since the vector unit
takes its instructions in order.  So does every unit: what comes later in the program begins when it is free.
"""

from __future__ import annotations

from typing import Any

from nmpsim.analytic.model.timing.gemms import REGIONS
from nmpsim.analytic.model.timing.issue import ARRAY, BEFORE, LANES, MOVES, PORT_0, PORTS, Units
from nmpsim.analytic.model.timing.pieces import Chunks, Handed
from nmpsim.analytic.model.timing.spent import Time, chosen
from nmpsim.analytic.model.timing.units import NEVER, SIGNAL, Streaming


def through(p: Any, units: Units, work: Chunks, ready: float, refreshed: float) -> tuple[float, float]:
    """Let a GEMM go through the units; return when its last sum stands, and when that has been consumed.

    Parameters
    ----------
    p : MachineParams
    units : Units
        Changed: when they are free again.
    work : Chunks
    ready : float
        When its input stands.
    refreshed : float
        By how much refreshes slow the banks.
    """
    row = work.row * refreshed
    held = p.dram.fifo_columns / p.dram.columns * row
    if units.shape and units.shape != work.shape:
        units.free[ARRAY] += units.drain + float(p.core.reconfigure)
    free, told, planes = ([0.0] * REGIONS for _ in range(3))
    stands = waiting = sums = end = 0.0
    turn = 0
    handing = any(part.handed.messages for part in work.parts)
    for i, part in enumerate(work.parts):
        if handing or not i:
            units.banks = max(units.banks, units.take(MOVES, BEFORE, 0.0) + units.first)
        if not i and part.handed.words:  # that the space of its sums is free
            ready = max(ready, units.several(1, BEFORE, 1.0) + SIGNAL)
        for _ in range(part.handed.words):
            told[i % REGIONS] = units.take(PORT_0, BEFORE, 1.0 / len(PORTS)) + part.handed.crossing
        for number in range(part.passes):
            begin = max(units.free[ARRAY], ready + work.lead, free[i % REGIONS])
            if part.kept:  # planes of the pass before the last have been added up
                begin = max(begin, planes[turn])
            begin = units.take(ARRAY, begin, 0.0)
            stream = part.rows * row / part.passes
            units.banks = max(units.banks + stream, begin + stream - held)
            units.free[ARRAY] = max(begin + part.array / part.passes, units.banks)
            stands = units.free[ARRAY] + part.drain + SIGNAL
            if part.kept:
                added = part.ended if number + 1 == part.passes else part.kept / part.passes
                stands = planes[turn] = units.several(1, stands, added) + SIGNAL
                turn = (turn + 1) % REGIONS
        if not handing:
            sums = stands
            end = units.several(part.operations, stands, part.consumed)
            free[i % REGIONS] = end + SIGNAL
        elif i:
            sums, end = _handed_over(units, work, i - 1, max(waiting, told[(i - 1) % REGIONS]))
            free[(i - 1) % REGIONS] = end + SIGNAL
        waiting = stands
    if handing:
        last = len(work.parts) - 1
        sums, end = _handed_over(units, work, last, max(waiting, told[last % REGIONS]))
    units.drain, units.shape = work.parts[-1].drain, work.shape
    return sums, end


def _handed_over(units: Units, work: Chunks, number: int, stands: float) -> tuple[float, float]:
    """When the sums of a chunk stand at their owners, and when they have been consumed."""
    chunk = work.parts[number]
    part, slow = chunk.handed, work.slow if number + 1 < len(work.parts) else 1.0
    if part.round:
        sums = _round(units, part, stands, slow)
    else:
        arrived = [stands]
        for _ in range(part.messages):
            begin = 0.0
            for port in PORTS:
                begin = units.take(port, stands, part.busy / part.messages)
            arrived.append(begin + part.busy / part.messages + part.crossing)
        sums = arrived[-1]
        for turn in range(part.adds):
            came = arrived[-1] if turn + 1 == part.adds else min(arrived[-1], arrived[1])
            sums = _added(units, came if not turn else max(came, sums), part.add, slow)
    return sums, units.several(chunk.operations, sums, chunk.consumed)


def _round(units: Units, part: Handed, stands: float, slow: float) -> float:
    """When sums that go round by both ports stand."""
    both = part.adds > part.messages
    before = [stands, stands]
    for _ in range(part.messages):
        for port in PORTS[: 2 if both else 1]:
            begin = units.take(port, before[port - PORT_0], part.busy / part.messages)
            came = begin + part.busy / part.messages + part.crossing
            before[port - PORT_0] = _added(units, came, part.add, slow)
    return max(before)


def _added(units: Units, ready: float, add: float, slow: float) -> float:
    """When an addition is complete: what finds no ports beside passes does so behind them."""
    begin = units.take(LANES, ready, 0.0)
    units.free[LANES] = min(begin + add * min(slow, NEVER), max(begin, units.free[ARRAY]) + add)
    return units.free[LANES] + units.latency


def in_teams(p: Any, s: Streaming, work: Chunks, entry: Time) -> tuple[Time, Time]:
    """Return the time until the last sum is complete, and that of the last consumer behind it.

    Parameters
    ----------
    p : MachineParams
        One chip.
    s : Streaming
    work : Chunks
        From `team_chunks`.
    entry : Time
        Until the input stands on all PUs.
    """
    latency, rows, last = float(p.core.vector_latency), work.rows, work.parts[-1]
    refreshed = float(s.of(rows)) / max(1.0, rows * work.row)
    row = work.row * refreshed
    filled = min(work.parts[0].rows, p.dram.fifo_columns / p.dram.columns) * row
    units = Units(p, float(s.first), -filled)
    sums, _ = through(p, units, work, 0.0, refreshed)
    array = sum(part.array for part in work.parts)
    passing = chosen(("stream", rows * row - filled), ("array", array))
    kept = Time(vector=last.ended, latency=latency + SIGNAL if last.ended else 0.0)
    handed = last.handed.alone(latency)
    straight = passing + Time(latency=work.lead + last.drain + SIGNAL) + kept + handed
    later = max(0.0, sums - float(straight.cycles))  # what waits for spaces and additions
    bound = handed.times(later / max(1.0, float(handed.cycles)))
    return entry + straight + bound, Time(vector=last.consumed, latency=latency)
