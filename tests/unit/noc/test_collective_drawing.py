"""The table of first cycles in docs/noc/collectives.md."""

from __future__ import annotations

from nmpsim.noc.collective.steps import TreeStep, launch
from nmpsim.noc.router.settings import RouterSettings
from nmpsim.noc.router.tree_state import MULTICAST
from nmpsim.noc.router.trees import TreeSet, tree_of
from nmpsim.noc.synthetic.run import run
from nmpsim.noc.topology import mesh
from tests.architecture.sources import ROOT

PAGE = ROOT / "docs" / "noc" / "collectives.md"
OUTPUTS = ("right", "", "up", "", "node")


def first_cycles():
    """Rows: cycle, outputs by which each router sends, nodes at which flits arrive."""
    square = mesh(2)
    launched = launch(square, RouterSettings(), TreeSet((tree_of(square, 0),)), [TreeStep(MULTICAST, 0, 2)])
    state, ports = launched.fabric.state, launched.fabric.params.ports
    rows = []
    for cycle in range(19):
        flits, arrived = state.output_port.flits.copy(), state.member.accepted.copy()
        run(launched.fabric, launched.traffic, cycle + 1, plain=True)
        sent = (state.output_port.flits - flits).reshape(-1, ports)
        came = state.member.accepted - arrived
        routers = [", ".join(OUTPUTS[o] for o in range(5) if row[o]) for row in sent]
        rows.append((str(cycle), *routers, ", ".join(f"node {n}" for n in range(4) if came[n])))
    return rows


def test_the_page_shows_the_first_cycles():
    text = PAGE.read_text(encoding="utf-8")
    for row in first_cycles():
        assert "| " + " | ".join(row) + " |\n" in text
    assert any(row[-1] == "node 3" for row in first_cycles())


if __name__ == "__main__":
    for row in first_cycles():
        print("| " + " | ".join(row) + " |")
