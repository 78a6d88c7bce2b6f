"""What a model under test is asked: an operator and a chip, as frozen values with units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from nmpsim.analytic.bounds import core_GHz, tier_bandwidth
from nmpsim.spec import ChipSpec, resolve
from nmpsim.spec.params import ACT, MAC_TREE, PRE, RD, MachineParams
from nmpsim.study.operators import work_of
from nmpsim.workload import operators as workload
from nmpsim.workload.operators import ATTENTION_KINDS, GEMM_KINDS, MOVE_KINDS, OperatorKind

GEMM, ATTENTION, VECTOR, MOVE = "gemm", "attention", "vector", "move"
CLASSES = (GEMM, ATTENTION, VECTOR, MOVE)
"""Classes of operators: weights times activations; cache times activations; arithmetic of elements; copies."""


class Product(NamedTuple):
    """`number` matrix products (m, k) times (k, n)."""

    number: int
    m: int
    n: int
    k: int

    def share(self, pus: int) -> Product:
        """Return the largest share of one PU: whole products, or if there are fewer than PUs some columns of one.

        Parameters
        ----------
        pus : int
        """
        if self.number >= pus:
            return self._replace(number=-(-self.number // pus))
        return self._replace(number=1, n=-(-self.n // (pus // self.number)))


@dataclass(frozen=True)
class Operator:
    """One operator of a decode step, of which a model predicts the core cycles.

    Parameters
    ----------
    name, kind : str
        As in the operator graph, see `nmpsim.workload.operators`.
    layer : int
        Layer, -1 outside the layers.
    m, n, k : int
        Activations (m, k) times weights (k, n); without weights m rows of n elements; 0 for attention.
    batch, heads, kv_heads, head_dim, value_dim, context : int
        Attention: sequences, query heads, heads of the cache, elements of a head, of a value if it differs, tokens.
    weight_bits, kv_bits : int
        Bits of an element of weights and cache.
    macs : int
        Multiply-accumulates.
    read_bytes, write_bytes : int
        DRAM bytes that must be read and written at least once.
    vector_elements : int
        Elements that the vector units work on.
    """

    name: str
    kind: str
    layer: int
    m: int
    n: int
    k: int
    batch: int
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    context: int
    weight_bits: int
    kv_bits: int
    macs: int
    read_bytes: int
    write_bytes: int
    vector_elements: int

    @classmethod
    def of(cls, one: workload.Operator) -> Operator:
        """Return an operator of the graph as a model is asked for it.

        Parameters
        ----------
        one : nmpsim.workload.operators.Operator
        """
        return cls(**work_of(one))

    @property
    def shape(self) -> tuple[object, ...]:
        """All but name and layer: equal ones take equally long."""
        return tuple(value for name, value in vars(self).items() if name not in {"name", "layer"})

    @property
    def operator_class(self) -> str:
        """One of `CLASSES`."""
        kind = OperatorKind(self.kind)
        if kind in GEMM_KINDS:
            return GEMM
        if kind in ATTENTION_KINDS:
            return ATTENTION
        return MOVE if kind in MOVE_KINDS else VECTOR

    @property
    def product(self) -> Product | None:
        """Its matrix products: a GEMM has one or one per head, attention one per sequence and head of the cache."""
        if self.operator_class == GEMM:
            return Product(max(1, self.heads), self.m, self.n, self.k)
        if self.operator_class != ATTENTION:
            return None
        count, group = self.batch * self.kv_heads, self.heads // self.kv_heads
        if self.kind == OperatorKind.SCORE:
            return Product(count, group, self.context, self.head_dim)
        return Product(count, group, self.head_dim, self.context)


@dataclass(frozen=True)
class Chip:
    """One die.  Times are core cycles, rates are per core cycle and of the whole die unless said otherwise.

    Parameters
    ----------
    spec : ChipSpec
        The chip file, checked.
    params : MachineParams
        The same as integers in cycles of each clock.
    clock_GHz : float
        Core clock.
    pus : int
        Processing units: a core, a channel and a router each.
    macs_per_cycle : int
        Peak of the compute units.
    lanes : int
        Lanes of the vector units.
    bytes_per_cycle : tuple of float
        Peak bandwidth of the DRAM by tier, fastest first.
    banks : int
        DRAM banks, each with a port of its own or one shared by `port_banks`.
    port_banks, ports : int
        Banks that share a group of ports, ports of a group.
    row_bytes, column_bytes : int
        Of one bank: a row, and one access to it.
    column_cycles : float
        Between two accesses to a row.
    recharge_cycles : tuple of float
        By tier: what a bank needs between the last access to a row and the first to the next one.
    access_cycles : tuple of float
        By tier: from the command that opens a row to its first bytes at the core.
    fifo_bytes : int
        Landing space of the ports.
    buffer_bytes : int
        Buffer of one core.
    array_rows, array_cols : int
        Array of one core; for MAC trees the shape nearest to a square of as many multipliers.
    strips, strip_rows, strip_cols : int
        The same core as arrays that work side by side: strips of the array, or slices of the MAC trees, each as the
        shape nearest to a square.
    dataflows : tuple of str
        Of the array: ``OS``, ``WS``, ``IS``; of MAC trees ``OS``.
    link_bytes_per_cycle : float
        A link between two routers, one way.
    hop_cycles : float
        A flit through a router and a link.
    stacks : int
        Stacks that share the operator; it is the part of one.
    """

    spec: ChipSpec
    params: MachineParams
    clock_GHz: float
    pus: int
    macs_per_cycle: int
    lanes: int
    bytes_per_cycle: tuple[float, ...]
    banks: int
    port_banks: int
    ports: int
    row_bytes: int
    column_bytes: int
    column_cycles: float
    recharge_cycles: tuple[float, ...]
    access_cycles: tuple[float, ...]
    fifo_bytes: int
    buffer_bytes: int
    array_rows: int
    array_cols: int
    strips: int
    strip_rows: int
    strip_cols: int
    dataflows: tuple[str, ...]
    link_bytes_per_cycle: float
    hop_cycles: float
    stacks: int

    @classmethod
    def of(cls, spec: ChipSpec, stacks: int = 1) -> Chip:
        """Return a chip with its peaks.

        Parameters
        ----------
        spec : ChipSpec
        stacks : int
        """
        params = resolve(spec)
        core, dram, noc = params.core, params.dram, params.noc
        clock = core_GHz(params)
        per_dram, per_noc = params.dram_period / params.core_period, params.noc_period / params.core_period
        rows, cols = _array(params, 1)
        strip_rows, strip_cols = _array(params, core.strips)
        column = int(params.latency[0, RD, RD])
        again = [int(one[RD, PRE]) + int(one[PRE, ACT]) + int(one[ACT, RD]) for one in params.latency]
        first = [int(one[ACT, RD]) + dram.nCL + dram.nPORT for one in params.latency]
        pipeline = noc.nROUTE + (max(noc.nVA, noc.nSA) if noc.speculative else noc.nVA + noc.nSA) + noc.nST
        array = spec.core.array
        return cls(
            spec=spec,
            params=params,
            clock_GHz=clock,
            pus=params.cores,
            macs_per_cycle=core.macs_per_cycle * params.cores,
            lanes=core.lanes * params.cores,
            bytes_per_cycle=tuple(rate / (clock * 1e9) for rate in tier_bandwidth(params)),
            banks=dram.banks * params.cores,
            port_banks=dram.port_banks,
            ports=dram.ports,
            row_bytes=dram.columns * dram.column_bytes,
            column_bytes=dram.column_bytes,
            column_cycles=column * per_dram,
            recharge_cycles=tuple(cycles * per_dram for cycles in again),
            access_cycles=tuple(cycles * per_dram for cycles in first),
            fifo_bytes=dram.fifo_columns * dram.column_bytes * dram.banks * params.cores,
            buffer_bytes=core.buffer_bytes,
            array_rows=rows,
            array_cols=cols,
            strips=core.strips,
            strip_rows=strip_rows,
            strip_cols=strip_cols,
            dataflows=tuple(array.dataflows) if array is not None else ("OS",),
            link_bytes_per_cycle=noc.flit_bytes / per_noc,
            hop_cycles=(pipeline + noc.nLINK) * per_noc,
            stacks=stacks,
        )


def _array(params: MachineParams, parts: int) -> tuple[int, int]:
    """Return rows and columns of the array of a core, or of one of its equal parts."""
    core = params.core
    multipliers = core.macs_per_cycle // parts
    if core.kind != MAC_TREE:
        rows = core.strips * core.strip_rows // parts
        return rows, multipliers // rows
    rows = int(multipliers**0.5)
    while multipliers % rows:
        rows -= 1
    return rows, multipliers // rows
