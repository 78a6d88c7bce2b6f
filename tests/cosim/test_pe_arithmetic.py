"""FP16 and BF16 products, FP32 sums, conversions, bit by bit against NumPy: PyRTL's gates, PyRTL's simulator, Verilog.

The bulk runs bit-sliced on the gates that PyRTL makes of a block (sliced.py); PyRTL's own simulator and Icarus Verilog
repeat a part of it, since an error of `pyrtl.synthesize` would show only there.
"""

import numpy as np
import pyrtl
import pytest

from rtl_models.core import bf16, fp16, fp32
from rtl_models.core.floats import Cuts
from rtl_models.core.pe import arithmetic, int8_multiply, int32_add
from tests.cosim.float_cases import (
    EDGES16,
    EDGES32,
    EDGES_BF16,
    NAN32,
    from_bf16,
    function_block,
    is_less,
    maximum,
    pairs,
    product16,
    product32,
    product_bf16,
    random_pairs,
    random_singles,
    sum32,
    ties_of_sum,
    to_bf16,
    to_half,
    to_single,
)
from tests.cosim.replay import PyrtlRun, Replay
from tests.cosim.sliced import Sliced
from tests.cosim.verilog import run_verilog

ALL16 = np.arange(1 << 16, dtype=np.uint64)
TWO_SINGLES = (32, 32)

DATAPATHS = {
    "fp16_multiply": (fp16.fp16_multiply, (16, 16), product16),
    "fp32_add": (fp32.fp32_add, TWO_SINGLES, sum32),
    "fp32_multiply": (fp32.fp32_multiply, TWO_SINGLES, product32),
    "fp32_less": (fp32.fp32_less, TWO_SINGLES, is_less),
    "fp32_max": (fp32.fp32_max, TWO_SINGLES, maximum),
    "fp16_to_fp32": (fp16.fp16_to_fp32, (16,), to_single),
    "fp32_to_fp16": (fp16.fp32_to_fp16, (32,), to_half),
    "bf16_multiply": (bf16.bf16_multiply, (16, 16), product_bf16),
    "bf16_to_fp32": (bf16.bf16_to_fp32, (16,), from_bf16),
    "fp32_to_bf16": (bf16.fp32_to_bf16, (32,), to_bf16),
}


def sliced(name: str) -> Sliced:
    """The gates of a datapath."""
    function, widths, _ = DATAPATHS[name]
    return Sliced(function_block(function, *widths))


def mismatches(name: str, gates: Sliced, *operands: np.ndarray) -> list[str]:
    """The first few cases in which gates and NumPy differ, in hexadecimal."""
    got = gates.values(**{f"x{n}": numbers for n, numbers in enumerate(operands)})
    expected = DATAPATHS[name][2](*operands)
    wrong = np.flatnonzero(got != expected)[:5]
    return [f"{[f'{int(o[i]):x}' for o in operands]}: RTL {got[i]:x}, NumPy {expected[i]:x}" for i in wrong]


# ------------------------------------------------------------------------------------------------------------- gates


def test_every_fp16_number_times_every_edge_case_and_random_ones():
    gates = sliced("fp16_multiply")
    assert not mismatches("fp16_multiply", gates, *pairs(ALL16, EDGES16))
    assert not mismatches("fp16_multiply", gates, *pairs(EDGES16, ALL16[::7]))
    rng = np.random.default_rng(1)
    x, y = (rng.integers(0, 1 << 16, 300_000, dtype=np.uint64) for _ in range(2))
    assert not mismatches("fp16_multiply", gates, x, y)


def test_every_bf16_number_times_every_edge_case_and_random_ones():
    """Among them products that are infinite, subnormal and rounded, too small for FP32, and exact ones."""
    gates = sliced("bf16_multiply")
    assert not mismatches("bf16_multiply", gates, *pairs(ALL16, EDGES_BF16))
    assert not mismatches("bf16_multiply", gates, *pairs(EDGES_BF16, ALL16[::7]))
    rng = np.random.default_rng(1)
    x, y = (rng.integers(0, 1 << 16, 300_000, dtype=np.uint64) for _ in range(2))
    assert not mismatches("bf16_multiply", gates, x, y)
    small = rng.integers(0, 1 << 14, (2, 100_000), dtype=np.uint64)  # exponents below 0: sums about that of 2**-126
    x, y = (small + np.uint64(0x1000)) | rng.integers(0, 2, small.shape, dtype=np.uint64) << np.uint64(15)
    products = product_bf16(x, y) & np.uint64(0x7FFFFFFF)
    assert ((products > 0) & (products < 0x00800000)).sum() > 5_000
    assert (products == 0).sum() > 1_000
    assert not mismatches("bf16_multiply", gates, x, y)


