"""Decode steps on dies whose routers add: the same products, fewer vector operations, every flit accounted for."""

import json

import jsonschema
import pytest

from nmpsim.cost.area import die_area
from nmpsim.cost.tables import tables
from nmpsim.errors import SpecError
from nmpsim.noc.die.sum_state import SUM_REASONS
from nmpsim.prediction import estimate
from nmpsim.report.result import result_of, result_schema, to_json
from nmpsim.report.text import report_text
from nmpsim.spec import load_chip, resolve
from nmpsim.spec.load import with_overrides
from tests.builders import KINDS, SNAKE, small_chip, small_model
from tests.unit.machine.modes import run_both


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize(("pus", "topology"), [(3, "ring"), (3, "crossbar"), (7, "ring"), (8, "mesh:2x2x2")])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_products_with_fewer_flits_and_additions(kind, pus, topology, moe):
    seen, counts = {}, {}
    for way in ("multicast", "network"):
        seen[way], counts[way], _, network = run_both(way, kind, pus, moe=moe, noc__topology=topology)
    one, other = counts["multicast"], counts["network"]
    for name in ("macs", "RD", "WR"):
        assert one[name] == other[name]
    assert other["vector_elements"] < one["vector_elements"]
    assert other["merged_flits"] >= other["router_sums"] > 0
    assert other["arrived_flits"] < one["arrived_flits"]
    assert len({sum(row[name] for name in SUM_REASONS) for row in network["adders"]}) == 1
    assert sum(row["merged"] for row in network["adders"]) == other["merged_flits"]
    for run in seen.values():
        for name, least in run.bounds.items():
            assert run.cycles >= least, name


def test_where_nothing_is_spread_over_k_the_adders_rest():
    _, counts, stalls, _ = run_both("network", SNAKE, 4)
    assert counts["merged_flits"] == 0
    assert set(stalls["adder"]) == {"idle"}


def test_sums_use_energy_and_area():
    run, counts, _, _ = run_both("network", SNAKE, 7)
    assert counts["merged_flits"] > 0
    assert run.energy_J["noc_adder"] > 0
    other, _, _, _ = run_both("multicast", SNAKE, 7)
    assert "noc_adder" not in other.energy_J
    assert run.energy_J["vector_reduce"] <= other.energy_J["vector_reduce"]
    assert "vector_add" not in run.energy_J


@pytest.mark.parametrize("chip", ["snake", "stratum"])
def test_routers_that_copy_and_add_are_larger(chip):
    named = {}
    for way in ("messages", "multicast", "network"):
        params = resolve(with_overrides(load_chip(chip), {"noc.collectives": way}))
        named[way] = {part.name: part for part in die_area(params, tables()).parts}
    extra = {"multicast buffers", "sum buffers", "router adders"}
    assert not extra & set(named["messages"])
    assert extra & set(named["multicast"]) == {"multicast buffers"}
    assert extra <= set(named["network"])
    # two adders in a row for each of two ports, 32 numbers a flit, 16 routers
    adders = named["network"]["router adders"]
    assert adders.count == 2 * 2 * 32 * 16
    assert adders.mm2 == pytest.approx(adders.count * tables().fastest_enough("fp32_adder").area_um2 * 1e-6 / 0.6)


def test_a_run_with_sums_is_reported_whole():
    run, counts, stalls, network = run_both("network", SNAKE, 3)
    jsonschema.validate(json.loads(to_json(result_of(run))), result_schema())
    text = report_text(run)
    assert "merged_flits" in text
    assert "noc_adder" in text
    assert sum(stalls["adder"].values()) == sum(row[name] for row in network["adders"] for name in SUM_REASONS)
    assert counts["merged_flits"] > 0


def test_the_analytical_mode_refuses_routers_that_add_by_name():
    with pytest.raises(SpecError, match="routers that copy or add") as caught:
        estimate(small_model(), small_chip(SNAKE, 3, noc__collectives="network"), batch=2, context=21, layers=1)
    assert [(fault.where, fault.got) for fault in caught.value.faults] == [("noc.collectives", "network")]


def test_sums_stay_in_their_stack():
    _, counts, _, _ = run_both("network", SNAKE, 3, stacks=2)
    _, others, _, _ = run_both("messages", SNAKE, 3, stacks=2)
    assert counts["stack_link_flits"] == others["stack_link_flits"] > 0


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"noc.topology": "crossbar"}, "noc.collectives"),
        ({"noc.sum_vcs": 20}, "noc.collectives"),
        ({"noc.multicast_flits": 9}, "noc.multicast_flits"),
        ({"noc.eject_flits": 5}, "noc.eject_flits"),
    ],
)
def test_what_such_routers_cannot_be_is_refused(settings, where):
    with pytest.raises(SpecError) as caught:
        with_overrides(load_chip(SNAKE), {"noc.collectives": "network", **settings})
    assert where in [fault.where.split(": ")[-1] for fault in caught.value.faults]
