"""What a chip file may say.  Strict: an unknown key, a number without origin or a wrong type is an error.

Every number is a small table with its origin, in one of two forms::

    tRP_ns = { value = 4.77, source = "Stratum, arXiv 2510.05245, Table 1" }
    tCL_ns = { value = 5.0, assumed = true, why = "column select and one bond crossing, no serialiser" }

The description of a field starts with its unit.  Rules that join several fields are in `geometry`.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from nmpsim.spec.fields import (
    Bytes,
    Celsius,
    CelsiusStep,
    Count,
    CountOrNone,
    Ghz,
    Millimetres,
    Ns,
    NsOrNone,
    NsPerTier,
    Picojoules,
    Rows,
    Section,
    Sets,
    Sourced,
)
from nmpsim.spec.routers import PuNoc, Routers

BUFFER_BANKS_MOST = 62
"""Most banks of a buffer: the mask of its ports is one signed machine word."""


class Chip(Section):
    """Section [chip] of a chip file."""

    name: str = Field(min_length=1, description="name; used in reports")
    description: str = Field(description="text; what this chip stands for")
    pus: Sourced[Count] = Field(
        description="units; processing units: cores, a channel each, and their place in the network"
    )
    cores_per_pu: Sourced[Count] = Field(
        default=Sourced[Count](value=1, assumed=True, why="one core for each PU unless the chip says otherwise"),
        description="cores; of a PU, above 1 joined by a network of their own, [noc.pu]",
    )


class Clock(Section):
    """Section [clock] of a chip file."""

    core_GHz: Sourced[Ghz] = Field(description="GHz; clock of the core and its buffer")
    dram_GHz: Sourced[Ghz] = Field(description="GHz; command clock of the DRAM")
    noc_GHz: Sourced[Ghz] = Field(description="GHz; clock of the network")
    link_GHz: Sourced[Ghz] = Field(description="GHz; clock of the links to other stacks")


class Timing(Section):
    """Section [dram.timing] of a chip file."""

    tRCD_ns: Sourced[NsPerTier] = Field(description="ns; ACT to RD or WR, one figure per tier")
    tRP_ns: Sourced[Ns] = Field(description="ns; PRE to ACT")
    tRAS_minus_tRCD_ns: Sourced[Ns] = Field(description="ns; tRAS of a tier is its tRCD plus this")
    tCCD_ns: Sourced[Ns] = Field(description="ns; RD to RD, WR to WR of one bank: one column access")
    tBL_ns: Sourced[Ns] = Field(description="ns; column to column of the same direction on one port, at most tCCD")
    tRTP_ns: Sourced[Ns] = Field(description="ns; last RD to PRE")
    tCL_ns: Sourced[Ns] = Field(description="ns; RD to its data at the bank's port")
    tCWL_ns: Sourced[Ns] = Field(description="ns; WR to its data")
    tWR_ns: Sourced[Ns] = Field(description="ns; end of write data to PRE")
    tWTR_ns: Sourced[Ns] = Field(description="ns; end of write data to RD")
    tRTW_ns: Sourced[Ns] = Field(description="ns; RD to WR")
    tRRD_ns: Sourced[NsOrNone] = Field(description="ns; ACT to ACT of two banks of a channel, 0 = no rule")
    tFAW_ns: Sourced[NsOrNone] = Field(description="ns; window of four ACT in a channel, 0 = no rule")
    tREFI_ns: Sourced[Ns] = Field(description="ns; longest mean interval between refreshes of a bank")
    tRFC_ns: Sourced[Ns] = Field(description="ns; refresh of a bank to its next ACT")


class Refresh(Section):
    """Section [dram.refresh] of a chip file."""

    mode: Literal["per_bank", "off"] = Field(description="word; which refresh")
    postpone: Sourced[CountOrNone] = Field(description="refreshes; how many may wait while rows are wanted")
    pull_in: Sourced[CountOrNone] = Field(description="refreshes; how many a bank without requests may do ahead")


class Temperature(Section):
    """Section [dram.temperature] of a chip file."""

    celsius: Sourced[Celsius] = Field(description="degrees Celsius; of the DRAM, constant over a run")
    hot_celsius: Sourced[Celsius] = Field(description="degrees Celsius; above it, tREFI is divided by hot_divisor")
    hot_divisor: Sourced[Count] = Field(description="ratio; of the refresh rates just above and below hot_celsius")
    step_celsius: Sourced[CelsiusStep] = Field(
        description="degrees Celsius; every further step above hot_celsius halves tREFI again, 0 = no further steps"
    )


class Budget(Section):
    """Section [dram.budget] of a chip file: activations of the whole die."""

    die_tRRD_ns: Sourced[NsOrNone] = Field(description="ns; ACT to ACT of any two banks of the die, 0 = no rule")
    die_tFAW_ns: Sourced[NsOrNone] = Field(description="ns; window of die_acts ACT on the die, 0 = no rule")
    die_acts: Sourced[Annotated[int, Field(ge=1, le=4096)]] = Field(description="activations; allowed in the window")


class Energy(Section):
    """Section [dram.energy] of a chip file: what one command takes, data to the bank's port included."""

    ACT_pJ: Sourced[Picojoules] = Field(description="pJ; an ACT and its PRE")
    RD_pJ: Sourced[Picojoules] = Field(description="pJ; one column read")
    WR_pJ: Sourced[Picojoules] = Field(description="pJ; one column write")
    REF_pJ: Sourced[Picojoules] = Field(description="pJ; one REFpb")