def test_every_bf16_number_becomes_fp32():
    assert not mismatches("bf16_to_fp32", sliced("bf16_to_fp32"), ALL16)


def test_fp32_is_rounded_to_bf16_at_every_tie_and_beside_it():
    gates = sliced("fp32_to_bf16")
    middle = ALL16 << np.uint64(16) | np.uint64(0x8000)
    for beside in (middle, middle - np.uint64(1), middle + np.uint64(1), ALL16 << np.uint64(16)):
        assert not mismatches("fp32_to_bf16", gates, beside)
    assert not mismatches("fp32_to_bf16", gates, EDGES32)
    assert not mismatches("fp32_to_bf16", gates, random_singles(np.random.default_rng(5), 300_000))


def test_sums_of_edge_cases_near_cancellations_ties_and_random_numbers():
    gates = sliced("fp32_add")
    assert not mismatches("fp32_add", gates, *pairs(EDGES32, EDGES32))
    x, y = random_pairs(np.random.default_rng(2), 400_000)
    assert ties_of_sum(x, y) > 5_000
    assert not mismatches("fp32_add", gates, x, y)
    subnormal = sum32(x, y) & np.uint64(0x7F800000) == 0
    assert subnormal.sum() > 5_000
    assert (sum32(x, y) & np.uint64(0x7FFFFFFF) == 0x7F800000).sum() > 1_000
    assert (sum32(x, y) == NAN32).sum() > 1_000


def test_sums_in_which_each_exponent_meets_each_other():
    gates = sliced("fp32_add")
    exponents = np.arange(256, dtype=np.uint64) << np.uint64(23)
    x, y = pairs(exponents, exponents)
    rng = np.random.default_rng(3)
    for _ in range(3):
        a, b = (rng.integers(0, 1 << 32, len(x), dtype=np.uint64) & np.uint64(0x807FFFFF) for _ in range(2))
        assert not mismatches("fp32_add", gates, x | a, y | b)


@pytest.mark.parametrize("name", ["fp32_multiply", "fp32_less", "fp32_max"])
def test_other_pairs_of_fp32(name):
    gates = sliced(name)
    assert not mismatches(name, gates, *pairs(EDGES32, EDGES32))
    assert not mismatches(name, gates, *random_pairs(np.random.default_rng(4), 200_000))


def test_every_fp16_number_becomes_fp32():
    assert not mismatches("fp16_to_fp32", sliced("fp16_to_fp32"), ALL16)


def test_fp32_is_rounded_to_fp16_at_every_tie_and_beside_it():
    gates = sliced("fp32_to_fp16")
    finite = ALL16[:0x7C00]
    here = to_single(finite).astype(np.uint32).view(np.float32)
    above = to_single(finite + np.uint64(1)).astype(np.uint32).view(np.float32)
    above[-1] = 65536.0  # beyond the largest number the next one would be
    middle = ((here.astype(np.float64) + above) / 2).astype(np.float32).view(np.uint32).astype(np.uint64)
    for beside in (middle, middle - np.uint64(1), middle + np.uint64(1)):
        assert not mismatches("fp32_to_fp16", gates, beside)
        assert not mismatches("fp32_to_fp16", gates, beside | np.uint64(1 << 31))
    assert not mismatches("fp32_to_fp16", gates, EDGES32)
    assert not mismatches("fp32_to_fp16", gates, random_singles(np.random.default_rng(5), 300_000))


def test_every_int8_product_and_sums_that_wrap():
    x, y = pairs(np.arange(256, dtype=np.uint64), np.arange(256, dtype=np.uint64))
    got = Sliced(function_block(int8_multiply, 8, 8)).values(x0=x, x1=y)
    signed = [numbers.astype(np.uint8).view(np.int8).astype(np.int32) for numbers in (x, y)]
    assert (got == (signed[0] * signed[1]).view(np.uint32)).all()
    a, b = (np.random.default_rng(6).integers(0, 1 << 32, 10_000, dtype=np.uint64) for _ in range(2))
    assert (Sliced(function_block(int32_add, 32, 32)).values(x0=a, x1=b) == (a + b) % (1 << 32)).all()


