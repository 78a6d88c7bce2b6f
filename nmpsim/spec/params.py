"""What the cycle models are built from: integers only, made by `resolve` and by nothing else.

Times are in cycles of the named domain, sizes in the unit of the field.  Kernels take these tuples whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SYSTOLIC, MAC_TREE = 0, 1
"""Kinds of compute unit."""

ACT, PRE, RD, WR, REF = 0, 1, 2, 3, 4
"""DRAM commands of the native table; index of the constraint table.  REF is REFpb: one bank."""
COMMANDS = ("ACT", "PRE", "RD", "WR", "REFpb")

HOLD_ROW, HOLD_COLUMN = 0, 1
"""How long a shared port is granted: for the columns of a row access, or for one column."""


class DramParams(NamedTuple):
    """One channel (one per PU): banks with a command sequencer and a data port each."""

    banks: int  # banks per channel, one per strip or slice
    rows: int  # rows per bank
    columns: int  # column accesses per row
    column_bytes: int  # bytes of one column access = one beat of the port
    tiers: int  # latency classes
    rows_per_tier: int  # rows / tiers
    fifo_columns: int  # landing space of a port; beats
    run_queue: int  # row-run requests a bank sequencer holds
    nCL: int  # RD to first data at the bank's port; DRAM cycles
    nCWL: int  # WR to data needed; DRAM cycles
    nPORT: int  # bank port to strip FIFO, bond and link; DRAM cycles, >= 1
    nCREDIT: int  # FIFO pop to credit seen by the sequencer; DRAM cycles, >= 1
    nRRD: int  # ACT to ACT of any two banks of the channel; DRAM cycles, 0 = no such rule
    nFAW: int  # window of four ACT in the channel; DRAM cycles, 0 = no such rule
    nREFI: int  # per-bank refresh interval; DRAM cycles
    refresh: int  # 1 = per-bank refresh on, 0 = off
    postpone: int  # refreshes that may be postponed while rows are waiting
    pull_in: int = 0  # refreshes that may be done ahead while no run is seen
    row_hits: int = 1  # row accesses one ACT may serve: 1 = closed page, 0 = open page without a cap
    port_banks: int = 1  # adjacent banks that share the ports of a group
    ports: int = 1  # ports of a group
    port_hold: int = 0  # HOLD_ROW or HOLD_COLUMN: how long a shared port is granted
    nBL: int = 1  # column to column of one direction on one port; DRAM cycles
    die_nRRD: int = 0  # ACT to ACT of any two banks of the die; DRAM cycles, 0 = no such rule
    die_nFAW: int = 0  # window of `die_acts` ACT on the die; DRAM cycles, 0 = no such rule
    die_acts: int = 1  # ACT allowed in that window


RING, MESH, TORUS, CROSSBAR = range(4)
"""Kinds of networks; a ring is a torus of one dimension."""
TOPOLOGIES = ("ring", "mesh", "torus", "crossbar")

ALLOCATORS = ("islip", "separable_input_first", "separable_output_first")
"""How routers match requests to resources."""


class NocParams(NamedTuple):
    """A network: routers with virtual channels and credits."""

    nodes: int  # that it joins: cores, or gateways of PUs
    kind: int  # RING, MESH, TORUS or CROSSBAR
    radix: int  # nodes along a dimension
    dims: int  # dimensions
    flit_bytes: int  # bytes a flit carries
    vcs: int  # virtual channels per link
    buffer_flits: int  # input buffer per virtual channel; flits
    nROUTE: int  # routing; NoC cycles, 0 = lookahead
    nVA: int  # VC allocation; NoC cycles, >= 1
    nSA: int  # switch allocation; NoC cycles, >= 1
    nST: int  # switch traversal; NoC cycles, >= 1
    speculative: int  # 1 = a head asks for the switch while it asks for a channel
    vc_allocator: int  # index into ALLOCATORS
    switch_allocator: int  # index into ALLOCATORS
    nLINK: int  # wire between two routers; NoC cycles, >= 1
    nPORT: int  # wire between a router and a port of its node; NoC cycles
    nCREDIT: int  # arrival of a credit to its use, and place freed to credit seen at a port; NoC cycles, >= 1
    nSYNC: int  # clock crossing; cycles of the receiving domain, >= 1
    inject_flits: int  # injection queue of a port; flits
    eject_flits: int  # ejection queue of a port; flits
    multicast_lanes: int = 0  # virtual channels of multicasts in each class of a link; 0 = routers do not copy
    multicast_flits: int = 1  # of a packet of a multicast, <= buffer_flits
    sum_lanes: int = 0  # virtual channels of sums of each port of a core; 0 = routers do not add
    nADD: int = 1  # addition of two flits in a router; NoC cycles, >= 1
    groups: int = 1  # separate networks alike, of nodes / groups nodes each; above 1 with gateways to another network
    behind: int = 1  # cores behind each node; above 1 its nodes are gateways of such networks


class LinkParams(NamedTuple):
    """The link of every PU to the neighbour stacks."""

    period: int = 1  # of its clock; ticks
    bytes: int = 1  # width; bytes per cycle
    latency: int = 1  # sent to arrived; cycles, >= 1
    buffer_flits: int = 1  # each queue of a gateway; flits
    sync: int = 0  # network to gateway; its cycles, 0 = nSYNC of the network


NO_LINK = LinkParams()
"""Of a die without other stacks."""


class GateParams(NamedTuple):
    """Gateways between the networks inside PUs and that between them; their clock and queues are a LinkParams."""

    cores: int = 1  # of a PU; 1 = one network joins all cores, there are no gateways
    inner_bytes: int = 1  # flit of the network inside a PU
    outer_bytes: int = 1  # flit of the network between PUs
    inner_sync: int = 1  # gateway to the network inside its PU; cycles of that, >= 1
    outer_sync: int = 1  # gateway to the network between PUs; cycles of that, >= 1


NO_GATE = GateParams()
"""Of a die of PUs with one core each."""


class CoreParams(NamedTuple):
    """One core per PU: compute unit, vector unit, buffer, data movers, sequencer."""

    kind: int  # SYSTOLIC or MAC_TREE
    strips: int  # strips of the array, or MAC-tree slices; = banks per channel
    strip_rows: int  # rows of a strip (granularity g); 1 for a MAC tree
    columns: int  # elements of one beat = columns of a strip
    macs_per_cycle: int  # multiply-accumulates of the whole core per cycle
    reconfigure: int  # change of shape or dataflow, array empty; cycles
    pe_latency: int  # cycles a PE (or the adder tree) adds beyond one per hop
    register_beats: int  # MAC tree: beats held by one set of operand registers; 0 for a systolic array
    edge_bytes: int  # most result bytes per cycle that leave the compute unit for the buffer
    fold_sets: int  # accumulator sets (2 = double-buffered)
    psum_bytes: int  # MAC tree: partial-sum SRAM of a slice, both halves; 0 for a systolic array
    lanes: int  # vector lanes
    vector_read_bytes: int  # most bytes the vector unit reads from the buffer per cycle
    vector_write_bytes: int  # most bytes it writes per cycle
    vector_latency: int  # first operand to first result; cycles
    exp_interval: int  # cycles per `lanes` exponentials
    sqrt_interval: int  # cycles per `lanes` reciprocals or reciprocal square roots
    buffer_bytes: int  # capacity of the buffer
    buffer_banks: int  # banks, <= 62 (port masks are one machine word)
    bank_bytes: int  # width of one bank port; each bank has one read and one write port
    queue_depth: int  # instructions a unit's queue holds
    run_ahead: int  # cycles of port history kept; bounds how far the array may be stepped ahead in skip mode
    taps: int = 0  # MAC tree: products that one engine adds up per cycle; 0 for a systolic array
    separate: int = 0  # 1 = the compute unit has an operand and an output buffer of its own
    operand_bytes: int = 0  # separate: capacity of the operand buffer
    operand_banks: int = 1  # separate: its banks, <= 62
    output_bytes: int = 0  # separate: capacity of the output buffer
    output_banks: int = 1  # separate: its banks, <= 62
    array_bank_bytes: int = 1  # separate: width of one port of these banks
    copy_bytes: int = 1  # separate: bytes per cycle of each copy engine
    copy_latency: int = 1  # separate: a byte's way from one buffer to the other; cycles, >= 1
    groups: int = 0  # bit g: strips can form groups of g, see `group_sizes`; 0 = of every divisor of their number

    def group_sizes(self) -> list[int]:
        """Return how many strips a group of the array may have, the smallest number first."""
        divisors = [g for g in range(1, self.strips + 1) if self.strips % g == 0]
        return [g for g in divisors if self.groups == 0 or self.groups >> g & 1]


@dataclass(frozen=True)
class MachineParams:
    """A whole chip as integers, with the exact clock domains.

    Parameters
    ----------
    name : str
        Name of the chip.
    cores : int
        Cores, each with a program, a channel and a terminal pair; as many as PUs unless a PU has several.
    tick_ps : Fraction
        The base tick: greatest common divisor of the three periods, in picoseconds, exact.
    core_period, dram_period, noc_period : int
        Periods of the three domains; ticks.
    core, dram, noc : CoreParams, DramParams, NocParams
        Integers of each part.
    latency : ndarray of int64, shape (tier, 5, 5)
        ``latency[tier, previous, next]``: DRAM cycles between two commands of one bank; -1 = no rule.
    command_pJ : tuple of float
        Energy of a DRAM command, in the order of `COMMANDS`; that of an ACT covers its PRE; pJ.
    row_cycle_ns : tuple of float
        Unrounded tRC per tier, for the bandwidth bound; ns.
    fill : str
        Tier fill order: ``"kv_first"`` or ``"weights_first"``.
    rounding : tuple of str
        One sentence per quantity that was rounded to cycles: asked, got, relative error.
    link : LinkParams
        Links between stacks; there are some if `stacks` > 1.
    hop_mm : float
        Wire between two neighbours of the network; mm.
    link_pJ_per_bit : float
        Energy of a link between stacks; pJ per bit of its width and cycle used.
    stacks : int
        Stacks that work together, in a ring; one of them is simulated.
    operands : str
        Format of what PEs multiply and of activations: ``"fp16"`` or ``"bf16"``.
    cores_per_pu : int
        Cores of a PU. Above 1, `noc` is the network inside PUs, with `noc_period` and `hop_mm`.
    outer : NocParams, optional
        The network between PUs, if `noc` is not.
    outer_period : int
        Its period; ticks.
    outer_hop_mm : float
        Wire between two of its routers; mm.
    gate : GateParams
        Gateways between the two; their clock and queues are those of `link`.
    """

    name: str
    cores: int
    tick_ps: Fraction
    core_period: int
    dram_period: int
    noc_period: int
    core: CoreParams
    dram: DramParams
    noc: NocParams
    latency: NDArray[np.int64]
    command_pJ: tuple[float, ...]
    row_cycle_ns: tuple[float, ...]
    fill: str
    rounding: tuple[str, ...]
    link: LinkParams = NO_LINK
    hop_mm: float = 0.0
    link_pJ_per_bit: float = 0.0
    stacks: int = 1
    operands: str = "fp16"
    cores_per_pu: int = 1
    outer: NocParams | None = None
    outer_period: int = 1
    outer_hop_mm: float = 0.0
    gate: GateParams = NO_GATE

    @property
    def pus(self) -> int:
        """Processing units."""
        return self.cores // self.cores_per_pu

    @property
    def between(self) -> tuple[NocParams, int]:
        """The network between PUs, whether or not they have others inside, and its period in ticks."""
        return (self.noc, self.noc_period) if self.outer is None else (self.outer, self.outer_period)
