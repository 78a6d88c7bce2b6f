"""A PASS computes A times B, whatever the flow, from the bytes that the strips deliver."""

from itertools import product

import numpy as np
import pytest

from nmpsim.errors import IllegalScheduleError
from nmpsim.functional.product import multiply, own_k, plane_count, rebuild, tree_sum
from nmpsim.program.beats import Tile, beats_of, legal
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, WS
from nmpsim.spec.params import MAC_TREE, SYSTOLIC
from tests.unit.functional.bench import Writer, chip, halves

SHAPES = [(1, 1, 1), (2, 8, 8), (3, 13, 21), (2, 70, 5), (4, 5, 70), (2, 33, 66)]
ARRAY_CASES = [
    (flow, group, split, contiguous)
    for flow, group, split, contiguous in product((OS, WS, IS), (1, 2, 4), (CHAIN, SPLIT_K, SPLIT_N), (0, 1))
    if legal(flow, split, contiguous)
]
TREE_CASES = [(TREE, 1, split, c) for split, c in product((SPLIT_K, SPLIT_N), (0, 1)) if legal(TREE, split, c)]


def exact(a, b):
    """Product in FP64, and the bound that holds for any order of FP32 additions: gamma_(k-1) |A| |B|."""
    u = 2.0**-24
    k = a.shape[1]
    x, y = a.astype(float), b.astype(float)
    return x @ y, k * u / (1 - k * u) * (abs(x) @ abs(y))


def run_pass(flow, group, split, contiguous, m, n, k, seed=None):
    params = chip(kind=MAC_TREE if flow == TREE else SYSTOLIC)
    rng = np.random.default_rng(m * 10000 + n * 100 + k)
    writer = Writer(params)
    writer.tensors["w"] = halves(rng, k + 3, n + 9)
    half = n // 2
    segments = ((5, half), (5 + half + 2, n - half)) if half else ((5, n),)
    tile = Tile(flow, group, split, contiguous, n, k, 2, segments)
    a = halves(rng, m, k)
    loaded = writer.put(0, 64, a)
    writer.stream(0, "w", [tile])
    writer.product(0, tile, m, 64, 4096, [loaded])
    planes = params.core.strips // group if split == SPLIT_K and flow != TREE else 1
    writer.result("c", 0, 4096, planes * m, n, True)
    columns = np.concatenate([np.arange(s, s + length) for s, length in segments])
    b = writer.tensors["w"][2 : 2 + k, columns]
    result = writer.run(seed)
    return a, b, result.results["c"].reshape(planes, m, n), tile, params.core, result


@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
@pytest.mark.parametrize(("flow", "group", "split", "contiguous"), ARRAY_CASES + TREE_CASES)
def test_a_pass_yields_the_product_within_the_bound_of_its_sums(flow, group, split, contiguous, m, n, k):
    if flow in (OS, IS) and m > 2 * group:
        m = 2 * group
    a, b, planes, tile, core, _ = run_pass(flow, group, split, contiguous, m, n, k)
    for g, plane in enumerate(planes):
        own = own_k(tile, core, g) if len(planes) > 1 else np.arange(k)
        value, bound = exact(a[:, own], b[own])
        assert (abs(plane - value) <= bound).all()
    value, bound = exact(a, b)
    assert (abs(planes.astype(float).sum(0) - value) <= bound).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_pass_gives_the_same_bytes_in_any_order(seed):
    one = run_pass(WS, 2, SPLIT_K, N_CONTIGUOUS, 3, 33, 21)[-1]
    other = run_pass(WS, 2, SPLIT_K, N_CONTIGUOUS, 3, 33, 21, seed)[-1]
    assert (one.buffers == other.buffers).all()


