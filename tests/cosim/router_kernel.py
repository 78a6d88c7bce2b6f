"""Routers of the kernel: what came to each of them and what it did, cycle by cycle.

What a router sends is seen where the kernel lets it arrive: a flit 1 + (link) cycles after it is at the output, a
credit 1 + (link) cycles after its flit won the switch, and credit_delay more at a router.  So two worlds can be
recorded without looking into a router: `lone_router`, one whose neighbours are a bench that stalls on everything, and
`mesh_routers`, four in a network of their own.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from nmpsim.noc.router.build import Fabric, build_network
from nmpsim.noc.router.check import causes, raise_fault
from nmpsim.noc.router.network import RUN, run_cycles
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.router.state import CAUSES as KERNEL_CAUSES
from nmpsim.noc.router.state import DESTINATION_BIT, DESTINATION_MASK, HEAD, PACKET_BIT, TAIL
from nmpsim.noc.synthetic.traffic import Message, trace
from nmpsim.noc.topology import crossbar, mesh
from rtl_models.noc.router import CAUSES, RouterParams, router
from tests.cosim.replay import Replay
from tests.cosim.router_model import tail_of

MOST_LATE = 6
"""Cycles from an event in a router until the kernel lets it arrive, at most, in the worlds here."""


@dataclass
class Recording:
    """What one router saw and did; entry t of each list is cycle t."""

    name: str
    params: RouterParams
    inputs: list[dict[str, int]]
    outputs: list[dict[str, int]]  # what has no meaning is left out

    def replay(self) -> Replay:
        """The RTL of this router."""
        return Replay(self.name, router(self.params), self.inputs, self.outputs)


class Tap:
    """Collects what goes in and out of the routers of a fabric.

    Parameters
    ----------
    fabric : Fabric
    params : RouterParams
        Of the RTL.
    """

    def __init__(self, fabric: Fabric, params: RouterParams) -> None:
        self.fabric, self.params = fabric, params
        self.flits_in: dict = defaultdict(dict)  # (cycle, router) -> port -> (vc, flit)
        self.flits_out: dict = defaultdict(dict)
        self.credits_in: dict = defaultdict(dict)  # (cycle, router) -> port -> vc
        self.credits_out: dict = defaultdict(dict)
        self.spent: list[np.ndarray] = [causes(fabric)]
        self.feeds = {(c.sink, c.in_port): (c.source, c.out_port, c.cycles) for c in fabric.topology.channels}
        self.fed = {(c.source, c.out_port): (c.sink, c.in_port, c.cycles) for c in fabric.topology.channels}

    @property
    def flit_events(self) -> np.ndarray:
        """Flits under way: [slot of the wheel, event, (where to, flit)]."""
        params = self.fabric.params
        return self.fabric.state.flit_event.reshape(params.wheel, params.room, 2)

    @property
    def credit_events(self) -> np.ndarray:
        """Credits under way: [slot of the wheel, event]."""
        params = self.fabric.params
        return self.fabric.state.credit_event.reshape(params.wheel, params.room * 2)

    def flit_word(self, flit: int) -> int:
        """A flit of the kernel as one of the RTL."""
        assert TAIL == 1
        row, destination = flit >> PACKET_BIT, flit >> DESTINATION_BIT & DESTINATION_MASK
        payload = row & (1 << self.params.payload_bits) - 1
        return flit & TAIL | destination << 1 | payload << 1 + self.params.destination_bits

    def see_flit(self, now: int, to: int, flit: int) -> None:
        """Note a flit that arrives in this cycle at a router or a node."""
        word = self.flit_word(flit)
        if to >= 0:
            r, p, v = to >> 16, to >> 8 & 255, to & 255
            put(self.flits_in[now, r], p, (v, word))
            if (r, p) in self.feeds:
                source, out_port, cycles = self.feeds[r, p]
                put(self.flits_out[now - 1 - cycles, source], out_port, (v, word))
        else:
            node, v = -1 - to >> 8, -1 - to & 255
            terminal = self.fabric.topology.terminals[node]
            put(self.flits_out[now - 1 - terminal.cycles, terminal.router], terminal.out_port, (v, word))

    def see_credit(self, now: int, to: int) -> None:
        """Note a credit that becomes usable in this cycle, at a router or a source."""
        if to >= 0:
            r, p, v = to >> 16, to >> 8 & 255, to & 255
            arrived = now - self.fabric.settings.credit_delay
            put(self.credits_in[arrived, r], p, v)
            if (r, p) in self.fed:
                sink, in_port, cycles = self.fed[r, p]
                put(self.credits_out[arrived - 1 - cycles, sink], in_port, v)
        else:
            node, v = -1 - to >> 8, -1 - to & 255
            terminal = self.fabric.topology.terminals[node]
            put(self.credits_out[now - 1 - terminal.cycles, terminal.router], terminal.in_port, v)

    def arriving(self, now: int) -> tuple[list[tuple[int, int]], list[int]]:
        """Flits and credits that arrive in this cycle."""
        state, slot = self.fabric.state, now & self.fabric.params.wheel - 1
        flits = [(int(to), int(flit)) for to, flit in self.flit_events[slot, : state.flit_count[slot]]]
        return flits, self.credit_events[slot, : state.credit_count[slot]].tolist()

    def look(self, now: int) -> None:
        """Note all that arrives in this cycle."""
        flits, returned = self.arriving(now)
        for to, flit in flits:
            self.see_flit(now, to, flit)
        for to in returned:
            self.see_credit(now, to)

    def after(self) -> None:
        """Note the causes of a cycle that has passed."""
        self.spent.append(causes(self.fabric))

    def recording(self, name: str, r: int, routes: list[tuple[int, int]]) -> Recording:
        """What router `r` saw and did, up to the last cycle of which all is known."""
        params, cycles = self.params, len(self.spent) - 1 - MOST_LATE
        rng = np.random.default_rng(r)
        table = {f"route_port{n}": port for n, (port, _) in enumerate(routes)}
        table |= {f"route_vcs{n}": mask for n, (_, mask) in enumerate(routes)}
        inputs, outputs = [], []
        for now in range(cycles):
            one, shown = dict(table), {}
            flits, returned = self.flits_in[now, r], self.credits_in[now, r]
            outs, backs = self.flits_out[now, r], self.credits_out[now, r]
            noise = rng.integers(0, 1 << 30, (params.ports, 3)).tolist()  # wires that are not valid carry anything
            for p in range(params.ports):
                vc, word = flits.get(p, (noise[p][0] % params.vcs, noise[p][1]))
                one |= {f"flit_valid{p}": int(p in flits), f"flit_vc{p}": vc, f"flit{p}": word}
                vc = returned.get(p, noise[p][2] % params.vcs)
                one |= {f"credit_valid{p}": int(p in returned), f"credit_vc{p}": vc}
                shown |= {f"out_valid{p}": int(p in outs), f"back_valid{p}": int(p in backs)}
                if p in outs:
                    shown |= {f"out_vc{p}": outs[p][0], f"out_flit{p}": outs[p][1]}
                if p in backs:
                    shown[f"back_vc{p}"] = backs[p]
            spent = self.spent[now + 1][r] - self.spent[now][r]
            assert spent[KERNEL_CAUSES.index("switch_held")] == 0
            shown |= {name: int(spent[KERNEL_CAUSES.index(name)]) for name in CAUSES}
            inputs.append(one)
            outputs.append(shown)
        return Recording(name, params, inputs, outputs)


def put(wires: dict, port: int, value) -> None:
    """Put a value on the wires of a port, which carry one a cycle."""
    assert port not in wires, "two at a port in one cycle"
    wires[port] = value


def settings_of(params: RouterParams) -> RouterSettings:
    """The kernel's settings for a router."""
    return RouterSettings(vcs=params.vcs, buffer_flits=params.buffer_flits, credit_delay=params.credit_delay)


