"""Rules of a chip file that join several fields.

They are checked on the raw tables, so that one broken field does not hide the faults of all others: a rule whose
inputs are not all sound is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from nmpsim.errors import Fault
from nmpsim.spec.clock import DOMAINS, PU_CLOCK, clock_fault
from nmpsim.spec.levels import has_levels, level_faults
from nmpsim.spec.network import network_faults
from nmpsim.units import cycles_down, cycles_up, exact

ELEMENT_BYTES = 2
"""Operands of FP16 or BF16; bytes."""

SUM_BYTES = 4
"""FP32 partial sums."""

PORTS_MOST = 62
"""Most ports of a group: the mask of kept ports is one signed machine word."""

Reader = Callable[..., Any]
"""``read(path, ...)``: the sound values at the dotted paths as a tuple, or None if one is not sound."""

MIN_RUN_QUEUE = 2
"""Runs that a weight stream posts to a bank at once."""


def reader(tree: Mapping[str, Any], broken: set[str]) -> Reader:
    """Return a function that reads sound values of a chip tree by dotted path.

    Parameters
    ----------
    tree : mapping
        The chip file as parsed.
    broken : set of str
        Dotted paths that the schema refused.
    """

    def value(path: str) -> Any:
        node: Any = tree
        for key in path.split("."):
            if not isinstance(node, Mapping) or key not in node:
                return None
            node = node[key]
        return node.get("value") if isinstance(node, Mapping) and "value" in node else node

    def read(*paths: str) -> Any:
        if any(path == bad or path.startswith(bad + ".") for path in paths for bad in broken):
            return None
        values = tuple(value(path) for path in paths)
        return None if any(v is None for v in values) else values

    return read


def geometry_faults(tree: Mapping[str, Any], file: str, broken: set[str]) -> list[Fault]:
    """Return every rule between fields that a chip tree breaks."""
    read = reader(tree, broken)
    return [
        Fault(f"{file}: {fault.where}", fault.got, fault.allowed, fault.todo)
        for rules in _RULES
        for fault in rules(read)
    ]


def _multiple(read: Reader, whole: str, part: str, todo: str) -> Iterator[Fault]:
    """Yield a fault if the number at `whole` is no multiple of the one at `part`."""
    pair = read(whole, part)
    if pair and pair[0] % pair[1]:
        yield Fault(whole, str(pair[0]), f"a multiple of {part} = {pair[1]}", todo)


def _clock(read: Reader) -> Iterator[Fault]:
    frequencies = read(*(f"clock.{name}" for name in DOMAINS))
    inside = read(PU_CLOCK) if has_levels(read) else ()
    if frequencies and inside is not None and (fault := clock_fault("clock", *frequencies, *inside)):
        yield fault


def _dram(read: Reader) -> Iterator[Fault]:
    yield from _multiple(read, "dram.rows_per_bank", "dram.tiers", "tiers have equal row counts: change one of the two")
    yield from _multiple(read, "dram.row_bytes", "dram.column_bytes", "a row is read in whole columns: change one")
    if (column := read("dram.column_bytes")) and column[0] % ELEMENT_BYTES:
        yield Fault("dram.column_bytes", str(column[0]), "an even number", "a beat carries whole FP16 elements")
    tiers = read("dram.timing.tRCD_ns", "dram.tiers")
    if tiers and len(tiers[0]) != tiers[1]:
        yield Fault(
            "dram.timing.tRCD_ns",
            f"{len(tiers[0])} figures",
            f"one per tier, dram.tiers = {tiers[1]}",
            "add or remove figures, or change dram.tiers",
        )


def hot_interval(interval_ns: float, celsius: float, hot: float, divisor: int, step: float) -> Fraction:
    """Return the refresh interval at a temperature; ns, exact.

    Parameters
    ----------
    interval_ns : float
        Interval up to the temperature `hot`; ns.
    celsius, hot : float
        Temperature of the DRAM, and the one above which it counts as hot; degrees Celsius.
    divisor : int
        What the interval is divided by above `hot`.
    step : float
        Every further step above `hot` halves the interval again, 0 = no further steps; degrees Celsius.
    """
    interval, above = exact(interval_ns), exact(celsius) - exact(hot)
    if above <= 0:
        return interval
    further = math.ceil(above / exact(step)) - 1 if step > 0 else 0
    hot_ns: Fraction = interval / divisor / 2**further
    return hot_ns


def _refresh(read: Reader) -> Iterator[Fault]:
    values = read("dram.timing.tREFI_ns", "dram.timing.tRFC_ns", "clock.dram_GHz")
    heat = read(*(f"dram.temperature.{name}" for name in ("celsius", "hot_celsius", "hot_divisor", "step_celsius")))
    if not values or not heat:
        return
    interval, busy = cycles_down(hot_interval(values[0], *heat), values[2]), cycles_up(values[1], values[2])
    if interval <= busy:
        yield Fault(
            "dram.timing.tREFI_ns",
            f"{values[0]} ns, at {heat[0]:g} degrees Celsius {interval} DRAM cycles",
            f"more than dram.timing.tRFC_ns = {values[1]} ns ({busy} DRAM cycles)",
            "a bank would only refresh: lengthen tREFI_ns, shorten tRFC_ns or cool the DRAM",
        )


def _shared_port(read: Reader) -> Iterator[Fault]:
    yield from _multiple(read, "dram.banks_per_channel", "port.banks", "groups of banks are of equal size: change one")
    ports = read("port.ports", "port.banks")
    if ports and ports[0] > ports[1]:
        advice = "a bank moves one column at a time: lower one of the two"
        yield Fault("port.ports", str(ports[0]), f"at most port.banks = {ports[1]}", advice)
    if ports and ports[0] > PORTS_MOST:
        advice = "a mask of ports is one machine word: use more groups"
        yield Fault("port.ports", str(ports[0]), f"at most {PORTS_MOST}", advice)
    columns = read("dram.timing.tBL_ns", "dram.timing.tCCD_ns")
    if columns and columns[0] > columns[1]:
        yield Fault(
            "dram.timing.tBL_ns",
            f"{columns[0]} ns",
            f"at most dram.timing.tCCD_ns = {columns[1]} ns",
            "one bank alone would overrun its port: shorten tBL_ns or lengthen tCCD_ns",
        )


def _port(read: Reader) -> Iterator[Fault]:
    sizes = read("port.fifo_bytes", "dram.row_bytes")
    if sizes and sizes[0] < sizes[1]:
        yield Fault(
            "port.fifo_bytes",
            str(sizes[0]),
            f"at least dram.row_bytes = {sizes[1]}",
            "space for a whole row is reserved before its ACT: enlarge the FIFO",
        )
    yield from _multiple(read, "port.fifo_bytes", "dram.column_bytes", "the FIFO holds whole beats: change one")
    queue = read("port.run_queue")
    if queue and queue[0] < MIN_RUN_QUEUE:
        yield Fault(
            "port.run_queue",
            str(queue[0]),
            f"at least {MIN_RUN_QUEUE}",
            "a weight stream posts its whole rows and its last, shorter row at once: enlarge the queue",
        )


def _kind(read: Reader) -> Iterator[Fault]:
    kind = read("core.kind")
    if not kind:
        return
    sections = {"systolic": "array", "mac_tree": "mac_tree"}
    for name, section in sections.items():
        present = read(f"core.{section}") is not None
        if name == kind[0] and not present and read("core"):
            yield Fault(f"core.{section}", "no such section", f"one, as core.kind = {name!r}", f"add [core.{section}]")
        if name != kind[0] and present:
            yield Fault(
                f"core.{section}",
                "a section",
                f"none, as core.kind = {kind[0]!r}",
                f"remove [core.{section}] or set core.kind = {name!r}",
            )


def _array(read: Reader) -> Iterator[Fault]:
    if read("core.kind") != ("systolic",):
        return
    yield from _multiple(read, "core.array.rows", "core.array.granularity", "strips have equal rows: change one")
    shape = read("core.array.rows", "core.array.granularity", "dram.banks_per_channel")
    if shape and shape[0] % shape[1] == 0 and shape[0] // shape[1] != shape[2]:
        yield Fault(
            "core.array.rows",
            f"{shape[0]} rows / granularity {shape[1]} = {shape[0] // shape[1]} strips",
            f"as many strips as dram.banks_per_channel = {shape[2]}",
            f"bank i feeds strip i: use rows = {shape[1] * shape[2]} or another granularity",
        )
    beat = read("core.array.cols", "dram.column_bytes")
    if beat and beat[0] * ELEMENT_BYTES != beat[1]:
        yield Fault(
            "core.array.cols",
            str(beat[0]),
            f"dram.column_bytes / 2 = {beat[1] / ELEMENT_BYTES:g} (one FP16 element of a beat per column)",
            "impossible geometry: change cols or column_bytes",
        )
    strips = shape[0] // shape[1] if shape else 0
    groups = read("core.array.groups")
    if groups:
        wrong = [size for size in groups[0] if strips and strips % size]
        if wrong or len(set(groups[0])) != len(groups[0]):
            allowed = f"divisors of the {strips} strips, each once" if strips else "each size once"
            yield Fault("core.array.groups", ", ".join(map(str, groups[0])), allowed, "leave the others out")
    flows = read("core.array.dataflows")
    if flows and len(set(flows[0])) != len(flows[0]):
        yield Fault("core.array.dataflows", ", ".join(flows[0]), "each dataflow once", "remove the repeated ones")


def _mac_tree(read: Reader) -> Iterator[Fault]:
    if read("core.kind") != ("mac_tree",):
        return
    slices = read("core.mac_tree.slices", "dram.banks_per_channel")
    if slices and slices[0] != slices[1]:
        yield Fault(
            "core.mac_tree.slices",
            str(slices[0]),
            f"as many as dram.banks_per_channel = {slices[1]}",
            "bank i feeds slice i: change one of the two",
        )
    beat = read("dram.column_bytes", "core.mac_tree.taps")
    if beat and beat[0] % (ELEMENT_BYTES * beat[1]):
        yield Fault(
            "core.mac_tree.taps",
            str(beat[1]),
            f"a divisor of dram.column_bytes / 2 = {beat[0] / ELEMENT_BYTES:g} (elements of a beat)",
            "a beat fills whole tap groups: change taps or column_bytes",
        )
    edge = read("core.mac_tree.edge_bytes", "core.mac_tree.slices")
    if edge and edge[0] % (SUM_BYTES * edge[1]):
        yield Fault(
            "core.mac_tree.edge_bytes",
            str(edge[0]),
            f"a multiple of {SUM_BYTES * edge[1]} (FP32 sums of core.mac_tree.slices = {edge[1]})",
            "all slices have equal shares: change one of the two",
        )
    sums = read("core.mac_tree.psum_bytes", "core.mac_tree.fold_sets")
    if sums and sums[0] % (SUM_BYTES * sums[1]):
        yield Fault(
            "core.mac_tree.psum_bytes",
            str(sums[0]),
            f"a multiple of {SUM_BYTES * sums[1]} (FP32 sums in core.mac_tree.fold_sets = {sums[1]} equal sets)",
            "change one of the two",
        )


def _buffer(read: Reader) -> Iterator[Fault]:
    sizes = read("core.buffer.bytes", "core.buffer.banks", "core.buffer.bank_bytes")
    if sizes and sizes[0] % (sizes[1] * sizes[2]):
        yield Fault(
            "core.buffer.bytes",
            str(sizes[0]),
            f"a multiple of banks x bank_bytes = {sizes[1]} x {sizes[2]} = {sizes[1] * sizes[2]}",
            "banks are of equal size: change one of the three",
        )
    for path in ("core.vector.read_bytes", "core.vector.write_bytes", "core.mac_tree.edge_bytes"):
        ports = read(path, "core.buffer.banks", "core.buffer.bank_bytes")
        if ports and ports[0] > ports[1] * ports[2]:
            yield Fault(
                path,
                str(ports[0]),
                f"at most what all ports of the buffer give, {ports[1]} x {ports[2]} = {ports[1] * ports[2]}",
                "it goes through the buffer's ports: lower it or widen the buffer",
            )


def _array_buffer(read: Reader) -> Iterator[Fault]:
    """Yield the faults of the buffers that a separate compute unit has for itself."""
    own = "core.array_buffer"
    for name in ("operand", "output"):
        paths = f"{own}.{name}_bytes", f"{own}.{name}_banks", f"{own}.bank_bytes"
        if (sizes := read(*paths)) and sizes[0] % (sizes[1] * sizes[2]):
            yield Fault(
                paths[0],
                str(sizes[0]),
                f"a multiple of {name}_banks x bank_bytes = {sizes[1]} x {sizes[2]} = {sizes[1] * sizes[2]}",
                "banks are of equal size: change one of the three",
            )
    if read("core.arrangement") != ("separate",):
        return
    if read(own) is None and read("core"):
        todo = f"add [{own}] or set core.arrangement = 'unified'"
        yield Fault(own, "no such section", "one, as core.arrangement = 'separate'", todo)
    copies = f"{own}.copy_bytes"
    for path, banks, width, what in (
        (copies, "core.buffer.banks", "core.buffer.bank_bytes", "the buffer"),
        (copies, f"{own}.operand_banks", f"{own}.bank_bytes", "the operand buffer"),
        (copies, f"{own}.output_banks", f"{own}.bank_bytes", "the output buffer"),
        ("core.mac_tree.edge_bytes", f"{own}.output_banks", f"{own}.bank_bytes", "the output buffer"),
    ):
        ports = read(path, banks, width)
        if ports and ports[0] > ports[1] * ports[2]:
            yield Fault(
                path,
                str(ports[0]),
                f"at most what all ports of {what} give, {ports[1]} x {ports[2]} = {ports[1] * ports[2]}",
                "it goes through those ports: lower it or widen the buffer",
            )


_RULES = (
    _clock,
    _dram,
    _refresh,
    _port,
    _shared_port,
    _kind,
    _array,
    _mac_tree,
    _buffer,
    _array_buffer,
    network_faults,
    level_faults,
)
