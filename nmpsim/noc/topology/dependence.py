"""The channel-dependence graph: a network whose graph has no cycle cannot deadlock.

A packet that holds channel a and waits for channel b makes b a successor of a; channel here means one virtual channel
of one link.  (Dally and Seitz, "Deadlock-Free Message Routing in Multiprocessor Interconnection Networks", IEEE Trans.
Computers C-36, 1987.)
"""

from __future__ import annotations

from collections import defaultdict

from nmpsim.errors import Fault, SpecError
from nmpsim.noc.topology.graph import Topology, channel_mask

Held = tuple[int, int]
"""A link and the virtual channels of it that a packet may hold, one bit each."""


def check_deadlock_free(topology: Topology, vcs: int) -> None:
    """Refuse a network in which packets can wait for each other in a circle.

    Parameters
    ----------
    topology : Topology
    vcs : int
        Virtual channels of a port.

    Raises
    ------
    SpecError
        With the cycle; or if there are too few virtual channels for the routing.
    """
    needed = max((option.parts for options in topology.choices for option in options), default=1)
    if vcs < needed:
        todo = f"give at least {needed}"
        fault = Fault("vcs", str(vcs), f"{needed} or more: one for each class of {topology.name}", todo)
        raise SpecError(f"{topology.name}: too few virtual channels", [fault])
    circle = find_cycle(_successors(topology, vcs))
    if circle:
        names = [_channel_name(topology, link, vc) for link, vc in [*circle, circle[0]]]
        todo = "route otherwise, or give classes of virtual channels"
        fault = Fault(topology.name, " -> ".join(names), "a channel-dependence graph without a cycle", todo)
        raise SpecError(f"{topology.name}: packets could wait for each other for ever", [fault])


def _channel_name(topology: Topology, link: int, vc: int) -> str:
    """Return a channel in words."""
    channel = topology.channels[link]
    return f"router {channel.source} to {channel.sink} vc {vc}"


def _successors(topology: Topology, vcs: int) -> dict[tuple[int, int], set[tuple[int, int]]]:
    """Return the channels that a packet in each channel can wait for."""
    link_at = {(c.source, c.out_port): n for n, c in enumerate(topology.channels)}
    follows: dict[Held, set[Held]] = defaultdict(set)
    masks = [[(option, channel_mask(option, vcs)) for option in options] for options in topology.choices]
    for destination in range(topology.nodes):
        # states: at a router, come in by a port, in a class, holding channels of the link before
        waiting = [(t.router, t.in_port, 0, (-1, 0)) for t in topology.terminals]
        seen = set(waiting)
        while waiting:
            router, in_port, held_class, held = waiting.pop()
            choice = topology.route[router, topology.group[router, in_port], destination, held_class]
            if choice < 0:  # no packet can be here
                continue
            for option, mask in masks[choice]:
                link = link_at.get((router, option.out_port))
                if link is None:  # to a node, which takes everything
                    continue
                taken = (link, mask)
                if held[0] >= 0:
                    follows[held].add(taken)
                channel = topology.channels[link]
                state = (channel.sink, channel.in_port, option.next_class, taken)
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
    single: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for (link, mask), after in follows.items():
        targets = {(to, vc) for to, allowed in after for vc in range(vcs) if allowed >> vc & 1}
        for vc in range(vcs):
            if mask >> vc & 1:
                single[link, vc] |= targets
    return single


def find_cycle(successors: dict[tuple[int, int], set[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Return the things of one cycle of a graph, in order; nothing if there is none.

    Parameters
    ----------
    successors : dict of tuple to set of tuple
    """
    done: set[tuple[int, int]] = set()
    for start in sorted(successors):
        if start in done:
            continue
        path, on_path = [start], {start}
        branches = [iter(sorted(successors[start]))]
        while path:
            step = next(branches[-1], None)
            if step is None:
                done.add(path[-1])
                on_path.discard(path.pop())
                branches.pop()
            elif step in on_path:
                return path[path.index(step) :]
            elif step not in done:
                path.append(step)
                on_path.add(step)
                branches.append(iter(sorted(successors.get(step, ()))))
    return []
