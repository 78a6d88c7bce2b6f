"""Random protocols, settings and request streams for the controller that is exact to Ramulator 2.1.

Drawn through ``choose(options)`` as in strategies.py.  As a program (``python -m tests.property.reference_traffic``) it
prints digests of small runs, to compare the lanes of nmpsim/kernel.py in separate interpreters.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nmpsim.dram.reference import ControllerSettings, ReferenceRun, make_requests, run_trace
from nmpsim.spec.protocol import Constraint, Protocol
from nmpsim.spec.standard import load_standard
from tests.oracle.dram_device import Request
from tests.oracle.dram_reference import Setup
from tests.property.strategies import Choose, Dice

SHAPES: tuple[tuple[str, str, str, dict[str, int]], ...] = (
    ("hbm2", "HBM2_8Gb", "HBM2_2000Mbps", {}),
    ("hbm3", "HBM3_16Gb_8hi", "HBM3_6400Mbps", {}),
    ("hbm4", "HBM4_32Gb_8Hi", "HBM4_8000Mbps", {}),
    ("hbm2", "HBM2_1Gb", "HBM2_1600Mbps", {"bankgroup": 2, "bank": 2}),
    ("hbm2", "HBM2_4Gb", "HBM2_2400Mbps", {"pseudochannel": 1, "bankgroup": 1, "bank": 1}),
    ("hbm2", "HBM2_8Gb", "HBM2_2000Mbps", {"nRTPL": 2, "nCCDL": 8, "nRAS": 16, "nRC": 30}),
    ("hbm3", "HBM3_4Gb", "HBM3_6400Mbps", {"bankgroup": 2, "bank": 2}),
    (
        "hbm3",
        "HBM3_32Gb_16hi",
        "HBM3_6400Mbps",
        {"bankgroup": 1, "bank": 2, "nRTP": 4, "nCCDL": 9, "nRAS": 20, "nRC": 40},
    ),
    ("hbm4", "HBM4_32Gb_4Hi", "HBM4_16000Mbps", {"bankgroup": 1, "bank": 4}),
)
"""Standard, organisation, speed bin, and overrides; some have reads that close a row early, for the row-hit guard."""

REFRESHES = {
    False: ("AllBank", "PerBank", "NoRefresh", "NoRefresh"),
    True: ("AllBank", "HBM34PerBankRefresh", "PerBank", "NoRefresh", "NoRefresh"),
}
"""By `half_clock_edges`; only a run without refresh can find that nothing can ever happen."""


class Traffic(NamedTuple):
    """A channel, its settings, and what is asked of it."""

    protocol: Protocol
    settings: ControllerSettings
    setup: Setup
    requests: Any
    max_inject: int
    drain: int

    def run(self, **options: Any) -> ReferenceRun:
        """Run the kernel; `options` as for `run_trace`."""
        given = {"max_inject": self.max_inject, "drain": self.drain, "limit": self.limit} | options
        return run_trace(self.protocol, self.settings, self.requests, **given)

    @property
    def limit(self) -> int:
        """Ticks by which all is done, unless something is stuck for ever."""
        return int(self.requests["at"].max(initial=0)) + 400 * len(self.requests) + 20_000

    def asked(self) -> list[Request]:
        """The requests, as the oracle takes them."""
        sizes = self.protocol.sizes
        places = np.stack(np.unravel_index(self.requests["bank"], sizes), axis=1).tolist()
        return [
            Request(int(r["at"]), int(r["is_write"]), int(r["addr"]), tuple(place), int(r["row"]), int(r["column"]))
            for r, place in zip(self.requests, places, strict=True)
        ]


EXTRA = {
    "": (),
    "late auto-precharge": (Constraint("Bank", ("ACT",), ("RDA", "WRA"), (70,), "70"),),
    "windows": (
        Constraint("BankGroup", ("RD",), ("RD", "RDA"), (31,), "31", window=3),
        Constraint("PseudoChannel", ("PREpb",), ("PREpb",), (40,), "40", window=2),
    ),
    "siblings": (
        Constraint("BankGroup", ("WR", "WRA"), ("RD", "RDA"), (29,), "29", sibling=True),
        Constraint("PseudoChannel", ("ACT",), ("ACT",), (7,), "7", sibling=True),
    ),
}
"""Rules that no standard has: the controllers are to read the table, not to know it."""


@cache
def table(number: int, timing: tuple[tuple[str, int], ...], peer_exact: bool, extra: str) -> Protocol:
    """One of `SHAPES` with further overrides and rules."""
    standard, organisation, speed, overrides = SHAPES[number]
    protocol = load_standard(standard, organisation, speed, overrides | dict(timing), peer_exact=peer_exact)
    return replace(protocol, constraints=(*protocol.constraints, *EXTRA[extra]))


def random_protocol(choose: Choose) -> Protocol:
    """A small or a whole channel, whose refreshes come often enough to be met.

    Rules that the peer does not have may be in the table: both controllers leave them out.
    """
    timing = {
        "nREFI": choose((900, 150, 300)),
        "nRFC": choose((60, 30, 120)),
        "nREFIpb": choose((90, 40, 200)),
        "nRFCpb": choose((30, 90, 300)),
        "nRREFD": choose((8, 2)),
    }
    if choose((False, False, True)):
        timing["nFAW"] = choose((40, 90))
    extra = choose(("", "", *EXTRA))
    return table(choose(range(len(SHAPES))), tuple(timing.items()), choose((True, False)), extra)


def random_setup(choose: Choose, protocol: Protocol) -> Setup:
    """Settings of a controller for a protocol."""
    edges = protocol.half_clock_edges
    # 0.6 and 0.28 of a queue of 25 are other numbers in single than in double precision
    low, high = choose(((0.2, 0.8), (0.1, 0.5), (0.5, 0.5), (0.3, 1.0), (0.28, 0.6), (0.6, 0.8)))
    return Setup(
        model="HBM34" if edges else "HBM12",
        read_queue=choose((32, 8, 4, 1, 64)),
        write_queue=choose((32, 8, 4, 1, 25)),
        priority_queue=choose((1568, 1568, 4)),
        wr_low_watermark=low,
        wr_high_watermark=high,
        scheduler=choose(("FRFCFS", "FRFCFS-RowHit")),
        refresh=choose(REFRESHES[edges]),
        row_policy=choose(("Open", "Open", "ClosedCAP")),
        row_policy_cap=choose((4, 1, 2, 3)),
    )


BURSTS = ("hot", "ping-pong", "random", "echo", "stream")


@dataclass
class Stream:
    """A request stream under construction.

    Parameters
    ----------
    protocol : Protocol
    rows : list of (at, is_write, address, row, column)
    """

    protocol: Protocol
    rows: list[tuple[int, int, tuple[int, ...], int, int]] = field(default_factory=list)
    now: int = 0

    def wait(self, ticks: int) -> None:
        self.now += ticks

    def add(self, at: int, is_write: int, address: tuple[int, ...], row: int, column: int) -> None:
        self.now = max(self.now, at)
        self.rows.append((at, is_write, address, row, column))

    def burst(self, kind: str, count: int, pace: int, writes: float, seed: int) -> None:
        """Add `count` requests, about `pace` ticks apart, a share of `writes` of them writes.

        hot: one row; ping-pong: two rows of one or two banks in turn; random: any bank, few rows; echo: addresses that
        were written before; stream: bank after bank, column after column.
        """
        dice = random.Random(seed)
        sizes, columns = self.protocol.sizes, min(self.protocol.columns, 4)
        pool = [tuple(dice.randrange(size) for size in sizes) for _ in range(2)]
        written = [request for request in self.rows if request[1]][-12:]
        for i in range(count):
            at = self.now + (dice.randrange(2 * pace + 1) if pace else 0)
            write = int(dice.random() < writes)
            if kind == "echo" and written:
                self.add(at, write, *dice.choice(written)[2:])
            elif kind == "hot":
                self.add(at, write, pool[0], 5, dice.randrange(columns))
            elif kind == "ping-pong":
                self.add(at, write, pool[i // 2 % 2], (5, 9)[i % 2], i // 4 % columns)
            elif kind == "stream":
                place = np.unravel_index(i % self.protocol.banks, sizes[::-1])[::-1]
                column = i // self.protocol.banks % self.protocol.columns
                self.add(at, write, tuple(int(index) for index in place), 7, column)
            else:
                address = tuple(dice.randrange(size) for size in sizes)
                self.add(at, write, address, dice.randrange(3), dice.randrange(columns))
            if write:
                written.append(self.rows[-1])

    def traffic(self, setup: Setup, *, shared: bool = False, max_inject: int = 2, drain: int = 400) -> Traffic:
        """What was added, for the kernel and the oracle; `shared`: several places have one address."""
        at, is_write, address, row, column = zip(*self.rows, strict=True) if self.rows else ((),) * 5
        places = np.array(address, np.int64).reshape(-1, len(self.protocol.levels))
        numbers = (np.array(at, np.int64), np.array(is_write, np.int64), places)
        cells = (np.array(row, np.int64), np.array(column, np.int64))
        requests = make_requests(self.protocol, *numbers, *cells)
        if shared:
            requests = make_requests(self.protocol, *numbers, *cells, addr=requests["addr"] % 7)
        settings = ControllerSettings(**setup.__dict__)
        return Traffic(self.protocol, settings, setup, requests, max_inject, drain)


def random_traffic(seed: int, bursts: int = 4, most: int = 12) -> Traffic:
    """Everything from a seed."""
    dice = Dice(seed)
    protocol = random_protocol(dice)
    stream = Stream(protocol)
    for i in range(bursts):
        stream.burst(dice(BURSTS), dice(range(1, most)), dice((0, 3, 20)), dice((0.0, 0.3, 0.7, 1.0)), seed + i)
        stream.wait(dice((0, 0, 150)))
    return stream.traffic(random_setup(dice, protocol), max_inject=dice((2, 1, 4)), drain=60)


def seen(run: ReferenceRun) -> dict[str, Any]:
    """Everything that a run leaves behind, as plain values to compare with ==."""
    return {
        "ticks": run.ticks,
        "accept": run.accept.tolist(),
        "done": run.done.tolist(),
        "commands": run.commands.tolist(),
        "address": run.address.tolist(),
        "counters": dict(run.counters),
        "reasons": dict(run.reasons),
    }


SEEDS = range(6)


def digests() -> Iterator[str]:
    """One line per run."""
    for seed in SEEDS:
        for plain in (False, True):
            text = repr(seen(random_traffic(seed, bursts=3, most=8).run(plain=plain)))
            yield f"{seed} {'plain' if plain else 'skip'} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


if __name__ == "__main__":
    print("\n".join(digests()))
