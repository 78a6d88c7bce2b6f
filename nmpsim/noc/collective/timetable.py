"""When each message of phased all-to-all leaves: as soon as no other is on any link of its way when it comes there.

The nodes of a network share one clock, so a time needs no word between them.  It holds in an empty network; where
other traffic delays a message, others wait for it as for any, and no value changes.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import NamedTuple

from nmpsim.noc.collective.phases import legs_of, loads, phases_of
from nmpsim.noc.collective.steps import MessageStep
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.topology import Topology

HEAD_OF_LINE = 2 - sqrt(2)
"""Of their links that messages use that leave when they may, and wait behind others.

Source: Karol, Hluchyj and Morgan, "Input Versus Output Queueing on a Space-Division Packet Switch", IEEE Transactions
on Communications 35 (1987): queues at the inputs of a large switch, uniform traffic."""


def stages_of(settings: RouterSettings) -> int:
    """Return the cycles from the arrival of a head at a router to its wire, if nobody else is there.

    Parameters
    ----------
    settings : RouterSettings
    """
    allocation = settings.sw_alloc_delay + (0 if settings.speculative else settings.vc_alloc_delay)
    return settings.routing_delay + allocation + settings.switch_delay


class Stream(NamedTuple):
    """How the flits of a message follow its first one, if nobody else is there; cycles.

    Parameters
    ----------
    entering : int
        In which it enters its destination.
    late : int
        By which it comes behind that on the link before, by twice that on the link before this, and so on.
    rounds : int
        As often as that at most.
    """

    entering: int
    late: int
    rounds: int


def stream_of(topology: Topology, settings: RouterSettings, flits: int) -> Stream:
    """Return how the flits of a message follow its first one.

    Parameters
    ----------
    topology : Topology
    settings : RouterSettings
    flits : int
        1 or more.

    Notes
    -----
    The places of a buffer come back once in a loop of credits.  That of the head comes later, by the cycles in which
    it is routed and gets its channel; so a link stands still before each further buffer of flits, until the last link
    has done so.  The flits behind catch up in the next router, and the destination sees nothing of it.
    """
    wire = max([c.cycles for c in topology.channels] + [t.cycles for t in topology.terminals])
    loop = settings.switch_delay + 2 * settings.sw_alloc_delay + 2 * wire + settings.credit_delay
    waits = stages_of(settings) - settings.sw_alloc_delay - settings.switch_delay
    rounds, rest = divmod(flits - 1, settings.buffer_flits)
    late = min(max(loop + waits - settings.buffer_flits, 0), waits)
    return Stream(rounds * max(loop, settings.buffer_flits) + rest + 1, late, rounds)


def timetable(
    topology: Topology, settings: RouterSettings, places: list[list[tuple[int, int]]], forward: int
) -> tuple[list[MessageStep], int]:
    """Return the messages of a phased all-to-all, and when the last one will have arrived.

    Parameters
    ----------
    topology : Topology
    settings : RouterSettings
    places : list of list of tuple
        First flit and flits of the message from each node to each.
    forward : int
        Cycles in which a node starts to send on what has come.
    """
    legs = legs_of(topology, stages_of(settings))
    free = dict.fromkeys(loads(legs), 0)
    steps: list[MessageStep] = []
    done: dict[int, tuple[int, int]] = {}
    for n in (leg for phase in phases_of(legs) for leg in phase):
        leg = legs[n]
        first, flits = places[leg.pair[0]][leg.pair[1]]
        if not flits:
            continue
        start = max(0, max(free[use.resource] - use.soonest for use in leg.uses))
        after: list[int] = []
        delay = 1
        if leg.before >= 0:
            step, came = done[leg.before]
            start = max(start, came + forward)
            after, delay = [step], start - came
        stream = stream_of(topology, settings, flits)
        for use in leg.uses:
            late = stream.late * min(stream.rounds, use.links)
            free[use.resource] = start + use.latest + stream.entering + late
        behind = stages_of(settings) + topology.terminals[leg.destination].cycles + stream.entering
        arrival = start + leg.uses[-1].latest + behind
        done[n] = (len(steps), arrival)
        steps.append(MessageStep(leg.source, leg.destination, flits, first, at=start, after=tuple(after), delay=delay))
    return steps, max((arrival for _, arrival in done.values()), default=0)


def direct_cycles(topology: Topology, settings: RouterSettings, flits: int) -> int:
    """Return what messages that leave when they may are expected to take, if all are as long.

    Parameters
    ----------
    topology : Topology
    settings : RouterSettings
    flits : int
        Of each message.
    """
    busiest = max(loads(legs_of(topology, stages_of(settings))).values())
    return ceil(busiest * stream_of(topology, settings, flits).entering / HEAD_OF_LINE)
