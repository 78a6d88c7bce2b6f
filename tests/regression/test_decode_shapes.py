"""The tables of docs/core/decode-shapes.md are what the cycle model gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.decode_shapes import PAGE, operator_table, page_parts, replaced
from benchmarks.decode_study import (
    CONFIGURATIONS,
    DATAFLOW,
    FIXED,
    SHAPE,
    TREE,
    areas,
    gains,
    mean,
    products,
    square_most,
    strip_rows_for,
    study,
)
from nmpsim.spec import load_chip, resolve

FEW = ("llama-3.1-8b qkv", "llama-3.1-8b attn_out", "deepseek-v3 q_absorb", "deepseek-v3 v_up", "mixtral-8x7b score")


def cells(line):
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """SNAKE's area, some operators, two batches."""
    area = areas()[-1]
    with ThreadPoolExecutor(1) as executor:
        kept = tmp_path_factory.mktemp("study")
        return area, *study(area, batches=(1, 16), chosen=FEW, folder=kept, executor=executor)


def test_four_times_the_macs_of_the_trees_are_the_array_of_snake():
    area = areas()[-1]
    assert area.strips.core == resolve(load_chip("snake")).core
    assert (area.fixed.core.strips, area.fixed.core.strip_rows, area.fixed.core.columns) == (1, 128, 128)


def test_arrays_of_one_area_have_equally_many_pes():
    for area in areas():
        assert area.fixed.core.macs_per_cycle == area.strips.core.macs_per_cycle
        assert area.strips.core.columns == 128  # a whole beat
    snake = resolve(load_chip("snake"))
    assert [strip_rows_for(snake, pes) for pes in (100.0, 2800.0, 4000.0, 5200.0)] == [1, 1, 2, 3]
    assert [square_most(pes) for pes in (4096, 6144, 2048)] == [(64, 64), (64, 96), (32, 64)]


def test_every_step_can_only_gain_on_an_array(few):
    area, found, flow = few
    for key, one in found[DATAFLOW].items():
        assert one.cycles <= found[SHAPE][key].cycles
        assert one.cycles <= min(found[f"shape {name}"][key].cycles for name in ("OS", "WS", "IS"))
        assert found[f"shape {flow}"][key].cycles <= found[f"chain {flow}"][key].cycles
        for name in CONFIGURATIONS:
            assert 0 < found[name][key].utilisation <= 1
    assert mean(gains(area, found, FIXED, SHAPE).values()) > mean(gains(area, found, SHAPE, DATAFLOW).values())
    assert flow == min(("OS", "WS", "IS"), key=lambda x: mean(one.cycles for one in found[f"fixed {x}"].values()))


def test_rows_of_the_page_are_what_the_cycle_model_gives(few):
    area, found, flow = few
    page = [cells(line) for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    place = page.index(
        ["operator", "M", "N", "K", "fixed, %", "shape, %", "dataflow, %", "with", "tree, %", "over tree"]
    )
    told = {tuple(row[:4]): row for row in page[place:] if len(row) == 10}
    made = [cells(line) for line in operator_table(area, found, (1, 16))[2:]]
    assert len(made) == 2 * 4 + 1
    assert f"step *shape* use {flow}" in PAGE.read_text(encoding="utf-8")
    for row in made:
        assert told[tuple(row[:4])] == row


def test_a_batch_has_every_operator_of_the_four_models():
    params = areas()[-1].strips
    names = [product.name for product in products(params, 16)]
    assert len(names) == len(set(names)) == 3 * 7 + 13
    rows = {product.name: product.m for product in products(params, 16)}
    assert (rows["mixtral-8x7b down"], rows["deepseek-v3 expert down"], rows["llama-3.1-70b score"]) == (4, 1, 8)
    assert rows["deepseek-v3 value"] == 128


@pytest.mark.slow
def test_the_whole_page_is_what_the_cycle_model_gives(tmp_path):
    measured = [(area, *study(area, folder=tmp_path)) for area in areas()]
    text = PAGE.read_text(encoding="utf-8")
    assert replaced(text, page_parts(measured)) == text
    assert all(one.utilisation <= 1 for _, found, _ in measured for one in found[TREE].values())
