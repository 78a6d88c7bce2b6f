"""All-to-all by a timetable: messages in phases of which none shares a link or a port with another.

Messages that leave when they may block each other: one that waits for a link holds all that it has come over.  The
routes of a network are known, so their messages can be put in phases without a meeting (Scott, "Efficient All-to-All
Communication Patterns in Hypercube and Mesh Topologies", DMCC 1991; Hinrichs and others, "An Architecture for Optimal
All-to-All Personalized Communication", SPAA 1994: for grids, by construction).  Here for any network, by a search:

1. `legs_of`: what each message uses.  Where the network would draw one of several ways, the message goes over a node
   to and from which there is one way only, or counts as using all of them, whichever loads the links less.
2. `phases_of`: as many phases as the busiest link or port has messages are the least.  In each phase all that have
   a message for every phase that is left must be used: an exact cover (Knuth, "Dancing Links", 2000, fewest
   candidates first).  What finds place beside these goes along.  Is there no cover, the last phases are made anew.
3. `timetable.py` gives every message the first cycle from which all it uses are free.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from random import Random
from typing import NamedTuple

from nmpsim.noc.topology import Topology

MOST_NODES = 64
"""Of a network that is searched: 4032 messages take seconds."""

RETRIES = 30_000
"""Messages that may be placed anew in vain, in all, before one more phase is allowed."""

COVER_STEPS = 300
"""Of one search for a cover; most are found in as many steps as there are links."""

NEAR = 4
"""Phases: a link this near to being needed in each that is left is worth filling."""


class Use(NamedTuple):
    """A link or a port that a message takes; cycles after its first flit was sent.

    Parameters
    ----------
    resource : int
        A channel of the topology; or behind these a node's way in, or behind these a node's way out.
    soonest, latest : int
        When the first flit can come there; they differ if there are several ways.
    links : int
        From there on to the destination, at most.
    """

    resource: int
    soonest: int
    latest: int
    links: int


class Leg(NamedTuple):
    """A message, or a part of its way.

    Parameters
    ----------
    source, destination : int
        Nodes.
    pair : tuple of int
        From and to which node the message goes.
    uses : tuple of Use
    before : int
        Leg that must have arrived, -1 if none.
    """

    source: int
    destination: int
    pair: tuple[int, int]
    uses: tuple[Use, ...]
    before: int = -1


def _way(topology: Topology, outs: dict[tuple[int, int], int], pair: tuple[int, int], stages: int) -> tuple[Leg, bool]:
    """Return a message with all that it may use, and whether that is one way."""
    source, destination = pair
    start, single = topology.terminals[source], True
    soonest: dict[int, int] = {}
    latest: dict[int, int] = {}
    depth: dict[int, int] = {}
    waiting = [(start.router, start.in_port, 0, start.cycles, 0)]
    last = 0
    while waiting:
        router, in_port, held, at, passed = waiting.pop()
        options = topology.choices[int(topology.route[router, topology.group[router, in_port], destination, held])]
        single = single and len(options) == 1
        for option in options:
            n = outs.get((router, option.out_port))
            if n is None:
                last = max(last, at)
                continue
            channel = topology.channels[n]
            soonest[n], latest[n] = min(at, soonest.get(n, at)), max(at, latest.get(n, at))
            depth[n] = min(passed, depth.get(n, passed))
            waiting.append((channel.sink, channel.in_port, option.next_class, at + stages + channel.cycles, passed + 1))
    ports = len(topology.channels)
    most = max(depth.values(), default=-1) + 1
    uses = [Use(n, at, latest[n], most - depth[n]) for n, at in soonest.items()]
    ends = [Use(ports + source, 0, 0, most), Use(ports + topology.nodes + destination, last, last, 0)]
    return Leg(source, destination, pair, (*uses, *ends)), single


def legs_of(topology: Topology, stages: int) -> tuple[Leg, ...]:
    """Return the messages of an all-to-all, in one leg or two.

    Parameters
    ----------
    topology : Topology
    stages : int
        Cycles from the arrival of a flit at a router to its wire.
    """
    outs = {(c.source, c.out_port): n for n, c in enumerate(topology.channels)}
    nodes = range(topology.nodes)
    found = {(s, d): _way(topology, outs, (s, d), stages) for s in nodes for d in nodes if s != d}
    legs = [leg for leg, single in found.values() if single]
    load = [0] * (len(topology.channels) + 2 * topology.nodes)
    for leg, single in found.values():
        for use in leg.uses if single else leg.uses[-2:]:
            load[use.resource] += 1
    for pair, (whole, single) in found.items():
        if single:
            continue
        for use in whole.uses[-2:]:  # counted above, so that all ports are known to be in use
            load[use.resource] -= 1
        ways = [(whole,)] + [
            (found[pair[0], via][0], found[via, pair[1]][0])
            for via in nodes
            if via not in pair and found[pair[0], via][1] and found[via, pair[1]][1]
        ]
        best = min(ways, key=lambda way: sum(2 * load[use.resource] + 1 for leg in way for use in leg.uses))
        for n, leg in enumerate(best):
            legs.append(leg._replace(pair=pair, before=len(legs) - 1 if n else -1))
            for use in leg.uses:
                load[use.resource] += 1
    return tuple(legs)


def loads(legs: tuple[Leg, ...]) -> dict[int, int]:
    """Return how many legs use each resource.

    Parameters
    ----------
    legs : tuple of Leg
    """
    found: dict[int, int] = {}
    for use in chain.from_iterable(leg.uses for leg in legs):
        found[use.resource] = found.get(use.resource, 0) + 1
    return found


class _Search:
    """Legs that wait for a phase, and those that have one."""

    def __init__(self, legs: tuple[Leg, ...]) -> None:
        self.legs = legs
        self.masks = [sum(1 << use.resource for use in leg.uses) for leg in legs]
        self.left = loads(legs)
        self.waiting = set(range(len(legs)))
        self.first = {leg.before for leg in legs}
        self.made: list[list[int]] = []
        self.random = Random(1)  # noqa: S311 - no secret
        self.steps = 0

    def place(self, phase: list[int]) -> None:
        """Add a phase."""
        self.made.append(phase)
        self.waiting.difference_update(phase)
        for use in chain.from_iterable(self.legs[n].uses for n in phase):
            self.left[use.resource] -= 1

    def take_back(self) -> None:
        """Remove the last phase."""
        phase = self.made.pop()
        self.waiting.update(phase)
        for use in chain.from_iterable(self.legs[n].uses for n in phase):
            self.left[use.resource] += 1

    def cover(self, needed: dict[int, list[int]], used: int, chosen: list[int]) -> bool:
        """Choose legs so that each of the resources is used once; candidates stand beside it."""
        if not needed:
            return True
        self.steps += 1
        if self.steps > COVER_STEPS:
            return False
        fitting = {resource: [n for n in legs if not self.masks[n] & used] for resource, legs in needed.items()}
        for n in min(fitting.values(), key=len):
            chosen.append(n)
            rest = {resource: legs for resource, legs in fitting.items() if not self.masks[n] >> resource & 1}
            if self.cover(rest, used | self.masks[n], chosen):
                return True
            chosen.pop()
        return False

    def phase(self, remaining: int) -> list[int] | None:
        """Return a phase after which the rest may fit into one phase less, None if none was found."""
        ready = [n for n in sorted(self.waiting) if self.legs[n].before not in self.waiting]
        self.random.shuffle(ready)
        ready.sort(key=lambda n: n not in self.first)
        needed: dict[int, list[int]] = {resource: [] for resource, left in self.left.items() if left >= remaining}
        for n in ready:
            for use in self.legs[n].uses:
                if use.resource in needed:
                    needed[use.resource].append(n)
        chosen: list[int] = []
        self.steps = 0
        if not self.cover(needed, 0, chosen):
            return None
        used = sum(self.masks[n] for n in chosen)
        worth = {r: max(0, left - remaining + NEAR) ** 2 for r, left in self.left.items()}
        ready.sort(key=lambda n: sum(worth[use.resource] for use in self.legs[n].uses), reverse=True)
        for n in ready:
            if not self.masks[n] & used:
                used |= self.masks[n]
                chosen.append(n)
        return chosen


@lru_cache(maxsize=16)
def phases_of(legs: tuple[Leg, ...]) -> tuple[tuple[int, ...], ...]:
    """Return phases of legs, by number, that share no resource; a second leg comes after its first.

    Parameters
    ----------
    legs : tuple of Leg
    """
    search = _Search(legs)
    most, retries = max(search.left.values()), 0
    while search.waiting:
        phase = search.phase(most - len(search.made))
        if phase is not None:
            search.place(phase)
            continue
        retries += 1
        if retries * len(legs) > RETRIES:
            most, retries = most + 1, 0
        else:
            for _ in range(min(len(search.made), 2 + retries % 7)):
                search.take_back()
    return tuple(tuple(sorted(phase)) for phase in search.made)