# --------------------------------------------------------------------------------------------------------- one router


@dataclass
class Sender:
    """What feeds one input: packets on all channels at once, as far as credits allow."""

    space: list[int]  # by channel
    packet: list[tuple[int, int]]  # by channel: destination, flits left; 0 left: none


class LoneRouter:
    """One router of the kernel between senders and receivers that change their pace every few dozen cycles.

    Parameters
    ----------
    params : RouterParams
    seed : int
    """

    def __init__(self, params: RouterParams, seed: int) -> None:
        self.params, self.seed = params, seed
        self.rng = np.random.default_rng(seed)
        self.fabric = build_network(crossbar(params.ports), settings_of(params))
        self.idle = trace(self.fabric, [])
        self.tap = Tap(self.fabric, params)
        self.routes = self.draw_routes()
        self.senders = [Sender([params.buffer_flits] * params.vcs, [(0, 0)] * params.vcs) for _ in range(params.ports)]
        self.owed: list[list[int]] = [[] for _ in range(params.ports)]  # credits that receivers have not yet given
        self.pace = {(kind, port): 1.0 for kind in ("send", "credit") for port in range(params.ports)}
        self.length, self.hot = 1, 0.0
        self.payload = 0

    def draw_routes(self) -> list[tuple[int, int]]:
        """Draw a routing table, and put it into the kernel."""
        params, state, rng = self.params, self.fabric.state, self.rng
        every = (1 << params.vcs) - 1
        masks = [every if rng.random() < 0.5 else int(rng.integers(1, every + 1)) for _ in range(params.destinations)]
        routes = [(n % params.ports, mask) for n, mask in enumerate(masks)]
        option = np.array([(port, mask, 0) for port, mask in routes], np.int64)
        route = np.arange(params.destinations) << 4 | 1
        self.fabric = self.fabric._replace(state=state._replace(option=option, route=route))
        self.tap.fabric = self.fabric
        return routes

    def run(self, cycles: int) -> Recording:
        """Run from cycle 0 up to `cycles`, and some more."""
        fabric, idle = self.fabric, self.idle
        for now in range(cycles + MOST_LATE):
            self.change_pace()
            self.step_neighbours(now)
            run_cycles(now + 1, RUN, 1, fabric.params, idle.params, idle.tables, fabric.state)
            self.tap.after()
        raise_fault(fabric)
        ports, vcs, flits = self.params[:3]
        return self.tap.recording(f"router_{ports}_{vcs}_{flits}_{self.seed}", 0, self.routes)

    def change_pace(self) -> None:
        """Draw new paces now and then."""
        rng = self.rng
        for key in self.pace:
            if rng.random() < 1 / 40:
                self.pace[key] = float(rng.choice([0.0, 0.1, 0.4, 1.0, 1.0, 1.0]))
        if rng.random() < 1 / 40:
            self.length = int(rng.choice([1, 1, 2, 4, 2 * self.params.buffer_flits]))
            self.hot = float(rng.choice([0.0, 0.0, 0.9]))

    def step_neighbours(self, now: int) -> None:
        """Take what the router sent; send to it."""
        params, state, rng = self.params, self.fabric.state, self.rng
        slot = now & self.fabric.params.wheel - 1
        flits, returned = self.tap.arriving(now)
        assert all(to < 0 for to, _ in flits), "the bench sends in the same cycle"
        for to, flit in flits:
            self.tap.see_flit(now, to, flit)
            self.owed[-1 - to >> 8].append(-1 - to & 255)
        kept = [to for to in returned if to >= 0]
        for to in returned:
            self.tap.see_credit(now, to)
            if to < 0:
                self.senders[-1 - to >> 8].space[-1 - to & 255] += 1
        state.credit_count[slot] = len(kept)
        self.tap.credit_events[slot, : len(kept)] = kept
        state.flit_count[slot] = 0
        for port in range(params.ports):
            if rng.random() < self.pace["send", port]:
                self.send(now, port)
            if self.owed[port] and rng.random() < self.pace["credit", port]:
                owed = self.owed[port]
                self.give_credit(now, port << 8 | owed.pop(int(rng.integers(len(owed)))))

    def send(self, now: int, port: int) -> None:
        """Let one flit come to an input, if there is a place."""
        params, rng, sender = self.params, self.rng, self.senders[port]
        able = [v for v in range(params.vcs) if sender.space[v]]
        if not able:
            return
        vc = int(rng.choice(able))
        destination, left = sender.packet[vc]
        word = TAIL if left == 1 else 0
        if left == 0:
            destination = 0 if rng.random() < self.hot else int(rng.integers(params.destinations))
            left = int(rng.integers(1, self.length + 1))
            word = HEAD | (TAIL if left == 1 else 0)
        sender.packet[vc] = destination, left - 1
        sender.space[vc] -= 1
        self.payload += 1
        flit = word | destination << DESTINATION_BIT | self.payload % (1 << 20) << PACKET_BIT
        state, slot = self.fabric.state, now & self.fabric.params.wheel - 1
        n = state.flit_count[slot]
        self.tap.flit_events[slot, n] = port << 8 | vc, flit
        state.flit_count[slot] = n + 1
        self.tap.see_flit(now, port << 8 | vc, flit)

    def give_credit(self, now: int, place: int) -> None:
        """Let a credit arrive now, usable credit_delay cycles later."""
        delay = self.params.credit_delay
        state, slot = self.fabric.state, now + delay & self.fabric.params.wheel - 1
        n = state.credit_count[slot]
        self.tap.credit_events[slot, n] = place
        state.credit_count[slot] = n + 1
        if delay == 0:
            self.tap.see_credit(now, place)


