"""A GEMV never costs as much as a GEMM that fills the array."""

from itertools import product as pairs

import pytest

from nmpsim.spec import load_chip, resolve
from nmpsim.sweep import Product, sweep
from tests.unit.sweep.small import all_mappings, small_array, small_tree

SIZES = (1, 8, 9, 17, 32, 33, 65)
"""Around a block of columns, a strip, a group and the whole width."""

CHIPS = {
    "array": small_array,
    "array without an accumulator to spare": lambda: small_array(fold_sets=1),
    "array of narrow edges": lambda: small_array(banks=2),
    "array of long PEs": lambda: small_array(pe_latency=3),
    "trees": small_tree,
}


def cycles_of(params, n, k, rows):
    """Cycles by M and mapping."""
    every = all_mappings(params)
    found = sweep(params, every, [Product("any", m, n, k) for m in rows])
    return {(one.product.m, one.mapping): one.cycles for one in found}


@pytest.mark.parametrize("chip", CHIPS)
def test_a_gemv_costs_less_than_a_gemm_that_fills_the_array(chip):
    """The best mapping of either, and every single mapping with the rows that fill it."""
    params = CHIPS[chip]()
    core, every = params.core, all_mappings(params)
    rows = sorted({2, *(mapping.group * core.strip_rows for mapping in every), core.strips * core.strip_rows} - {1})
    for n, k in pairs(SIZES if chip == "array" else SIZES[::3], repeat=2):
        cycles = cycles_of(params, n, k, [1, *rows])
        for m in rows:
            assert min(cycles[1, x] for x in every) < min(cycles[m, x] for x in every), (n, k, m)
        for mapping in every:
            filling = max(2, mapping.group * core.strip_rows)
            assert cycles[1, mapping] < cycles[filling, mapping], (n, k, mapping)


@pytest.mark.parametrize(("n", "k"), [(512, 128), (128, 4096), (256, 4096)])
def test_so_it_is_on_snake_and_far_less_than_the_gemm_of_all_rows(n, k):
    params = resolve(load_chip("snake"))
    every = all_mappings(params)
    cycles = cycles_of(params, n, k, [1, 8, 128])
    gemv, strip, square = (min(cycles[m, x] for x in every) for m in (1, 8, 128))
    assert gemv < strip < square
    assert 2 * gemv < square
