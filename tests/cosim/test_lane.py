"""Vector lanes: issues and results in the cycles of the kernel, plain results bit by bit, PyRTL = Verilog."""

import numpy as np
import pyrtl
import pytest

from nmpsim.program.isa import EXP_RATE, PLAIN_RATE, SQRT_RATE
from nmpsim.spec import load_chip, resolve
from rtl_models.core import lane
from rtl_models.core.lane import EXP, RECIPROCAL, RSQRT, LaneParams, lane_group, lane_params
from rtl_models.core.special import special_exp, special_root
from tests.cosim.float_cases import function_block, random_singles
from tests.cosim.lane_kernel import replay
from tests.cosim.replay import PyrtlRun, Replay
from tests.cosim.verilog import run_verilog
from tests.unit.dram.test_drawings import drawn

CYCLES = 200
UNITS = [
    {},
    {"vector_latency": 1, "exp_interval": 2, "sqrt_interval": 1},
    {"vector_latency": 6, "exp_interval": 1, "sqrt_interval": 2},
]


@pytest.fixture(scope="module")
def traced():
    return [replay(seed, CYCLES, **unit) for seed, unit in enumerate(UNITS)]


def test_the_traffic_meets_conflicts_every_rate_and_idle_cycles(traced):
    for one, seen in traced:
        assert set(seen.issues.values()) == {PLAIN_RATE, EXP_RATE, SQRT_RATE}
        assert len(seen.completed) > 8
        assert sum(not given["issue"] for given in one.inputs) > 20
    assert sum(seen.conflicts for _, seen in traced) > 20


def test_pyrtl_is_ready_and_has_results_when_the_kernel_does(traced):
    for one, _ in traced:
        assert not PyrtlRun(one).first_difference()


@pytest.mark.parametrize("field", ["latency", "exp_interval", "sqrt_interval"])
def test_a_wrong_latency_or_interval_is_found(traced, field):
    one, seen = traced[1]
    params = lane_params(seen.core)
    wrong = params._replace(**{field: getattr(params, field) * 2, "lanes": 2 * params.lanes})
    inputs = [given | {f"{v}{n}": 0 for v in "xy" for n in range(params.lanes, wrong.lanes)} for given in one.inputs]
    assert PyrtlRun(Replay("wrong", lane_group(wrong), inputs, one.outputs)).first_difference()


def special_replay(seed: int, count: int) -> Replay:
    """Special functions issued as often as possible; PyRTL's own simulator of the functions alone says the results."""
    params = LaneParams(lanes=4, latency=4, exp_interval=4, sqrt_interval=2)
    functions = {
        EXP: pyrtl.FastSimulation(block=function_block(special_exp, 32), tracer=None),
        RECIPROCAL: pyrtl.FastSimulation(block=function_block(special_root, 32, 1), tracer=None),
    }
    rng = np.random.default_rng(seed)
    inputs, outputs = [], [{"valid": 0} for _ in range(count + 10)]
    free_at = 0
    for cycle in range(count):
        x = [int(v) for v in random_singles(rng, 24)[:4]]
        operation = int(rng.choice([EXP, RECIPROCAL, RSQRT]))
        issue = int(cycle >= free_at)
        inputs.append(
            {"issue": issue, "operation": operation}
            | {f"x{n}": v for n, v in enumerate(x)}
            | {f"y{n}": 0 for n in range(4)}
        )
        if issue:
            interval = params.exp_interval if operation == EXP else params.sqrt_interval
            free_at = cycle + interval
            results = {}
            for n, value in enumerate(x):
                one = functions[EXP if operation == EXP else RECIPROCAL]
                one.step({"x0": value} | ({} if operation == EXP else {"x1": int(operation == RSQRT)}))
                results[f"result{n}"] = one.inspect("y")
            outputs[cycle + interval - 1 + params.latency] = {"valid": 1} | results
    return Replay("special_lanes", lane_group(params), inputs, outputs[:count])


def test_every_lane_gets_the_function_of_its_own_operand():
    assert not PyrtlRun(special_replay(1, 400)).first_difference()


def test_verilog_is_ready_and_has_results_when_the_kernel_does(traced, tmp_path):
    replays = [traced[1][0], special_replay(2, CYCLES)]
    assert run_verilog(replays, tmp_path)["cycles"] == CYCLES


def test_the_drawing_of_the_lanes():
    simulation = pyrtl.FastSimulation(block=lane_group(LaneParams(4, 4, 4, 4)), tracer=None)
    issued = {0: EXP, 4: lane.ADD, 5: lane.ADD}
    symbols, ready, valid = {0: "exp", 4: "+", 5: "+"}, [], []
    idle = {f"{v}{n}": 0 for v in "xy" for n in range(4)}
    waiting = list(symbols.values())
    for cycle in range(10):
        simulation.step(idle | {"issue": int(cycle in issued), "operation": issued.get(cycle, 0)})
        ready += [(cycle, "1")] * simulation.inspect("ready")
        if simulation.inspect("valid"):
            valid.append((cycle, waiting.pop(0)))
    assert drawn(lane.__doc__, "issue") == list(symbols.items())
    assert drawn(lane.__doc__, "ready") == ready
    assert drawn(lane.__doc__, "valid") == valid


@pytest.mark.parametrize("chip", ["snake", "stratum"])
def test_the_lanes_of_a_shipped_chip_fill_their_special_units(chip):
    assert lane_params(resolve(load_chip(chip)).core) == LaneParams(4, 4, 4, 4)


@pytest.mark.parametrize("params", [LaneParams(4, 0, 4, 4), LaneParams(4, 4, 3, 4), LaneParams(4, 4, 4, 8)])
def test_lanes_that_cannot_be_built_are_refused(params):
    with pytest.raises(ValueError, match=r"lanes: got .*; allowed: "):
        lane_group(params)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 22))
def test_many_vector_programs(seed, tmp_path):
    one, _ = replay(seed, 1000, **UNITS[seed % len(UNITS)])
    assert not PyrtlRun(one).first_difference()
    assert run_verilog([one], tmp_path)["cycles"] == 1000
