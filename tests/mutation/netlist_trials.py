"""Runs mutants of netlists against recordings, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from tests.mutation.designs import NETLISTS, STAGES, Netlist
from tests.mutation.drawing import draw
from tests.mutation.netlist import mutated, sites_of
from tests.mutation.verdict import Mutant


def shares(count: int, netlists: tuple[Netlist, ...] = NETLISTS) -> list[int]:
    """Return how many of `count` mutants each netlist gets.

    Parameters
    ----------
    count : int
    netlists : tuple of Netlist
    """
    total = sum(one.share for one in netlists)
    ends = [sum(one.share for one in netlists[: i + 1]) * count // total for i in range(len(netlists))]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def run(
    count: int, seed: int, stages: int = len(STAGES), only: Sequence[str] = (), *, dry: bool = False
) -> Iterator[Mutant]:
    """Yield mutants with what became of them.

    Parameters
    ----------
    count : int
        How many are drawn.
    seed : int
    stages : int
        How many stages of recordings a survivor is put to.
    only : sequence of str
        Mutants whose identity has one of these texts; empty: all of those drawn.
    dry : bool
        Draw them, do not run them.

    Raises
    ------
    AssertionError
        If a design that is right contradicts its recordings.
    """
    for netlist, own in zip(NETLISTS, shares(count), strict=True):
        if not own:
            continue
        design = netlist.design()
        checked = 0
        for site in draw(sites_of(design, netlist.only), own, f"{seed} {netlist.name}"):
            mutant = Mutant("netlist", f"{netlist.name}: {site.identity}", f"line {site.line}: {site.text}")
            if only and not any(text in mutant.identity for text in only):
                continue
            began = time.process_time()
            for stage in range(0 if dry else stages):
                if checked == stage:
                    checked += 1
                    assert not netlist.killed_by(design.block, stage), f"{netlist.name}: the right design differs"
                with mutated(design, site) as block:
                    reason = netlist.killed_by(block, stage)
                if reason:
                    mutant.killer, mutant.reason = STAGES[stage], reason
                    break
            mutant.seconds = time.process_time() - began
            yield mutant
