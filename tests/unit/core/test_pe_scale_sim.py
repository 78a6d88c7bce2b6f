"""The compatibility timing: cycles, results, and what keeps it apart from the native timing."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from nmpsim.conformance.compute_rows import ComputeRow
from nmpsim.conformance.core import compare_row
from nmpsim.conformance.explain import BEYOND, NAMES, UNNAMED, explanation, native_terms, terms_line
from nmpsim.core.pe.scale_sim import run_pe_level, run_wavefront
from nmpsim.program.isa import IS, OS, WS
from tests.architecture.sources import ROOT
from tests.property.strategies import Dice

FLOWS = {"OS": OS, "WS": WS, "IS": IS}


def closed(flow, rows, columns, m, n, k):
    """The closed form that all recorded runs satisfy."""
    steps, high, wide = {OS: (k, m, n), WS: (m, k, n), IS: (n, k, m)}[flow]
    loads = 0 if flow == OS else rows
    return -(-high // rows) * -(-wide // columns) * (steps + loads + rows + columns - 2) - 1


def row(flow, rows, columns, m, n, k, cycles=0):
    return ComputeRow("here:1", flow, m, n, k, rows, columns, cycles, False, None, None, None)


@pytest.mark.parametrize("name", FLOWS)
def test_stepped_cycles_are_those_of_the_closed_form(name):
    flow = FLOWS[name]
    for seed in range(60):
        dice = Dice(seed)
        rows, columns = dice((1, 2, 3, 8, 16)), dice((1, 2, 5, 8, 16))
        m, n, k = (dice(range(1, 40)) for _ in range(3))
        expected = closed(flow, rows, columns, m, n, k)
        a, b = np.ones((m, k), np.int8), np.ones((k, n), np.int8)
        assert run_pe_level(rows, columns, flow, a, b).total == expected
        assert run_wavefront(rows, columns, flow, m, n, k).total == expected


@pytest.mark.parametrize("name", FLOWS)
def test_values_move_as_they_should(name):
    generator = np.random.default_rng(1)
    a, b = generator.integers(-128, 128, (19, 23), np.int8), generator.integers(-128, 128, (23, 17), np.int8)
    run = run_pe_level(4, 5, FLOWS[name], a, b)
    np.testing.assert_array_equal(run.result, a.astype(np.int64) @ b.astype(np.int64))


@pytest.mark.parametrize("name", FLOWS)
def test_every_difference_from_the_native_timing_has_a_name(name):
    shown = set()
    for seed in range(25):
        dice = Dice(seed)
        rows, columns = dice((4, 8, 3)), dice((4, 8, 5))
        terms = native_terms(row(FLOWS[name], rows, columns, *(dice(range(1, 30)) for _ in range(3))))
        assert sum(value for _, value in terms[:-1]) == terms[-1][1]
        shown |= {term for term, _ in terms[1:-1]}
    assert UNNAMED not in shown
    assert shown <= set(NAMES)
    assert {"last cycle", "edge register", "drain", "overlap of folds"} <= shown
    assert ("orientation of IS" in shown) == (name == "IS")
    assert ("used rows" in shown) == (name != "OS")


def test_the_page_names_the_same_differences():
    page = (ROOT / "docs" / "core" / "array.md").read_text().split("## The compatibility timing")[1]
    for name in (*NAMES, *BEYOND):
        assert f"| {name} |" in page, name


def test_the_example_of_the_page():
    page = (ROOT / "docs" / "core" / "array.md").read_text()
    for flow in FLOWS.values():
        assert terms_line(native_terms(row(flow, 8, 8, 8, 64, 64))).strip() in page


def test_the_explanation_has_a_line_for_every_name():
    lines = explanation()
    assert len(lines) == len(NAMES) + len(BEYOND) + 2


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_cycle_more_or_less_is_a_difference(wrong):
    cycles = closed(OS, 8, 8, 3, 9, 5)
    assert compare_row(row(OS, 8, 8, 3, 9, 5, cycles)).differences == ()
    found = compare_row(row(OS, 8, 8, 3, 9, 5, cycles + wrong)).differences
    assert found == tuple(
        f"{mode} has {cycles} cycles, the file {cycles + wrong}" for mode in ("PE level", "wavefront")
    )


def test_a_utilisation_is_compared_to_half_a_unit_of_its_last_place():
    cycles = closed(WS, 8, 8, 8, 64, 512)
    exact = 100 * 8 * 64 * 512 / (cycles * 64)
    for shift, differs in ((4e-7, 0), (1.1e-6, 2)):
        given = ComputeRow("h:1", WS, 8, 64, 512, 8, 8, cycles, False, None, Decimal(f"{exact + shift:.9f}"), None)
        assert len(compare_row(given).differences) == differs
