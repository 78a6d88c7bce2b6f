"""What the instructions of a program move and compute: counts that energies are multiplied with.

Everything is derived from instruction fields, without the cycle engine:

* MACs of a PASS: m n k.
* Vector operations: elements of their loops, times the lane operations of an element, and the bytes of the loops.
* Buffer: bytes that cross its ports, padding left out.  A of a PASS is read once per output fold (OS, WS) or once
  (IS); results are written once (OS, MAC tree) or once per inner fold (WS, IS), and read again for every inner fold but
  the first; of a fission over k every group writes its plane, zeros if it has no k.  LOAD and STORE move whole beats
  (a STORE under a mask its part), SEND its rows at both ends, CROSS its rows at both ends.
* Decoder: elements of B in a narrow format, each once.
* Partial-sum memory of a MAC tree: a sum is written per inner fold and read for every one but the first.

What a compute unit with buffers of its own (separate arrangement) reads and writes crosses the ports of those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nmpsim.cost.lane_work import lane_work
from nmpsim.program.isa import (
    B_NAMES,
    COPY_IN,
    CROSS,
    F_SUM,
    FLOW_NAMES,
    IS,
    K_CONTIGUOUS,
    LOAD,
    OS,
    PASS,
    PHASES,
    SEND,
    SPLIT_K,
    SPLIT_N,
    STORE,
    VECTOR_BASE,
    WS,
    op_name,
)
from nmpsim.program.program import Program
from nmpsim.spec.params import CoreParams, MachineParams

SUM, OPERAND = 4, 2
"""Bytes of a sum and of an operand."""

Fields = Mapping[str, int]
"""Some fields of an instruction."""


@dataclass
class Work:
    """Counts of one decode step."""

    macs: Counter[str] = field(default_factory=Counter)  # by dataflow
    lane: dict[str, Counter[str]] = field(default_factory=dict)  # lane operations by vector operation
    read: Counter[str] = field(default_factory=Counter)  # bytes read, by memory
    written: Counter[str] = field(default_factory=Counter)  # bytes written, by memory
    decoded: Counter[str] = field(default_factory=Counter)  # elements of B that pass the decoder, by format


def count_work(program: Program, params: MachineParams) -> Work:
    """Return what the instructions of all cores move and compute.

    Parameters
    ----------
    program : Program
    params : MachineParams
        The chip it was encoded for.
    """
    work = Work()
    for pu, stream in enumerate(program.streams):
        for ins, times in _alike(stream[stream["op"] == PASS], _PASS_FIELDS):
            _pass(work, ins, times, params.core)
        for ins, times in _alike(stream[stream["op"] >= VECTOR_BASE], _VECTOR_FIELDS):
            _vector(work, ins, times)
        for op, memory in ((LOAD, work.written), (STORE, work.read)):
            moves = stream[stream["op"] == op]
            masked = np.where(op == STORE, moves["n"], 0)  # bytes under the mask of a beat
            memory["buffer"] += int(np.where(masked, masked, moves["beats"] * params.dram.column_bytes).sum())
        sends = stream[stream["op"] == SEND]
        sent = sends["m"] * sends["bytes"]
        work.read["buffer"] += int(sent.sum())
        # a multicast in every other PU, a sum in the owner's
        lands = np.where((sends["modifiers"] & F_SUM != 0) & (sends["bank"] != pu), 0, np.maximum(sends["n"] - 1, 1))
        work.written["buffer"] += int((sent * lands).sum())
        for ins, times in _alike(stream[stream["op"] == CROSS], _CROSS_FIELDS):
            _cross(work, ins, times)
    return work


_PASS_FIELDS = ("flow", "group", "split", "contiguous", "m", "n", "k", "imm")
_CROSS_FIELDS = ("unit", "planes", "m", "bytes")
_VECTOR_FIELDS = (
    "op",
    "planes",
    "modifiers",
    *(f"{name}{i}" for i in range(PHASES) for name in ("elements", "read", "write")),
)


def _alike(instructions: NDArray[np.void], fields: tuple[str, ...]) -> Iterator[tuple[Fields, int]]:
    """Yield the different values of some fields of instructions, and how many have them."""
    if not len(instructions):
        return
    rows, counts = np.unique(np.stack([instructions[name] for name in fields], axis=1), axis=0, return_counts=True)
    for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
        yield dict(zip(fields, row, strict=True)), count


def _cross(work: Work, ins: Fields, times: int) -> None:
    """Count a copy between the buffer and one of the compute unit."""
    moved = times * max(int(ins["planes"]), 1) * int(ins["m"]) * int(ins["bytes"])
    inward = int(ins["unit"]) == COPY_IN
    work.read["buffer" if inward else "output_buffer"] += moved
    work.written["operand_buffer" if inward else "buffer"] += moved


def _vector(work: Work, ins: Fields, times: int) -> None:
    """Count a vector operation."""
    op = int(ins["op"])
    counts = work.lane.setdefault(op_name(op), Counter())
    per_element = lane_work(op, int(ins["planes"]), int(ins["modifiers"]))
    for phase in range(PHASES):
        elements = times * int(ins[f"elements{phase}"])
        work.read["buffer"] += elements * int(ins[f"read{phase}"])
        work.written["buffer"] += elements * int(ins[f"write{phase}"])
        if phase < len(per_element):
            counts.update({name: elements * count for name, count in per_element[phase].items() if count})


def _pass(work: Work, ins: Fields, times: int, core: CoreParams) -> None:
    """Count a matrix product."""
    flow = int(ins["flow"])
    m, n, k = int(ins["m"]), int(ins["n"]), int(ins["k"])
    work.macs[FLOW_NAMES[flow]] += times * m * n * k
    if code := int(ins["imm"]):
        work.decoded[B_NAMES[code]] += times * n * k
    operands, results = ("operand_buffer", "output_buffer") if core.separate else ("buffer", "buffer")
    if flow in {OS, WS, IS}:
        outers, inners, planes = folds(ins, core)
        writes = times * m * n * SUM * planes * inners
        work.read[operands] += times * m * k * OPERAND * outers
        work.written[results] += writes
        work.read[results] += writes * (inners - 1) // inners
        return
    sums, reads = _tree(ins, core)
    work.read[operands] += times * reads
    work.written["psum"] += times * sums * SUM
    work.read["psum"] += times * sums * SUM  # all but the first are read to be added to, and the last one to leave
    work.written[results] += times * m * n * SUM


def folds(ins: Fields, core: CoreParams) -> tuple[int, int, int]:
    """Return how often A is read, how often results are written, and the planes of them, of a PASS of a systolic array.

    Parameters
    ----------
    ins : mapping of str to int
        Fields of an instruction: OS, WS or IS.
    core : CoreParams
    """
    groups = core.strips // int(ins["group"])
    split, flow = int(ins["split"]), int(ins["flow"])
    n_blocks, k_blocks = -(-int(ins["n"]) // core.columns), -(-int(ins["k"]) // core.columns)
    planes = groups if split == SPLIT_K else 1
    outers = n_blocks if split == SPLIT_K else -(-n_blocks // groups)
    if flow == OS:
        return outers, 1, planes
    if flow == IS:
        return 1, k_blocks if split == SPLIT_N else -(-k_blocks // groups), planes
    own_k = -(-int(ins["k"]) // groups) if split == SPLIT_K else int(ins["k"])
    return outers, -(-own_k // (int(ins["group"]) * core.strip_rows)), planes


def _tree(ins: Fields, core: CoreParams) -> tuple[int, int]:
    """Return how many sums are written to the memories of the slices, and the bytes of A read, of a PASS of a MAC tree.

    A slice reads the elements of A that its fold multiplies with, once per row of A and fold; slices that multiply with
    the same ones at the same time share the read.
    """
    m, n, k, groups = int(ins["m"]), int(ins["n"]), int(ins["k"]), core.strips // int(ins["group"])
    n_blocks, k_blocks = -(-n // core.columns), -(-k // core.columns)
    if int(ins["contiguous"]) == K_CONTIGUOUS:
        folds_of_n = -(-_share(n, groups, 0) // core.register_beats)
        return m * n * k_blocks, folds_of_n * m * k * OPERAND
    if int(ins["split"]) == SPLIT_K:
        inners = sum(-(-_share(k, groups, g) // core.register_beats) for g in range(groups))
        return m * n * inners, n_blocks * m * k * OPERAND
    return m * n * -(-k // core.register_beats), -(-n_blocks // groups) * m * k * OPERAND


def _share(total: int, groups: int, group: int) -> int:
    """Return how many of `total` interleaved indices belong to a group."""
    return max(0, (total - group + groups - 1) // groups)
