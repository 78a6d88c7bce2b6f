"""Which shapes, dataflows, reasons and rules the cases of the array have reached."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import accumulate

import numpy as np

from nmpsim.core.state import REASONS
from nmpsim.program.isa import CHAIN, FLOW_NAMES, IS, OS, SPLIT_K, SPLIT_NAMES, WS
from tests.cosim.array_cases import Build, Product
from tests.cosim.array_expected import Expected, bits_of
from tests.cosim.array_kernel import Trace, folds_of

_SHARED = ("busy", "queue_empty", "wait_semaphore", "operand_late", "pipeline_drain", "reconfigure", "edge_bandwidth")
REACHABLE = (
    "none queue_empty",
    "none wait_semaphore",
    *(f"{flow} {reason}" for flow in ("OS", "WS", "IS") for reason in _SHARED),
    "OS accumulators_busy",
    "WS load_stationary",
    "IS load_stationary",
)
"""Dataflow that is configured, and reason: all that can occur, and nothing else may."""

RULES = (
    *("OS hold in a pass", "IS hold in a pass", "older results move on before the first beat"),
    *("pass taken with its first step", "pass taken with its first load", "passes overlap"),
    *("weights load while a fold streams", "weights load while the edges hold"),
    "weights of several folds under way",
    *("a later group goes on while the first one waits for a set", "A of a fold of IS stretched to m steps"),
    *("write during a hold", "write begins as one ends", "row written in several cycles"),
    *("group without a block", "group without k", "partial block of columns", "partial rows", "chain of four groups"),
    *("group of four strips", "change of shape within a case"),
    *(f"fission-K of {flow} with charged partial sums" for flow in ("OS", "WS", "IS")),
    *("FP16 sum that is NaN", "FP16 sum that is infinite", "FP16 operand that is subnormal", "INT8 sum below zero"),
)
"""Things that must have happened somewhere."""


def shape_name(build: Build, flow: int, group: int, split: int) -> str:
    """Name of a shape with its dataflow."""
    groups = build.core.strips // group
    shape = f"{group * build.granularity}x{build.side * groups}"
    return f"{build.name} {FLOW_NAMES[flow]} {shape} {SPLIT_NAMES[split]}"


class ArrayCoverage:
    """Counts of what was reached, over any number of cases."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.shapes: Counter[str] = Counter()

    def add(self, expected: Expected) -> None:
        """Count one case."""
        trace = expected.trace
        for flow, outputs in zip(trace.flows, trace.outputs, strict=True):
            name = FLOW_NAMES[flow] if flow >= 0 else "none"
            self.reasons[f"{name} {REASONS[outputs['reason']]}"] += 1
        build = trace.case.build
        for one in trace.case.passes:
            self.shapes[shape_name(build, one.flow, one.group, one.split)] += 1
            self.rules.update(rules_of_pass(one, build))
        self.rules.update(rules_of_cycles(trace) | rules_of_steps(trace) | rules_of_values(expected))

    def missing(self, *, shapes: Iterable[str] = ()) -> list[str]:
        """Points never reached."""
        found = self.reasons + self.rules + self.shapes
        return [name for name in (*REACHABLE, *RULES, *shapes) if not found[name]]

    def unexpected(self) -> list[str]:
        """Reasons that cannot be, and rules without a name."""
        return sorted((set(self.reasons) - set(REACHABLE)) | (set(self.rules) - set(RULES)))

    def report(self) -> str:
        """One line per point."""
        points = [(name, self.reasons[name]) for name in REACHABLE] + [(name, self.rules[name]) for name in RULES]
        return "\n".join(f"{count:8}  {name}" for name, count in [*points, *sorted(self.shapes.items())])


def named(**conditions: bool) -> set[str]:
    """Names whose condition holds; underscores stand for blanks."""
    return {name.replace("_", " ") for name, holds in conditions.items() if holds}


