from dataclasses import replace

import pytest

from nmpsim.cost.area import die_area, placed_mm2
from nmpsim.cost.array_glue import array_glue
from nmpsim.cost.sram import sram_mm2, sram_pJ_per_byte
from nmpsim.cost.tables import tables
from nmpsim.cost.text import cost_text
from nmpsim.cost.verdict import tree_latency, verdict
from nmpsim.spec import load_chip, resolve
from tests.unit.cost.made_up import block, table

SNAKE, STRATUM = (resolve(load_chip(name)) for name in ("snake", "stratum"))


def part(area, name):
    return next(one for one in area.parts if one.name == name)


def test_placed_logic_is_cells_over_density():
    assert placed_mm2(600.0) == pytest.approx(1e-3)


def test_a_memory_costs_area_by_capacity_and_energy_by_distance():
    assert sram_mm2(64 * 1024, two_ports=False) == pytest.approx(64 * 5.74e-4)
    assert sram_mm2(64 * 1024, two_ports=True) == pytest.approx(64 * 5.74e-4 * 1.4)
    assert sram_pJ_per_byte(8 * 1024, two_ports=False) == pytest.approx(0.4)
    way = (1024 * 5.74e-4) ** 0.5 / 2
    assert sram_pJ_per_byte(1 << 20, two_ports=False) == pytest.approx(8 * (0.05 + 0.1 * way))


def test_areas_of_the_arrays_by_hand():
    area = die_area(SNAKE, table())
    pes = part(area, "PEs")
    assert pes.count == 16 * 128 * 128
    assert pes.mm2 == pytest.approx(16 * 128 * 128 * 600e-6 / 0.6)
    assert pes.watts == pytest.approx(16 * 128 * 128 * 0.8e9 * 2e-12)
    assert part(area, "vector lanes").mm2 == pytest.approx(16 * 256 * 1500e-6 / 0.6)
    assert part(area, "bank sequencers").mm2 == pytest.approx(256 * 120e-6 / 0.6)
    assert part(area, "buffer").mm2 == pytest.approx(16 * sram_mm2(1 << 20, two_ports=True))
    glue = array_glue(SNAKE.core)
    skew = part(area, "edge skew")
    assert skew.mm2 == pytest.approx(16 * (glue.edges + glue.loads) * 1e-6 / 0.6)
    assert skew.watts == pytest.approx(16 * 0.8e9 * (glue.edges * 0.25 + glue.loads * 0.125) / 64 * 1e-12)
    assert part(area, "strip links").mm2 == pytest.approx(16 * glue.links * 1e-6 / 0.6)
    arbiters = part(area, "port arbiters")
    assert (arbiters.count, arbiters.mm2) == (16, pytest.approx(16 * 900e-6 / 0.6))
    sequencers = part(area, "sequencers")
    assert sequencers.mm2 == pytest.approx(16 * 1200e-6 / 0.6)
    assert sequencers.watts == pytest.approx(16 * 0.8e9 * 7e-12)
    control = part(area, "control of the compute units")
    assert (control.count, control.mm2) == (16, pytest.approx(16 * 3000e-6 / 0.6))
    assert control.watts == pytest.approx(16 * 0.8e9 * 6e-12)


def test_areas_of_the_mac_trees_by_hand():
    area = die_area(STRATUM, table())
    engines, across = part(area, "MAC-tree engines"), part(area, "adders across engines")
    assert engines.count == 65536 // 16
    assert engines.mm2 == pytest.approx(4096 * 4800e-6 / 0.6)
    assert engines.watts == pytest.approx(65536 * 1e9 * 2.5e-12)
    assert across.count == 4096 // 8 * 7  # eight engines multiply a beat of 128 elements
    assert across.mm2 == pytest.approx(3584 * 300e-6 / 0.6)
    registers = part(area, "operand registers")
    assert registers.mm2 == pytest.approx(256 * (2 * 16 * 128 * 16 * 1.0 + 256 * 16 * 0.5) * 1e-6 / 0.6)
    assert registers.watts == pytest.approx(65536 * 16 * 1e9 * 0.5 / 64 * 1e-12)
    assert part(area, "control of the compute units").count == 256
    assert part(area, "partial-sum memories").mm2 == pytest.approx(256 * 64 * 5.74e-4 * 1.4)


