"""What the control of a MAC-tree slice is told, and what it tells the datapath: wires by name.

PASS ----Pass----> [ mac_tree_control.py ] --Step, Write--> [ mac_tree.py ]
"""

from __future__ import annotations

from typing import NamedTuple

from rtl_models.core.floats import Wire

(
    BUSY,
    QUEUE_EMPTY,
    WAIT_SEMAPHORE,
    OPERAND_LATE,
    ACCUMULATORS_BUSY,
    LOAD_STATIONARY,
    PIPELINE_DRAIN,
) = range(7)
"""Codes of the output ``reason``, those of docs/seams/unit.md in the order of nmpsim/core/state.py."""

MOST_SETS = 5
"""Accumulator sets beyond which the kernel's limit of waiting folds would matter, which this control does not have."""

COUNT_BITS = 16
"""Width of the counts of rows, lines and blocks of a pass, and of write cycles (assumed: dimensions below 65,536)."""


class Pass(NamedTuple):
    """What a slice must know of a PASS; counts are those of the slice alone."""

    rows: Wire  # m
    lines: Wire  # beats per block
    blocks: Wire  # blocks of `columns` elements
    tail: Wire  # elements of the last block that are no padding, 1 ... columns
    k_contiguous: Wire  # 1: elements of a beat are k, 0: they are n
    write_cycles: Wire  # of one output fold
    configuration: Wire  # shape; another one than before waits until the slice is empty


def pass_widths(columns: int) -> Pass:
    """Return the widths of the fields of a pass; bits."""
    widths = dict.fromkeys(Pass._fields, COUNT_BITS) | {"k_contiguous": 1, "configuration": 4}
    return Pass(**(widths | {"tail": columns.bit_length()}))


class Step(NamedTuple):
    """What the datapath does in a cycle."""

    step: Wire  # multiply in this cycle
    k_contiguous: Wire
    row: Wire  # row of A
    place: Wire  # step within the row
    block: Wire  # block of the fold
    chunk: Wire  # which `register_beats` lines
    beats: Wire  # beats of the fold
    valid: Wire  # elements of the block that are no padding
    inner_first: Wire  # the fold begins its output
    bank: Wire  # registers that stream
    set: Wire  # accumulator set
    load: Wire  # the beat at the input is loaded
    load_place: Wire  # its place in the other bank


class Write(NamedTuple):
    """What is written in a cycle."""

    now: Wire
    cycle: Wire  # of the write, from 0 on
    set: Wire
    k_contiguous: Wire
    beats: Wire  # outputs of a row, K-contiguous
    rows: Wire


class Geometry(NamedTuple):
    """Powers of two that say how beats fall onto engines."""

    register_beats: int  # beats of a bank
    columns: int  # elements of a beat
    engines: int  # dot products per cycle
    taps: int  # products of an engine
