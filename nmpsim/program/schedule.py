"""The Schedule: what runs where, in which shape, from which rows.  Made in `nmpsim.schedule`, read by the encoder."""

from __future__ import annotations

from dataclasses import dataclass

from nmpsim.program.isa import CHAIN, CONTIGUOUS_NAMES, FLOW_NAMES, SPLIT_K, SPLIT_NAMES, TREE
from nmpsim.spec.params import CoreParams
from nmpsim.workload import FP16, PLAIN, OperatorGraph, Precision

OVER_N, OVER_K = range(2)
OVER_NAMES = ("N", "K")


@dataclass(frozen=True)
class PassPlan:
    """Logical shape and dataflow of a matrix product on one core.

    Parameters
    ----------
    flow, group, split, contiguous : int
        As in the instruction PASS.
    precision : Precision
        Its weights are in that format.
    """

    flow: int
    group: int
    split: int
    contiguous: int
    precision: Precision = PLAIN

    @property
    def flow_name(self) -> str:
        """Name of the dataflow."""
        return FLOW_NAMES[self.flow]

    @property
    def split_name(self) -> str:
        """Name of the relation of the groups."""
        return SPLIT_NAMES[self.split]

    @property
    def layout(self) -> str:
        """Dimension that runs within a beat of B."""
        return CONTIGUOUS_NAMES[self.contiguous]

    def shape(self, core: CoreParams) -> str:
        """Return rows and columns of the logical array; of all groups with their number if they are split."""
        groups = core.strips // self.group
        if self.flow == TREE:
            return f"{core.strips} slices"
        rows = self.group * core.strip_rows
        return f"{rows}x{core.columns * groups}" if self.split == CHAIN else f"{groups}*{rows}x{core.columns}"

    def planes(self, core: CoreParams) -> int:
        """Return the planes of partial sums that a pass writes; the reducer of a MAC tree adds its own."""
        return core.strips // self.group if self.split == SPLIT_K and self.flow != TREE else 1

    def pass_columns(self, core: CoreParams, *, paired: bool = False) -> int:
        """Return the columns of N that one pass computes: a block per group, at least two blocks when `paired`."""
        groups = 1 if self.split == SPLIT_K else core.strips // self.group
        return core.columns * max(groups, 2 if paired else 1)

    def partial_bytes(self, core: CoreParams, m: int, *, paired: bool = False) -> int:
        """Return the bytes of the partial sums of one pass over `m` rows."""
        return self.planes(core) * m * self.pass_columns(core, paired=paired) * 4

    def text(self, core: CoreParams) -> str:
        """Return the mapping in a few words."""
        if self.flow == TREE:
            return f"{self.flow_name} {self.layout} {self.split_name}"
        return f"{self.flow_name} {self.shape(core)} {self.split_name}"

    def __str__(self) -> str:
        return f"{self.flow_name} group {self.group} {self.split_name} {self.layout}-contiguous"


@dataclass(frozen=True)
class GemmPlan:
    """How a GEMM is spread over the PUs and runs on each.

    Parameters
    ----------
    over : int
        OVER_N: every PU has some columns and needs all of A; OVER_K: every PU has some of K, results are reduced.
    shape : PassPlan
        On each core.
    array_cycles : int
        Core cycles of the slowest PU by the closed form, for the record.
    network_bytes : int
        Bytes that the split makes necessary, for the record.
    chunks : int
        Pieces of N whose reduction overlaps the next piece, where results are reduced.
    team : int
        OVER_N: so many neighbouring PUs compute the columns of all of them together, as a team; divides the PUs.
    working : int
        Members of a team that have weights, each a part of K; divides `team`.
    """

    over: int
    shape: PassPlan
    array_cycles: int
    network_bytes: int
    chunks: int = 1
    team: int = 1
    working: int = 1

    @property
    def reduces(self) -> bool:
        """Whether PUs hand results to their owners."""
        return self.over == OVER_K or self.team > 1

    @property
    def spread(self) -> str:
        """How it is spread over the PUs, in a few words."""
        if self.team == 1:
            return f"{OVER_NAMES[self.over]} over PUs"
        return f"N over teams of {self.team} PUs, K over {self.working} of each"

    def __str__(self) -> str:
        return f"{self.spread}, {self.shape}, {self.array_cycles} array cycles"


@dataclass(frozen=True)
class AttentionPlan:
    """How attention is spread over the PUs and runs on each.

    Parameters
    ----------
    parts : int
        Pieces a sequence is split into.
    score, value : PassPlan
        The two matrix products of one task (sequence, KV head, part).
    together : int
        Tasks of a PU whose scores are computed before the first of their values.
    turns : int
        Shares into which the query heads of a task are divided; each streams the cache of the task anew.
    kv : str
        Format of the cache.
    """

    parts: int
    score: PassPlan
    value: PassPlan
    together: int
    turns: int = 1
    kv: str = FP16

    def __str__(self) -> str:
        turns = f", heads in {self.turns} turns" if self.turns > 1 else ""
        return f"{self.parts} parts, scores {self.score}, values {self.value}, {self.together} tasks together{turns}"


@dataclass(frozen=True)
class Schedule:
    """A plan for every operator that has a choice, and the placement policy.

    Parameters
    ----------
    graph : OperatorGraph
        What is computed.
    chip : str
        Name of the chip.
    gemm : dict of int to GemmPlan
        By index into the graph.
    attention : AttentionPlan
        One for all layers.
    fill : str
        ``kv_first`` or ``weights_first``: which tensors get the fastest tiers.
    first_row : int
        Row of every bank at which placement starts.
    ahead : bool
        Whether the first GEMM of an expert goes on before the second of the one before it.
    """

    graph: OperatorGraph
    chip: str
    gemm: dict[int, GemmPlan]
    attention: AttentionPlan
    fill: str
    first_row: int
    ahead: bool = False

    def lines(self) -> list[str]:
        """Return one line of text per operator that has a plan."""
        rows = [f"tier fill order: {self.fill}, first row {self.first_row}", f"attention: {self.attention}"]
        if self.ahead:
            rows.append("experts: the first GEMM of each before the second of the one before")
        for index, plan in self.gemm.items():
            operator = self.graph.operators[index]
            rows.append(f"{operator.name:32s} M {operator.m} N {operator.n} K {operator.k}: {plan}")
        return rows
