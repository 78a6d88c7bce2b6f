"""Steps a small network and writes down what its routers do, cycle by cycle."""

from __future__ import annotations

from nmpsim.noc.router.build import build_network
from nmpsim.noc.router.check import causes
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.router.state import CAUSES
from nmpsim.noc.synthetic.run import run
from nmpsim.noc.synthetic.traffic import Message, trace
from nmpsim.noc.topology import mesh

LINE = mesh(3, 1)
"""Three routers in a line."""

DRAWING = (Message(0, 0, 2, 3), Message(5, 1, 2, 2))
"""What the table of docs/noc/router.md shows: A, three flits from node 0 to node 2; B, two from node 1."""


def lone_latency(settings, hops=1, flits=1, topology=LINE):
    """Network latency of one packet from node 0 to the node `hops - 1` further on."""
    fabric = build_network(topology, settings, log=1)
    traffic = trace(fabric, [Message(0, 0, hops - 1, flits)])
    run(fabric, traffic, 1000)
    logged = fabric.state.logged[0]
    assert logged.hops == hops
    return int(logged.arrived_at - logged.entered_at)


def first_cycles(settings, messages=DRAWING, cycles=24, topology=LINE):
    """Rows (cycle, routers that send, causes of router 1, flits arrived at node 2)."""
    fabric = build_network(topology, settings)
    traffic = trace(fabric, messages)
    state, ports = fabric.state, fabric.params.ports
    rows = []
    for cycle in range(cycles):
        flits, spent, arrived = state.output_port.flits.copy(), causes(fabric)[1], int(state.source[2].accepted)
        run(fabric, traffic, cycle + 1, plain=True)
        sent = (state.output_port.flits - flits).reshape(-1, ports).sum(axis=1).tolist()
        now = (causes(fabric)[1] - spent).tolist()
        told = [name if n == 1 else f"{n} {name}" for name, n in zip(CAUSES, now, strict=True) if n]
        rows.append(
            (
                str(cycle),
                ", ".join(f"router {r}" for r, n in enumerate(sent) if n),
                ", ".join(told),
                str(int(state.source[2].accepted) - arrived or ""),
            )
        )
    return rows


if __name__ == "__main__":
    for row in first_cycles(RouterSettings()):
        print("| " + " | ".join(row) + " |")
