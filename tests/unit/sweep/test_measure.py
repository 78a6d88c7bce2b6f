"""What a product on a mapping takes: hand-counted, at PE level, and what must hold whatever the shape."""

import math
import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from nmpsim.core.alone import SOURCE, refill
from nmpsim.core.pe import ArrayPass, run_passes
from nmpsim.dram.native.state import make_state
from nmpsim.errors import SpecError
from nmpsim.kernel import NEVER
from nmpsim.program.isa import ARRAY, CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, WS
from nmpsim.program.schedule import PassPlan
from nmpsim.spec import load_chip, resolve
from nmpsim.sweep import Product, best, measure, sweep
from nmpsim.sweep.edges import pass_edges
from nmpsim.sweep.mapping import most_rows
from nmpsim.sweep.program import instructions
from tests.unit.core.bench import CoreBench, core_params
from tests.unit.sweep.small import all_mappings, small_array, small_tree


def mapping_of(flow, group, split):
    return PassPlan(flow, group, split, K_CONTIGUOUS if flow == IS else N_CONTIGUOUS)


@pytest.mark.parametrize("flow", [OS, WS, IS])
def test_one_strip_takes_the_cycles_of_the_drawings(flow):
    """docs/core/array.md, first cycles: one strip of 2 x 2, complete in cycle 8."""
    params = small_array(strips=1, strip_rows=2, columns=2, banks=2, bank_bytes=8)
    found = measure(params, mapping_of(flow, 1, CHAIN), Product("drawn", 2, 2, 3 if flow == OS else 2))
    assert found.cycles == 8
    assert found.utilisation == (12 if flow == OS else 8) / (8 * 4)
    assert found.beats == (3 if flow == OS else 2)
    assert found.fifo_peak == 4


def test_a_chain_takes_the_cycles_of_the_drawing():
    """docs/core/array.md: OS, two groups of 1 x 2, m = 1, n = 4, k = 2; the row is written in cycle 6."""
    params = small_array(strips=2, strip_rows=1, columns=2, banks=2, bank_bytes=8)
    found = measure(params, mapping_of(OS, 1, CHAIN), Product("drawn", 1, 4, 2))
    assert (found.cycles, found.beats, found.fifo_peak) == (7, 4, 4)  # the strips take their beats after one another
    split = measure(params, mapping_of(OS, 1, SPLIT_N), Product("drawn", 1, 4, 2))
    assert (split.cycles, split.beats, split.fifo_peak) == (5, 4, 8)


def test_a_slice_takes_the_cycles_counted_by_hand():
    """One row, 4 beats in the registers of each slice: load 0-3, 4 x 8 products by 8 a cycle 4-7, tree 5, write 1."""
    params = small_tree()
    found = measure(params, PassPlan(TREE, 1, SPLIT_N, K_CONTIGUOUS), Product("counted", 1, 16, 8))
    assert (found.cycles, found.beats) == (4 + 4 + 5 + 1, 16)
    assert found.utilisation == 128 / (14 * 32)


@pytest.mark.parametrize("strips", [1, 2, 4])
def test_the_array_takes_the_cycles_of_the_pe_level_mode(strips):
    dice = random.Random(strips)
    params = small_array(strips=strips, columns=4)
    for mapping in all_mappings(params):
        m, k = dice.randint(1, 11), dice.randint(1, 21)
        n = dice.randint(1, 4 if mapping.split == SPLIT_K else 21)
        most = most_rows(params.core, mapping) or m
        jobs = [
            ArrayPass(mapping.flow, mapping.group, mapping.split, np.ones((rows, k), int), np.ones((k, n), int))
            for rows in (min(most, m - start) for start in range(0, m, most))
        ]
        if mapping.split == SPLIT_K:
            jobs, m = jobs[:1], min(m, most)  # later passes wait for the additions
        run, found = run_passes(params.core, jobs), measure(params, mapping, Product("both", m, n, k))
        assert found.cycles - found.exposed == run.cycles, mapping
        assert found.macs == int(run.trace.active.sum()), mapping


@pytest.mark.parametrize("make", [small_array, small_tree])
def test_plain_and_skip_mode_agree_and_work_is_conserved(make):
    dice = random.Random(7)
    params = make()
    for mapping in all_mappings(params):
        for rate in (None, Fraction(5), Fraction(32, 3)):
            product = Product("any", dice.randint(1, 20), dice.randint(1, 70), dice.randint(1, 70))
            found = measure(params, mapping, product, rate=rate)
            assert found == measure(params, mapping, product, rate=rate, plain=True)
            assert found.macs == product.m * product.n * product.k
            assert 0 < found.utilisation <= 1
            assert found.macs <= found.beats * params.core.columns * product.m
            assert 0 < found.fifo_mean <= found.fifo_peak <= 2 * params.core.columns * params.core.strips
            assert found.read_mean <= found.read_peak * params.core.strips
            assert found.write_mean <= found.write_peak
            assert (found.adding > 0) == (mapping.split == SPLIT_K and mapping.flow != TREE)
            assert (found.exposed > 0) == (found.adding > 0)
            if rate is not None:
                assert found.fifo_mean <= params.core.strips * (
                    float(rate) + 32 * 2 * params.core.columns / found.cycles
                )