class Dram(Section):
    """Section [dram] of a chip file."""

    banks_per_channel: Sourced[Count] = Field(description="banks; one per strip or slice of the core")
    rows_per_bank: Sourced[Rows] = Field(description="rows; a multiple of the tiers")
    row_bytes: Sourced[Bytes] = Field(description="bytes; a row")
    column_bytes: Sourced[Bytes] = Field(description="bytes; one column access, one beat of the port")
    tiers: Sourced[Count] = Field(description="tiers; latency classes of equal row counts")
    row_hits: Sourced[CountOrNone] = Field(
        description="row accesses; that one ACT may serve: 1 = closed page, 0 = open page without a cap"
    )
    timing: Timing
    refresh: Refresh
    temperature: Temperature
    budget: Budget
    energy: Energy


class Port(Section):
    """Section [port] of a chip file."""

    fifo_bytes: Sourced[Bytes] = Field(description="bytes; FIFO between a bank and its strip")
    latency_cycles: Sourced[Count] = Field(description="DRAM cycles; bank port to FIFO: bond and link")
    credit_cycles: Sourced[Count] = Field(description="DRAM cycles; FIFO slot freed to credit seen by the bank")
    run_queue: Sourced[Count] = Field(description="row runs; requests that a bank sequencer holds")
    banks: Sourced[Count] = Field(description="banks; adjacent ones that share the ports of a group")
    ports: Sourced[Count] = Field(description="ports; of a group, at most its banks")
    hold: Literal["row", "column"] = Field(description="word; how long a shared port is granted")


class Array(Section):
    """Section [core.array] of a chip file."""

    rows: Sourced[Count] = Field(description="PEs; rows of the array")
    cols: Sourced[Count] = Field(description="PEs; columns of the array, one per element of a beat")
    granularity: Sourced[Count] = Field(description="rows; of one strip")
    dataflows: Annotated[tuple[Literal["OS", "WS", "IS"], ...], Field(strict=False, min_length=1)] = Field(
        description="words; dataflows that the array can run"
    )
    groups: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] | None = Field(
        default=None, description="strips; sizes of the groups that the array can form, every divisor if left out"
    )
    reconfigure_cycles: Sourced[CountOrNone] = Field(description="core cycles; change of shape or dataflow")
    pe_latency: Sourced[CountOrNone] = Field(description="core cycles; of a PE beyond one per hop")
    fold_sets: Sourced[Sets] = Field(description="sets; accumulator sets, 2 = double-buffered")


