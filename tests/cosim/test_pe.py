"""A PE, cycle by cycle: docs/core/array.md in plain Python = PyRTL = Verilog, in all flows and precisions."""

import numpy as np
import pyrtl
import pytest

from rtl_models.core import fp32, pe
from rtl_models.core.pe import PRECISIONS, PeParams, pe_block
from tests.cosim.float_cases import EDGES16, EDGES_BF16, function_block, half, to_bf16, widened
from tests.cosim.pe_model import PeModel, draw_inputs, record
from tests.cosim.replay import PyrtlRun, Replay
from tests.cosim.verilog import run_verilog
from tests.unit.dram.test_drawings import drawn

FLOWS = (pe.FLOW_OS, pe.FLOW_WS, pe.FLOW_IS)
SHAPES = [PeParams(precision, stages, sets) for precision in PRECISIONS for stages, sets in ((0, 2), (1, 1), (2, 3))]


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("params", SHAPES, ids=str)
def test_pyrtl_does_what_the_page_says(params, flow):
    assert not PyrtlRun(record(params, flow, 600, seed=1)).first_difference()


def test_verilog_does_what_the_page_says(tmp_path):
    replays = [record(params, flow, 300, seed=2) for params in SHAPES for flow in FLOWS]
    assert run_verilog(replays, tmp_path)["cycles"] == 300


def test_a_pe_that_shows_another_sum_is_found_in_verilog(tmp_path):
    replay = record(SHAPES[0], pe.FLOW_OS, 100, seed=3)
    wrong = next(i for i in range(50, 100) if "out_read" in replay.outputs[i])
    replay.outputs[wrong]["out_read"] ^= 1
    with pytest.raises(AssertionError, match=rf"cycle {wrong}: .*out_read: RTL \d+, kernel \d+"):
        run_verilog([replay], tmp_path)


def test_without_a_verilog_simulator_the_comparison_fails_and_says_so(tmp_path, monkeypatch):
    replay = record(SHAPES[0], pe.FLOW_OS, 10, seed=3)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError, match=r"got no iverilog and no vvp; allowed: Icarus Verilog on PATH"):
        run_verilog([replay], tmp_path)


@pytest.mark.parametrize(
    "name", ["tag_first", "b_valid", "p_valid_above", "tag_valid", "weight_valid", "load_valid", "move"]
)
def test_an_ignored_input_is_found(name):
    """The recordings betray a PE whose input does not matter: the test of the test."""
    found = []
    for flow in FLOWS:
        replay = record(SHAPES[0], flow, 200, seed=4)
        stuck = Replay("pe", pe_block(SHAPES[0]), [i | {name: 1} for i in replay.inputs], replay.outputs)
        found.append(PyrtlRun(stuck).first_difference())
    assert any(found)


OPERANDS = {
    "fp16": (lambda x: x.astype(np.float16).view(np.uint16), half, EDGES16),
    "bf16": (lambda x: to_bf16(x.astype(np.float32).view(np.uint32).astype(np.uint64)), widened, EDGES_BF16),
}
"""Bits of real numbers, numbers of bits, and edge cases, by precision."""


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_dot_product_is_the_sum_in_the_order_of_k(precision):
    """OS, k = 0, 1, ... from +0: the same bits as NumPy, or as exact integers modulo 2**32."""
    rng = np.random.default_rng(5)
    simulation = pyrtl.FastSimulation(block=pe_block(PeParams(precision)), tracer=None)
    idle = {wire.name: 0 for wire in pe_block(PeParams(precision)).wirevector_subset(pyrtl.Input)}
    for case in range(40):
        count = int(rng.integers(1, 40))
        if precision != "int8":
            bits, number, edges = OPERANDS[precision]
            a, b = (bits(rng.normal(size=count)) for _ in range(2))
            if case % 4 == 0:
                a[rng.integers(count)] = rng.choice(edges)
            total = np.float32(0)
            with np.errstate(all="ignore"):
                for x, y in zip(number(a), number(b), strict=True):
                    total += np.float32(x) * np.float32(y)
            expected = 0x7FC00000 if np.isnan(total) else int(total.view(np.uint32))
        else:
            a, b = (rng.integers(0, 256, count) for _ in range(2))
            signed = [numbers.astype(np.uint8).view(np.int8).astype(np.int64) for numbers in (a, b)]
            expected = int((signed[0] * signed[1]).sum()) % 2**32
        for k in range(count):
            operands = {"a": int(a[k]), "b": int(b[k]), "tag_first": int(k == 0), "tag_valid": 1, "b_valid": 1}
            simulation.step(idle | operands | {"move": 1})
        simulation.step(idle)
        assert simulation.inspect("out_read") == expected


def test_int8_sums_wrap_around():
    model = PeModel(PeParams("int8"))
    rng = np.random.default_rng(6)
    given = draw_inputs(model.params, pe.FLOW_WS, rng)
    given |= {"move": 1, "tag_valid": 1, "tag_first": 1, "weight_valid": 1, "p_valid_above": 1}
    given |= {"a": 127, "weight": 127, "psum_above": 2**31 - 1}
    simulation = pyrtl.FastSimulation(block=pe_block(model.params), tracer=None)
    simulation.step(given)
    simulation.step(given)
    assert simulation.inspect("out_psum") == 2**31 - 1 + 127 * 127  # now negative


def test_the_drawing_of_the_pe():
    lines = {name: dict(drawn(pe.__doc__, name)) for name in ("a", "active")}
    b = {0: 3, 1: 5, 2: 5, 3: 7}
    for stages in (0, 1):
        block = pe_block(PeParams("int8", stages))
        simulation = pyrtl.FastSimulation(block=block, tracer=None)
        idle = {wire.name: 0 for wire in block.wirevector_subset(pyrtl.Input)}
        active, read = [], []
        for cycle in range(6):
            there = int(cycle in lines["a"])
            operands = {"a": int(lines["a"].get(cycle, 0)), "b": b.get(cycle, 0), "tag_valid": there, "b_valid": there}
            simulation.step(idle | operands | {"tag_first": int(cycle == 0), "move": int(cycle != 1)})
            active += [(cycle, "1")] * simulation.inspect("out_active")
            read += [(cycle, str(simulation.inspect("out_read")))] * (simulation.inspect("out_read") > 0)
        assert active == list(lines["active"].items())
        assert read == drawn(pe.__doc__, f"stages {stages}")


def cuts_in_use(order: tuple[str, ...], label: str, doc: str) -> None:
    """Compare one line of a table of cuts with the order in which cuts get registers."""
    lines = doc.splitlines()
    ruler = next(n for n, line in enumerate(lines) if line.startswith("    stages "))
    columns = {
        lines[ruler].index(f" {stages} ", 10) + 1 if stages < 3 else lines[ruler].rindex("3"): stages
        for stages in range(4)
    }
    line = next(line for line in lines[ruler:] if line.startswith(f"    {label} "))
    assert {stages for at, stages in columns.items() if line[at : at + 1] == "x"} == {
        stages for stages in range(4) if label in order[:stages]
    }


@pytest.mark.parametrize("cut", fp32.ADD_CUTS)
def test_the_table_of_the_cuts_of_the_adder(cut):
    cuts_in_use(fp32.ADD_CUTS, cut, fp32.__doc__)
    assert function_block(fp32.fp32_add, 32, 32)


@pytest.mark.parametrize("changed", [{"precision": "fp8"}, {"sets": 0}])
def test_a_pe_that_cannot_be_built_is_refused(changed):
    with pytest.raises(ValueError, match=r"PE: got .*; allowed: "):
        pe_block(PeParams("fp16")._replace(**changed))
