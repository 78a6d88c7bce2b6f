"""Request traffic for benchmarks and examples, by name and seed.

===========  ==========================================================================================================
``stream``   reads of all places in order; standards: pseudo channel fastest, then group, bank, column,
             stack id, row; native: whole rows of one bank after another
``random``   reads, every field uniform
``mix``      the stream, every third request (native: every third row) a write
``pingpong`` reads of two rows of one bank (the first of each channel) in turn: the worst case for an open row
===========  ==========================================================================================================
"""

from __future__ import annotations

import numpy as np

from nmpsim.dram.address import field_sizes
from nmpsim.dram.trace.lines import Integers
from nmpsim.dram.trace.memory import NATIVE, Memory
from nmpsim.dram.trace.requests import RequestTrace
from nmpsim.errors import Fault, WorkloadError

TRAFFIC = ("stream", "random", "mix", "pingpong")
PINGPONG_ROWS = (5, 9)


def make_traffic(memory: Memory, kind: str, requests: int, seed: int = 0) -> RequestTrace:
    """Return generated requests, all there at tick 0.

    Parameters
    ----------
    memory : Memory
        Whose places they are for.
    kind : str
        One of TRAFFIC.
    requests : int
        How many, of one transaction each.
    seed : int
        Of ``random``.

    Raises
    ------
    WorkloadError
        If there is no such traffic, or the memory has too few rows for it.
    """
    if kind not in TRAFFIC:
        fault = Fault("--traffic", repr(kind), " or ".join(TRAFFIC), "choose one of them")
        raise WorkloadError("no such traffic", [fault])
    sizes = field_sizes(memory.protocol)
    number = np.arange(requests)
    if kind == "random":
        rng = np.random.default_rng(seed)
        fields = np.stack([rng.integers(0, size, requests) for size in sizes], axis=1)
    elif kind == "pingpong":
        fields = _pingpong(memory, number, sizes)
    else:
        fields = _walk(number, sizes, _order(memory))
    unit = sizes[-1] if memory.controller == NATIVE else 1
    is_write = (number // unit % 3 == 2 if kind == "mix" else number < 0).astype(np.int64)
    place = np.zeros(requests, np.int64)
    for n, size in enumerate(sizes):
        place = place * size + fields[:, n]
    addr = place * memory.protocol.transaction_bytes
    return RequestTrace(number, np.zeros(requests, np.int64), is_write, addr, fields, is_timed=False, has_fields=True)


def _order(memory: Memory) -> list[int]:
    """Return the fields from the one that changes fastest to the slowest."""
    levels = len(memory.protocol.levels)
    row, column = levels, levels + 1
    if memory.controller != NATIVE:
        fast = [n for n, level in enumerate(memory.protocol.levels) if level != "Sid"]
        slow = [n for n in range(levels) if n not in fast]
        return [*fast, column, *slow, row]
    channel = memory.protocol.levels.index("Channel")
    return [column, *range(channel + 1, levels), channel, *range(channel), row]


def _walk(number: Integers, sizes: tuple[int, ...], order: list[int]) -> Integers:
    """Return the fields of numbered places, beginning anew after the last one."""
    fields = np.zeros((len(number), len(sizes)), np.int64)
    rest = number
    for place in order:
        rest, fields[:, place] = np.divmod(rest, sizes[place])
    return fields


def _pingpong(memory: Memory, number: Integers, sizes: tuple[int, ...]) -> Integers:
    """Return two rows in turn, columns rising, channel by channel."""
    levels = len(memory.protocol.levels)
    if sizes[levels] <= max(PINGPONG_ROWS):
        got, allowed = f"{sizes[levels]} rows", f"more than {max(PINGPONG_ROWS)}"
        raise WorkloadError("pingpong needs more rows", [Fault("rows", got, allowed, "choose other traffic")])
    fields = np.zeros((len(number), len(sizes)), np.int64)
    rest = number
    if "Channel" in memory.protocol.levels[1:]:
        channel = memory.protocol.levels.index("Channel")
        rest, fields[:, channel] = np.divmod(rest, sizes[channel])
    fields[:, levels] = np.array(PINGPONG_ROWS)[rest % 2]
    fields[:, levels + 1] = rest // 2 % sizes[levels + 1]
    return fields