class MacTree(Section):
    """Section [core.mac_tree] of a chip file."""

    slices: Sourced[Count] = Field(description="slices; one per bank")
    engines: Sourced[Count] = Field(description="engines; dot-product engines of a slice")
    taps: Sourced[Count] = Field(description="elements; inputs of one dot-product engine")
    register_beats: Sourced[Count] = Field(description="beats; held by one set of operand registers")
    edge_bytes: Sourced[Bytes] = Field(description="bytes per core cycle; results of all slices to the buffer")
    psum_bytes: Sourced[Bytes] = Field(description="bytes; partial-sum SRAM of a slice, all sets together")
    fold_sets: Sourced[Sets] = Field(description="sets; partial-sum sets, 2 = double-buffered")
    tree_latency: Sourced[CountOrNone] = Field(description="core cycles; of the adder tree beyond one")


class Vector(Section):
    """Section [core.vector] of a chip file."""

    lanes: Sourced[Count] = Field(description="lanes; FP32")
    read_bytes: Sourced[Bytes] = Field(description="bytes per core cycle; most that is read from the buffer")
    write_bytes: Sourced[Bytes] = Field(description="bytes per core cycle; most that is written to the buffer")
    latency_cycles: Sourced[Count] = Field(description="core cycles; first operand to first result")
    exp_interval: Sourced[Count] = Field(description="core cycles; per `lanes` exponentials")
    sqrt_interval: Sourced[Count] = Field(description="core cycles; per `lanes` reciprocals or reciprocal square roots")


class Buffer(Section):
    """Section [core.buffer] of a chip file."""

    bytes: Sourced[Bytes] = Field(description="bytes; capacity")
    banks: Sourced[Annotated[int, Field(ge=1, le=BUFFER_BANKS_MOST)]] = Field(
        description="banks; a port mask is one machine word"
    )
    bank_bytes: Sourced[Bytes] = Field(description="bytes; width of a bank's read port and of its write port")


class ArrayBuffer(Section):
    """Section [core.array_buffer] of a chip file: what the compute unit has for itself if core.arrangement says so."""

    operand_bytes: Sourced[Bytes] = Field(description="bytes; capacity of the operand buffer")
    operand_banks: Sourced[Annotated[int, Field(ge=1, le=BUFFER_BANKS_MOST)]] = Field(
        description="banks; of the operand buffer, a port mask is one machine word"
    )
    output_bytes: Sourced[Bytes] = Field(description="bytes; capacity of the output buffer")
    output_banks: Sourced[Annotated[int, Field(ge=1, le=BUFFER_BANKS_MOST)]] = Field(
        description="banks; of the output buffer, a port mask is one machine word"
    )
    bank_bytes: Sourced[Bytes] = Field(description="bytes; width of a read port and of a write port of their banks")
    copy_bytes: Sourced[Bytes] = Field(description="bytes per core cycle; of each of the two copy engines")
    copy_cycles: Sourced[Count] = Field(description="core cycles; a byte's way from one buffer to the other")


class Sequencer(Section):
    """Section [core.sequencer] of a chip file."""

    queue_depth: Sourced[Count] = Field(description="instructions; that a unit's queue holds")


class Core(Section):
    """Section [core] of a chip file."""

    kind: Literal["systolic", "mac_tree"] = Field(description="word; kind of compute unit")
    arrangement: Literal["unified", "separate"] = Field(
        default="unified", description="word; the compute unit shares the buffer, or has array_buffer for itself"
    )
    operands: Literal["fp16", "bf16"] = Field(
        default="fp16", description="word; format that PEs multiply and activations have; sums are FP32"
    )
    array: Array | None = None
    mac_tree: MacTree | None = None
    vector: Vector
    buffer: Buffer
    array_buffer: ArrayBuffer | None = None
    sequencer: Sequencer


