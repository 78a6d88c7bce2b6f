"""The tables of first cycles in docs/noc/die-collectives.md: a multicast, and a sum, on a ring of four."""

import re

from tests.architecture.sources import ROOT
from tests.conformance_kits.network import EVERYONE, Driver
from tests.unit.noc.bench import SMALL, DieNetwork

PAGE = ROOT / "docs" / "noc" / "die-collectives.md"
WAYS = ("up", "down")


def drawn(send, cycles):
    """Rows: cycle, links that send, routers whose adders send flits on, flits taken at nodes."""
    network = DieNetwork(SMALL, nSYNC=1, multicast_lanes=1, multicast_flits=2, sum_lanes=1, nADD=2)
    driver = Driver(network)
    send(driver)
    rows, outputs, adder = [], network.fabric.routers.output_port, network.fabric.summing.adder
    for cycle in range(cycles):
        flits, moved, merged = outputs.flits.copy(), adder.added + adder.alone, adder.merged.copy()
        taken = len(driver.arrivals())
        driver.run(1)
        sent = (outputs.flits - flits).reshape(network.nodes, -1)
        links = [f"{r} {way}" for r in range(network.nodes) for o, way in enumerate(WAYS) if sent[r, o]]
        gone, joined = (adder.added + adder.alone - moved)[:4], (adder.merged - merged)[:4]
        adds = [f"{r}: {joined[r] + 1}" for r in range(4) if gone[r]]
        came = sorted((node, flit.sequence) for (node, _), at, flit in driver.arrivals() if at == cycle)
        assert len(came) == len(driver.arrivals()) - taken
        rows.append([str(cycle), ", ".join(links), ", ".join(adds), ", ".join(f"node {n} {i}" for n, i in came)])
    network.check()
    return rows


def of_multicast(cycles=16):
    """Node 0 sends two flits to all."""
    return [[row[0], row[1], row[3]] for row in drawn(lambda driver: driver.send(0, EVERYONE, 2, 0), cycles)]


def of_sum(cycles=20):
    """All nodes contribute two flits to a sum for node 0."""
    return drawn(lambda driver: driver.add_up(0, 2, 0), cycles)


def table(heading):
    """Rows of the table behind a heading of the page."""
    text = PAGE.read_text("utf-8").split(f"\n{heading}\n")[1].split("\n## ")[0].split("\n### ")[0]
    lines = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_first_cycles_of_a_multicast_are_those_drawn():
    rows = table("### A multicast")
    assert rows == of_multicast(len(rows))
    assert any("node 2 1" in row[-1] for row in rows)


def test_the_first_cycles_of_a_sum_are_those_drawn():
    rows = table("### A sum")
    assert rows == of_sum(len(rows))
    assert any("0: 3" in row[2] for row in rows), "two inputs and its own"
    assert "node 0 1" in rows[-2][-1]


if __name__ == "__main__":
    for made in (of_multicast(), of_sum()):
        for line in made:
            print("| " + " | ".join(line) + " |")
        print()
