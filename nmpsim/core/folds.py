"""Completed folds on their way to the buffer: queued with their pipeline depth, written one at a time."""

from __future__ import annotations

from nmpsim.core.queue import mark_end
from nmpsim.core.state import (
    PENDING_DEPTH,
)
from nmpsim.kernel import inlined


@inlined
def queue_fold(actor, pending, ins, last, cycles, frees, address, length):
    """Queue a finished fold for its write, `depth` advances from now (changes `actor` and `pending`)."""
    entry = pending[(actor.pending_head + actor.pending) % PENDING_DEPTH]
    entry.ready_at = actor.advances + actor.depth
    entry.last = last
    entry.cycles = cycles
    entry.frees = frees
    entry.operator = ins.operator
    entry.address = address
    entry.bytes = length
    actor.pending += 1


@inlined
def finish_write(actor, pending, span, at):
    """Retire the fold whose write has ended (changes `actor` and `span`)."""
    entry = pending[actor.pending_head]
    actor.writing = 0
    actor.pending_head = (actor.pending_head + 1) % PENDING_DEPTH
    actor.pending -= 1
    actor.sets -= entry.frees
    actor.passes += entry.last
    mark_end(span, entry.operator, at)
