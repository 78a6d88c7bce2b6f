"""A toy protocol whose clocks can be derived by hand, and short traces for it.

2 pseudo channels of 2 groups of 2 banks; every command is one tick long.  After ACT at t of a bank: RD at t + 5,
WR at t + 4, PREpb at t + 9, ACT at t + 13.
"""

from dataclasses import replace

import numpy as np

from nmpsim.dram.reference import ControllerSettings, make_requests, run_trace
from nmpsim.spec.protocol import Command, Constraint, Protocol

READ, WRITE = ("RD", "RDA"), ("WR", "WRA")

RULES = (
    ("Bank", ("ACT",), READ, 5),
    ("Bank", ("ACT",), WRITE, 4),
    ("Bank", ("ACT",), ("PREpb",), 9),
    ("Bank", ("ACT",), ("ACT", "REFpb"), 13),
    ("Bank", ("PREpb",), ("ACT", "REFpb"), 4),
    ("Bank", ("RD",), ("PREpb",), 3),
    ("Bank", ("WR",), ("PREpb",), 8),
    ("Bank", ("RDA",), ("ACT",), 7),
    ("Bank", ("WRA",), ("ACT",), 12),
    ("Bank", ("REFpb",), ("ACT",), 10),
    ("BankGroup", READ, READ, 3),
    ("PseudoChannel", READ, READ, 2),
    ("PseudoChannel", WRITE, WRITE, 2),
    ("PseudoChannel", READ, WRITE, 6),
    ("PseudoChannel", WRITE, READ, 7),
    ("PseudoChannel", ("ACT",), ("ACT",), 2),
    ("PseudoChannel", ("ACT",), ("PREab",), 9),
    ("PseudoChannel", ("ACT",), ("REFab",), 13),
    ("PseudoChannel", ("RD",), ("PREab",), 3),
    ("PseudoChannel", ("WR",), ("PREab",), 8),
    ("PseudoChannel", ("PREpb", "PREab"), ("REFab",), 4),
    ("PseudoChannel", ("PREab",), ("ACT",), 4),
    ("PseudoChannel", ("REFab",), ("ACT",), 20),
)

COMMANDS = (
    Command("ACT", "row", 1, "Bank", "open"),
    Command("PREpb", "row", 1, "Bank", "close"),
    Command("PREab", "row", 1, "PseudoChannel", "close"),
    Command("RD", "column", 1, "Bank", "none"),
    Command("WR", "column", 1, "Bank", "none"),
    Command("RDA", "column", 1, "Bank", "close"),
    Command("WRA", "column", 1, "Bank", "close"),
    Command("REFab", "row", 1, "PseudoChannel", "none"),
    Command("REFpb", "row", 1, "Bank", "none"),
)

TOY = Protocol(
    name="toy",
    levels=("Channel", "PseudoChannel", "BankGroup", "Bank"),
    sizes=(1, 2, 2, 2),
    rows=16,
    columns=8,
    transaction_bytes=32,
    rows_per_tier=16,
    tick_ps=1000,
    ticks_per_ck=1,
    commands=COMMANDS,
    constraints=tuple(Constraint(level, a, b, (n,), "toy") for level, a, b, n in RULES),
    timing={"nREFI": 50, "nREFIpb": 20, "nRFCpb": 30},
    read_latency=6,
)

QUIET = ControllerSettings(refresh="NoRefresh")


def changed(protocol, **latencies):
    """The protocol with other latencies; keys as ``ACT_RD`` or, for a level, ``BankGroup_RD_RD``."""
    rules = []
    for rule in protocol.constraints:
        names = {f"{a}_{b}" for a in rule.preceding for b in rule.following}
        found = [n for key, n in latencies.items() if key in names or key in {f"{rule.level}_{x}" for x in names}]
        rules.append(replace(rule, latency=(found[0],)) if found else rule)
    return replace(protocol, constraints=tuple(rules))


def half_clocked(protocol):
    """The protocol with half clocks; its latencies stay as they are."""
    return replace(protocol, half_clock_edges=True)


def requests(protocol, *lines):
    """Requests from ``(at, "R" or "W", bank in tree order, row)`` or with a column behind; column 0 by default."""
    rows = [(*line, 0)[:5] for line in lines]
    address = np.stack(np.unravel_index([bank for _, _, bank, _, _ in rows], protocol.sizes), axis=1) if rows else []
    at, kinds, _, row, column = zip(*rows, strict=True) if rows else ((),) * 5
    return make_requests(protocol, at, [kind == "W" for kind in kinds], address, row, column)


def run(protocol, settings, *lines, drain=0, most=8, plain=False, **options):
    """Run a short trace."""
    asked = requests(protocol, *lines)
    return run_trace(protocol, settings, asked, max_inject=most, drain=drain, plain=plain, limit=100_000, **options)


def shown(outcome, protocol=TOY):
    """Commands as ``"clock NAME bank"``; a command to several banks shows its pseudo channel."""
    lines = []
    for command in outcome.issued():
        bank = 0
        for index, size in zip(command.address, protocol.sizes, strict=True):
            if index >= 0:
                bank = bank * size + index
        lines.append(f"{command.clock} {command.command} {bank}")
    return lines
