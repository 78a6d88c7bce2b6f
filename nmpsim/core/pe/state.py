"""Registers of the array at PE level: what moves, what stays, the skew lines at its edges, and the control.

Words of the moving registers hold a value and its tags (docs/core/array.md), lowest bit first::

    a      valid, first, set, last, 16 bits of operand number (WS), value      OS, WS (IS: tags alone)
    b      valid, value                                                        OS, IS (WS: p_valid alone)
    load   present, column valid, 14 bits of row, value                        IS
    stay, shadow  valid, value                                                 WS, IS
    mark   valid, first, set, last, active, p_valid                            tags of a product, then of its sum

Registers that move have two images, before and after the clock edge; ``advances & 1`` is the one before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmpsim.kernel import Record

VALID, FIRST, SET, LAST, ACTIVE, P_VALID = 1, 2, 4, 8, 16, 32
"""Tag bits of `a` (the first four) and of `mark`."""

SLOT_SHIFT, VALUE_SHIFT = 4, 20
"""Places of the operand number and of the value in a word of `a`."""

ROW_SHIFT, LOAD_SHIFT = 2, 16
"""Places of the row number and of the value in a word of `load`."""

FOLDS = 8
"""Places of the queue of finished folds, as in the wavefront mode."""

PASS_SHAPE = Record(
    "PASS_SHAPE",
    ("flow", "", "OS, WS or IS"),
    ("group", "strip", "strips per group"),
    ("split", "", "CHAIN, SPLIT_K or SPLIT_N"),
    ("m", "", "rows of A"),
    ("n", "", "columns of B"),
    ("k", "", "inner dimension"),
    ("outers", "fold", "output folds"),
    ("inners", "fold", "accumulated folds per output fold"),
    ("steps", "step", "steps of a fold"),
    ("pace", "cycle", "cycles per step that the edges need"),
    ("row_cycles", "cycle", "cycles to write a row of an output fold"),
    ("a_at", "element", "place of A in the operands"),
    ("c_at", "element", "place of the result"),
    ("first_at", "cycle", "first cycle in which the pass may be taken"),
)

CONTROL = Record(
    "CONTROL",
    ("cycle", "cycle", "the cycle to come"),
    ("advances", "cycle", "cycles in which the array moved"),
    ("taken", "PASS", "passes taken"),
    ("done", "PASS", "passes complete"),
    ("instruction", "", "pass that streams (OS, IS) or loads (WS), -1 = none"),
    ("flow", "", "configured dataflow, -1 = none yet"),
    ("group", "strip", "configured strips per group"),
    ("split", "", "configured relation of the groups"),
    ("ready_at", "cycle", "end of a reconfiguration"),
    ("paced_until", "cycle", "end of the last step"),
    ("outer", "fold", "output fold of the leading group's next step"),
    ("inner", "fold", "accumulated fold of it"),
    ("step", "step", "the next step of it"),
    ("begun", "", "1 once the pass has taken its first beat (OS, IS)"),
    ("rows_loaded", "row", "rows of the first A taken (IS)"),
    ("stream_pass", "", "pass whose fold streams or streamed last, -1 = none (WS)"),
    ("streaming", "", "1 while a fold streams (WS)"),
    ("load_outer", "fold", "output fold that is being loaded (WS)"),
    ("load_inner", "fold", "accumulated fold of it"),
    ("loaded", "beat", "beats of it loaded per strip"),
    ("shadow", "", "1 when the shadow holds a whole operand (WS)"),
    ("shadow_pass", "", "pass it belongs to"),
    ("operands", "", "operands taken from the shadow (WS)"),
    ("sets", "", "accumulator sets in use"),
    ("opened", "fold", "folds that have got a set"),
    ("written", "fold", "folds written from a set"),
    ("pending", "fold", "folds whose last step is over and that are not written"),
    ("fold_head", "", "the first of them in the queue"),
    ("delivered", "fold", "of them, those whose last tag has reached the last PE"),
    ("writing", "", "1 while a fold is written"),
    ("write_begin", "cycle", "first cycle of that write"),
    ("write_end", "cycle", "first cycle after it"),
    ("reason", "", "reason of the last cycle"),
    ("moved", "", "1 if the array moved in the last cycle"),
    ("active", "PE", "PEs that multiplied in the last cycle"),
    ("edge", "", "valid sums at the bottom (WS) or right (IS) edge in the last cycle"),
)

FOLD = Record(
    "FOLD",
    ("number", "", "pass it belongs to"),
    ("outer", "fold", "output fold"),
    ("last", "", "1 for the last fold of a pass"),
    ("cycles", "cycle", "cycles of its write"),
    ("frees", "", "1 if it holds an accumulator set"),
)

DRAIN = Record(
    "DRAIN",
    ("number", "", "pass whose sums leave at this place of the edge"),
    ("count", "", "sums of it that have left"),
)

TRACE = Record(
    "TRACE",
    ("move", "", "1 if the array moved"),
    ("reason", "", "reason of the cycle"),
    ("active", "PE", "PEs that multiplied"),
    ("edge", "", "valid sums at the bottom (WS) or right (IS) edge at the start of the cycle"),
    ("writing", "", "1 if a fold was written"),
    ("sets", "", "accumulator sets in use"),
    ("done", "PASS", "passes complete"),
    ("advances", "cycle", "count after the cycle"),
)


class Dimensions(NamedTuple):
    """Sizes of the physical array."""

    strips: int  # strips
    strip_rows: int  # rows of a strip
    columns: int  # columns of a strip
    pe_latency: int  # registers of a product
    fold_sets: int  # accumulator sets
    reconfigure: int  # cycles of a change of shape or dataflow


class Grid(NamedTuple):
    """Registers of the PEs; row = row of the physical array, rows = strips x strip_rows."""

    a: NDArray[np.int64]  # (2, row, 1 + column): place 0 is the left edge
    b: NDArray[np.int64]  # (2, row, column)
    psum: NDArray[np.int64]  # (2, row, 1 + column): place 0 is the left edge
    load: NDArray[np.int64]  # (2, row, column)
    product: NDArray[np.int64]  # (1 + pe_latency, row, column)
    product_mark: NDArray[np.int64]  # (1 + pe_latency, row, column)
    stay: NDArray[np.int64]  # (row, column)
    shadow: NDArray[np.int64]  # (row, column): IS in the PEs, WS at the edges of the strips
    acc: NDArray[np.int64]  # (2, row, column)


class Edges(NamedTuple):
    """Skew registers and delay lines, written at place ``advances`` modulo their length."""

    left: NDArray[np.int64]  # (row, place): words of `a`
    top: NDArray[np.int64]  # (group, column, place): words of `b`
    load: NDArray[np.int64]  # (group, column, place): words of `load`
    command: NDArray[np.int64]  # (place, 3): outer, inner, step of the leading group; outer -1 = none
    operand: NDArray[np.int64]  # (slot, row, column): WS operands on their way to the PEs
    wire: NDArray[np.int64]  # (3, column): what enters the first row of a group: b, load, and the sum +0


class Beats(NamedTuple):
    """Beats of B in the strip FIFOs."""

    value: NDArray[np.int64]  # (beat, column)
    begin: NDArray[np.int64]  # (strip,): first beat
    end: NDArray[np.int64]  # (strip,): one past the last
    ready: NDArray[np.int64]  # (beat,): first cycle in which it may be taken


class ArrayState(NamedTuple):
    """Everything that the PE-level kernel reads and changes."""

    grid: Grid
    edges: Edges
    beats: Beats
    head: NDArray[np.int64]  # (strip,): next beat
    control: Any  # CONTROL, (1,)
    passes: Any  # PASS_SHAPE, (pass,)
    fold: Any  # FOLD, (FOLDS,)
    drain: Any  # DRAIN, (row or column of all groups,)
    operand_a: NDArray[np.int64]  # A of all passes
    result: NDArray[np.int64]  # C of all passes


def make_grid(rows: int, columns: int, latency: int) -> Grid:
    """Make the registers of an array, all 0.

    Parameters
    ----------
    rows, columns : int
        Rows of all strips, columns of a strip.
    latency : int
        Registers of a product.
    """

    def plane(*shape: int) -> NDArray[np.int64]:
        return np.zeros(shape, np.int64)

    return Grid(
        a=plane(2, rows, columns + 1),
        b=plane(2, rows, columns),
        psum=plane(2, rows, columns + 1),
        load=plane(2, rows, columns),
        product=plane(latency + 1, rows, columns),
        product_mark=plane(latency + 1, rows, columns),
        stay=plane(rows, columns),
        shadow=plane(rows, columns),
        acc=plane(2, rows, columns),
    )


def make_edges(rows: int, groups: int, columns: int, operands: int) -> Edges:
    """Make the skew registers, all 0.

    Parameters
    ----------
    rows : int
        Rows of all strips.
    groups : int
        Most groups that a pass has.
    columns : int
        Columns of a strip.
    operands : int
        Most stationary operands under way at once (WS).
    """
    reach = groups * columns + 2
    edges = Edges(
        left=np.zeros((rows, rows + 2), np.int64),
        top=np.zeros((groups, columns, reach), np.int64),
        load=np.zeros((groups, columns, reach), np.int64),
        command=np.zeros((reach, 3), np.int64),
        operand=np.zeros((operands, rows, columns), np.int64),
        wire=np.zeros((3, columns), np.int64),
    )
    edges.command[:] = -1
    return edges
