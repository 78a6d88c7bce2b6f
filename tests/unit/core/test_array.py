"""The compute unit, cycle by cycle, on cases small enough to draw by hand.

The bench has 4 strips of 2 rows (or slices) and beats of 8 elements; a pass is dispatched in cycle 0 and taken in
cycle 1, which is cycle 0 of the drawings.
"""

from __future__ import annotations

import pytest

from nmpsim.core.state import REASONS
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, WS
from tests.builders import STRATUM
from tests.unit.core.bench import CoreBench, core_params, product

DEPTH = 8 + 8 - 1
"""Rows of a group of 4 strips + columns - 1: last input to first result."""


def taken(bench, cycles):
    """Beats that each strip has taken in each of the next cycles, after the one of the dispatch."""
    bench.step()
    fifo = bench.die.channels.fifo[0]
    rows = []
    for _ in range(cycles):
        before = fifo["head"].tolist()
        bench.step()
        rows.append([after - b for after, b in zip(fifo["head"].tolist(), before, strict=True)])
    return rows


def test_the_drawing_of_os_strips_of_a_group_take_turns():
    bench = CoreBench(core_params(), [product(OS, 1, 8, 4, group=2, split=SPLIT_N)])
    assert taken(bench, 5) == [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_os_is_complete_when_the_last_row_is_written():
    # one fold of 5 steps in cycles 1..5, first row at the edge DEPTH later, 3 rows of 32 bytes a cycle each
    bench = CoreBench(core_params(), [product(OS, 3, 8, 5, group=4)])
    assert bench.trace(8) == ["queue_empty", *["busy"] * 5, "pipeline_drain", "pipeline_drain"]
    assert bench.run() == 5 + DEPTH + 3 + 1
    assert bench.actor[0].macs == 3 * 8 * 5


def test_os_streams_into_the_second_set_while_the_first_drains_and_waits_for_a_third():
    passes = [product(OS, 1, 8, 4, group=4)] * 3
    trace = CoreBench(core_params(fold_sets=2), passes).trace(40)
    # sets: fold 0 in 1..4, fold 1 in 5..8; fold 0 is at the edge in 20 and written in that cycle
    assert trace[:23] == ["queue_empty", *["busy"] * 8, *["accumulators_busy"] * 12, "busy", "busy"]
    one = CoreBench(core_params(fold_sets=1), passes).trace(40)
    assert one[:23] == ["queue_empty", *["busy"] * 4, *["accumulators_busy"] * 16, "busy", "busy"]


def test_a_late_beat_holds_all_strips_and_the_wavefront():
    late = [[0, 0], [0, 9], [0], [0]]
    bench = CoreBench(core_params(), [product(OS, 1, 8, 6, group=4)], late)
    assert bench.trace(12) == ["queue_empty", *["busy"] * 5, *["operand_late"] * 3, "busy", *["pipeline_drain"] * 2]
    assert bench.run() == 9 + DEPTH + 1 + 1


def test_a_chain_starts_its_groups_a_skew_apart():
    # two groups side by side: the second one starts 8 columns later
    bench = CoreBench(core_params(), [product(OS, 1, 16, 2, group=2, split=CHAIN)])
    rows = taken(bench, 11)
    assert [sum(row[:2]) for row in rows] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert [sum(row[2:]) for row in rows] == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("sets", [1, 2])
def test_a_chain_longer_than_its_folds_waits_for_its_accumulators_and_goes_on(sets):
    # group 0 ends fold 1 before group 3 has begun fold 0: it must not stop the others
    bench = CoreBench(core_params(fold_sets=sets), [product(OS, 2, 8 * 4 * 3, 2, group=1, split=CHAIN)])
    trace = bench.trace(10)
    assert trace[1:3] == ["busy", "busy"]
    bench.run()
    assert bench.actor[0].pops == 4 * 3 * 2
    assert bench.actor[0].macs == 2 * 96 * 2


def test_the_groups_of_a_chain_keep_their_distance_after_a_wait():
    bench = CoreBench(core_params(fold_sets=1), [product(OS, 1, 32, 2, group=2, split=CHAIN)])
    rows = taken(bench, 60)
    first, second = ([cycle for cycle, row in enumerate(rows) if sum(row[at : at + 2])] for at in (0, 2))
    assert first[:2] == [0, 1]
    assert second == [cycle + 8 for cycle in first]
    assert first[2] > second[1]


def test_the_drawing_of_a_stationary_fold():
    # group of 4 strips, K = 16: two folds of 8 rows, m = 2; every load is two beats a strip
    bench = CoreBench(core_params(), [product(WS, 2, 8, 24, group=4)])
    bench.step()
    fifo, stream, load = bench.die.channels.fifo[0], [], []
    for _ in range(8):
        before = int(fifo["head"].sum()), int(bench.actor[0].advances), bench.actor[0].pending
        bench.step()
        load.append(int(fifo["head"].sum()) - before[0])
        stream.append(int(bench.actor[0].advances) - before[1])
    assert load == [4, 4, 4, 4, 4, 4, 0, 0]
    assert stream == [0, 0, 1, 1, 1, 1, 1, 1]
    # last step of fold 2 in cycle 1 + 7, results DEPTH later, one cycle to write
    assert bench.run() == 1 + 7 + DEPTH + 1 + 1
    assert bench.actor[0].macs == 2 * 8 * 24


def test_a_stationary_pass_loads_while_the_one_before_it_streams():
    bench = CoreBench(core_params(), [product(WS, 6, 8, 8, group=4)] * 2)
    trace = bench.trace(16)
    assert trace == ["queue_empty", "load_stationary", "load_stationary", *["busy"] * 12, "pipeline_drain"]


def test_is_loads_a_then_streams_a_beat_per_output_column():
    bench = CoreBench(core_params(), [product(IS, 3, 5, 8, group=4, contiguous=K_CONTIGUOUS)])
    assert bench.trace(11) == ["queue_empty", *["load_stationary"] * 3, *["busy"] * 5, *["pipeline_drain"] * 2]
    assert bench.run() == 8 + DEPTH + 1 + 1
    assert bench.actor[0].macs == 3 * 5 * 8


def test_the_edges_pace_the_steps_but_owe_nothing_to_a_later_pass():
    # m = 8 rows of FP16 are 16 bytes a step, the ports of one bank give 8
    params = core_params(buffer_banks=1, bank_bytes=8)
    bench = CoreBench(params, [product(OS, 8, 8, 2, group=4), product(OS, 8, 8, 2, group=4, wait=(0, 1))])
    trace = bench.trace(120)
    assert trace[1:5] == ["busy", "edge_bandwidth", "busy", "pipeline_drain"]
    again = trace.index("busy", 5)
    assert trace[again : again + 3] == ["busy", "edge_bandwidth", "busy"]


def test_a_change_of_shape_waits_for_an_empty_array_and_then_reconfigures():
    params = core_params(reconfigure=5)
    passes = [product(OS, 1, 8, 4, group=4), product(OS, 1, 8, 4, group=2, split=SPLIT_N)]
    trace = CoreBench(params, passes).trace(40)
    done = 4 + DEPTH + 1
    assert trace == [
        "queue_empty", *["busy"] * 4, *["pipeline_drain"] * (DEPTH + 1), *["reconfigure"] * 5, *["busy"] * 4,
        *["pipeline_drain"] * (40 - done - 10),
    ]  # fmt: skip


def test_slices_of_a_mac_tree_stall_alone():
    # beats of slice 3 come late: the other slices are done long before
    params = core_params(STRATUM)
    bench = CoreBench(params, [product(TREE, 1, 8, 16, split=SPLIT_K)], [[0] * 4, [0] * 4, [0] * 4, [50] * 4])
    traces = [[] for _ in range(4)]
    for _ in range(40):
        bench.step()
        for i, trace in enumerate(traces):
            trace.append(REASONS[bench.actor[i].reason])
    assert traces[0] == traces[1] == traces[2]
    assert traces[0][:6] == ["queue_empty", *["load_stationary"] * 4, "busy"]
    assert traces[3] == ["queue_empty", *["operand_late"] * 39]
    assert [int(a.passes) for a in bench.actor] == [1, 1, 1, 0]
    assert bench.die.cores.signal[0, 0] == 0
    assert bench.run() > 50
    assert bench.die.cores.signal[0, 0] == 1
    assert sum(int(a.macs) for a in bench.actor) == 8 * 16


def test_a_mac_tree_streams_every_row_past_the_loaded_beats():
    # 4 beats of 8 elements on 2 x 4 MACs: 4 cycles a row; 3 rows
    bench = CoreBench(core_params(STRATUM), [product(TREE, 3, 8, 16, split=SPLIT_K)])
    trace = bench.trace(18)
    assert trace[:17] == ["queue_empty", *["load_stationary"] * 4, *["busy"] * 12]
    assert trace[17] == "pipeline_drain"


def test_a_slice_without_work_lets_the_pass_complete():
    # K = 2 over 4 slices: two of them have nothing to do
    bench = CoreBench(core_params(STRATUM), [product(TREE, 1, 8, 2, split=SPLIT_K)])
    bench.run()
    assert [int(a.pops) for a in bench.actor] == [1, 1, 0, 0]
    assert [int(a.passes) for a in bench.actor] == [1, 1, 1, 1]


@pytest.mark.parametrize("plain", [False, True])
def test_stepping_ahead_ends_in_the_same_cycle_with_fewer_visits(plain):
    passes = [product(OS, 4, 40, 30, group=4), product(WS, 3, 30, 30, group=4), product(WS, 3, 30, 30, group=4)]
    bench = CoreBench(core_params(), passes, plain=plain)
    end = bench.run()
    other = CoreBench(core_params(), passes, plain=not plain)
    assert other.run() == end
    assert (bench.visits > other.visits) == plain