def test_what_is_shown_beside_the_sum_is_not_in_it():
    area = die_area(SNAKE, table())
    lines, fewer = part(area, "weight lines (WS)"), part(area, "weight lines, staggered")
    assert lines.mm2 > fewer.mm2 > 0
    assert area.mm2 == pytest.approx(sum(one.mm2 for one in area.parts if one.counted))
    every = sum(one.mm2 for one in area.parts)
    assert area.mm2 == pytest.approx(every - lines.mm2 - fewer.mm2 - area.decoder_mm2)
    assert area.decoder_mm2 == pytest.approx(32768 * 60e-6 / 0.6)


@pytest.mark.parametrize("chip", ["snake", "stratum"])
def test_the_text_names_every_part_and_the_limits(chip):
    params = resolve(load_chip(chip))
    text = cost_text(params)
    for one in die_area(params, tables()).parts:
        assert one.name in text
    for word in ("of 82 mm2", "of 45 W", "Verdict:", "SNAKE", "assumed:"):
        assert word in text


def test_the_verdict_follows_its_numbers():
    found = verdict(SNAKE, table())
    assert found.pes == 262144
    assert found.pes_mm2 == pytest.approx(262144 * found.pe_um2 * 1e-6)
    assert found.fitting == int(found.tree_mm2 / (found.pe_um2 * 1e-6))
    assert found.pes_watts == pytest.approx(262144 * 0.8e9 * 2e-12)
    assert found.pes_watts_published == pytest.approx(262144 * 0.8e9 * 0.604e-12)
    words = " ".join(found.sentences())
    assert "do not fit into 82 mm2" in words
    assert "exceed 45 W" in words
    assert "misses the clock period of 1250 ps" in words
    assert "would run at 0.50 GHz instead of 0.80; with 1 registers" in words
    assert "multiplier and adder at 0.62" in words
    assert "at 1.50 of that area, at 0.83. Engines of the MAC trees would run at 0.25 GHz instead of 1.00" in words
    assert f"at 0.50 GHz, which it would hold, {262144 * 0.5e9 * 2e-12:.0f} W" in words
    assert "do not hold 0.8 GHz" in words


def test_the_latency_of_a_tree_that_holds_its_clock_is_counted_level_by_level():
    words = tree_latency(STRATUM, table())
    assert "5 register levels for a multiplier and 4 + 3 levels of adders" in words
    assert "a path of 4000 ps, 0.25 GHz" in words
    assert "a multiplier takes 1 levels and an adder 2: 15 in all, and 2 cycles" in words  # 1 + 7 * 2


def test_small_and_frugal_pes_turn_the_verdict_round():
    energies = {"OS": 0.2, "WS": 0.2, "idle": 0.1}
    small = table(
        pe_fp16_0=block("pe_fp16_0", energies, "pe_fp16", area=60.0, path=900.0),
        skew_register=block("skew_register", {"random": 0.25, "idle": 0.125}, area=6.4),
    )
    words = " ".join(verdict(SNAKE, small).sentences())
    assert "they fit into 82 mm2" in words
    assert "only at the lowest" not in words
    assert "stay within 45 W" in words
    assert "holds the clock period" in words
    assert "and hold 0.8 GHz" in words
    assert "would run" not in words


def test_chips_of_bf16_have_blocks_of_bf16():
    whole = tables()
    array, trees = (replace(chip, operands="bf16") for chip in (SNAKE, STRATUM))
    assert part(die_area(array, whole), "PEs").basis == "pe_bf16_0"
    assert part(die_area(array, whole), "decoders").basis.startswith("decoder_bf16_1")
    before, after = (whole.blocks[f"{name}_multiplier_0"] for name in ("fp16", "bf16"))
    plain, other = (part(die_area(chip, whole), "MAC-tree engines") for chip in (STRATUM, trees))
    engines = 16 * 16 * 16  # of 16 multipliers each
    assert plain.count == other.count == engines
    assert plain.mm2 - other.mm2 == pytest.approx(engines * placed_mm2(16 * (before.area_um2 - after.area_um2)))
    saved = before.energy_pJ["random"] - after.energy_pJ["random"]
    assert plain.watts - other.watts == pytest.approx(engines * 16 * 1e9 * saved * 1e-12)
