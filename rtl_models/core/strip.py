"""RTL of one strip: its PEs with the links between them (docs/core/array.md).

            column 0        column 1         ...
    top:  b, load, psum   b, load, psum             from the strip above, or from the edge of the group
               |               |
    left --> [PE 0.0] --a--> [PE 0.1] --a--> ... --> right: of the next group of a chain, or an edge
               |               |
    left --> [PE 1.0] -----> [PE 1.1] -----> ... --> right
               |               |
             bottom          bottom                 to the strip below, or an edge; row select of the accumulators

A strip does not know its group: what stands at its four sides is chosen outside, in rtl_models/core/array.py.

First cycles of the activity of a strip of 1 x 3, one step of OS whose operands stand at PE 0.0 in cycle 0::

    cycle      0    1    2
    active     0.0  0.1  0.2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyrtl

from rtl_models.core.pe import PeInputs, PeOutputs, PeParams, Tag, pe


class Left(NamedTuple):
    """What stands left of a row."""

    a: pyrtl.WireVector
    tag: Tag
    psum: pyrtl.WireVector  # IS


class Top(NamedTuple):
    """What stands above a column."""

    b: pyrtl.WireVector
    b_valid: pyrtl.WireVector
    psum: pyrtl.WireVector  # WS
    p_valid: pyrtl.WireVector
    load: pyrtl.WireVector  # IS
    load_row: pyrtl.WireVector
    load_valid: pyrtl.WireVector


class Weight(NamedTuple):
    """End of the skew line of a PE (WS)."""

    value: pyrtl.WireVector
    valid: pyrtl.WireVector


class StripOutputs(NamedTuple):
    """What a strip shows."""

    right: list[Left]  # by row
    right_valid: list[pyrtl.WireVector]  # by row: the sum there is one (IS)
    bottom: list[Top]  # by column
    active: pyrtl.WireVector  # one bit per PE, row by row
    read: list[pyrtl.WireVector]  # by column: accumulator of the chosen row and set


class Selection(NamedTuple):
    """What all PEs of a strip share."""

    move: pyrtl.WireVector
    flow: pyrtl.WireVector
    rows: list[pyrtl.WireVector]  # number of each row within its group
    read_row: pyrtl.WireVector  # row of the strip whose accumulators are shown
    read_set: pyrtl.WireVector  # which set of them


def strip(
    params: PeParams,
    shared: Selection,
    left: Sequence[Left],
    top: Sequence[Top],
    weights: Sequence[Sequence[Weight]],
    name: str,
) -> StripOutputs:
    """Add the PEs of one strip to the working block.

    Parameters
    ----------
    params : PeParams
    shared : Selection
    left : sequence of Left
        By row; its length is the number of rows.
    top : sequence of Top
        By column; its length is the number of columns.
    weights : sequence of sequence of Weight
        By row and column.
    name : str
        Prefix of the registers' names.
    """
    above = list(top)
    right, right_valid, active = [], [], []
    read: list[list[pyrtl.WireVector]] = []
    for q, at_left in enumerate(left):
        before = at_left
        outputs: list[PeOutputs] = []
        for j, over in enumerate(above):
            pins = PeInputs(
                move=shared.move,
                flow=shared.flow,
                row=shared.rows[q],
                a=before.a,
                tag=before.tag,
                b=over.b,
                b_valid=over.b_valid,
                psum_above=over.psum,
                p_valid_above=over.p_valid,
                psum_left=before.psum,
                weight=weights[q][j].value,
                weight_valid=weights[q][j].valid,
                load=over.load,
                load_row=over.load_row,
                load_valid=over.load_valid,
                read_set=shared.read_set,
            )
            out = pe(params, pins, f"{name}_pe{q}_{j}")
            outputs.append(out)
            before = Left(out.a, out.tag, out.psum)
        above = [Top(o.b, o.b_valid, o.psum, o.p_valid, o.load, o.load_row, o.load_valid) for o in outputs]
        right.append(before)
        right_valid.append(outputs[-1].p_valid)
        active += [o.active for o in outputs]
        read.append([o.read for o in outputs])
    rows = [pyrtl.concat_list(row) for row in read]
    chosen = pyrtl.mux(shared.read_row, *rows) if len(rows) > 1 else rows[0]
    bits = params.sum_bits
    shown = [chosen[j * bits : (j + 1) * bits] for j in range(len(above))]
    return StripOutputs(right, right_valid, above, pyrtl.concat_list(active), shown)