def test_a_slow_bank_makes_the_product_as_long_as_its_beats():
    params = small_array(strips=1, columns=8)
    mapping, product = mapping_of(OS, 1, CHAIN), Product("slow", 1, 8, 200)
    at_once = measure(params, mapping, product)
    slow = measure(params, mapping, product, rate=Fraction(16, 3))  # a beat of 16 bytes in 3 cycles
    assert slow.cycles - at_once.cycles == 3 * 199 - 199 - 1  # the first PASS is seen in cycle 1, the first beat in 0
    assert at_once == measure(params, mapping, product, rate=Fraction(16))


def test_a_source_stamps_its_beats_at_its_rate():
    """The drawing of nmpsim/core/alone.py."""
    params = small_array(strips=1)
    channel = make_state(params.dram._replace(banks=1, fifo_columns=2, port_banks=1, ports=1), 1)
    source, fifo, slots = SOURCE.zeros(1)[0], channel.fifo[0, 0], channel.slot[0, 0]
    stamp, seen = getattr(refill, "py_func", refill), []
    for _ in range(4):
        stamp(source, fifo, slots, 3, 2)
        slot = slots[fifo.head % 2]
        seen.append(int(slot.ready_at))
        slot.free_at = slot.ready_at + 1
        fifo.head += 1
    assert seen == [0, 2, 3, 5]
    stamp(source, fifo, slots, 3, 2)
    assert stamp(source, fifo, slots, 3, 2) == NEVER  # no room


def test_planes_are_added_under_the_next_pass():
    params = small_array(strips=4, columns=8, vector_read_bytes=64, vector_write_bytes=64, lanes=16)
    mapping = mapping_of(OS, 1, SPLIT_K)
    one, many = (measure(params, mapping, Product("planes", 2, 8 * blocks, 400)) for blocks in (1, 5))
    each = math.ceil(2 * 8 / (64 // (4 * 4)))  # 16 sums of 4 planes of 4 bytes, 64 bytes a cycle
    assert (one.adding, many.adding) == (each, 5 * each)
    assert one.exposed == many.exposed  # only the last piece is waited for
    assert one.exposed > each


PORTS = core_params(
    strips=4, strip_rows=2, columns=8, macs_per_cycle=64, buffer_banks=60, bank_bytes=4, buffer_bytes=240 * 1024
)


@pytest.mark.parametrize(
    ("mapping", "m", "n", "k"),
    [
        (mapping_of(OS, 2, CHAIN), 2, 32, 11),
        (mapping_of(OS, 2, SPLIT_N), 4, 32, 11),
        (mapping_of(OS, 2, SPLIT_K), 2, 8, 12),
        (mapping_of(WS, 2, SPLIT_N), 3, 32, 4),
        (mapping_of(WS, 4, CHAIN), 3, 16, 24),
        (mapping_of(WS, 2, SPLIT_K), 2, 8, 24),
        (mapping_of(IS, 4, CHAIN), 3, 9, 24),
        (mapping_of(IS, 2, SPLIT_N), 3, 8, 8),
    ],
)
def test_the_bytes_at_the_edges_are_those_of_the_ports(mapping, m, n, k):
    """Words of ports that the cycle model marks in all cycles, where accesses are whole words and no step is paced."""
    core = PORTS.core
    bench = CoreBench(PORTS, [row for row in instructions(core, mapping, m, n, k) if row["unit"] == ARRAY])
    read = written = most_read = 0
    for _ in range(400):
        bench.step()
        entry = bench.die.cores.port_use[0, (bench.now // PORTS.core_period - 1) % core.run_ahead]
        if entry.at == bench.now - PORTS.core_period:
            words = int(entry.read_mask).bit_count()
            read += 4 * words
            most_read = max(most_read, 4 * words)
            written += 4 * int(entry.write_mask).bit_count()
    assert bench.actor.passes[0] == 1
    edges = pass_edges(core, mapping, m, n, k)
    later = 2 * m * (math.ceil(k / 8) - 1) * 8 if mapping.flow == IS else 0  # simplification 4 of the timing model
    sums = 0 if mapping.flow == OS else 4  # the last sums of WS and IS: the cycle model marks one word for their drain
    assert (read, written) == (edges.read - later, edges.written + sums)
    assert most_read == edges.read_step


def test_products_of_one_size_are_run_once_and_keep_their_names():
    params = small_array()
    names = [one.product.name for one in sweep(params, all_mappings(params)[:2], [Product(x, 1, 8, 8) for x in "ab"])]
    assert names == ["a", "a", "b", "b"]


def test_the_best_is_the_first_of_the_fastest():
    params = small_array()
    found = list(sweep(params, all_mappings(params), [Product("any", 3, 40, 40)]))
    assert best(found).cycles == min(one.cycles for one in found)


def test_a_separate_core_is_refused():
    params = resolve(load_chip("snake"))
    params = replace(params, core=params.core._replace(separate=1))
    with pytest.raises(SpecError, match="copies are no part of a sweep"):
        measure(params, mapping_of(OS, 1, CHAIN), Product("any", 1, 1, 1))
