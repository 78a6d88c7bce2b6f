"""A network as data: routers, channels, and where a packet may go next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Channel:
    """A one-way link between two routers.

    Parameters
    ----------
    source, out_port : int
        Router and port it leaves.
    sink, in_port : int
        Router and port it enters.
    cycles : int
        Latency of the wire, of flits and of the credits that come back.
    """

    source: int
    out_port: int
    sink: int
    in_port: int
    cycles: int


@dataclass(frozen=True)
class Terminal:
    """The links between a node and its router.

    Parameters
    ----------
    router : int
    in_port, out_port : int
        Where the node's flits enter the router, and leave it.
    cycles : int
        Latency of each of the two.
    """

    router: int
    in_port: int
    out_port: int
    cycles: int


@dataclass(frozen=True)
class Option:
    """One way to go on.

    Parameters
    ----------
    out_port : int
    part, parts : int
        The packet may take the part-th of `parts` equal shares of the virtual channels of that port.
    next_class : int
        Class of the packet from there on.
    """

    out_port: int
    part: int = 0
    parts: int = 1
    next_class: int = 0


@dataclass(frozen=True)
class Topology:
    """Routers, channels and routing of a network.

    Parameters
    ----------
    name : str
    in_ports, out_ports : tuple of int
        Ports of each router.
    channels : tuple of Channel
    terminals : tuple of Terminal
        One for each node.
    group : ndarray of int64, shape (routers, ports)
        Input ports of one router and one group are routed alike.
    choices : tuple of tuple of Option
        Sets of options; a packet takes one of its set, all with the same probability.
    route : ndarray of int64, shape (routers, groups, nodes, classes)
        Index into `choices`, by router, group of the input port, destination and class of the packet; -1 where no
        packet can be.
    radix : tuple of int
        Nodes along each dimension, for traffic by digits of the address.
    """

    name: str
    in_ports: tuple[int, ...]
    out_ports: tuple[int, ...]
    channels: tuple[Channel, ...]
    terminals: tuple[Terminal, ...]
    group: NDArray[np.int64]
    choices: tuple[tuple[Option, ...], ...]
    route: NDArray[np.int64]
    radix: tuple[int, ...]

    @property
    def routers(self) -> int:
        """Number of routers."""
        return len(self.in_ports)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.terminals)

    @property
    def classes(self) -> int:
        """Number of classes that a packet can be in."""
        return int(self.route.shape[3])

    @property
    def ports(self) -> int:
        """Largest number of ports of a router."""
        return max(*self.in_ports, *self.out_ports)


def channel_mask(option: Option, vcs: int) -> int:
    """Return the virtual channels that an option allows, one bit each; 0 if there are too few for its shares.

    Parameters
    ----------
    option : Option
    vcs : int
        Virtual channels of a port.
    """
    first, end = vcs * option.part // option.parts, vcs * (option.part + 1) // option.parts
    return (1 << end) - (1 << first)


class RouteTable:
    """Collects sets of options and gives each distinct one a number.

    Parameters
    ----------
    shape : tuple of int
        Routers, groups, nodes, classes.
    """

    def __init__(self, shape: tuple[int, int, int, int]) -> None:
        self.index: dict[tuple[Option, ...], int] = {}
        self.route = np.full(shape, -1, np.int64)

    def set(self, place: tuple[int, int, int, int], *options: Option) -> None:
        """Say where packets at a place may go.

        Parameters
        ----------
        place : tuple of int
            Router, group, destination, class.
        *options : Option
        """
        self.route[place] = self.index.setdefault(options, len(self.index))

    @property
    def choices(self) -> tuple[tuple[Option, ...], ...]:
        """The distinct sets, by number."""
        return tuple(self.index)
