from dataclasses import replace

import pytest

from nmpsim.claims.comparison import logic_mm2, variant
from nmpsim.claims.fit import fit, saved_mm2, sizes
from nmpsim.cost.area import die_area
from nmpsim.cost.array_glue import array_glue
from nmpsim.cost.coefficients import value
from nmpsim.cost.tables import tables
from nmpsim.spec import load_chip, resolve


def test_the_shipped_chip_is_the_one_that_is_derived_and_else_the_chip_it_comes_from():
    """If this fails after an edit of snake.toml or a new table: make the same edit in snake-fit.toml."""
    derived, _, _ = fit(tables())
    shipped = resolve(load_chip("snake-fit"))
    fields = {name: value for name, value in vars(resolve(derived)).items() if name not in {"name", "latency"}}
    assert {name: value for name, value in vars(shipped).items() if name in fields} == fields
    assert (shipped.latency == resolve(derived).latency).all()
    assert shipped.name == "snake-fit"


def test_the_largest_array_that_fits_is_taken():
    _, size, room = fit(tables())
    every = sizes(load_chip("snake"), tables())
    assert [one.strip_rows for one in every] == list(range(1, 9))
    assert [one.pes for one in every] == [16 * 16 * 128 * rows for rows in range(1, 9)]
    assert size.compute_mm2 <= room < every[size.strip_rows].compute_mm2
    assert all(one.compute_registers_mm2 > room for one in every)  # as the page says: with flip-flops none fits


def test_memories_save_the_registers_and_cost_their_bytes():
    """By hand: bytes of skew of 16 arrays at the density of a two-port memory."""
    params = resolve(load_chip("snake"))
    area, glue = die_area(params, tables()), array_glue(params.core)
    registers = next(part.mm2 for part in area.parts if part.name == "edge skew")
    memories = 16 * (glue.edges + glue.loads) / 8 / 1024 * value("sram_mm2_per_KB") * value("sram_two_port")
    assert saved_mm2(params, area) == pytest.approx(registers - memories)
    own, smaller = logic_mm2(variant("snake"))
    assert own - smaller == pytest.approx(registers - memories)


def test_a_fixed_array_has_as_many_pes_and_one_edge():
    params = resolve(load_chip("snake"))
    square = replace(params, core=params.core._replace(groups=1 << 16))
    fixed, whole = ({part.name: part.mm2 for part in die_area(chip, tables()).parts} for chip in (square, params))
    assert fixed["PEs"] == whole["PEs"]
    assert fixed["strip links"] < whole["strip links"] / 5
    assert fixed["edge skew"] < whole["edge skew"] / 5  # most of it at the tops of strips
