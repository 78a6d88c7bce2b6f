"""The rules of a command trace by definition: quadratic, command by command, from the words of nmpsim/spec/protocol.py.

Written to be read next to the table, not to be fast; the tests of the checker compare with it.
"""

from __future__ import annotations

from itertools import product

from nmpsim.dram.check import violation as rules
from nmpsim.spec.protocol import Constraint, IssuedCommand, Protocol


def depth_of(protocol, level):
    return protocol.levels.index(level)


def touched(protocol, issued, depth):
    """Nodes of a level that a command addresses, as prefixes of addresses."""
    ways = [
        range(size) if place == -1 else [place]
        for place, size in zip(issued.address[: depth + 1], protocol.sizes, strict=False)
    ]
    return set(product(*ways))


def row_touches(protocol, row, issued):
    if row.level == "Port":
        return set() if issued.port < 0 else {(*issued.address[:-1], issued.port)}
    return touched(protocol, issued, depth_of(protocol, row.level))


def node_depth(protocol, row):
    return len(protocol.levels) if row.level == "Port" else depth_of(protocol, row.level) + 1


def counts(protocol, row, earlier, node):
    """Whether a preceding command counts at this node: it addresses it, or (sibling rows) only a sister of it."""
    nodes = row_touches(protocol, row, earlier)
    if not row.sibling:
        return node in nodes
    return node not in nodes and any(other[:-1] == node[:-1] for other in nodes)


def tier(protocol, trace, index, bank):
    """Tier of the row that a bank opened last, up to and with the command at `index`; 0 before any."""
    for issued in reversed(trace[: index + 1]):
        if protocol.command(issued.command).effect == "open" and issued.address == bank:
            return max(issued.row, 0) // protocol.rows_per_tier
    return 0


def latency(protocol, trace, row, index, node):
    """Latency of a row after the command at `index`: the longest of all banks it addresses there."""
    if len(row.latency) == 1:
        return row.latency[0]
    banks = touched(protocol, trace[index], len(protocol.levels) - 1)
    if not row.sibling and row.level != "Port":
        banks = {bank for bank in banks if bank[: len(node)] == node}
    return max(row.latency[tier(protocol, trace, index, bank)] for bank in banks)


def bound(protocol: Protocol, trace: list[IssuedCommand], row: Constraint, index: int) -> int | None:
    """Earliest tick that one row allows for the command at `index` of a sorted trace; None = any."""
    if trace[index].command not in row.following:
        return None
    ticks = []
    for node in row_touches(protocol, row, trace[index]):
        seen = 0
        for j in range(index - 1, -1, -1):
            if trace[j].command in row.preceding and counts(protocol, row, trace[j], node):
                seen += 1
                if seen >= row.window:
                    ticks.append(trace[j].clock + latency(protocol, trace, row, j, node))
    return max(ticks, default=None)


def open_rows(protocol, trace, index):
    """Open row of each bank before the command at `index`."""
    rows = {}
    for issued in trace[:index]:
        effect = protocol.command(issued.command).effect
        for bank in touched(protocol, issued, len(protocol.levels) - 1):
            if effect == "open":
                rows[bank] = issued.row
            elif effect == "close":
                rows.pop(bank, None)
    return rows


def broken_state_rules(protocol, trace, index, *, strict=False):
    issued = trace[index]
    kind = protocol.command(issued.command)
    rows = open_rows(protocol, trace, index)
    banks = touched(protocol, issued, len(protocol.levels) - 1)
    is_open = [bank for bank in banks if bank in rows]
    if kind.effect == "open" and is_open:
        yield rules.ACT_OPEN
    if kind.moves_data and not is_open:
        yield rules.COLUMN_CLOSED
    if kind.moves_data and is_open and any(rows[bank] != issued.row for bank in is_open):
        yield rules.WRONG_ROW
    if kind.bus == "row" and kind.effect == "none" and is_open:
        yield rules.REF_OPEN
    if strict and kind.bus == "row" and kind.effect == "close" and not is_open:
        yield rules.PRE_CLOSED


def broken_bus_rules(protocol, trace, index, *, level=None, split=True):
    issued = trace[index]
    kind = protocol.command(issued.command)
    depth = 0 if level is None else depth_of(protocol, level)
    buses = touched(protocol, issued, depth)
    mates = [
        other
        for other in trace[:index]
        if touched(protocol, other, depth) & buses and (not split or protocol.command(other.command).bus == kind.bus)
    ]
    if any(issued.clock < other.clock + protocol.command(other.command).ticks for other in mates):
        yield rules.BUS
    if not protocol.half_clock_edges or issued.clock % 2:
        return
    if kind.moves_data:
        yield rules.COLUMN_EDGE
    elif kind.effect != "close":
        yield rules.ROW_EDGE
    rising = [other for other in mates if other.clock % 2 and protocol.command(other.command).bus == "row"]
    if kind.moves_data or kind.effect != "close" or not rising:
        return
    last = rising[-1]
    depth = depth_of(protocol, "PseudoChannel")
    same = touched(protocol, issued, depth) & touched(protocol, last, depth)
    wide = -1 in issued.address or -1 in last.address
    paired = issued.clock == last.clock + protocol.command(last.command).ticks
    if same and paired and (wide or issued.address == last.address):
        yield rules.PAIRING


def broken(protocol, trace, *, level=None, split=True, strict=False):
    """Everything broken in a trace sorted by clock: {(index, rule, row of the table or None)}."""
    found = set()
    for index, issued in enumerate(trace):
        for row in protocol.constraints:
            earliest = bound(protocol, trace, row, index)
            if earliest is not None and issued.clock < earliest:
                found.add((index, rules.SEPARATION, row))
        found |= {(index, rule, None) for rule in broken_state_rules(protocol, trace, index, strict=strict)}
        found |= {(index, rule, None) for rule in broken_bus_rules(protocol, trace, index, level=level, split=split)}
    return found
