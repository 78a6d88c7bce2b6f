"""exp, reciprocal and reciprocal square root: error in units of the last place against the exact value; special values.

The exact value is float64's, whose own error is below 1e-8 of a unit of FP32.  The slow
lane looks at every fraction (exp: at every eleventh argument), the fast lane at a dense grid.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from rtl_models.core import special
from rtl_models.core.special import MAX_ULP, special_exp, special_root
from tests.cosim.float_cases import EDGES32, NAN32, function_block, random_singles, single
from tests.cosim.sliced import Sliced

INFINITY = 0x7F800000
LARGEST = (2 - 2.0**-24) * 2.0**127
"""Half a unit above the largest FP32 number: what reaches it is infinite."""
GATES = {}


def compute(name: str, bits: np.ndarray) -> np.ndarray:
    """Bits of a function of bits, by its gates."""
    kind = "exp" if name == "exp" else "root"
    if kind not in GATES:
        block = function_block(special_exp, 32) if kind == "exp" else function_block(special_root, 32, 1)
        GATES[kind] = Sliced(block)
    if kind == "exp":
        return GATES[kind].values(x0=bits)
    return GATES[kind].values(x0=bits, x1=np.full(len(bits), int(name == "rsqrt"), np.uint64))


def exact(name: str, bits: np.ndarray) -> np.ndarray:
    """The function in float64."""
    with np.errstate(all="ignore"):
        x = single(bits).astype(np.float64)
        if name == "exp":
            return np.exp(x)
        return 1 / x if name == "reciprocal" else 1 / np.sqrt(x)


def largest_error(name: str, bits: np.ndarray) -> float:
    """Largest error in units of the last place; infinite if an infinity, a NaN or a zero is wrong."""
    with np.errstate(invalid="ignore"):  # NaN
        got, want = single(compute(name, bits)).astype(np.float64), exact(name, bits)
    if (np.isnan(got) != np.isnan(want)).any():
        return np.inf
    real = ~np.isnan(want)
    got, want = got[real], want[real]
    infinite = np.abs(want) >= LARGEST
    if (np.abs(got[infinite]) != np.inf).any() or (np.sign(got[infinite]) != np.sign(want[infinite])).any():
        return np.inf
    got, want = got[~infinite], want[~infinite]
    with np.errstate(divide="ignore"):
        binade = np.maximum(np.floor(np.log2(np.abs(want))), -126)
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(got - want) / 2.0 ** (binade - 23), initial=0.0))


@pytest.mark.parametrize("name", ["reciprocal", "rsqrt"])
def test_the_error_over_whole_binades_is_the_stated_one(name):
    some = np.arange(0x3F000000 + 3, 0x40000000, 64, dtype=np.uint64)  # 0.5 to 2: both parities of the exponent
    error = largest_error(name, some)
    assert MAX_ULP[name] - 0.02 < error <= MAX_ULP[name]


def test_the_error_of_exp_on_a_dense_grid_is_the_stated_one():
    rng = np.random.default_rng(1)
    grid = np.concatenate([rng.uniform(-104, 89, 150_000), rng.normal(size=50_000) * 10 ** rng.uniform(-8, 1, 50_000)])
    error = largest_error("exp", grid.astype(np.float32).view(np.uint32).astype(np.uint64))
    assert MAX_ULP["exp"] - 0.02 < error <= MAX_ULP["exp"]


@pytest.mark.parametrize("name", MAX_ULP)
def test_any_bits_and_edge_cases(name):
    bits = np.concatenate([EDGES32, random_singles(np.random.default_rng(2), 50_000)])
    assert largest_error(name, bits) <= MAX_ULP[name]


def test_special_values():
    arguments = np.array([0, 0x80000000, INFINITY, 0xFF800000, NAN32, 0xFF812345, 0xBF800000, 0x3F800000], np.uint64)
    one, e_inverse = 0x3F800000, 0x3EBC5AB2
    assert compute("exp", arguments).tolist() == [one, one, INFINITY, 0, NAN32, NAN32, e_inverse, 0x402DF854]
    assert compute("reciprocal", arguments).tolist() == [
        INFINITY, 0xFF800000, 0, 0x80000000, NAN32, NAN32, 0xBF800000, one,
    ]  # fmt: skip
    assert compute("rsqrt", arguments).tolist() == [INFINITY, 0xFF800000, 0, NAN32, NAN32, NAN32, NAN32, one]


def test_powers_of_two_have_exact_reciprocals():
    powers = np.arange(1, 254, dtype=np.uint64) << np.uint64(23)
    assert (single(compute("reciprocal", powers)) == 1 / single(powers)).all()
    assert (single(compute("rsqrt", powers[::2])) == 1 / np.sqrt(single(powers[::2]))).all()


def test_coefficients_fit_the_datapath():
    for table in (special.exp_table(), special.reciprocal_table(), special.rsqrt_table()):
        assert min(min(segment) for segment in table) > 0
        assert max(segment.c0 for segment in table) <= 2 << special.FRACTION


def binades(*fields: int) -> Iterator[np.ndarray]:
    """All positive numbers with these exponent fields, a quarter of a binade at a time."""
    for field in fields:
        for first in range(field << 23, (field + 1) << 23, 1 << 21):
            yield np.arange(first, first + (1 << 21), dtype=np.uint64)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reciprocal", "rsqrt"])
def test_the_stated_error_holds_for_every_fraction(name):
    """Subnormal arguments, both parities of the exponent, and subnormal results; the fraction decides all else."""
    errors = [largest_error(name, bits) for bits in binades(0, 1, 126, 127, 252, 253, 254)]
    assert MAX_ULP[name] - 0.01 < max(errors) <= MAX_ULP[name]


@pytest.mark.slow
def test_the_stated_error_of_exp_holds_for_every_eleventh_argument():
    """From 2**-26, below which the result rounds to 1, to 128, beyond which it is infinite or 0."""
    errors = []
    for bits in binades(*range(101, 134)):
        odd = bits[int(bits[0]) % 11 :: 11]
        errors += [largest_error("exp", odd), largest_error("exp", odd | np.uint64(1 << 31))]
    assert MAX_ULP["exp"] - 0.01 < max(errors) <= MAX_ULP["exp"]
