"""RTL of an input-queued virtual-channel router with credits.

    flit_valid, flit_vc, flit [p] --> [ input VCs of port p ] --asks--> [ VC allocator ] --wins--> input and output VCs
                                            |         |                     ^ free
                                            |         +--asks, credit--> [ switch allocator ] <--- one channel per
                                            |                               |                      input and output
    back_valid, back_vc [p] <-- sends ------|-------------------------------+
                                            v                               v
                                        [ flit on its way ] --------> [ crossbar ] --> out_valid, out_vc, out_flit [o]
    credit_valid, credit_vc [o] --> [ credits of the output VCs ]

Routing, VC allocation, switch allocation and switch traversal take one cycle each.  A head that comes in cycle a
routes in a, asks for an output virtual channel from a + 1 on, for the switch from the cycle after it got one on, and is
at the output in the cycle after it won the switch.  ``back`` is the credit of the flit that wins the switch, in that
cycle.

Within a cycle flits and credits come first; then both allocators decide by the registers as they stand, so a channel
that a tail frees is not taken in the same cycle.  VC allocation looks at no credits; switch allocation does, at those
that become usable in this cycle too.  Both are iSLIP with one iteration (allocator.py).  Rows of the VC allocator are
(input, channel), its columns (output, channel); a head asks for all free channels that its route allows.  Rows of
the switch allocator are inputs, its columns outputs; where several channels of an input ask for one output, the first
from the input's offset on does, and the offset moves behind a channel that wins.

These are the rules of nmpsim/noc/router, and of BookSim 2's ``iq_router`` with routing_delay, vc_alloc_delay and
sw_alloc_delay 1, allocators islip, neither speculation nor speedup nor hold, wait_for_tail_credit 0.  The routing table
is an input: it stands in registers outside and must hold still while packets are in the router.  Senders must keep to
their credits and must not mix packets in one channel: the router does not look.

Outputs ``pipeline`` ... ``transfer`` count the input virtual channels that have a flit by what they spend the cycle on,
exactly one of `CAUSES` each.

First cycles, two ports of two channels, credit delay 1, buffers of three flits: a packet of head h and tail t and one
of a single flit s come to input 0, channel 0, for output 1 by either channel.  Count, wants and active are registers of
that input channel, ``back`` shows the channel of a credit::

    cycle            0   1   2   3   4   5   6   7
    flit             h   t   s
    count                1   2   2   1   1   1
    wants                1               1
    active                   1   1           1
    back                     0   0           0
    out                          h   t           s
    out_vc                       0   0           1
    pipeline         1   1           1   1
    transfer                 1   1           1

The same with buffers of one flit and without s: the place behind the output that h takes is given back in cycle 5::

    cycle            0   1   2   3   4   5   6   7
    flit             h           t
    count                1   1       1   1   1
    wants                1
    active                   1   1   1   1   1
    back                     0               0
    out                          h               t
    out_vc                       0               0
    credit                               1
    pipeline         1   1
    no_credit                    1   1   1
    transfer                 1               1
"""

from __future__ import annotations

from functools import reduce

import pyrtl

from rtl_models.noc.allocator import Wire, any_of, first_from, islip, next_turn, turn_register
from rtl_models.noc.input_vc import InputVC, Route, RouterParams, gated
from rtl_models.noc.output_vc import OutputVCs, number_of, one_hot

CAUSES = ("pipeline", "vc_busy", "vc_conflict", "no_credit", "switch_conflict", "transfer")
"""What an input virtual channel that holds a flit spends a cycle on.

It routes or gets a channel; all channels that it may take are held; others get them; no place behind the output;
another flit goes through the switch; its flit does."""


def router(params: RouterParams) -> pyrtl.Block:
    """Return a router.

    Inputs are, per input port p, `flit_valid` p, `flit_vc` p, `flit` p; per output o, `credit_valid` o, `credit_vc` o;
    per destination d, `route_port` d, `route_vcs` d (one bit per channel).  Outputs are, per output o, `out_valid` o,
    `out_vc` o, `out_flit` o; per input p, `back_valid` p, `back_vc` p; and the counts of `CAUSES`.

    Parameters
    ----------
    params : RouterParams

    Raises
    ------
    ValueError
        If a number is too small.
    """
    least = RouterParams(ports=1, vcs=1, buffer_flits=1, destinations=1, payload_bits=0, credit_delay=0)
    for name, low in least._asdict().items():
        got = getattr(params, name)
        if got < low:
            raise ValueError(f"router: got {name} {got}; allowed: numbers from {low} on; change it")
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        _Router(params).connect()
    return block


