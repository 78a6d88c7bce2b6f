"""Which states and rules of the sequencer a recording has reached."""

from __future__ import annotations

from rtl_models.core.sequencer import REASONS, STATES, WAITS, SequencerParams

RULES = (
    *(f"sequencer {reason}" for reason in REASONS),
    *(f"unit {state}" for state in STATES[:2]),
    *("ready and taken", "ready and not taken", "wants one, but the queue is empty", "wants one that waits"),
    *(f"instruction with {n} waits dispatched" for n in range(WAITS + 1)),
    *("queue full while its head leaves", "dispatched into a queue whose only entry leaves", "queue of one place"),
    *("dispatched into an empty queue", "dispatched into the last place", "head leaves, the next one is ready at once"),
    *("several units complete at once", "several completions of a unit", "two arrivals at one semaphore"),
    *("semaphore wrapped", "finished", "finished is not yet all retired", "two units take at once"),
)
"""What must have happened somewhere."""


def rules_met(params: SequencerParams, inputs: list[dict[str, int]], outputs: list[dict[str, int]]) -> dict[str, int]:
    """How often a recording met each rule."""
    met: dict[str, int] = {}
    counts = [0] * params.semaphores
    for cycle, (given, shown) in enumerate(zip(inputs, outputs, strict=True)):
        found = rules_of_dispatch(params, given, shown) | rules_of_units(params, given, shown)
        for u in range(params.units):
            counts[u] += given.get(f"complete{u}", 0)
            leaves = shown.get(f"unit{u}_state") == 2 and given.get(f"take{u}")
            if leaves and cycle + 1 < len(outputs) and outputs[cycle + 1].get(f"unit{u}_state") == 2:
                found.add("head leaves, the next one is ready at once")
        for d in range(2):
            if given.get(f"arrive{d}_valid"):
                counts[given[f"arrive{d}_semaphore"]] += 1
        if max(counts) >= 1 << params.count_bits:
            found.add("semaphore wrapped")
        for rule in found:
            met[rule] = met.get(rule, 0) + 1
    return met


def rules_of_dispatch(params: SequencerParams, given: dict[str, int], shown: dict[str, int]) -> set[str]:
    """Points about the instruction that the program memory shows."""
    found = {f"sequencer {REASONS[shown['reason']]}"}
    unit = given["instruction_unit"]
    leaves = shown.get(f"unit{unit}_state") == 2 and given.get(f"take{unit}")
    queued = shown[f"unit{unit}_queued"]
    if shown["reason"] == 1 and leaves:
        found.add("queue full while its head leaves")
    if shown["reason"] == 0:
        found.add(f"instruction with {sum(given[f'wait{i}_valid'] for i in range(WAITS))} waits dispatched")
        if queued == 1 and leaves:
            found.add("dispatched into a queue whose only entry leaves")
        if queued == 0:
            found.add("dispatched into an empty queue")
        if queued == params.depth - 1 and not leaves:
            found.add("dispatched into the last place")
        if params.depth == 1:
            found.add("queue of one place")
    if shown["finished"]:
        found.add("finished")
    elif shown["reason"] == 2:
        found.add("finished is not yet all retired")
    return found


def rules_of_units(params: SequencerParams, given: dict[str, int], shown: dict[str, int]) -> set[str]:
    """Points about the units."""
    found, taken = set(), 0
    for u in range(params.units):
        state, wants = shown.get(f"unit{u}_state"), given.get(f"take{u}", 0)
        if state == 2:
            found.add("ready and taken" if wants else "ready and not taken")
            taken += wants
        elif state is not None:
            found.add(f"unit {STATES[state]}")
            if wants:
                found.add("wants one that waits" if state else "wants one, but the queue is empty")
        if given.get(f"complete{u}", 0) > 1:
            found.add("several completions of a unit")
    if taken > 1:
        found.add("two units take at once")
    if sum(given.get(f"complete{u}", 0) > 0 for u in range(params.units)) > 1:
        found.add("several units complete at once")
    numbers = [given[f"arrive{d}_semaphore"] for d in range(2) if given.get(f"arrive{d}_valid")]
    if len(numbers) == 2 and numbers[0] == numbers[1]:
        found.add("two arrivals at one semaphore")
    return found
