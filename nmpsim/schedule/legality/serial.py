"""The simplest order of a program: every core one instruction after the other."""

from __future__ import annotations

from collections import deque

from nmpsim.program.isa import PASS, SEND, WAITS, semaphores
from nmpsim.schedule.legality.listing import Indices, Listing
from nmpsim.schedule.legality.order import Order


def one_by_one(listing: Listing, source: Indices) -> Order | None:
    """Execute every core strictly in the order of its stream, each instruction over before the next begins.

    Parameters
    ----------
    listing : Listing
        Well formed.
    source : ndarray of int64
        STREAM of every PASS.

    Returns
    -------
    Order or None
        None if the streams are not written in such an order; the units may still get through.
    """
    pus = listing.params.cores
    have = [[0] * semaphores(pus) for _ in range(pus)]
    waits = [listing.field(f"wait{i}").tolist() for i in range(WAITS)]
    counts = [listing.field(f"count{i}").tolist() for i in range(WAITS)]
    op, unit, signal = (listing.field(name).tolist() for name in ("op", "unit", "signal"))
    brings = dict(zip(listing.of_op(PASS).tolist(), source.tolist(), strict=True))
    at, end = listing.first[:-1].tolist(), listing.first[1:].tolist()
    order = Order([], {})
    sum_of = {i: sum_ for sum_ in listing.sums() for i in sum_}
    begun: set[int] = set()
    awake = deque(range(pus))
    while awake:
        pu = awake.popleft()
        while at[pu] < end[pu]:
            i = at[pu]
            met = all(w[i] < 0 or have[pu][w[i]] >= c[i] for w, c in zip(waits, counts, strict=True))
            if not met or brings.get(i, -1) > i or i in begun:
                break
            if i in sum_of:
                begun.add(i)
                order.issued.append(i)
                if not begun.issuperset(sum_of[i]):
                    break
                for j in sum_of[i]:
                    other = int(listing.pu[j])
                    have[other][unit[j]] += 1
                    at[other] += 1
                    awake.append(other)
                    for to in listing.destinations(j):
                        have[to][signal[j]] += 1
                        order.arrivals.setdefault((to, signal[j]), []).append(j)
                begun.difference_update(sum_of[i])
                continue
            have[pu][unit[i]] += 1
            if op[i] == SEND:
                for to in listing.destinations(i):
                    have[to][signal[i]] += 1
                    order.arrivals.setdefault((to, signal[i]), []).append(i)
                    awake.append(to)
            order.issued.append(i)
            at[pu] += 1
    return order if at == end else None
