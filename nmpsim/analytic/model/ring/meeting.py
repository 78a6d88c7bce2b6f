"""Small messages of all PUs to all others on a ring, flit by flit: who meets whom on which link.

Every PU sends to the nearest first, one way, then the other way: both ports read one bank, and port 0 comes first.  A
link carries one flit per network cycle, of those that pass and those that enter in turn.  Where both ask for the same
virtual channel, the switch is given away before it is known who gets the channel: every other time to the one that
does not, and the cycle is lost.  Two that have crossed the dateline and have not do not ask for the same.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache

from nmpsim.analytic.model.timing.units import way
from nmpsim.spec.params import MachineParams

Links = dict[tuple[int, int], deque[tuple[float, int, int]]]
"""By router and port: flits that wait for the link, with the cycle from which they do, source and target."""

FEW = 4
"""Flits of a message up to which they are followed; from there on links are full, and their load tells the time."""

LOST = 2
"""Cycles in which two ask for one virtual channel, of which one is lost; assumed: the switch takes turns between the
two without knowing who gets the channel, so in the mean every other one.  Runs of the fit split bear it out."""


def told(p: MachineParams, count: int, late: tuple[bool, ...]) -> float:
    """Return the cycles from the first flit sent to the last one received.

    Parameters
    ----------
    p : MachineParams
    count : int
        Flits of a message.
    late : tuple of bool
        Of every PU, whether it is among the last to send; what others have sent is there already.
    """
    ratio, near = p.noc_period / p.core_period, float(way(p, 0))
    hop = round((float(way(p, 1)) - near) / ratio)
    return _cycles(count, late, ratio, hop, bool(p.noc.speculative)) * ratio + near


@lru_cache(maxsize=4096)
def _cycles(count: int, late: tuple[bool, ...], ratio: float, hop: int, speculative: bool) -> int:
    """Network cycles until the last flit stands at the router of its PU; hop: of one from router to router."""
    nodes = len(late)
    passing: Links = {(node, port): deque() for node in range(nodes) for port in (0, 1)}
    entering: Links = {link: deque() for link in passing}
    for source in (i for i in range(nodes) if late[i]):
        cycle = 0
        for distance in range(1, nodes):
            port = 0 if 2 * distance <= nodes else 1
            for _ in range(count):
                flit = cycle / ratio, source, (source + distance) % nodes
                entering[source, port].append(flit)
                cycle += 1
    turn = dict.fromkeys(passing, 0)
    met = dict.fromkeys(passing, 0)
    left = sum(map(len, entering.values()))
    now, last = 0, 0
    while left:
        for link, waiting in passing.items():
            node, port = link
            new = entering[link]
            passes, enters = bool(waiting) and waiting[0][0] <= now, bool(new) and new[0][0] <= now
            if not passes and not enters:
                continue
            if passes and enters:
                crossed = waiting[0][1] > node if port == 0 else waiting[0][1] < node
                met[link] += not crossed
                if speculative and not crossed and met[link] % LOST == 0:
                    continue
                turn[link] = 1 - turn[link]
            else:
                turn[link] = int(enters)
            _, source, target = new.popleft() if turn[link] else waiting.popleft()
            after = (node + (1 if port == 0 else -1)) % nodes
            if after == target:
                left -= 1
                last = now + hop
            else:
                passing[after, port].append((now + hop, source, target))
        now += 1
    return last
