"""A product on a mapping, as instructions of one core.

A PASS takes as many rows of A as the mapping has; more rows are further passes, and B streams once more for each.

Fission over K leaves a plane of partial sums per group, which the vector unit adds (instruction V_REDUCE).  N is then
cut into pieces, so that the planes of one piece are added under the pass of the next; two regions take turns::

    array    [piece 0][piece 1][piece 2]
    vector            [  0   ] [  1   ] [  2   ]

OS and WS begin a new piece with every block of columns, as the encoder of decode steps does, which costs them nothing.
IS would load A anew for each piece: its pieces are as large as a quarter of the buffer holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.program.isa import ARRAY, INSTRUCTION, IS, PASS, V_REDUCE, VECTOR, WAITS
from nmpsim.program.schedule import PassPlan
from nmpsim.program.vector import loops
from nmpsim.spec.params import CoreParams
from nmpsim.sweep.mapping import most_rows

PARTIAL_SHARE = 4
"""Planes of a pass take at most one part in so many of the buffer; there are two sets."""

MULTIPLY, ADD = 0, 1
"""Operators of the program: its passes, and the additions of their planes."""


def pieces_of(total: int, most: int | None) -> list[tuple[int, int]]:
    """Return (start, length) of the pieces of at most `most` that make up a total.

    Parameters
    ----------
    total : int
    most : int or None
        None: one piece.
    """
    step = total if most is None else most
    return [(start, min(step, total - start)) for start in range(0, total, step)]


def piece_columns(core: CoreParams, mapping: PassPlan, rows: int) -> int | None:
    """Return the most columns of a PASS; None if it takes any number.

    Parameters
    ----------
    core : CoreParams
    mapping : PassPlan
    rows : int
        Rows of A of the PASS.
    """
    planes = mapping.planes(core)
    if planes == 1:
        return None
    if mapping.flow != IS:
        return core.columns
    room = core.buffer_bytes // PARTIAL_SHARE // (4 * planes * rows)
    return max(1, room // core.columns) * core.columns


def _up(size: int, align: int) -> int:
    return -(-size // align) * align


class _Stream:
    """Instructions of a core, in program order."""

    def __init__(self) -> None:
        self.rows: list[dict[str, int]] = []

    def add(self, unit: int, op: int, waits: list[tuple[int, int]], **fields: int) -> None:
        entry = {"unit": unit, "op": op, "table": -1, **fields}
        for i in range(WAITS):
            entry[f"wait{i}"], entry[f"count{i}"] = waits[i] if i < len(waits) else (-1, 0)
        self.rows.append(entry)

    def array(self) -> NDArray[Any]:
        made = np.zeros(len(self.rows), INSTRUCTION)
        for name in INSTRUCTION.names or ():
            made[name] = [row.get(name, 0) for row in self.rows]
        return made


def instructions(core: CoreParams, mapping: PassPlan, m: int, n: int, k: int) -> NDArray[Any]:
    """Return the program of C[m, n] = A[m, k] B[k, n] on one core.

    Parameters
    ----------
    core : CoreParams
    mapping : PassPlan
    m, n, k : int

    Returns
    -------
    ndarray of INSTRUCTION
    """
    stream, planes = _Stream(), mapping.planes(core)
    tasks = [
        (rows, columns)
        for _, rows in pieces_of(m, most_rows(core, mapping))
        for _, columns in pieces_of(n, piece_columns(core, mapping, rows))
    ]
    operand = _up(2 * m * k, core.bank_bytes)
    region = max(_up(4 * planes * rows * _up(columns, core.columns), core.bank_bytes) for rows, columns in tasks)
    result = operand + 2 * region
    for i, (rows, columns) in enumerate(tasks):
        free = [(VECTOR, i - 1)] if planes > 1 and i >= 2 else []
        out = operand + i % 2 * region
        stream.add(
            ARRAY,
            PASS,
            free,
            operator=MULTIPLY,
            flow=mapping.flow,
            group=mapping.group,
            split=mapping.split,
            contiguous=mapping.contiguous,
            m=rows,
            n=columns,
            k=k,
            a_ld=2 * k,
            out=out,
            out_ld=4 * columns,
            planes=planes,
            plane_ld=4 * rows * columns,
        )
        if planes > 1:
            ((elements, read, written, rate),) = loops(V_REDUCE, rows, columns, planes, 0, 0)
            stream.add(
                VECTOR,
                V_REDUCE,
                [(ARRAY, i + 1)],
                operator=ADD,
                m=rows,
                n=columns,
                a=out,
                planes=planes,
                out=result,
                elements0=elements,
                read0=read,
                write0=written,
                rate0=rate,
            )
            result += _up(2 * rows * columns, core.bank_bytes)
    return stream.array()
