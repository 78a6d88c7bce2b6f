"""The reconfigurable array three ways, cycle by cycle: kernel = PyRTL = exported Verilog; its sums are NumPy's.

The kernel says when a beat is taken, a step done, the pipeline held, a row written; docs/core/array.md which PE then
multiplies and which sum stands at which edge; NumPy adds in the stated order.  `test_array_control.py` compares the
decisions alone, over many more cases.
"""

from dataclasses import replace
from functools import cache
from operator import attrgetter

import pytest

from nmpsim.core.state import REASONS
from nmpsim.program.isa import FLOW_NAMES
from rtl_models.core import array_control
from rtl_models.core.array import array
from tests.builders import STRATUM
from tests.cosim.array_cases import BUILDS, EXTENT_BITS, Build, draw_cases, draw_few
from tests.cosim.array_coverage import shape_name
from tests.cosim.array_replay import ArrayReplay, check_results, cover, first_difference, join
from tests.cosim.verilog import run_verilog
from tests.unit.core.bench import core_params

MOST = 12
"""Largest n and k in the default lane."""

ROUNDS = 3
"""Cases of every shape, dataflow and relation of groups in the slow lane."""

IN_VERILOG = (BUILDS[0], BUILDS[1], BUILDS[6])
"""Arrays that the default lane simulates in Verilog, too; the slow lane does so with all."""

NAME = attrgetter("name")
SMALL = BUILDS[0]


@cache
def joined(build: Build) -> ArrayReplay:
    """The cases of the default lane."""
    return join(build, draw_few(build, MOST, passes_most=2 if build in IN_VERILOG else 1))


def shapes_of(build: Build) -> set[str]:
    """Every shape x dataflow, whatever the relation of the groups."""
    return {shape_name(build, flow, group, 0).rsplit(" ", 1)[0] for flow, group, _ in build.combinations()}


def test_every_shape_and_dataflow_of_every_array_is_reached_and_every_reason():
    coverage = cover([joined(build) for build in BUILDS])
    print(coverage.report())
    reached = {name.rsplit(" ", 1)[0] for name in coverage.shapes}
    assert reached == set().union(*(shapes_of(build) for build in BUILDS))
    assert not coverage.missing()
    assert not coverage.unexpected()


def test_the_arrays_are_those_that_are_asked_for():
    assert {(build.side, build.granularity, build.precision) for build in BUILDS} >= {
        *((8, g, precision) for g in (2, 4) for precision in ("int8", "fp16")),
        *((16, g, "int8") for g in (4, 8)),
    }
    assert {flow for flow, _, _ in SMALL.combinations()} == {FLOW_NAMES.index(name) for name in ("OS", "WS", "IS")}
    groups = {SMALL.core.strips // group for _, group, _ in SMALL.combinations()}
    assert groups == {1, 2, 4}  # 8x8, 4x16, 2x32 and their fissions


@pytest.mark.parametrize("build", BUILDS, ids=NAME)
def test_the_sums_that_leave_are_the_product(build):
    cases = joined(build).expected
    assert sum(check_results(expected) for expected in cases) > 0
    work = sum(m * n * k for e in cases for m, n, k in (one.shape for one in e.case.passes))
    active = sum(bits.bit_count() for e in cases for strip in e.active for bits in strip)
    assert active == work


@pytest.mark.parametrize("build", BUILDS, ids=NAME)
def test_pyrtl_does_what_the_kernel_does(build):
    assert not joined(build).difference()


@pytest.mark.parametrize("build", IN_VERILOG, ids=NAME)
def test_verilog_does_what_the_kernel_does(build, tmp_path):
    replay = joined(build).replay
    assert run_verilog([replay], tmp_path)["cycles"] == len(replay.inputs)


def test_the_reasons_have_the_codes_of_the_kernel():
    assert list(array_control.REASONS) == list(REASONS[:9])


@pytest.mark.parametrize(
    "wrong",
    [
        {"pe_latency": 1},
        {"fold_sets": 1},
        {"reconfigure": 9},
        {"buffer_banks": 4},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_an_array_made_for_other_integers_is_found(wrong):
    made = replace(SMALL, changes=tuple(wrong.items()))
    cycle, text = first_difference(array(made.core, made.precision, EXTENT_BITS), joined(SMALL).replay)
    assert cycle >= 0
    assert text


def test_a_wrong_element_is_found_wherever_it_stands():
    replay = joined(SMALL).replay
    for name in ("beat0", "a_left0", "a_row0"):
        taken = {"beat0": "pop0", "a_left0": "take_left0", "a_row0": "take_row0"}[name]
        cycle = next(t for t, pins in enumerate(replay.outputs) if pins[taken])
        held = replay.inputs[cycle]
        replay.inputs[cycle] = held | {name: held[name] ^ 1}
        assert joined(SMALL).difference(), name
        replay.inputs[cycle] = held


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": 12}, "columns: got 12; allowed: powers of two"),
        ({"strips": 3}, "strips: got 3; allowed: powers of two"),
        ({"strip_rows": 6}, "strip_rows: got 6; allowed: powers of two"),
        ({"fold_sets": 3}, "fold_sets: got 3; allowed: 1 or 2"),
    ],
)
def test_an_array_that_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        array(SMALL.core._replace(**changes), "int8")


def test_a_mac_tree_and_an_unknown_precision_are_refused():
    with pytest.raises(ValueError, match="got a MAC tree"):
        array(core_params(STRATUM).core, "int8")
    with pytest.raises(ValueError, match="got precision 'fp8'"):
        array(SMALL.core, "fp8")


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDS, ids=NAME)
def test_every_shape_dataflow_and_relation_many_times(build, tmp_path):
    replay = join(build, draw_cases(build, ROUNDS, first=100))
    coverage = cover([replay])
    print(f"{len(replay.cases)} cases, {len(replay.replay.inputs)} cycles\n{coverage.report()}")
    assert not coverage.unexpected()
    assert set(coverage.shapes) == {shape_name(build, *combination) for combination in build.combinations()}
    assert sum(check_results(expected) for expected in replay.expected) > 0
    assert not replay.difference()
    assert run_verilog([replay.replay], tmp_path)["cycles"] == len(replay.replay.inputs)


def test_the_cases_of_both_lanes_are_more_than_three_hundred():
    slow = sum(ROUNDS * len(build.combinations()) for build in BUILDS)
    assert slow >= 300