class _Router:
    """Ports, channels, allocators, crossbar."""

    def __init__(self, params: RouterParams) -> None:
        self.params = params
        ports, vcs = range(params.ports), params.vcs
        routes = []
        for n in range(params.destinations):
            port, mask = pyrtl.Input(params.port_bits, f"route_port{n}"), pyrtl.Input(vcs, f"route_vcs{n}")
            routes.append(Route(one_hot(port, pyrtl.Const(1, 1), params.ports), mask))
        returns = []
        for n in ports:
            valid, vc = pyrtl.Input(1, f"credit_valid{n}"), pyrtl.Input(params.vc_bits, f"credit_vc{n}")
            returns.append(one_hot(vc, valid, vcs))
        self.output_vcs = OutputVCs(params, returns)
        self.input_vcs: list[list[InputVC]] = []
        for n in ports:
            valid, vc = pyrtl.Input(1, f"flit_valid{n}"), pyrtl.Input(params.vc_bits, f"flit_vc{n}")
            arrives, flit = one_hot(vc, valid, vcs), pyrtl.Input(params.flit_bits, f"flit{n}")
            self.input_vcs.append([InputVC(params, f"in{n}_vc{v}", flit, arrives[v], routes) for v in range(vcs)])
        self.channels = [channel for of_port in self.input_vcs for channel in of_port]

    def connect(self) -> None:
        """Connect everything."""
        output_vcs, channels = self.output_vcs, self.channels
        asked = [channel.channels_asked(output_vcs.free) for channel in channels]
        wins = islip(asked, "vc")
        asks = [channel.active & channel.present & channel.has_credit(output_vcs.credit) for channel in channels]
        winners, matches = self.allocate_switch(asks)
        sends = [bit for winner in winners for bit in winner]
        for channel, got, sent in zip(channels, wins, sends, strict=True):
            channel.connect(got, sent)
        sent_to = any_of([gated(channel.holds, sent) for channel, sent in zip(channels, sends, strict=True)])
        freed = any_of(
            [gated(channel.holds, sent & channel.is_tail) for channel, sent in zip(channels, sends, strict=True)]
        )
        output_vcs.connect(any_of(wins), sent_to, freed)
        self.cross(winners, matches)
        self.count_causes(asked, wins, asks, sends)

    def allocate_switch(self, asks: list[Wire]) -> tuple[list[Wire], list[Wire]]:
        """Return per input the channel that wins, one-hot or 0, and the output that it goes to."""
        vcs, ports = self.params.vcs, range(self.params.ports)
        offsets = [turn_register(vcs, f"offset{n}") for n in ports]
        chosen = []
        for p, offset in enumerate(offsets):
            of_port = list(zip(self.input_vcs[p], asks[p * vcs : (p + 1) * vcs], strict=True))
            for_output = [pyrtl.concat_list([ask & channel.out_port[o] for channel, ask in of_port]) for o in ports]
            chosen.append([first_from(asked, offset) for asked in for_output])
        requests = [pyrtl.concat_list([pyrtl.or_all_bits(vc) for vc in of_input]) for of_input in chosen]
        matches = islip(requests, "switch")
        winners = [
            any_of([gated(of_input[o], match[o]) for o in ports])
            for of_input, match in zip(chosen, matches, strict=True)
        ]
        for offset, winner in zip(offsets, winners, strict=True):
            offset.next <<= next_turn(offset, winner)
        return winners, matches

    def cross(self, winners: list[Wire], matches: list[Wire]) -> None:
        """Show the credits of the flits that win; let the flits cross in the next cycle."""
        params = self.params
        crossing = []
        for n, (winner, match) in enumerate(zip(winners, matches, strict=True)):
            to_port = pyrtl.Register(params.ports, f"crossing{n}_port")  # one-hot, 0 if there is no flit
            to_vc = pyrtl.Register(params.vc_bits, f"crossing{n}_vc")
            flit = pyrtl.Register(params.flit_bits, f"crossing{n}_flit")
            of_port = list(zip(self.input_vcs[n], winner, strict=True))
            to_port.next <<= match
            out_vc = any_of([gated(channel.out_vc(), wins) for channel, wins in of_port])
            to_vc.next <<= number_of(out_vc, params.vc_bits)
            flit.next <<= any_of([gated(channel.front, wins) for channel, wins in of_port])
            crossing.append((to_port, to_vc, flit))
            show(f"back_valid{n}", pyrtl.or_all_bits(winner))
            show(f"back_vc{n}", number_of(winner, params.vc_bits))
        for n in range(params.ports):
            show(f"out_valid{n}", any_of([to_port[n] for to_port, _, _ in crossing]))
            show(f"out_vc{n}", any_of([gated(vc, to_port[n]) for to_port, vc, _ in crossing]))
            show(f"out_flit{n}", any_of([gated(flit, to_port[n]) for to_port, _, flit in crossing]))

    def count_causes(self, asked: list[Wire], wins: list[Wire], asks: list[Wire], sends: list[Wire]) -> None:
        """Show how many channels spend the cycle on what."""
        bits = len(self.channels).bit_length()
        causes: dict[str, list[Wire]] = {name: [] for name in CAUSES}
        for n, channel in enumerate(self.channels):
            got, free = pyrtl.or_all_bits(wins[n]), pyrtl.or_all_bits(asked[n])
            causes["pipeline"].append(channel.begins | got)
            causes["vc_busy"].append(channel.wants & ~free)
            causes["vc_conflict"].append(channel.wants & free & ~got)
            causes["no_credit"].append(channel.active & channel.present & ~asks[n])
            causes["switch_conflict"].append(asks[n] & ~sends[n])
            causes["transfer"].append(sends[n])
        for name, found in causes.items():
            show(name, reduce(lambda count, bit: (count + bit).truncate(bits), found, pyrtl.Const(0, bits)))


def show(name: str, wire: Wire) -> None:
    """Make an output that shows a wire."""
    port = pyrtl.Output(len(wire), name)
    port <<= wire
