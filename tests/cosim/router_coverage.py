"""Which states and rules of a router a replay has reached, and whether its registers are those of the model.

``python -m tests.cosim.router_coverage [ROUTERS [CYCLES]]`` prints how often each point was reached, and how fast the
simulators are.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rtl_models.noc.router import RouterParams, router
from rtl_models.verilog import size_of
from tests.cosim.coverage import Coverage
from tests.cosim.replay import PyrtlRun, Replay
from tests.cosim.router_kernel import LoneRouter, Recording, mesh_routers
from tests.cosim.router_model import ACTIVE, IDLE, ROUTING, VC_ALLOC, Matching, RouterModel, Step, given, pins, tail_of
from tests.cosim.verilog import run_verilog

FIVE_BY_TWO = RouterParams(ports=5, vcs=2, buffer_flits=4, destinations=12, payload_bits=8)
THREE_BY_FOUR = RouterParams(ports=3, vcs=4, buffer_flits=2, destinations=9, payload_bits=8)
SHAPES = (
    FIVE_BY_TWO,
    THREE_BY_FOUR,
    FIVE_BY_TWO._replace(credit_delay=0),
    THREE_BY_FOUR._replace(credit_delay=2),
    RouterParams(ports=2, vcs=1, buffer_flits=1, destinations=2, payload_bits=4, credit_delay=3),
    RouterParams(ports=2, vcs=3, buffer_flits=3, destinations=3, payload_bits=6),
)
"""Routers that are compared."""

STATES = (
    *("idle empty", "routing pipeline", "vc_alloc pipeline", "vc_alloc vc_busy", "vc_alloc vc_conflict"),
    *("active empty", "active no_credit", "active switch_conflict", "active transfer"),
)
"""State of an input virtual channel and what it spends the cycle on: all that can occur, and nothing else may."""

ALLOCATOR_RULES = (
    *("column asked by several rows", "row granted by several columns", "grant that is not accepted"),
    *("granted around the end", "accepted around the end", "granted a row that is not the first to ask"),
    *("accepted a column that is not the first to grant", "column left idle though a row without match asks for it"),
)
"""Reached by both allocators."""

RULES = (
    *(f"{name}: {rule}" for name in ("vc", "switch") for rule in ALLOCATOR_RULES),
    *("head routes as it comes", "head routes behind a tail", "route forbids a free channel"),
    *("channel taken in the cycle after it was freed", "channel taken while flits of the packet before lie behind it"),
    *("channel taken without a credit", "channel freed", "two channels of an output taken at once"),
    *(
        "flit passes an empty buffer",
        "flit comes as another one leaves",
        "flit leaves a full buffer",
        "buffer filled up",
    ),
    *("head of several flits sent", "body sent", "tail sent", "single flit sent", "packets of three in one buffer"),
    *("credit used as it becomes usable", "last credit used", "credit comes as a flit leaves", "all credits back"),
    *("channel waits for a credit and gets it", "no switch for a channel though its input sends another"),
    *("several channels of an input ask for one output", "the lowest of them is not the first from the offset"),
    *("an input asks for several outputs", "every output sends", "flit back to its own port"),
    *(f"input {p} to output {o} of 5" for p in range(5) for o in range(5)),
    *(f"channel {v} into channel {w} of 4" for v in range(4) for w in range(4)),
)
"""Things that happen for a reason of their own; each must have happened somewhere."""


class RouterCoverage(Coverage):
    """Counts over replays of a router."""

    def __init__(self) -> None:
        super().__init__(STATES, RULES)

    def add(self, params: RouterParams, done: Step, before: Step | None) -> None:
        """Count one cycle of a router."""
        for n, state in enumerate(done.seen.states):
            self.states[f"{state} {done.reasons.get(n, 'empty')}"] += 1
        found = {f"vc: {rule}" for rule in rules_of_matching(done.channels)}
        found |= {f"switch: {rule}" for rule in rules_of_matching(done.switch)}
        found |= rules_of_channels(params, done, before) | rules_of_flits(params, done, before)
        self.rules.update(found | rules_of_switch(params, done))


def rules_of_matching(seen: Matching) -> set[str]:
    """What an allocator did."""
    found = set()
    for column, row in seen.grants.items():
        rows = sorted(asking for asking, asked in seen.requests if asked == column)
        found |= {"column asked by several rows"} if len(rows) > 1 else set()
        found |= {"granted a row that is not the first to ask"} if row != rows[0] else set()
        found |= {"granted around the end"} if row < seen.grant_turns[column] else set()
        found |= {"grant that is not accepted"} if seen.matches[row] != column else set()
    for row, column in seen.matches.items():
        columns = sorted(granting for granting, granted in seen.grants.items() if granted == row)
        found |= {"row granted by several columns"} if len(columns) > 1 else set()
        found |= {"accepted a column that is not the first to grant"} if column != columns[0] else set()
        found |= {"accepted around the end"} if column < seen.accept_turns[row] else set()
    matched = set(seen.matches.values())
    if any(row not in seen.matches and column not in matched for row, column in seen.requests):
        found.add("column left idle though a row without match asks for it")
    return found


def rules_of_channels(params: RouterParams, done: Step, before: Step | None) -> set[str]:
    """What happened to channels."""
    seen, found, vcs = done.seen, set(), params.vcs
    for n, state in enumerate(seen.states):
        if state == ROUTING:
            comes = n in seen.arrived and len(seen.flits[n]) == 1
            found.add("head routes as it comes" if comes else "head routes behind a tail")
        if state == VC_ALLOC:
            output, mask = seen.routes[n]
            free = [w for w in range(vcs) if not seen.taken[output * vcs + w]]
            found |= {"route forbids a free channel"} if any(not mask >> w & 1 for w in free) else set()
    took = list(done.channels.matches.values())
    for out in took:
        if before and before.seen.taken[out]:
            found.add("channel taken in the cycle after it was freed")
        if seen.credits[out] < params.buffer_flits:
            found.add("channel taken while flits of the packet before lie behind it")
        if not seen.credits[out]:
            found.add("channel taken without a credit")
    if len({out // vcs for out in took}) < len(took):
        found.add("two channels of an output taken at once")
    if any(tail_of(flit) for flit in done.sent.values()):
        found.add("channel freed")
    return found


def rules_of_flits(params: RouterParams, done: Step, before: Step | None) -> set[str]:
    """What happened to flits and credits."""
    seen, found = done.seen, set()
    for n, flit in done.sent.items():
        out = done.seen.holds[n]
        if n in seen.arrived:
            found.add("flit passes an empty buffer" if len(seen.flits[n]) == 1 else "flit comes as another one leaves")
        found |= {"flit leaves a full buffer"} if len(seen.flits[n]) == params.buffer_flits else set()
        kinds = {(True, 0): "head of several flits", (True, 1): "single flit", (False, 0): "body", (False, 1): "tail"}
        found.add(f"{kinds[seen.heads[n], tail_of(flit)]} sent")
        if out in seen.usable:
            found.add("credit used as it becomes usable" if seen.credits[out] == 1 else "credit comes as a flit leaves")
        found |= {"last credit used"} if seen.credits[out] == 1 else set()
        if before is not None and before.reasons.get(n) == "no_credit":
            found.add("channel waits for a credit and gets it")
    for n, flits in enumerate(seen.flits):
        found |= {"buffer filled up"} if n in seen.arrived and len(flits) == params.buffer_flits else set()
        found |= {"packets of three in one buffer"} if sum(tail_of(flit) for flit in flits[:-1]) > 1 else set()
    if any(seen.credits[out] == params.buffer_flits for out in seen.usable):
        found.add("all credits back")
    return found


def rules_of_switch(params: RouterParams, done: Step) -> set[str]:
    """What happened at the switch."""
    found, vcs = set(), params.vcs
    outputs = {n: done.seen.holds[n] // vcs for n in done.asking}
    for p in range(params.ports):
        asking = sorted(n - p * vcs for n in done.asking if n // vcs == p)
        for o in {outputs[p * vcs + v] for v in asking}:
            rivals = [v for v in asking if outputs[p * vcs + v] == o]
            if len(rivals) > 1:
                found.add("several channels of an input ask for one output")
                first = min(rivals, key=lambda v: (v - done.offsets[p]) % vcs)
                found |= {"the lowest of them is not the first from the offset"} if first != rivals[0] else set()
        found |= {"an input asks for several outputs"} if len({outputs[p * vcs + v] for v in asking}) > 1 else set()
        if p in done.back and len(asking) > 1:
            found.add("no switch for a channel though its input sends another")
    found |= {"every output sends"} if len(done.sent) == params.ports else set()
    for n in done.sent:
        out = done.seen.holds[n]
        found |= {"flit back to its own port"} if n // vcs == out // vcs else set()
        found |= {f"input {n // vcs} to output {out // vcs} of 5"} if params.ports == 5 else set()
        found |= {f"channel {n % vcs} into channel {out % vcs} of 4"} if vcs == 4 else set()
    return found


def registers_of(params: RouterParams, model: RouterModel) -> dict[str, int]:
    """Registers of the RTL at the start of a cycle, from the model."""
    shown = {}
    for n, channel in enumerate(model.inputs):
        name = f"in{n // params.vcs}_vc{n % params.vcs}"
        shown |= {f"{name}_count": len(channel.flits), f"{name}_wants": int(channel.state == VC_ALLOC)}
        shown[f"{name}_active"] = int(channel.state == ACTIVE)
        shown |= {f"{name}_flit{place}": flit for place, flit in enumerate(channel.flits)}
        if channel.state == ACTIVE:
            shown[f"{name}_holds"] = 1 << channel.holds
        if channel.state in {VC_ALLOC, ACTIVE}:
            shown |= {f"{name}_out_port": 1 << channel.route[0], f"{name}_mask": channel.route[1]}
        assert (channel.state == IDLE) <= (not channel.flits)
    for n, out in enumerate(model.outputs):
        shown[f"credits{n}"] = out.credits
    shown["free"] = sum(1 << n for n, out in enumerate(model.outputs) if not out.taken)
    for name, allocator in (("vc", model.vc_allocator), ("switch", model.sw_allocator)):
        shown |= {f"{name}_grant_turn{n}": 1 << turn for n, turn in enumerate(allocator.grant_turns)}
        shown |= {f"{name}_accept_turn{n}": 1 << turn for n, turn in enumerate(allocator.accept_turns)}
    return shown | {f"offset{n}": 1 << offset for n, offset in enumerate(model.offsets)}


def replay_model(recording: Recording) -> str:
    """Where the model differs first from the kernel, empty if nowhere."""
    model = RouterModel(recording.params)
    for cycle, (inputs, outputs) in enumerate(zip(recording.inputs, recording.outputs, strict=True)):
        shown = pins(recording.params, model.step(*given(recording.params, inputs)))
        if shown != outputs:
            pairs = {name: (shown.get(name), outputs.get(name)) for name in shown.keys() | outputs.keys()}
            wrong = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
            return f"cycle {cycle}: {recording.name}: model and kernel: {wrong}"
    return ""


def replay_all(recordings: list[Recording], replays: list[Replay]) -> RouterCoverage:
    """Replay in PyRTL beside the model, and count what is reached.

    Raises
    ------
    AssertionError
        With the first difference of outputs from the kernel, or of registers from the model.
    """
    coverage = RouterCoverage()
    for recording, replay in zip(recordings, replays, strict=True):
        params, run, model, before = recording.params, PyrtlRun(replay), RouterModel(recording.params), None
        for cycle, inputs in enumerate(recording.inputs):
            expected = registers_of(params, model)
            outputs, registers = run.step(cycle)
            text = run.difference(cycle, outputs)
            assert not text, text
            wrong = {name: (registers[name], value) for name, value in expected.items() if registers[name] != value}
            assert not wrong, f"cycle {cycle}: {recording.name}: registers, RTL and model: {wrong}"
            done = model.step(*given(params, inputs))
            coverage.add(params, done, before)
            before = done
    return coverage


def record_routers(routers: int, cycles: int, first: int = 0) -> list[Recording]:
    """Run single routers of all shapes in turn, and a mesh."""
    seeds = range(first, first + routers)
    alone = [LoneRouter(SHAPES[seed % len(SHAPES)], seed).run(cycles) for seed in seeds]
    return alone + mesh_routers(first, cycles)


def measure(routers: int, cycles: int) -> str:
    """Replay some routers in all simulators; return coverage and speeds as text."""
    record_routers(1, 1)  # compiles
    began = time.process_time()
    recordings = record_routers(routers, cycles)
    return measured(recordings, time.process_time() - began)


def measured(recordings: list[Recording], in_kernel: float) -> str:
    """Replay; `in_kernel` is the CPU time of the recording, seconds."""
    seconds = {"kernel with its bench": in_kernel}
    began = time.process_time()
    assert not any(replay_model(recording) for recording in recordings)
    seconds["model"] = time.process_time() - began
    replays = [recording.replay() for recording in recordings]
    began = time.process_time()
    coverage = replay_all(recordings, replays)
    seconds["PyRTL with model and coverage"] = time.process_time() - began
    with tempfile.TemporaryDirectory() as folder:
        seconds["Verilog with its bench"] = run_verilog(replays, Path(folder))["seconds"]
    count = sum(len(recording.inputs) for recording in recordings)
    lines = [f"{name}: {count / taken:,.0f} router cycles per CPU second" for name, taken in seconds.items()]
    flits = sum(shown["transfer"] for recording in recordings for shown in recording.outputs)
    lines.append(f"{len(recordings)} routers, {count} cycles, {flits} flits")
    return "\n".join([coverage.report(), *lines])


def sizes(shapes: Sequence[RouterParams]) -> str:
    """Flops and gates of routers as text."""
    found = [(shape, size_of(router(shape))) for shape in shapes]
    return "\n".join(f"{shape}: {size.flops} flops, {size.gates} gates" for shape, size in found)


if __name__ == "__main__":
    print(measure(*(int(n) for n in (sys.argv[1:] + ["12", "400"][len(sys.argv) - 1 :]))))
    print(sizes((FIVE_BY_TWO, THREE_BY_FOUR)))