def test_each_group_of_a_split_sums_only_its_own_k():
    core = chip().core
    os_tile = Tile(OS, 2, SPLIT_K, N_CONTIGUOUS, 8, 5, 0, ((0, 8),))
    is_tile = Tile(IS, 2, SPLIT_K, K_CONTIGUOUS, 8, 20, 0, ((0, 8),))
    assert plane_count(os_tile, core) == 2
    assert own_k(os_tile, core, 1).tolist() == [1, 3]
    assert own_k(is_tile, core, 1).tolist() == list(range(8, 16))
    assert own_k(is_tile, core, 0).tolist() == [*range(8), 16, 17, 18, 19]


def test_a_group_sums_exactly_the_k_whose_beats_its_strips_deliver():
    for flow, group, split, contiguous in ARRAY_CASES:
        core = chip().core
        tile = Tile(flow, group, split, contiguous, 13, 37, 0, ((0, 13),))
        if plane_count(tile, core) == 1:
            continue
        for g in range(core.strips // group):
            delivered = set()
            for strip in range(g * group, (g + 1) * group):
                for index, block in beats_of(tile, core, strip):
                    ks = [index] if contiguous == N_CONTIGUOUS else range(block * 8, min(block * 8 + 8, 37))
                    delivered.update(int(k) for k in ks)
            assert delivered == set(own_k(tile, core, g).tolist())


def test_the_operand_comes_from_the_bytes_that_were_delivered():
    core = chip().core
    tile = Tile(OS, 1, SPLIT_N, N_CONTIGUOUS, 8, 3, 0, ((0, 8),))
    raw = [np.full((len(beats_of(tile, core, s)), 16), 0x3C, np.uint8) for s in range(core.strips)]
    raw[0][1] = 0
    assert rebuild(tile, core, raw)[1].tolist() == [0.0] * 8
    assert (rebuild(tile, core, raw)[[0, 2]] == np.array([0x3C3C], np.uint16).view(np.float16)).all()


def test_folds_of_a_stationary_pass_are_added_after_each_other():
    """Two rows a fold, k = 4: (1 + e) + (e + e) rounds to 1 + 2e, one after another it would stay 1."""
    core = chip(strips=2, strip_rows=1, columns=2).core
    tile = Tile(WS, 2, CHAIN, N_CONTIGUOUS, 1, 4, 0, ((0, 1),))
    e = 2.0**-24
    a = np.array([[1, e, e, e]], np.float16)
    b = np.ones((4, 1), np.float16)
    assert multiply(a, b, tile, core)[0, 0, 0] == np.float32(1 + 2 * e)
    one = Tile(OS, 2, CHAIN, N_CONTIGUOUS, 1, 4, 0, ((0, 1),))
    assert multiply(a, b, one, core)[0, 0, 0] == 1


def test_a_tree_adds_neighbours():
    e = np.float32(2.0**-24)
    assert tree_sum(np.array([1, e, e, e, 0], np.float32), 0) == 1 + 2 * e


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flow": TREE, "group": 1, "split": SPLIT_N}, "flow TREE"),
        ({"group": 3}, "groups of 3 strips"),
        ({"contiguous": K_CONTIGUOUS}, "OS with chain"),
        ({"m": 9}, "m = 9"),
        ({"split": SPLIT_K, "planes": 1}, "1 planes"),
        ({"out": 16380}, "buffer"),
        ({"a": -2}, "buffer"),
        ({"out_ld": 4}, "cover each other"),
    ],
)
def test_a_pass_that_the_core_cannot_do_is_refused(change, words):
    writer = Writer(chip())
    tile = Tile(OS, 2, CHAIN, N_CONTIGUOUS, 8, 8, 0, ((0, 8),))
    writer.tensors["w"] = np.ones((8, 8), np.float16)
    loaded = writer.put(0, 0, np.ones((3, 8), np.float16))
    writer.stream(0, "w", [tile])
    writer.product(0, tile, 3, 0, 4096, [loaded])
    for name, value in change.items():
        writer.streams[0][-1][name] = value
    with pytest.raises(IllegalScheduleError, match=words):
        writer.run()
