"""Contributions to sums are those of all PUs of a die, in the same order, and agree."""

from __future__ import annotations

import numpy as np

from nmpsim.program.isa import F_SUM, SEND
from nmpsim.program.sums import SAME, contributions
from nmpsim.schedule.legality.listing import Listing

FP32 = 4
"""Bytes of a number of a sum."""


def check_sums(listing: Listing) -> None:
    """Note contributions that are not well formed, or not those of all PUs (changes `listing`).

    Parameters
    ----------
    listing : Listing
    """
    indices = listing.of_op(SEND)
    indices = indices[listing.field("modifiers")[indices] & F_SUM != 0]
    if not len(indices):
        return
    noc = listing.params.noc
    to, stack, number, size = (listing.field(name)[indices] for name in ("bank", "stack", "n", "bytes"))
    die = listing.pu[indices] // noc.nodes
    here = (to // noc.nodes == die) & (stack == 0) & (number == 0) & (noc.nodes > 1) & (noc.sum_lanes > 0)
    listing.refuse(
        indices[~here],
        lambda ins: f"a contribution to a sum for PU {ins['bank']}",
        "a sum for a PU of the same die, where routers add (noc.collectives = 'network')",
        "correct bank, stack or n, or send messages",
    )
    places = [listing.field(name)[indices] for name in ("a", "b")]
    listing.refuse(
        indices[np.any([value % FP32 != 0 for value in (size, *places)], axis=0)],
        lambda ins: f"{ins['bytes']} bytes a row from {ins['a']} to {ins['b']}",
        f"whole FP32 numbers, {FP32} bytes each",
        "correct bytes, a or b",
    )
    for first in range(0, listing.params.cores, noc.nodes):
        for port in (0, 1):
            _same(listing, range(first, min(first + noc.nodes, listing.params.cores)), port)


def _same(listing: Listing, pus: range, port: int) -> None:
    """Note where the contributions of the PUs of a die by one port differ from those of the first."""
    streams = listing.program.streams
    one = streams[pus[0]][contributions(streams[pus[0]], port)]
    for pu in pus[1:]:
        own = contributions(streams[pu], port)
        if len(own) != len(one):
            listing.add(
                f"PU {pu}, port {port}",
                f"{len(own)} contributions to sums",
                f"{len(one)}, as PU {pus[0]} has",
                "let every PU contribute to every sum",
            )
            continue
        wrong = np.any([streams[pu][name][own] != one[name] for name in SAME], axis=0)
        listing.refuse(
            listing.first[pu] + own[wrong],
            lambda ins: ", ".join(f"{name} {ins[name]}" for name in SAME),
            f"those of the contribution of PU {pus[0]} with the same number",
            "let all PUs contribute to the same sums in the same order",
        )
