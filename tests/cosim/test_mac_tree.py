"""A MAC-tree slice three ways, cycle by cycle: kernel = PyRTL = Verilog, with late beats and waits; sums by NumPy."""

import numpy as np
import pyrtl
import pytest

from nmpsim.functional.product import multiply
from nmpsim.program.isa import K_CONTIGUOUS, N_CONTIGUOUS, SPLIT_K, SPLIT_N, TREE
from nmpsim.spec import load_chip
from rtl_models.core import mac_tree, mac_tree_control
from rtl_models.core.mac_tree import TreeParams, mac_tree_slice, tree_params
from rtl_models.synthesis.compute_blocks import tree_engine
from tests.builders import STRATUM, small_chip
from tests.cosim.float_cases import bits_of, to_bf16, widened
from tests.cosim.mac_tree_kernel import REASON_CODES, Operands, Recording, SliceCase
from tests.cosim.replay import PyrtlRun
from tests.cosim.verilog import run_verilog
from tests.unit.core.bench import product, tile_of
from tests.unit.dram.test_drawings import drawn

SMALL = TreeParams(engines=2, taps=4, columns=8, register_beats=4, sets=2, rows=8, latency=5, port_sums=4)
BOTH = (SPLIT_N, SPLIT_K)
CASES = [
    SliceCase(SMALL, 4, 0, 1, (SPLIT_N,)),
    SliceCase(SMALL, 4, 3, 2, BOTH),
    SliceCase(SMALL._replace(port_sums=16), 4, 1, 3, (SPLIT_K,)),
    SliceCase(SMALL._replace(taps=2, latency=0), 4, 2, 4, BOTH),  # a beat takes two steps
    SliceCase(SMALL._replace(engines=4, latency=2), 4, 1, 5, (SPLIT_N,)),  # two beats a step
    SliceCase(SMALL._replace(engines=4, taps=2, sets=1, latency=9), 4, 0, 6, BOTH),
    SliceCase(SMALL._replace(sets=3, port_sums=2, latency=1), 4, 3, 7, (SPLIT_N,), edge_bytes=32),
    SliceCase(SMALL._replace(engines=1, taps=1, port_sums=4, latency=3), 4, 0, 8, (SPLIT_N,), cycles=600),
]

VERILOG_CASES = (0, 1, 2, 4, 6)
"""Those of equal length that Icarus replays in the fast lane."""


@pytest.fixture(scope="module")
def recordings():
    return [Recording(case) for case in CASES]


def test_the_cases_meet_every_reason_and_passes_without_work(recordings):
    assert set().union(*(recording.reasons for recording in recordings)) == set(REASON_CODES)
    done = [sum(shown["pass_done"] for shown in recording.outputs) for recording in recordings]
    assert min(done) >= 2
    assert sum(done) > 60
    assert any(not one.works for recording in recordings for one in recording.passes[:3])
    assert all(any("sums" in shown for shown in recording.outputs) for recording in recordings)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_pyrtl_does_what_the_kernel_does(recordings, number):
    assert not PyrtlRun(recordings[number].replay("slice")).first_difference()


def test_verilog_does_what_the_kernel_does(recordings, tmp_path):
    replays = [recording.replay(f"slice_{n}") for n, recording in enumerate(recordings) if n in VERILOG_CASES]
    assert run_verilog(replays, tmp_path)["cycles"] == CASES[0].cycles


@pytest.mark.parametrize("changes", [{"sets": 3}, {"latency": 4}, {"latency": 6}], ids=str)
def test_a_wrong_parameter_is_found(recordings, changes):
    found = [PyrtlRun(recording.replay("slice", **changes)).first_difference() for recording in recordings[:2]]
    assert any(found)


@pytest.mark.parametrize("number", [0, 3, 4])
@pytest.mark.parametrize("layout", [K_CONTIGUOUS, N_CONTIGUOUS])
def test_the_order_of_the_sums_is_that_of_the_functional_interpreter(number, layout):
    case = CASES[number]
    core = case.core().core
    row = product(TREE, 3, 22, 27, split=SPLIT_N, contiguous=layout)
    rng = np.random.default_rng(1)
    for index in range(case.strips):
        one = Operands(row, SliceCase(case.tree, 4, index, 0, (SPLIT_N,)), core, rng)
        columns = one.chunks if one.by_k else [np.arange(8 * b, min(8 * b + 8, one.n)) for b in one.blocks]
        with np.errstate(all="ignore"):
            expected = multiply(one.a, one.b, tile_of(row), core)[0]
        for own, fold in zip(columns, one.folds(), strict=True):
            assert (bits_of(fold[:, : len(own)].copy()) == bits_of(np.ascontiguousarray(expected[:, own]))).all()


