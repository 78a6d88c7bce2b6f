"""A sequence split over stacks: every stack scores all query heads of its KV head on its part of the context.

task    values of all heads, FP32, and their statistics
           | heads of stack 0       | heads of stack 1   ...
owner   the parts of its own heads from all stacks side by side -> combine
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmpsim.program.encode.emitter import Event
from nmpsim.program.encode.tasks import Task
from nmpsim.program.isa import F_A_FP32, V_COPY

if TYPE_CHECKING:
    from nmpsim.program.encode.attention import Attention

PARTS = 3
"""Shared semaphore that counts results of sequence parts."""


def to_members(
    attention: Attention, pu: int, i: int, task: Task, owner: Task, done: Event, arrived: list[dict[int, int]]
) -> tuple[Event | None, list[Event | None]]:
    """Give every stack that shares the KV head of a task the results of its own query heads.

    Parameters
    ----------
    attention : Attention
    pu, i : int
        PU, and number of the result space that holds the task's result.
    task : Task
    owner : Task
        Where the parts of its sequence meet, in every stack.
    done : Event
        When the result stands.
    arrived : list of dict of int to int, by PU
        Semaphores and counts after which all parts have arrived; changed.

    Returns
    -------
    Event, list of Event
        When the task is over, and when its planes may be written again.
    """
    out, width, rows = attention.out, attention.model.value_dim, attention.own
    assert attention.shard is not None
    place = attention.part_place(owner, attention.shard.part * attention.parts + task.part, 0)
    sent = [done]
    for part, stack in attention.members():
        result = attention.slots[i] + part * rows * width * 4
        statistics = attention.statistics[i] + part * rows * 4
        for m, size, a, ld, target in (
            (1, rows * width * 4, result, 0, place),
            (2, rows * 4, statistics, attention.rows * 4, place + rows * width * 4),
        ):
            ends = {"a": a, "a_ld": ld, "out": target, "out_ld": size}
            if stack == 0 and owner.pu == pu:
                event = out.vector(pu, V_COPY, m, size // 4, [done], modifiers=F_A_FP32, **ends)
                sent.append(event)
            else:
                leaves, event = out.send(
                    pu,
                    owner.pu,
                    [done],
                    stack=stack,
                    common=PARTS,
                    rows=m,
                    size=size,
                    source=a,
                    source_ld=ld,
                    target=target,
                    target_ld=size,
                )
                sent.append(leaves)
            arrived[owner.pu][event.semaphore] = event.value
    return out.after(pu, sent, attention.statistics[i], attention.statistics[i]), [done]
