"""Finished folds at PE level: queued with their last step, written when their tag `last` has come to the last PE.

First cycles of two OS folds, write 2 cycles each (x = in progress)::

    cycle         0    1    2    3    4    5
    delivered     f0        f1
    write of f0        x    x
    write of f1                  x    x
    set of f0 free               x
"""

from __future__ import annotations

from nmpsim.core.pe.feed import write_row
from nmpsim.core.pe.state import FOLDS
from nmpsim.kernel import inlined


@inlined
def end_fold(state, control, number, outer, last, cycles, frees):
    """Note a fold whose last step has been made (changes ``state``)."""
    fold = state.fold[(control.fold_head + control.pending) % FOLDS]
    fold.number = number
    fold.outer = outer
    fold.last = last
    fold.cycles = cycles
    fold.frees = frees
    control.pending += 1


@inlined
def write_folds(state, control, sizes):
    """End the write of a fold, begin the next one that has arrived, and write this cycle's row (changes ``state``)."""
    now = control.cycle
    if control.writing == 1 and now >= control.write_end:
        fold = state.fold[control.fold_head]
        control.writing = 0
        control.fold_head = (control.fold_head + 1) % FOLDS
        control.pending -= 1
        control.sets -= fold.frees
        control.written += fold.frees
        control.done += fold.last
    if control.writing == 0 and control.delivered > 0:
        control.writing = 1
        control.delivered -= 1
        control.write_begin = now
        control.write_end = now + state.fold[control.fold_head].cycles
    if control.writing == 1 and state.fold[control.fold_head].frees == 1:
        fold = state.fold[control.fold_head]
        job = state.passes[fold.number]
        rows = job.group * sizes.strip_rows
        row, part = (now - control.write_begin) // job.row_cycles, (now - control.write_begin) % job.row_cycles
        if part == 0:
            write_row(state, job, fold, control.written % sizes.fold_sets, row, len(state.grid.stay) // rows, rows)