# ----------------------------------------------------------------------------------------------------------- drawings


def run_alone(params: TreeParams, passes: list[dict[str, int]], cycles: int):
    """A slice with beats always there; names of outputs by cycle."""
    block = mac_tree_slice(params)
    simulation = pyrtl.FastSimulation(block=block, tracer=None)
    idle = {wire.name: 0 for wire in block.wirevector_subset(pyrtl.Input)}
    lines = {}
    for cycle in range(cycles):
        pins = {f"pass_{name}": value for name, value in passes[0].items()} | {"pass_seen": 1} if passes else {}
        simulation.step(idle | pins | {"pass_ready": 1, "beat_valid": 1})
        for name in ("pass_taken", "beat_taken", "step", "write", "pass_done"):
            if simulation.inspect(name):
                lines.setdefault(name, []).append((cycle, "1"))
        passes = passes[simulation.inspect("pass_taken") :]
    return lines


def test_the_drawing_of_the_control():
    one = {"lines": 2, "blocks": 1, "tail": 8, "k_contiguous": 1, "write_cycles": 1}
    params = SMALL._replace(latency=2, engines=4)  # two beats a step
    lines = run_alone(params, [one | {"rows": 1}, one | {"rows": 2}], 11)
    for name, seen in lines.items():
        assert drawn(mac_tree_control.__doc__, name) == seen


def test_the_drawing_of_the_slice():
    one = {"rows": 1, "lines": 2, "blocks": 1, "tail": 8, "k_contiguous": 1, "write_cycles": 1}
    lines = run_alone(SMALL._replace(latency=2), [one], 8)
    for name in ("beat_taken", "step", "write"):
        assert drawn(mac_tree.__doc__, name) == lines[name]
    steps = [cycle for cycle, _ in lines["step"]]
    assert drawn(mac_tree.__doc__, "accumulate") == [(cycle + 2, f"b{n}") for n, cycle in enumerate(steps)]


# ------------------------------------------------------------------------------------------------------------- limits


def test_the_slice_of_stratum():
    params = tree_params(load_chip("stratum"))
    assert params == TreeParams(16, 16, 128, 16, 2, 64, 5, 16)
    assert params.levels == 8  # three more than its tree_latency: eight engines share a K-contiguous beat


def test_a_chip_without_mac_trees_is_refused():
    with pytest.raises(ValueError, match=r"got systolic; allowed: a chip whose core\.kind is mac_tree"):
        tree_params(load_chip("snake"))


@pytest.mark.parametrize(
    "changes",
    [
        {"taps": 3},
        {"taps": 16},
        {"engines": 8},
        {"sets": 6},
        {"sets": 0},
        {"latency": -1},
        {"port_sums": 3},
        {"rows": 5},
    ],
    ids=str,
)
def test_slices_that_cannot_be_built_are_refused(changes):
    with pytest.raises(ValueError, match=rf"MAC tree: got {next(iter(changes))} -?\d+; allowed: "):
        mac_tree_slice(tree_params(small_chip(STRATUM, 1))._replace(**changes))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 124))
def test_many_slices(seed, tmp_path):
    case = CASES[seed % len(CASES)]
    recording = Recording(SliceCase(case.tree, 4, seed % 4, seed, case.splits, edge_bytes=case.edge_bytes, cycles=1500))
    replay = recording.replay("slice")
    assert not PyrtlRun(replay).first_difference()
    assert run_verilog([replay], tmp_path)["cycles"] == 1500


def test_an_engine_of_bf16_adds_products_of_bf16_pairwise():
    params = TreeParams(1, 4, 4, 4, 1, 1, 0, 1, "bf16")
    simulation = pyrtl.FastSimulation(block=tree_engine(params), tracer=None)
    rng = np.random.default_rng(1)
    total = np.float32(0)
    for step in range(50):
        x, y = (to_bf16(rng.normal(size=4).astype(np.float32).view(np.uint32).astype(np.uint64)) for _ in "xy")
        packed = (sum(int(bits) << 16 * tap for tap, bits in enumerate(line)) for line in (x, y))
        simulation.step({"x": next(packed), "y": next(packed), "first": int(step == 0)})
        products = widened(x) * widened(y)
        total = total + ((products[0] + products[1]) + (products[2] + products[3]))
    simulation.step({"x": 0, "y": 0, "first": 0})
    assert simulation.inspect("sum") == int(total.view(np.uint32))
    with pytest.raises(ValueError, match=r"got operands 'int8'; allowed: fp16, bf16"):
        tree_engine(params._replace(precision="int8"))