# ------------------------------------------------------------------------------------------------------ a small network


def mesh_routers(seed: int, cycles: int, vcs: int = 2, buffer_flits: int = 4) -> list[Recording]:
    """All routers of a 2 x 2 mesh under random packets of one to six flits, offered at a load that comes and goes."""
    topology = mesh(2)
    params = RouterParams(topology.ports, vcs, buffer_flits, topology.nodes, payload_bits=8)
    fabric = build_network(topology, settings_of(params))
    rng = np.random.default_rng([seed, 1])
    messages, at = [], 0.0
    while at < cycles:
        load = 2.0 if int(at) // 100 % 2 else 0.5
        at += rng.exponential(3.5 / (load * topology.nodes))
        source, destination = (int(n) for n in rng.integers(0, topology.nodes, 2))
        messages.append(Message(int(at), source, destination, int(rng.integers(1, 7))))
    traffic = trace(fabric, messages, seed)
    tap = Tap(fabric, params)
    for now in range(cycles + MOST_LATE):
        tap.look(now)
        run_cycles(now + 1, RUN, 1, fabric.params, traffic.params, traffic.tables, fabric.state)
        tap.after()
    raise_fault(fabric)
    recordings = []
    for r in range(topology.routers):
        options = [topology.choices[topology.route[r, 0, n, 0]] for n in range(topology.nodes)]
        assert all(len(of_one) == 1 for of_one in options)
        routes = [(option.out_port, (1 << vcs) - 1) for (option,) in options]
        recordings.append(tap.recording(f"mesh_{seed}_router_{r}", r, routes))
    return recordings


def packets_in(recording: Recording) -> int:
    """Packets whose tail came."""
    ports = range(recording.params.ports)
    return sum(one[f"flit_valid{p}"] and tail_of(one[f"flit{p}"]) for one in recording.inputs for p in ports)
