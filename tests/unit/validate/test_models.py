"""The shipped simple models against values computed by hand."""

import math

import pytest

from nmpsim.validate.models import deepstack, llmcompass, roofline, scale_sim
from nmpsim.validate.operator import Product
from tests.unit.validate.bench import chip, gemm, operator


def test_a_share_is_whole_products_or_columns_of_one():
    assert Product(40, 4, 128, 64).share(16) == Product(3, 4, 128, 64)  # ceil(40 / 16)
    assert Product(1, 4, 1000, 64).share(16) == Product(1, 4, 63, 64)  # ceil(1000 / 16)
    assert Product(8, 4, 1000, 64).share(16) == Product(1, 4, 500, 64)  # two PUs a product


def test_scores_and_values_are_products_per_sequence_and_head_of_the_cache():
    score = operator(kind="score", batch=2, heads=32, kv_heads=8, head_dim=128, context=1000)
    assert score.product == Product(16, 4, 1000, 128)
    value = operator(kind="value", batch=2, heads=32, kv_heads=8, head_dim=128, context=1000)
    assert value.product == Product(16, 4, 128, 1000)
    assert operator(kind="absorb", m=2, n=512, k=128, heads=128).product == Product(128, 2, 512, 128)
    assert operator(kind="norm", m=2, n=4096).product is None


def test_the_roofline_is_the_slowest_of_three_peaks():
    snake = chip()  # 16 PUs of 128 x 128; a row of 4096 B of 256 banks per tRC of 34.56 ns at 0.8 GHz
    assert snake.bytes_per_cycle[0] == pytest.approx(256 * 4096 / (34.56 * 0.8))
    one = gemm(1, 28672, 4096)
    assert roofline.predict(one, snake) == pytest.approx(2 * 28672 * 4096 / snake.bytes_per_cycle[0])
    assert roofline.predict(gemm(1024, 16384, 16384), snake) == pytest.approx(1024 * 16384**2 / (16 * 128 * 128))
    assert roofline.predict(operator(kind="residual", m=2, n=4096, vector_elements=8192), snake) == 8192 / (16 * 256)


def test_the_closed_forms_of_scale_sim_are_its_published_values():
    """M = 1, N = K = 256 on 8x8: values of SCALE-Sim 3.0.0."""
    found = {flow: scale_sim.array_cycles(flow, 1, 256, 256, 8, 8) for flow in ("OS", "WS", "IS")}
    assert found == {"OS": 8639, "WS": 23551, "IS": 8895}
    assert scale_sim.array_cycles("OS", 16, 16, 256, 16, 16) == 285
    assert scale_sim.array_cycles("OS", 16, 1024, 4096, 64, 64) == 67551
    assert scale_sim.array_cycles("WS", 1, 1024, 4096, 32, 32) == 389119


def test_scale_sim_takes_the_best_dataflow_of_a_share_and_knows_products_only():
    snake = chip()
    one = gemm(16, 4096, 4096)  # 256 columns a PU: OS 2 (4096 + 254) - 1, WS 32 x 2 x 398 - 1, IS 32 (256 + 382) - 1
    assert scale_sim.predict(one, snake) == 2 * 4350 - 1
    assert scale_sim.predict(operator(kind="softmax", batch=1, heads=32, context=100), snake) == 0


def test_strips_are_parts_of_the_array():
    snake = chip()
    assert (snake.strips, snake.strip_rows, snake.strip_cols) == (16, 8, 128)


def test_the_array_of_mac_trees_is_the_nearest_to_a_square():
    stratum = chip("stratum")
    assert stratum.array_rows * stratum.array_cols * stratum.pus == stratum.macs_per_cycle
    assert (stratum.array_rows, stratum.array_cols) == (64, 64)
    assert (stratum.strips, stratum.strip_rows, stratum.strip_cols) == (16, 16, 16)
    assert stratum.dataflows == ("OS",)


def test_spare_banks_hide_the_recharge():
    """32 sectors of 3 cycles and 7 to recharge: 96 / 103, the example of DeepStack's oracle."""
    assert deepstack.connectivity(8, 8, 96, 7) == pytest.approx(96 / 103)
    assert deepstack.connectivity(8, 4, 96, 7) == 1.0
    assert deepstack.connectivity(8, 6, 96, 7) == pytest.approx(1 + 0.5 * (96 / 103 - 1))


def test_deepstack_moves_whole_waves_in_a_pipeline_of_two():
    snake = chip()
    rate = deepstack.bandwidth(snake)
    read, recharge = 16 * 0.8, snake.recharge_cycles[0]
    assert rate == pytest.approx(256 * 256 / 0.8 * read / (read + recharge))  # the landing space covers the round trip
    assert snake.fifo_bytes > rate * snake.access_cycles[0]
    wave = 256 * 4096
    one = gemm(1, 1024, wave // 1024)  # 2 waves of weights
    compute = one.macs / (0.9 * 262144) / 2
    moved = wave / rate
    expected = snake.access_cycles[0] + moved + max(moved, compute) + compute
    assert deepstack.predict(one, snake) == pytest.approx(expected)
    half = gemm(1, 1024, wave // 1024 * 3 // 4)  # 1.5 waves count as 2
    assert deepstack.predict(half, snake) == pytest.approx(expected, rel=0.01)


def test_deepstack_takes_elements_alone_from_the_lanes():
    assert deepstack.predict(operator(kind="residual", vector_elements=40960), chip()) == 10


def test_llmcompass_loads_a_tile_while_the_one_before_is_multiplied():
    """16 x 64 x 64 on 16 x 16 from a large buffer, 1 B per cycle: loads of tiles rule, so the least total load wins."""
    whole = 64 * 64 * 2 + scale_sim.array_cycles("OS", 16, 64, 64, 16, 16)
    tiles = [
        (tn * tk * 2) + (64 // tn * 64 // tk - 1) * max(tn * tk * 2, cycles) + cycles
        for tn in (16, 32, 64)
        for tk in (16, 32, 64)
        for cycles in [scale_sim.array_cycles("OS", 16, tn, tk, 16, 16)]
    ]
    found = llmcompass.product_cycles(16, 64, 64, 16, 1, 16, 16, 10**6, 1.0)
    assert found == min(tiles) <= whole


def test_llmcompass_divides_the_columns_of_a_tile_over_its_lanes():
    """8 x 64 x 64 as one tile: loads are free, so one tile of 16 columns a lane: 64 + 8 + 16 - 2 - 1."""
    assert llmcompass.product_cycles(8, 64, 64, 16, 4, 8, 16, 10**6, 1e12) == pytest.approx(85)


def test_llmcompass_finds_no_tile_for_a_buffer_that_is_too_small():
    assert llmcompass.product_cycles(16, 64, 64, 16, 1, 16, 16, 1000, 1.0) == math.inf


def test_llmcompass_takes_a_single_row_from_its_bytes():
    snake = chip()
    assert llmcompass.predict(gemm(1, 4096, 4096), snake) == pytest.approx(2 * 4096**2 / snake.bytes_per_cycle[0])
