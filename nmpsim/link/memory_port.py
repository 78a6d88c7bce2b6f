"""The memory port: runs of row accesses in, timed beats out; one port per DRAM bank.

    data mover  --RUN-->  [run|run|run|run]  --> bank sequencer --> link/fifo.py --> strip edge / data mover
         |                 run queue                   ^
         +--- write data: link/fifo.py, sides swapped -+

A *run* is a strided sequence of row accesses of one bank; a *row access* moves ``columns`` adjacent columns of one
row; a *beat* is one column.  Like the FIFO, the queue of runs speaks through stamps only: the poster writes
``ready_at``, the bank writes ``free_at``, both strictly in the future.  The contract is in docs/seams/memory-port.md.
"""

from __future__ import annotations

from nmpsim.kernel import NEVER, Record, inlined

RUN = Record(
    "RUN",
    ("first_row", "row", "row of the first row access"),
    ("rows", "row", "row accesses of the run, >= 1"),
    ("row_stride", "row", "rows from one row access to the next; 1 = adjacent rows"),
    ("first_column", "column", "first column of every row access"),
    ("columns", "column", "columns of every row access, >= 1; for reads at most the landing space"),
    ("is_write", "", "0: RD, beats go to the landing FIFO; 1: WR, beats come from the write FIFO"),
    ("target", "", "0: streams into the compute unit; else 1 + buffer address of the first beat"),
    ("target_stride", "byte", "buffer bytes from one beat of the run to the next; no meaning when target is 0"),
    ("token", "", "data-mover slot that counts the beats; index of TOKEN"),
    ("ready_at", "tick", "first tick at which the bank may see the run"),
    ("free_at", "tick", "first tick at which the poster may use this slot again"),
)

RUN_QUEUE = Record(
    "RUN_QUEUE",
    ("posted", "run", "runs posted since the start"),
    ("taken", "run", "runs whose last row access was activated"),
)

TOKEN = Record(
    "TOKEN",
    ("left", "beat", "write beats whose WR is still to be issued (set by the poster)"),
    ("done_at", "tick", "one DRAM cycle after the last WR so far; final once `left` is 0"),
)


@inlined
def run_space_at(queue, runs):
    """Return the tick at which one more run can be posted; NEVER while that is unknown."""
    capacity = len(runs)
    if queue.posted < capacity:
        return 0
    if queue.posted - capacity >= queue.taken:
        return NEVER
    return runs[queue.posted % capacity].free_at


@inlined
def blank_run(queue, runs):
    """Return the record of the next run to be posted; the poster fills every field but the two stamps."""
    return runs[queue.posted % len(runs)]


@inlined
def post_run(queue, runs, ready_at):
    """Hand the filled record to the bank, which may see it from `ready_at` on (changes `queue` and `runs`)."""
    runs[queue.posted % len(runs)].ready_at = ready_at
    queue.posted += 1


@inlined
def run_at(queue, runs):
    """Return the tick at which the bank sees the run at the head; NEVER while there is none."""
    if queue.taken >= queue.posted:
        return NEVER
    return runs[queue.taken % len(runs)].ready_at


@inlined
def take_run(queue, runs, free_at):
    """Release the slot of the run at the head from `free_at` on (changes `queue` and `runs`)."""
    runs[queue.taken % len(runs)].free_at = free_at
    queue.taken += 1


@inlined
def write_done_at(token):
    """Return the tick at which all write beats of a token are done; NEVER while that is unknown."""
    if token.left > 0:
        return NEVER
    return token.done_at
