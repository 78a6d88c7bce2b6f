import pytest

from nmpsim.cost.coefficients import FILE, coefficients, value
from nmpsim.cost.tables import DEFAULT, FOLDER, tables
from rtl_models.synthesis.blocks import blocks
from rtl_models.synthesis.flow import former_entries, source_hash

BLOCKS = {block.name: block for block in blocks()}
REDO = "the RTL has changed since `make synth ASAP7_LIB=...` wrote this table: run it again, KEEP=1 keeps the others"


@pytest.mark.parametrize("name", BLOCKS)
def test_the_committed_table_is_of_the_present_rtl(name):
    assert tables().blocks[name].sha256 == source_hash(BLOCKS[name]), REDO


def test_the_table_has_every_block_and_no_other():
    assert set(tables().blocks) == set(BLOCKS)


def test_the_committed_table_is_that_of_asap7_with_its_provenance():
    assert DEFAULT == "asap7-rvt-tt"
    own = tables().provenance
    assert len(own["library_sha256"]) == 5
    for name in (
        "library",
        "corner",
        "tool",
        "simulator",
        "command",
        "method",
        "limits",
        "wire_source",
        "density_source",
    ):
        assert own[name]
    assert "yosys" in own["tool"].lower()
    assert "/" not in own["command"]  # no path of the machine that made it


def test_the_density_of_the_table_is_the_one_that_areas_are_computed_with():
    assert tables().provenance["density"] == value("density")


def test_more_work_takes_more_energy_than_the_clock_alone_and_glitches_add_to_it():
    for block in tables().blocks.values():
        idle = block.energy_pJ.get("idle", 0.0)
        for operation, energy in block.energy_pJ.items():
            assert energy >= block.energy_settled_pJ[operation] * 0.999
            assert operation == "idle" or block.name == "lane_group" or energy > idle, (block.name, operation)
        assert block.area_um2 > 0
        assert block.holds_clock == (block.path_ps <= 1e3 / block.clock_GHz)


def test_of_a_family_the_fewest_stages_that_hold_the_clock_are_chosen():
    every = tables()
    for family in {block.family for block in every.blocks.values()} - {""}:
        chosen = every.fastest_enough(family)
        holding = [block.stages for block in every.family(family) if block.holds_clock]
        if holding:
            assert chosen.stages == min(holding)
        else:
            assert chosen.path_ps == min(block.path_ps for block in every.family(family))


def test_a_table_can_be_taken_apart_and_put_together():
    entries = former_entries(FOLDER / f"{DEFAULT}.toml")
    assert set(entries) == {block.sha256 for block in tables().blocks.values()}


def test_every_coefficient_has_a_source_or_a_reason():
    for name, one in coefficients().items():
        assert len(one.origin) > 30, name
        assert one.value > 0
    assert f"[{next(iter(coefficients()))}]" in FILE.read_text(encoding="utf-8")
