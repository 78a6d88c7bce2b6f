"""Meshes and crossbars of RTL routers, and of plain models, take the cycles that BookSim 2 takes for the same batches.

tests/golden/noc/batch: every node sends packets back to back along a permutation, or all to node 0; nothing is random.
"""

import csv
from pathlib import Path

import pytest

from nmpsim.noc.synthetic.patterns import make_pattern
from nmpsim.noc.topology import crossbar, mesh
from tests.cosim.router_network import BatchNetwork

TABLE = Path(__file__).parents[1] / "golden" / "noc" / "batch" / "batch_completion.csv"
SETTINGS = {"A_base": (4, 8), "D_1vc16": (1, 16), "H_2vc2": (2, 2)}
"""Virtual channels and flits of a buffer; iSLIP, all stages of one cycle, credit delay 1."""
TOPOLOGIES = {"mesh4x4": mesh(4), "mesh8x8": mesh(8), "xbar16": crossbar(16)}
PERMUTATIONS = {
    "mesh4x4": ("neighbor", "bitcomp", "shuffle"),
    "mesh8x8": ("neighbor", "transpose", "bitcomp", "bitrev"),
}
PERMUTATIONS |= {"xbar16": ("transpose", "bitcomp", "bitrev")}
GATHER = "hotspot({0})"


def rows(*topologies: str, flits: tuple[int, ...]) -> list[dict[str, str]]:
    """Rows of the table that routers of this kind must meet."""
    with TABLE.open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    return [
        row
        for row in found
        if row["topology"] in topologies
        and row["setting"] in SETTINGS
        and row["traffic"] in (*PERMUTATIONS[row["topology"]], GATHER)
        and int(row["packet_size"]) in flits
    ]


def name_of(row: dict[str, str]) -> str:
    """Name of a test."""
    return " ".join(row[field] for field in ("topology", "traffic", "setting", "packet_size"))


def cycles(row: dict[str, str], *, rtl: bool) -> int:
    """Cycles that a batch takes."""
    topology = TOPOLOGIES[row["topology"]]
    destination = [0] * topology.nodes
    if row["traffic"] != GATHER:
        destination = make_pattern(row["traffic"], topology.nodes, topology.radix).destination.tolist()
    network = BatchNetwork(topology, *SETTINGS[row["setting"]], rtl=rtl)
    return network.run(destination, int(row["packets_per_node"]), int(row["packet_size"]))


def test_the_table_has_the_rows():
    assert len(rows("mesh4x4", flits=(1, 4))) == 22
    assert len(rows("mesh8x8", flits=(1, 4))) == 8
    assert len(rows("xbar16", flits=(1, 4))) == 22


@pytest.mark.parametrize("row", rows("mesh4x4", flits=(1,)), ids=name_of)
def test_a_mesh_of_models_takes_the_cycles_of_booksim(row):
    assert cycles(row, rtl=False) == int(row["cycles_to_complete"])


@pytest.mark.parametrize("row", rows("mesh4x4", flits=(1,))[1:2], ids=name_of)
def test_a_mesh_of_rtl_takes_the_cycles_of_booksim(row):
    assert cycles(row, rtl=True) == int(row["cycles_to_complete"])


@pytest.mark.slow
@pytest.mark.parametrize("row", rows("mesh4x4", "mesh8x8", "xbar16", flits=(1, 4)), ids=name_of)
def test_all_networks_of_models_take_the_cycles_of_booksim(row):
    assert cycles(row, rtl=False) == int(row["cycles_to_complete"])


@pytest.mark.slow
@pytest.mark.parametrize("row", rows("mesh4x4", flits=(1, 4)), ids=name_of)
def test_all_meshes_of_rtl_take_the_cycles_of_booksim(row):
    assert cycles(row, rtl=True) == int(row["cycles_to_complete"])
