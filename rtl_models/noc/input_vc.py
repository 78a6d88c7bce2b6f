"""RTL of one input virtual channel: its buffer, its phase, what it asks for.

    flit --arrives--> [ buffer ] --front--> [ route ] --out_port, mask--> VC allocation --wins--> [ holds ]
                          ^                                                                          |
                          +--- sends, a switch grant <--- switch allocation <--- asks, with a credit +

Phases: idle, wants (its head asks for an output virtual channel), active (it holds one).  A flit that arrives stands at
the front in the same cycle if the buffer is empty.  An idle channel with a flit at its front routes in that cycle; a
body flit that comes to an active, empty channel asks for the switch at once.  When a tail is sent the channel is idle
from the next cycle on, and routes what stands behind the tail then.

Flits of a channel must come packet by packet, and only while the buffer has a place: the sender counts credits, the
channel does not look.
"""

from __future__ import annotations

from typing import NamedTuple

import pyrtl

from rtl_models.noc.allocator import Wire, any_of


class RouterParams(NamedTuple):
    """What a router is built from."""

    ports: int  # inputs, and as many outputs
    vcs: int  # virtual channels of each
    buffer_flits: int  # places of the buffer of an input virtual channel, and of those behind the outputs
    destinations: int  # rows of the routing table
    payload_bits: int  # of a flit, beside tail bit and destination
    credit_delay: int = 1  # from the arrival of a credit until it can be used; cycles

    @property
    def vc_bits(self) -> int:
        """Width of the number of a virtual channel."""
        return bits_for(self.vcs)

    @property
    def port_bits(self) -> int:
        """Width of the number of a port."""
        return bits_for(self.ports)

    @property
    def destination_bits(self) -> int:
        """Width of a destination."""
        return bits_for(self.destinations)

    @property
    def flit_bits(self) -> int:
        """Width of a flit: tail bit, destination, payload, lowest bit first."""
        return 1 + self.destination_bits + self.payload_bits


class Route(NamedTuple):
    """Where a packet goes."""

    out_port: Wire  # one-hot
    mask: Wire  # virtual channels of that port that it may take, one bit each


def bits_for(count: int) -> int:
    """Return the width of a number below `count`, 1 at least."""
    return max((count - 1).bit_length(), 1)


def gated(word: Wire, bit: Wire) -> Wire:
    """Return a word where a bit is 1, else 0."""
    return word & bit.sign_extended(len(word))


class InputVC:
    """Registers of one input virtual channel, and what it asks for in this cycle.

    Parameters
    ----------
    params : RouterParams
    name : str
        Begins the names of the registers.
    flit, arrives : WireVector
        The flit that the port brings, and whether it is for this channel.
    routes : list of Route
        The routing table, by destination.
    """

    def __init__(self, params: RouterParams, name: str, flit: Wire, arrives: Wire, routes: list[Route]) -> None:
        self.params, self.flit, self.arrives = params, flit, arrives
        places = range(params.buffer_flits)
        self.buffer = [pyrtl.Register(params.flit_bits, f"{name}_flit{n}") for n in places]  # the first one in place 0
        self.count = pyrtl.Register(params.buffer_flits.bit_length(), f"{name}_count")
        self.wants = pyrtl.Register(1, f"{name}_wants")
        self.active = pyrtl.Register(1, f"{name}_active")
        self.out_port = pyrtl.Register(params.ports, f"{name}_out_port")  # one-hot
        self.mask = pyrtl.Register(params.vcs, f"{name}_mask")
        self.holds = pyrtl.Register(params.ports * params.vcs, f"{name}_holds")  # one-hot, by port, then by channel

        self.present = arrives | (self.count != 0)
        self.front = pyrtl.select(self.count == 0, flit, self.buffer[0])
        self.is_tail = self.front[0]
        self.begins = self.present & ~self.wants & ~self.active
        table = [pyrtl.concat(route.mask, route.out_port) for route in routes]
        table += [table[-1]] * (2**params.destination_bits - len(table))
        self.found = pyrtl.mux(self.front[1 : 1 + params.destination_bits], *table)

    def channels_asked(self, free: Wire) -> Wire:
        """Return the output virtual channels that its head asks for; `free` are those that no packet holds."""
        at_port = [gated(gated(self.mask, self.out_port[n]), self.wants) for n in range(self.params.ports)]
        return pyrtl.concat_list(at_port) & free

    def has_credit(self, credit: Wire) -> Wire:
        """Return whether there is a place behind the output that it holds; `credit` says so of each."""
        return pyrtl.or_all_bits(self.holds & credit)

    def out_vc(self) -> Wire:
        """Return the virtual channel that it holds, one-hot, whichever the port."""
        vcs = self.params.vcs
        return any_of([self.holds[n * vcs : (n + 1) * vcs] for n in range(self.params.ports)])

    def connect(self, wins: Wire, sends: Wire) -> None:
        """Connect the registers.

        Parameters
        ----------
        wins : WireVector
            Output virtual channel that it gets in this cycle, one-hot, or 0.
        sends : WireVector
            Whether its front goes through the switch.
        """
        select, ports = pyrtl.select, self.params.ports
        got = pyrtl.or_all_bits(wins)
        self.wants.next <<= self.begins | (self.wants & ~got)
        self.active.next <<= got | (self.active & ~(sends & self.is_tail))
        self.out_port.next <<= select(self.begins, self.found[:ports], self.out_port)
        self.mask.next <<= select(self.begins, self.found[ports:], self.mask)
        self.holds.next <<= select(got, wins, self.holds)
        self.count.next <<= (self.count + self.arrives - sends).truncate(len(self.count))
        for n, place in enumerate(self.buffer):
            following = self.buffer[n + 1] if n + 1 < len(self.buffer) else place
            written = self.arrives & (self.count == select(sends, pyrtl.Const(n + 1), pyrtl.Const(n)))
            place.next <<= select(written, self.flit, select(sends, following, place))
