"""One router in plain Python, written from BookSim 2's `iq_router` and `islip`: a third model beside kernel and RTL.

Numbers as there: input virtual channel p * V + v, output virtual channel o * V + w; lists in place of bits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rtl_models.noc.input_vc import RouterParams
from rtl_models.noc.router import CAUSES

IDLE, ROUTING, VC_ALLOC, ACTIVE = "idle", "routing", "vc_alloc", "active"


def tail_of(flit: int) -> int:
    """Tail bit of a flit."""
    return flit & 1


def destination_of(flit: int, params: RouterParams) -> int:
    """Where a flit goes."""
    return flit >> 1 & (1 << params.destination_bits) - 1


@dataclass
class Matching:
    """What an allocator saw and did in one cycle."""

    requests: set[tuple[int, int]]  # row, column
    grants: dict[int, int]  # column -> row
    matches: dict[int, int]  # row -> column
    grant_turns: list[int]  # before
    accept_turns: list[int]


class Islip:
    """iSLIP with one iteration.

    Parameters
    ----------
    rows, columns : int
    """

    def __init__(self, rows: int, columns: int) -> None:
        self.grant_turns, self.accept_turns = [0] * columns, [0] * rows

    def match(self, requests: set[tuple[int, int]]) -> Matching:
        """Match, and move the turns."""
        rows, columns = len(self.accept_turns), len(self.grant_turns)
        found = Matching(requests, {}, {}, self.grant_turns.copy(), self.accept_turns.copy())
        for column in sorted({column for _, column in requests}):
            asking = [row for row, asked in requests if asked == column]
            found.grants[column] = min(asking, key=lambda row: (row - found.grant_turns[column]) % rows)
        for row in sorted(set(found.grants.values())):
            granting = [column for column, granted in found.grants.items() if granted == row]
            column = min(granting, key=lambda column: (column - found.accept_turns[row]) % columns)
            found.matches[row] = column
            self.grant_turns[column] = (row + 1) % rows
            self.accept_turns[row] = (column + 1) % columns
        return found


@dataclass
class InputChannel:
    """An input virtual channel."""

    state: str = IDLE
    flits: deque[int] = field(default_factory=deque)
    route: tuple[int, int] = (0, 0)  # output, mask of channels
    holds: int = -1  # output virtual channel
    heads: bool = False  # none of the packet's flits has been sent


@dataclass
class OutputChannel:
    """What is known of the buffer behind an output virtual channel."""

    credits: int
    taken: bool = False


@dataclass
class Seen:
    """The state by which a router decides: after arrivals."""

    arrived: set[int]  # input virtual channels that a flit comes to
    states: list[str]  # of the input virtual channels
    flits: list[list[int]]  # in their buffers
    heads: list[bool]  # whether none of the packet's flits has been sent
    routes: list[tuple[int, int]]  # of their packets
    holds: list[int]  # output virtual channels that they hold, -1 if none
    usable: set[int]  # output virtual channels that a credit becomes usable for
    credits: list[int]
    taken: list[bool]


@dataclass
class Step:
    """What a router did in one cycle."""

    out: dict[int, tuple[int, int]]  # output -> channel, flit: what crosses the switch
    back: dict[int, int]  # input -> channel that gets a credit
    reasons: dict[int, str]  # input virtual channel with a flit -> what it spends the cycle on
    channels: Matching
    switch: Matching
    asking: set[int]  # input virtual channels that ask for the switch
    offsets: list[int]  # of the inputs, before
    sent: dict[int, int]  # input virtual channel -> flit that wins the switch
    seen: Seen


class RouterModel:
    """A router.

    Parameters
    ----------
    params : RouterParams
    """

    def __init__(self, params: RouterParams) -> None:
        self.params = params
        count = params.ports * params.vcs
        self.inputs = [InputChannel() for _ in range(count)]
        self.outputs = [OutputChannel(params.buffer_flits) for _ in range(count)]
        self.vc_allocator, self.sw_allocator = Islip(count, count), Islip(params.ports, params.ports)
        self.offsets = [0] * params.ports
        self.on_its_way: deque[tuple[int, int]] = deque()  # first cycle in which a credit can be used, its channel
        self.crossing: dict[int, tuple[int, int]] = {}
        self.now = 0

    def step(self, flits: dict[int, tuple[int, int]], returned: dict[int, int], routes: list[tuple[int, int]]) -> Step:
        """Run one cycle.

        Parameters
        ----------
        flits : dict
            Input -> channel, flit.
        returned : dict
            Output -> channel.
        routes : list
            Output and mask of channels, by destination.
        """
        vcs = self.params.vcs
        for port, (vc, flit) in flits.items():
            channel = self.inputs[port * vcs + vc]
            channel.flits.append(flit)
            assert len(channel.flits) <= self.params.buffer_flits, "a flit without a credit"
            if channel.state == IDLE:
                channel.state = ROUTING
        for port, vc in returned.items():
            self.on_its_way.append((self.now + self.params.credit_delay, port * vcs + vc))
        usable = set()
        while self.on_its_way and self.on_its_way[0][0] <= self.now:
            out = self.on_its_way.popleft()[1]
            self.outputs[out].credits += 1
            usable.add(out)
        seen = self.look({port * vcs + vc for port, (vc, _) in flits.items()}, usable)
        reasons: dict[int, str] = {}
        routed = {n for n, channel in enumerate(self.inputs) if channel.state == ROUTING}
        channels = self.vc_allocator.match(self.ask_for_channels(reasons))
        offsets = self.offsets.copy()
        asking, chosen = self.ask_for_switch(reasons)
        switch = self.sw_allocator.match(set(chosen))
        for n in routed:
            self.inputs[n].route = routes[destination_of(self.inputs[n].flits[0], self.params)]
            self.inputs[n].state, self.inputs[n].heads = VC_ALLOC, True
            reasons[n] = "pipeline"
        for n, out in channels.matches.items():
            self.inputs[n].holds, self.inputs[n].state, self.outputs[out].taken = out, ACTIVE, True
            reasons[n] = "pipeline"
        done = Step(self.crossing, {}, reasons, channels, switch, asking, offsets, {}, seen)
        self.crossing = {}
        for port, output in switch.matches.items():
            self.send(port, output, chosen[port, output], done)
        self.now += 1
        return done

    def look(self, arrived: set[int], usable: set[int]) -> Seen:
        """The state after arrivals."""
        return Seen(
            arrived,
            [channel.state for channel in self.inputs],
            [list(channel.flits) for channel in self.inputs],
            [channel.heads for channel in self.inputs],
            [channel.route for channel in self.inputs],
            [channel.holds if channel.state == ACTIVE else -1 for channel in self.inputs],
            usable,
            [out.credits for out in self.outputs],
            [out.taken for out in self.outputs],
        )

    def ask_for_channels(self, reasons: dict[int, str]) -> set[tuple[int, int]]:
        """Requests of all heads for output virtual channels; reasons of those that will not win."""
        vcs, requests = self.params.vcs, set()
        for n, channel in enumerate(self.inputs):
            if channel.state == VC_ALLOC:
                output, mask = channel.route
                allowed = {output * vcs + w for w in range(vcs) if mask >> w & 1}
                free = {out for out in allowed if not self.outputs[out].taken}
                requests |= {(n, out) for out in free}
                reasons[n] = "vc_conflict" if free else "vc_busy"
        return requests

    def ask_for_switch(self, reasons: dict[int, str]) -> tuple[set[int], dict[tuple[int, int], int]]:
        """Input virtual channels that ask for the switch, and the channel of each pair of ports that is heard."""
        vcs, asking, chosen = self.params.vcs, set(), {}
        for n, channel in enumerate(self.inputs):
            if channel.state != ACTIVE or not channel.flits:
                continue
            reasons[n] = "no_credit"
            if self.outputs[channel.holds].credits:
                reasons[n] = "switch_conflict"
                asking.add(n)
                port, vc = divmod(n, vcs)
                pair = (port, channel.holds // vcs)
                if pair not in chosen or (vc - self.offsets[port]) % vcs < (chosen[pair] - self.offsets[port]) % vcs:
                    chosen[pair] = vc
        return asking, chosen

    def send(self, port: int, output: int, vc: int, done: Step) -> None:
        """Send the flit that won the switch."""
        n = port * self.params.vcs + vc
        channel = self.inputs[n]
        out = self.outputs[channel.holds]
        assert channel.holds // self.params.vcs == output
        flit, channel.heads = channel.flits.popleft(), False
        self.offsets[port] = (vc + 1) % self.params.vcs
        self.crossing[output] = (channel.holds % self.params.vcs, flit)
        out.credits -= 1
        done.back[port], done.reasons[n], done.sent[n] = vc, "transfer", flit
        if tail_of(flit):
            out.taken = False
            channel.state = ROUTING if channel.flits else IDLE


def pins(params: RouterParams, done: Step) -> dict[str, int]:
    """What the RTL must show in that cycle; values that are not valid are left out."""
    shown = {name: list(done.reasons.values()).count(name) for name in CAUSES}
    for port in range(params.ports):
        shown |= {f"out_valid{port}": int(port in done.out), f"back_valid{port}": int(port in done.back)}
    for port, (vc, flit) in done.out.items():
        shown |= {f"out_vc{port}": vc, f"out_flit{port}": flit}
    return shown | {f"back_vc{port}": vc for port, vc in done.back.items()}


def given(params: RouterParams, inputs: dict[str, int]) -> tuple[dict, dict, list]:
    """Flits, credits and routes of one cycle, as `RouterModel.step` takes them, from the RTL's input pins."""
    ports = range(params.ports)
    flits = {p: (inputs[f"flit_vc{p}"], inputs[f"flit{p}"]) for p in ports if inputs[f"flit_valid{p}"]}
    returned = {p: inputs[f"credit_vc{p}"] for p in ports if inputs[f"credit_valid{p}"]}
    routes = [(inputs[f"route_port{n}"], inputs[f"route_vcs{n}"]) for n in range(params.destinations)]
    return flits, returned, routes