def rules_of_pass(one: Product, build: Build) -> set[str]:
    """Points about the size of a pass."""
    core, (m, n, k) = build.core, one.shape
    groups, rows = core.strips // one.group, one.group * core.strip_rows
    outers, inners, steps = folds_of(one, core)
    blocks = -(-n // core.columns)
    n_spread = one.flow != IS and one.split != SPLIT_K
    depth = rows + core.columns - 1
    extent = k if one.flow == IS else n
    return named(
        group_without_a_block=n_spread and groups > 1 and blocks < outers * groups,
        group_without_k=one.flow != IS and one.split == SPLIT_K and k < groups,
        partial_block_of_columns=extent % core.columns != 0,
        partial_rows=(k % rows if one.flow == WS else m % rows) != 0,
        chain_of_four_groups=groups == 4 and one.split == CHAIN,
        group_of_four_strips=one.group == 4,
        weights_of_several_folds_under_way=one.flow == WS and m < depth // 2 and outers * inners > 2,
    ) | ({"A of a fold of IS stretched to m steps"} if one.flow == IS and inners > 1 and steps > n else set())


def rules_of_cycles(trace: Trace) -> set[str]:
    """Points about single cycles."""
    found: set[str] = set()
    finished = taken = 0
    strips = trace.case.build.core.strips
    starts = {cycles[0] for cycles in trace.writes}
    ends = {cycles[-1] + 1 for cycles in trace.writes}
    doing = passes_by_cycle(trace)
    for cycle, outputs in enumerate(trace.outputs):
        flow, reason = trace.flows[cycle], REASONS[outputs["reason"]]
        pops = any(outputs[f"pop{s}"] for s in range(strips))
        finished, taken = finished + outputs["pass_done"], taken + outputs["pass_take"]
        late, streams = reason == "operand_late", flow in {OS, IS}
        found |= named(
            older_results_move_on_before_the_first_beat=late and streams and bool(outputs["move"]),
            pass_taken_with_its_first_step=bool(outputs["pass_take"]) and flow == OS and reason == "busy",
            pass_taken_with_its_first_load=bool(outputs["pass_take"]) and reason == "load_stationary",
            passes_overlap=taken - finished > 1,
            weights_load_while_a_fold_streams=flow == WS and reason == "busy" and pops,
            weights_load_while_the_edges_hold=flow == WS and reason == "edge_bandwidth" and pops,
            write_during_a_hold=bool(outputs["writing"]) and not outputs["move"],
            write_begins_as_one_ends=cycle in starts and cycle in ends,
        )
        if late and streams and not outputs["move"]:
            found.add(f"{FLOW_NAMES[flow]} hold in a pass")
        if cycle and trace.write_row[cycle] == trace.write_row[cycle - 1] >= 0 and cycle not in starts:
            found.add("row written in several cycles")
            found |= planes_charged(trace.case.passes[finished], trace.case.build)
        if reason == "edge_bandwidth" and flow != OS:  # OS has its operands charged there
            found |= planes_charged(trace.case.passes[doing[cycle]], trace.case.build)
    return found


def passes_by_cycle(trace: Trace) -> list[int]:
    """Number of the pass that made the latest step, by cycle."""
    stepped = {step.cycle: step.number for step in trace.steps}
    return list(accumulate(range(len(trace.pins)), lambda last, cycle: stepped.get(cycle, last), initial=0))[1:]


def planes_charged(one: Product, build: Build) -> set[str]:
    """The point of fission-K, if the planes of all groups keep the ports busy longer than one plane would."""
    core, (m, _, _) = build.core, one.shape
    groups, ports = core.strips // one.group, core.buffer_banks * core.bank_bytes
    plane = 4 * (m if one.flow == IS else core.columns)  # bytes of it that leave together
    charged = one.split == SPLIT_K and -(-plane * groups // ports) > max(1, -(-plane // ports))
    return {f"fission-K of {FLOW_NAMES[one.flow]} with charged partial sums"} if charged else set()


def rules_of_steps(trace: Trace) -> set[str]:
    """Points about the steps of groups, and about passes that follow each other."""
    found, passes = set(), trace.case.passes
    groups: dict[tuple[int, int], set[int]] = defaultdict(set)
    for step in trace.steps:
        groups[step.number, step.cycle].add(step.group)
    last = {step.number: step.cycle for step in trace.steps if step.group == 0}
    for (number, cycle), stepping in groups.items():
        one = passes[number]
        alone = 0 not in stepping and cycle < last.get(number, -1)
        begun = (
            any(step.number == number and step.group == 0 and step.cycle < cycle for step in trace.steps)
            if alone
            else False
        )
        if one.flow == OS and one.split == CHAIN and alone and begun:
            found.add("a later group goes on while the first one waits for a set")
    shapes = {(one.flow, one.group, one.split) for one in passes}
    if len(shapes) > 1:
        found.add("change of shape within a case")
    return found


def rules_of_values(expected: Expected) -> set[str]:
    """Points about operands and sums."""
    found = set()
    for part in expected.parts.values():
        if part.sums.dtype == np.int32:
            found |= {"INT8 sum below zero"} if (part.sums < 0).any() else set()
            continue
        bits = bits_of(part.sums)[part.seen > 0]
        found |= {"FP16 sum that is NaN"} if (bits == 0x7FC00000).any() else set()
        found |= {"FP16 sum that is infinite"} if ((bits & 0x7FFFFFFF) == 0x7F800000).any() else set()
    for one in expected.case.passes:
        if one.a.dtype == np.uint16:
            exponent, fraction = one.a >> 10 & 31, one.a & 1023
            found |= {"FP16 operand that is subnormal"} if ((exponent == 0) & (fraction > 0)).any() else set()
    return found
