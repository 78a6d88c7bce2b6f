"""A protocol as text: levels, commands, the whole table with its rules, timing, and what it can deliver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from nmpsim.spec.protocol import Constraint, Protocol
from nmpsim.spec.standard.native import LEVELS, PORT

Rows = Sequence[Sequence[str]]


class DataPaths(NamedTuple):
    """What limits the columns of a protocol, rows and refresh apart."""

    level: str  # level of one path
    paths: int  # that work side by side
    ticks: int  # between two columns of one path


def data_paths(protocol: Protocol, ports: int = 1) -> DataPaths:
    """Return the level that limits a stream of the fastest kind of column, in the fastest tier.

    Of every kind of column (RD, WR, ...) the level whose nodes together move the fewest; of those the most.

    Parameters
    ----------
    protocol : Protocol
        A native one, or of a standard.
    ports : int
        Ports of a group of a native protocol.
    """
    nodes, count = {}, 1
    for level, size in zip(protocol.levels, protocol.sizes, strict=True):
        count *= size
        nodes[level] = count
    if protocol.levels == LEVELS:
        nodes[PORT] = nodes["Group"] * ports
    columns = [command.name for command in protocol.commands if command.moves_data]
    return max((_narrowest(protocol, nodes, name) for name in columns), key=lambda way: Fraction(way.paths, way.ticks))


def _narrowest(protocol: Protocol, nodes: dict[str, int], column: str) -> DataPaths:
    """Return the level that moves the fewest columns of one kind; `nodes` has the nodes of each level."""
    one_per_tick = "Bank" if protocol.levels == LEVELS else protocol.levels[0]  # a sequencer per bank, or a bus
    found = DataPaths(one_per_tick, nodes[one_per_tick], 1)
    for level, paths in nodes.items():
        apart = [
            min(row.latency)
            for row in protocol.constraints
            if row.level == level and row.window == 1 and not row.sibling
            if column in row.preceding and column in row.following
        ]
        ticks = max((1, *apart))
        if apart and paths * found.ticks <= found.paths * ticks:
            found = DataPaths(level, paths, ticks)
    return found


def peak_bandwidth(protocol: Protocol, ports: int = 1) -> Fraction:
    """Return what all data paths move in columns without a gap; GB/s, exact.

    Parameters
    ----------
    protocol : Protocol
        A native one, or of a standard.
    ports : int
        Ports of a group of a native protocol.
    """
    narrowest = data_paths(protocol, ports)
    return Fraction(narrowest.paths * protocol.transaction_bytes * 1000, narrowest.ticks * protocol.tick_ps)


def row_stream_ticks(protocol: Protocol, tier: int) -> int:
    """Return the ticks from one ACT to the next of a bank of a native protocol that reads whole rows of a tier.

    The greatest of nRC, nRAS + nRP, and the reads themselves: nRCD, a read per nCCD, nRTP, nRP.

    Parameters
    ----------
    protocol : Protocol
        From `native_protocol`.
    tier : int
        Tier of the rows.
    """
    n = {
        (row.preceding[0], row.following[0]): row.latency[tier]
        for row in protocol.constraints
        if row.level == "Bank" and len(row.preceding) == 1
    }
    reads = n["ACT", "RD"] + (protocol.columns - 1) * n["RD", "RD"] + n["RD", "PRE"]
    return max(n["ACT", "ACT"], max(n["ACT", "PRE"], reads) + n["PRE", "ACT"])


def describe_protocol(protocol: Protocol, ports: int = 1) -> str:
    """Return a whole protocol as plain text for ``nmpsim show dram``.

    Parameters
    ----------
    protocol : Protocol
        From `load_standard`, `native_protocol` or `preset_protocol`.
    ports : int
        Ports of a group of a native protocol.
    """
    lines = [
        f"protocol {protocol.name}",
        *_section("levels", _levels(protocol)),
        *("", "geometry", *(f"  {line}" for line in _geometry(protocol, ports))),
        *_section("commands", _commands(protocol)),
        *_section("timing", _timing(protocol)),
        *_section(f"constraints ({len(protocol.constraints)})", _constraints(protocol)),
    ]
    return "\n".join(lines)


def _section(title: str, rows: Rows) -> Iterator[str]:
    """Yield a title and rows in columns; the last column is not padded."""
    yield ""
    yield title
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _ns(protocol: Protocol, ticks: int) -> str:
    return f"{ticks * protocol.tick_ps / 1000:g}"


def _geometry(protocol: Protocol, ports: int) -> Iterator[str]:
    """Yield the lines on sizes, clock and bandwidth."""
    row_bytes = protocol.columns * protocol.transaction_bytes
    yield f"rows of a bank {protocol.rows}, columns of a row {protocol.columns}, {row_bytes} B per row"
    if protocol.rows_per_tier != protocol.rows:
        yield f"rows of a tier {protocol.rows_per_tier}"
    gigabytes = Fraction(protocol.banks * protocol.rows * row_bytes, 10**9)
    yield f"transaction {protocol.transaction_bytes} B, {protocol.banks} banks, {float(gigabytes):.3f} GB"
    clock = "a command clock" if protocol.ticks_per_ck == 1 else f"1/{protocol.ticks_per_ck} of a command clock"
    yield f"tick {protocol.tick_ps} ps, {clock}" + (", half-clock edges" if protocol.half_clock_edges else "")
    yield f"read latency {protocol.read_latency} ticks, {_ns(protocol, protocol.read_latency)} ns"
    narrowest = data_paths(protocol, ports)
    moved = f"{narrowest.paths} x {narrowest.level}, {protocol.transaction_bytes} B per {narrowest.ticks} ticks"
    yield f"peak bandwidth {float(peak_bandwidth(protocol, ports)):.2f} GB/s ({moved})"
    if protocol.levels == LEVELS:
        for tier in range(protocol.rows // protocol.rows_per_tier):
            ticks = row_stream_ticks(protocol, tier)
            rate = protocol.banks * row_bytes * 1000 / (ticks * protocol.tick_ps)
            yield f"whole rows of tier {tier}: one per {ticks} ticks and bank, {rate:.2f} GB/s if only the banks limit"


def _levels(protocol: Protocol) -> Rows:
    rows, nodes = [("level", "each", "in all")], 1
    for level, size in zip(protocol.levels, protocol.sizes, strict=True):
        nodes *= size
        rows.append((level, str(size), str(nodes)))
    return rows


def _commands(protocol: Protocol) -> Rows:
    return [
        ("command", "bus", "ticks", "level", "rows"),
        *((c.name, c.bus, str(c.ticks), c.level, c.effect) for c in protocol.commands),
    ]


def _timing(protocol: Protocol) -> Rows:
    return [
        ("name", "ticks", "ns"),
        *((name, str(ticks), _ns(protocol, ticks)) for name, ticks in protocol.timing.items()),
    ]


def _constraints(protocol: Protocol) -> Rows:
    head = ("level", "after", "before", "ticks", "which", "rule")
    return [head, *(_constraint(row) for row in protocol.constraints)]


def _constraint(row: Constraint) -> tuple[str, ...]:
    alike = len(set(row.latency)) == 1
    figures = str(row.latency[0]) if alike else " ".join(map(str, row.latency))
    which = "siblings" if row.sibling else f"{row.window} back" if row.window > 1 else ""
    rule = row.rule + (", not in Ramulator 2.1" if row.beyond_peer else "")
    return row.level, ",".join(row.preceding), ",".join(row.following), figures, which, rule
