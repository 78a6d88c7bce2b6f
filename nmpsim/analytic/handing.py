"""What teams of PUs hand over: every worker sends every owner of its team its part of the sums, all at once.

Counted are flits at the busiest port of a core and on the busiest link, every message on the way of dimension-order
routing, and the longest way.  Left out: messages that wait for one another's buffers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from nmpsim.analytic.messages import SIGNAL, flits, way_cycles
from nmpsim.program.encode.teams import teams, workers
from nmpsim.spec.params import CROSSBAR, MESH, MachineParams, NocParams


@dataclass(frozen=True)
class Flow:
    """Messages of equal size between the members of all teams.

    Parameters
    ----------
    port, link : int
        Messages at the busiest port of a core, and on the busiest link.
    hops : int
        Links on the longest way.
    landing : int
        Messages to an owner, at most.
    adds : int
        Additions of an owner, at most.
    """

    port: int
    link: int
    hops: int
    landing: int
    adds: int


def way(noc: NocParams, source: int, destination: int) -> list[tuple[int, int, int]]:
    """Return the links from node to node, dimension after dimension: router, dimension, 1 upwards or -1 downwards.

    Parameters
    ----------
    noc : NocParams
    source, destination : int
        Nodes.
    """
    links: list[tuple[int, int, int]] = []
    if noc.kind == CROSSBAR:
        return links
    at = source
    for d in range(noc.dims):
        unit = noc.radix**d
        here, there = at // unit % noc.radix, destination // unit % noc.radix
        ups = (there - here) % noc.radix
        if noc.kind == MESH:
            steps, turn = abs(there - here), 1 if there > here else -1
        else:
            steps, turn = (ups, 1) if 2 * ups <= noc.radix else (noc.radix - ups, -1)
        for _ in range(steps):
            links.append((at, d, turn))
            here = at // unit % noc.radix
            at += ((here + turn) % noc.radix - here) * unit
    return links


@lru_cache(maxsize=4096)
def flow(noc: NocParams, pus: int, owns: tuple[bool, ...], team: int, working: int) -> Flow:
    """Count messages from all workers to all owners of their teams.

    Parameters
    ----------
    noc : NocParams
    pus : int
    owns : tuple of bool, by PU
        Whether it owns columns.
    team, working : int
        Members, and how many have partial sums.
    """
    ports: Counter[tuple[int, int, bool]] = Counter()
    links: Counter[tuple[int, int, int]] = Counter()
    hops = landing = adds = 0
    places = workers(team, working)
    for members in teams(pus, team):
        active = [members[i] for i in places]
        for owner in (pu for pu in members if owns[pu]):
            others = [w for w in active if w != owner]
            landing, adds = max(landing, len(others)), max(adds, working - 1)
            for worker in others:
                direction = 0 if (owner - worker) % pus <= (worker - owner) % pus else 1
                ports[worker, direction, True] += 1
                ports[owner, direction, False] += 1
                crossed = way(noc, worker, owner)
                links.update(crossed)
                hops = max(hops, len(crossed))
    return Flow(max(ports.values(), default=0), max(links.values(), default=0), hops, landing, adds)


def handing_cycles(params: MachineParams, one: Flow, rows: int, columns: int, add: float) -> float:
    """Core cycles until owners have the sums of their columns, in FP32.

    Additions go on while other messages arrive.

    Parameters
    ----------
    params : MachineParams
    one : Flow
    rows, columns : int
        The piece of one owner.
    add : float
        Core cycles of one addition of a piece.
    """
    if not one.landing:
        return 0.0
    ratio = params.noc_period / params.core_period
    size = flits(params, rows, columns * 4)
    busy = size * max(one.port * max(1.0, ratio), one.link * ratio)
    added = add + SIGNAL if one.adds else 0.0
    return way_cycles(params, one.hops) + SIGNAL + max(busy + added, busy / one.landing + one.adds * added)
