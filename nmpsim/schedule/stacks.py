"""Schedules and programs of several stacks: what other stacks write to stands at the same address in all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nmpsim.program.encode import encode, lasting_end
from nmpsim.program.encode.gemm import column_shares
from nmpsim.program.encode.stacks import stack_pieces
from nmpsim.program.isa import SEND
from nmpsim.program.program import Program
from nmpsim.program.schedule import Schedule
from nmpsim.program.system import differences
from nmpsim.schedule.modes import Modes
from nmpsim.schedule.plain import attention_plan, lasting_bytes
from nmpsim.schedule.policy import DEFAULT, PLAIN, make_schedule
from nmpsim.schedule.space import Shared, Space
from nmpsim.spec.params import MachineParams
from nmpsim.workload import ALL_HEADS, ELEMENT_BYTES, OperatorGraph
from nmpsim.workload.shards import shard_bytes


class StackPrograms:
    """Plans one step on all its stacks; programs are encoded on demand.

    Stacks with the same operators share a schedule.

    Parameters
    ----------
    graphs : sequence of OperatorGraph
        One per stack, in order.
    params : MachineParams
        The chip of every stack.
    dataflows : tuple of str
        As for `plain_schedule`.
    tokens : tuple of int
        Token of every sequence.
    first_row : int
        As for `plain_schedule`.
    modes : Modes, optional
        As for `plain_schedule`.
    policy : str
        Name of the policy; see `nmpsim.schedule.policy`.
    seed : int
        For policies that draw.

    Raises
    ------
    InfeasibleError
        As `plain_schedule` and `encode`.
    """

    def __init__(
        self,
        graphs: Sequence[OperatorGraph],
        params: MachineParams,
        dataflows: tuple[str, ...],
        tokens: tuple[int, ...],
        first_row: int = 0,
        modes: Modes | None = None,
        policy: str = DEFAULT,
        seed: int = 0,
    ) -> None:
        self.params, self.tokens = params, tokens
        self.alike = [next(i for i, g in enumerate(graphs) if g.operators == graph.operators) for graph in graphs]
        modes = modes or Modes()
        same = params, dataflows, first_row, modes, None, Shared()
        spaces = {i: Space(graphs[i], *same) for i in sorted(set(self.alike))}
        if policy == PLAIN:
            plans = {i: make_schedule(policy, space, seed) for i, space in spaces.items()}
            lasting = max(lasting_bytes(graphs[i], params, plan.gemm) for i, plan in plans.items())
            attention = attention_plan(graphs[0], params, modes.attention or modes.gemm or dataflows, lasting)
        else:  # the first stack chooses how all of them attend
            plans = {0: make_schedule(policy, spaces.pop(0), seed)}
            attention = plans[0].attention
            for i, space in spaces.items():
                plans[i] = make_schedule(policy, replace(space, attending=attention), seed)
        self.schedules = [
            replace(plans[i], graph=graph, attention=attention) for graph, i in zip(graphs, self.alike, strict=True)
        ]
        self.lasting = max(lasting_end(self.schedules[i], params) for i in plans)

    def schedule(self, stack: int) -> Schedule:
        """Schedule of one stack."""
        return self.schedules[stack]

    def program(self, stack: int) -> Program:
        """Encode the program of one stack."""
        return encode(self.schedules[stack], self.params, self.tokens, self.lasting)


@dataclass(frozen=True)
class Representative:
    """The one stack of several that is simulated.

    Parameters
    ----------
    stack : int
    identical : bool
        Whether the programs of all stacks were compared and are alike but for addresses.
    reason : str
        Why this one, in words.
    imbalance : float
        Bytes that it reads in a step, over the mean of all stacks.
    """

    stack: int
    identical: bool
    reason: str
    imbalance: float


def representative(plans: StackPrograms, compared: Callable[[], StackPrograms]) -> Representative:
    """Choose the stack to simulate: any if all do the same, else the most loaded.

    Parameters
    ----------
    plans : StackPrograms
        Of the step.
    compared : callable
        Returns those whose programs are compared; called if all stacks have the same operators.
    """
    graphs = [schedule.graph for schedule in plans.schedules]
    load = [graph.read_bytes + graph.kv_write_bytes for graph in graphs]
    stack = max(range(len(load)), key=lambda s: (load[s], graphs[s].macs, -s))
    imbalance = load[stack] * len(load) / sum(load)
    if len(set(plans.alike)) > 1:
        reason = f"most loaded: {load[stack]:,} B moved, mean {sum(load) / len(load):,.0f}"
        return Representative(stack, False, reason, imbalance)
    short = compared()
    layers = short.schedule(0).graph.layers
    first = short.program(0)
    for other in range(1, len(graphs)):
        found = differences(first, short.program(other))
        if found:
            reason = f"same operators; the program of stack {other} differs from stack 0: {found[0]}"
            return Representative(stack, False, reason, imbalance)
    words = "1 layer" if layers == 1 else f"{layers} layers"
    reason = f"programs of all {len(graphs)} stacks compared on {words}: alike but for addresses"
    return Representative(stack, True, reason, imbalance)


def die_to_die_bytes(program: Program) -> int:
    """Bytes of messages that leave the stack in a step.

    Parameters
    ----------
    program : Program
    """
    total = 0
    for stream in program.streams:
        sends = stream[(stream["op"] == SEND) & (stream["stack"] != 0)]
        total += int((sends["m"] * sends["bytes"]).sum())
    return total


def expected_die_to_die_bytes(graph: OperatorGraph, pus: int, columns: int, grain: int, parts: int) -> int:
    """Bytes that a stack sends in a step, by arithmetic from the shapes.

    Once the own pieces of the embedding in FP16.  Per layer two all-reduces (partial sums in FP32 on the way to their
    sum, sums in FP16 on the way to all); with a norm over all heads two sums of squares in FP32 from every PU to all
    stacks; with a sequence split the queries of the own heads to every part of the context, and results in FP32 with
    two statistics back.  Once the best tokens, 8 bytes each.

    Parameters
    ----------
    graph : OperatorGraph
        Of one stack.
    pus : int
        PUs of a stack.
    columns : int
        Columns of a strip, the unit in which PUs share the residual stream.
    grain : int
        FP32 numbers of a flit.
    parts : int
        Pieces of a sequence within a stack.
    """
    shard, model, m = graph.shard, graph.model, graph.batch
    if shard is None or shard.stacks == 1:
        return 0
    sums, gathered = 0, 0
    for _, number in column_shares(model.hidden, columns, pus):
        if number:
            pieces = [piece.columns for piece in stack_pieces(number, shard.stacks, grain)]
            passed_on = 2 * (number - pieces[(shard.stack + 1) % shard.stacks])
            sums += 4 * (number - pieces[shard.stack]) + passed_on
            gathered += passed_on
    queries = m * parts * model.heads * model.key_dim * ELEMENT_BYTES
    results = m * parts * model.heads * (4 * model.value_dim + 8)
    attention = (shard.share - 1) * (queries + results)
    squares = pus * (shard.stacks - 1) * 2 * m * 4 if shard.whole.qk_norm == ALL_HEADS else 0
    return m * gathered + graph.layers * (2 * m * sums + squares + attention) + (shard.stacks - 1) * m * 8


def shard_table(plans: StackPrograms) -> list[str]:
    """Lines of text: what every stack keeps, reads, computes and sends in a step.

    Parameters
    ----------
    plans : StackPrograms
    """
    params = plans.params
    grain = max(1, params.noc.flit_bytes // 4)
    lines = ["stack   weights GB  KV cache GB  weights read GB  KV read GB      GMACs  die-to-die MB  experts read"]
    for stack, schedule in enumerate(plans.schedules):
        graph = schedule.graph
        assert graph.shard is not None
        weights, cache = shard_bytes(graph.shard, graph.batch, graph.first_layer, graph.layers, graph.precision)
        parts = schedule.attention.parts
        sent = expected_die_to_die_bytes(graph, params.cores, params.core.columns, grain, parts)
        figures = f"{weights / 1e9:12.3f} {cache / 1e9:12.3f} {graph.weight_bytes / 1e9:16.3f}"
        figures += f" {graph.kv_read_bytes / 1e9:11.3f} {graph.macs / 1e9:10.3f} {sent / 1e6:14.3f}"
        lines.append(f"{stack:5d} {figures} {sum(graph.distinct_experts.values()):13d}")
    return lines