def test_a_broken_adder_is_found():
    def without_sticky(x, y):
        return fp32.fp32_add(pyrtl.concat(x[1:], pyrtl.Const(0, 1)), y)

    gates = Sliced(function_block(without_sticky, 32, 32))
    assert mismatches("fp32_add", gates, *random_pairs(np.random.default_rng(2), 10_000))


# ------------------------------------------------------------------------------------- PyRTL's simulator and Verilog


def replay_of(name: str, count: int) -> Replay:
    """A part of the cases, one per cycle: edge cases and random ones."""
    function, widths, model = DATAPATHS[name]
    rng = np.random.default_rng(7)
    edges = EDGES32 if widths[0] == 32 else EDGES_BF16 if name.startswith("bf16") else EDGES16
    operands = [rng.choice(edges, count) for _ in widths]
    random = [rng.integers(0, 1 << bits, count, dtype=np.uint64) for bits in widths]
    if widths == TWO_SINGLES:
        random = list(random_pairs(rng, count))
    keep = rng.random(count) < 0.4
    operands = [np.where(keep, a, b) for a, b in zip(operands, random, strict=True)]
    outputs = [{"y": int(value)} for value in model(*operands)]
    inputs = [{f"x{n}": int(o[i]) for n, o in enumerate(operands)} for i in range(count)]
    return Replay(name, function_block(function, *widths), inputs, outputs)


@pytest.mark.parametrize("name", DATAPATHS)
def test_pyrtl_simulates_what_numpy_computes(name):
    assert not PyrtlRun(replay_of(name, 4_000)).first_difference()


def test_verilog_computes_what_numpy_computes(tmp_path):
    replays = [replay_of(name, 1_000) for name in DATAPATHS]
    assert run_verilog(replays, tmp_path)["cycles"] == 1_000


@pytest.mark.parametrize("stages", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("name", ["fp16_multiply", "bf16_multiply", "fp32_add", "fp32_multiply"])
def test_a_result_comes_after_as_many_enabled_cycles_as_there_are_stages(name, stages):
    function, widths, model = DATAPATHS[name]

    def pipelined(enable, *operands):
        return function(*operands, stages=stages, enable=enable)

    simulation = pyrtl.FastSimulation(block=function_block(pipelined, 1, *widths), tracer=None)
    rng = np.random.default_rng(8)
    entered = []
    for _ in range(200):
        enable = int(rng.random() < 0.7) if stages else 1
        operands = [np.array([rng.integers(0, 1 << bits)], np.uint64) for bits in widths]
        simulation.step({"x0": enable} | {f"x{n + 1}": int(o[0]) for n, o in enumerate(operands)})
        if stages == 0:
            assert simulation.inspect("y") == model(*operands)[0]
        elif len(entered) >= stages:
            assert simulation.inspect("y") == entered[-stages]
        if enable:
            entered.append(model(*operands)[0])


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match=r"stages: got -1; allowed: 0 or more"):
        Cuts(-1, ())
    with pytest.raises(ValueError, match=r"got precision 'fp8'; allowed: fp16, bf16, int8"):
        arithmetic("fp8")


# --------------------------------------------------------------------------------------------------------- slow lane


@pytest.mark.slow
def test_fp16_products_of_every_number_with_four_thousand_others():
    gates = sliced("fp16_multiply")
    for y in np.random.default_rng(9).permutation(ALL16)[:4096].reshape(-1, 16):
        assert not mismatches("fp16_multiply", gates, *pairs(ALL16, y))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fp32_add", "fp32_multiply"])
def test_ten_million_pairs_of_fp32(name):
    gates = sliced(name)
    rng = np.random.default_rng(10)
    for _ in range(10):
        assert not mismatches(name, gates, *random_pairs(rng, 1_000_000))


@pytest.mark.slow
def test_every_fp32_number_that_fp16_can_tell_from_zero_and_infinity_is_rounded():
    """Exponents from 2**-26, below half the least subnormal number, to 2**16; both signs, in turn."""
    gates = sliced("fp32_to_fp16")
    for field in range(127 - 26, 127 + 17):
        for first in range(field << 23, (field + 1) << 23, 1 << 21):
            bits = np.arange(first, first + (1 << 21), dtype=np.uint64)
            assert not mismatches("fp32_to_fp16", gates, bits | (bits % 3 & np.uint64(1)) << np.uint64(31))