class DieToDie(Section):
    """Section [noc.die_to_die] of a chip file: the link of every PU to the neighbour stacks."""

    bytes_per_cycle: Sourced[Bytes] = Field(description="bytes; each way, one cycle of the link")
    latency_cycles: Sourced[Count] = Field(description="link cycles; sent to arrived, credits alike")
    buffer_flits: Sourced[Count] = Field(description="flits; each queue of a gateway")
    pJ_per_bit: Sourced[Picojoules] = Field(description="pJ; a bit of the width used")


class Noc(Routers):
    """Section [noc] of a chip file: the network between PUs."""

    collectives: Literal["messages", "multicast", "network"] = Field(
        description="word; collectives by messages, with copies made by the routers, or with copies and sums made there"
    )
    multicast_vcs: Sourced[Annotated[int, Field(ge=1, le=62)]] = Field(
        description="virtual channels; per link and class, besides vcs, if routers copy"
    )
    multicast_flits: Sourced[Annotated[int, Field(ge=1, le=4096)]] = Field(
        description="flits; a packet of a multicast, which fits into a buffer"
    )
    sum_vcs: Sourced[Annotated[int, Field(ge=1, le=62)]] = Field(
        description="virtual channels; of sums, per link and port of a core, if routers add"
    )
    add_cycles: Sourced[Annotated[int, Field(ge=1, le=64)]] = Field(description="network cycles; addition of two flits")
    hop_mm: Sourced[Millimetres] = Field(description="mm; wire between two routers")
    pu: PuNoc | None = None
    die_to_die: DieToDie


class Placement(Section):
    """Section [placement] of a chip file."""

    fill: Literal["kv_first", "weights_first"] = Field(description="word; what gets the fast tiers first")


class ChipSpec(Section):
    """A chip file that passed every check.

    Made by `nmpsim.spec.load_chip` and `nmpsim.spec.with_overrides`, never by hand: only those also check what
    joins several fields.
    """

    chip: Chip
    clock: Clock
    dram: Dram
    port: Port
    core: Core
    noc: Noc
    placement: Placement

    _file: str = PrivateAttr(default="")
    _sha256: str = PrivateAttr(default="")
    _tree: dict[str, Any] = PrivateAttr(default_factory=dict)
    _overrides: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, tree: dict[str, Any], file: str, sha256: str, overrides: dict[str, Any]) -> ChipSpec:
        """Return the spec of a chip tree that remembers where it came from; also what unpickling calls.

        Raises
        ------
        ValidationError
            If the schema refuses the tree.
        """
        spec = cls.model_validate(tree)
        spec._file, spec._sha256 = file, sha256  # noqa: SLF001 (of this very class)
        spec._tree, spec._overrides = tree, overrides  # noqa: SLF001
        return spec

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the tree: the classes of sourced numbers have no importable name."""
        return ChipSpec.of, (self._tree, self._file, self._sha256, self._overrides)

    @property
    def file(self) -> str:
        """The file it was read from."""
        return self._file

    @property
    def sha256(self) -> str:
        """Hash of the file and of the DRAM preset it names; once overridden, of all settings with that hash; hex."""
        if not self._overrides:
            return self._sha256
        told = json.dumps([self._sha256, self._tree], sort_keys=True, default=repr)
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def overrides(self) -> dict[str, Any]:
        """What was changed since the file was read: value by dotted path."""
        return dict(self._overrides)

    @property
    def file_sha256(self) -> str:
        """Hash of the file and of the DRAM preset it names, whatever was overridden since; hex."""
        return self._sha256

    @property
    def tree(self) -> dict[str, Any]:
        """A copy of the tables as parsed, with the overrides in place."""
        return copy.deepcopy(self._tree)


def numbers(section: Section, prefix: str = "") -> Iterator[tuple[str, Sourced[Any]]]:
    """Yield every number of a spec with its dotted path, in the order of the schema."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Sourced):
            yield prefix + name, value
        elif isinstance(value, Section):
            yield from numbers(value, f"{prefix}{name}.")


def words(section: Section, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting that is no number with its dotted path, in the order of the schema."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section) and not isinstance(value, Sourced):
            yield from words(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            yield prefix + name, value
        elif isinstance(value, tuple):
            yield prefix + name, ", ".join(value)
