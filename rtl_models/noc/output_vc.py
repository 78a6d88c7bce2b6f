"""RTL of what a router knows of the virtual channels behind its outputs: who holds one, and how many places are free.

    credit --[delay]--> [ credits ] --credit--> switch allocation --sent--> less one
    VC allocation --taken--> [ free ] <--freed-- a tail wins the switch

A credit that comes in cycle t can be used from cycle t + `credit_delay` on.  A channel that a tail frees in cycle t can
be taken from cycle t + 1 on, though the flits of the packet before may still lie in the buffer behind it.
"""

from __future__ import annotations

import pyrtl

from rtl_models.noc.allocator import Wire
from rtl_models.noc.input_vc import RouterParams, gated


class OutputVCs:
    """The virtual channels of all outputs, as words of one bit each, by port, then by channel.

    Parameters
    ----------
    params : RouterParams
    returns : list of WireVector
        Per output the virtual channel that a credit comes for, one-hot, or 0.
    """

    def __init__(self, params: RouterParams, returns: list[Wire]) -> None:
        self.params = params
        channels = params.ports * params.vcs
        self.free = pyrtl.Register(channels, "free", reset_value=2**channels - 1)
        usable: Wire = pyrtl.concat_list(returns)
        for n in range(params.credit_delay):
            delayed = pyrtl.Register(channels, f"returned{n}")
            delayed.next <<= usable
            usable = delayed
        bits, most = params.buffer_flits.bit_length(), params.buffer_flits
        self.credits = [pyrtl.Register(bits, f"credits{n}", reset_value=most) for n in range(channels)]
        self.now = [(count + usable[n]).truncate(bits) for n, count in enumerate(self.credits)]
        self.credit = pyrtl.concat_list([count != 0 for count in self.now])

    def connect(self, taken: Wire, sent: Wire, freed: Wire) -> None:
        """Connect the registers.

        Parameters
        ----------
        taken : WireVector
            Channels that packets get in this cycle.
        sent : WireVector
            Channels into which a flit wins the switch.
        freed : WireVector
            Of them, those into which a tail does.
        """
        self.free.next <<= (self.free & ~taken) | freed
        for n, count in enumerate(self.credits):
            count.next <<= (self.now[n] - sent[n]).truncate(len(count))


def one_hot(number: Wire, valid: Wire, places: int) -> Wire:
    """Return a number as one bit of a word, 0 where it is not valid."""
    return gated(pyrtl.concat_list([number == n for n in range(places)]), valid)


def number_of(place: Wire, bits: int) -> Wire:
    """Return which bit of a word is set, 0 if none is."""
    found = []
    for bit in range(bits):
        ones = [place[n] for n in range(len(place)) if n >> bit & 1]
        found.append(pyrtl.or_all_bits(pyrtl.concat_list(ones)) if ones else pyrtl.Const(0, 1))
    return pyrtl.concat_list(found)
