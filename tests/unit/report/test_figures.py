"""Shares, utilisations, sums by kind and the ridge."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.errors import InternalError
from nmpsim.report.figures import (
    check_sum,
    dram_utilisation,
    ffn_lines,
    largest,
    mac_utilisation,
    percentages,
    ridge,
    rows_by_kind,
)
from tests.unit.report.small import run_of

PARTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=20).filter(any)


def thousandths(values):
    """Printed shares without their point."""
    return [int(text.replace(".", "")) for text in percentages(values)]


@given(PARTS)
def test_printed_percentages_add_up_to_exactly_100(values):
    assert sum(thousandths(values)) == 1000


@given(PARTS)
def test_a_percentage_is_off_by_less_than_one_last_digit(values):
    whole = sum(values)
    for value, share in zip(values, thousandths(values), strict=True):
        assert abs(share * whole - 1000 * value) < whole


def test_shares_of_nothing_are_nothing():
    assert percentages([0, 0]) == ["0.0", "0.0"]
    assert percentages([]) == []


def test_the_largest_bound_is_named_and_no_work_means_latency():
    assert largest({"compute": 2.0, "dram": 3.0}) == "dram"
    assert largest({"compute": 0.0, "dram": 0.0}) == "latency"


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("base", ["snake", "stratum"])
def test_rows_by_kind_hold_every_operator_once(base, moe):
    run = run_of(base, moe=moe)
    rows = rows_by_kind(run)
    assert len({row.name for row in rows}) == len(rows) < len(run.operators)
    assert sum(row.operators for row in rows) == len(run.operators)
    assert sum(row.cycles for row in rows) == run.cycles
    assert sum(row.macs for row in rows) == sum(o.macs for o in run.operators) > 0
    assert sum(row.moved_bytes for row in rows) == sum(o.read_bytes + o.write_bytes for o in run.operators) > 0
    assert sum(row.flits for row in rows) == run.counts["flits"] > 0


def test_a_run_whose_operators_do_not_explain_its_cycles_is_a_bug():
    run = run_of()
    check_sum(run)
    with pytest.raises(InternalError, match=f"take {run.cycles} core cycles, the run {run.cycles + 1}"):
        check_sum(dataclasses.replace(run, cycles=run.cycles + 1))


def test_utilisations_have_the_denominators_of_their_names():
    run = dataclasses.replace(run_of(), clock_GHz=0.5, peaks={"macs_per_cycle": 100.0, "dram_bytes_per_second": 2e9})
    assert mac_utilisation(run, 500, 10) == 0.5
    assert dram_utilisation(run, 20, 10) == 0.5  # 10 cycles of 2 ns at 2 GB/s move 40 bytes
    assert mac_utilisation(run, 0, 0) is None
    assert dram_utilisation(run, 0, 0) is None


def test_the_ridge_of_snake_is_where_peak_compute_meets_the_first_tier():
    """262144 MACs x 0.8 GHz and 256 rows of 4 KiB per 34.56 ns: 2 B x MAC/s / (B/s) = 13.82; PUs cancel."""
    assert ridge(run_of()) == pytest.approx(2 * 262144 * 0.8e9 / (256 * 4096 / 34.56e-9))


def test_there_is_a_line_for_each_projection_of_the_feed_forward_network():
    gate_up, down = ffn_lines(run_of())
    assert gate_up.startswith("gate_up: bandwidth-bound (compute ")
    assert down.startswith("down: bandwidth-bound (compute ")
    for line in (gate_up, down):
        assert " < dram " in line
        assert line.endswith("; turns at M = 13.8 in tier 0, 13.8 where its weights lie; M = 2.0 here")


def test_a_projection_past_the_ridge_is_compute_bound():
    run = run_of()
    bounds = {"compute": 7168.0, "vector": 0.0, "dram": 6193.0, "noc": 384.0}
    operators = [dataclasses.replace(o, bounds=bounds) for o in run.operators if o.name == "layer0.gate_up"]
    (line,) = ffn_lines(dataclasses.replace(run, operators=tuple(operators)))
    assert line.startswith("gate_up: compute-bound (compute 7,168 >= dram 6,193 cycles); turns at M = 13.8 in tier 0")
