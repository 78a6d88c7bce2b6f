"""Queues, semaphores, moves, messages; and what the interpreter refuses."""

from dataclasses import replace

import numpy as np
import pytest

from nmpsim.errors import DeadlockError, IllegalScheduleError
from nmpsim.functional import check_delivery, check_operators, run
from nmpsim.program.beats import Tile
from nmpsim.program.isa import (
    ARRAY,
    CHAIN,
    F_A_FP32,
    F_OUT_FP32,
    LOAD,
    MOVE,
    N_CONTIGUOUS,
    OS,
    PASS,
    SEND,
    SEND_1,
    STREAM,
    V_COPY,
    V_REDUCE,
    V_SUM_SQUARES,
    VECTOR,
    WS,
    arrival,
    semaphores,
    shared,
)
from tests.unit.functional.bench import Writer, chip, halves, singles

TILE = Tile(OS, 4, CHAIN, N_CONTIGUOUS, 8, 8, 0, ((0, 8),))
SEEDS = range(12)


def outcomes(writer, **options):
    """What random orders lead to: result bytes or the name of the error."""
    found = set()
    for seed in SEEDS:
        try:
            result = writer.run(seed, **options)
        except (IllegalScheduleError, DeadlockError) as error:
            found.add(type(error).__name__)
        else:
            found.add(b"".join(values.tobytes() for values in result.results.values()))
    return found


def copy(writer, pu, a, out, waits, length=8):
    return writer.vector(pu, V_COPY, waits, m=1, n=length, a=a, a_ld=2 * length, out=out, out_ld=2 * length)


# ------------------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize("direction", [0, 1])
def test_a_message_carries_rows_to_their_place_and_counts_at_the_destination(direction):
    rng = np.random.default_rng(0)
    writer = Writer(chip(pus=3))
    values = halves(rng, 3, 8)
    loaded = writer.put(0, 0, values)
    rows = {"m": 2, "a_ld": 32, "b_ld": 48}
    came = writer.send(0, 2, 0, 512, 16, [loaded], direction, **rows)
    copy(writer, 2, 512, 0, [came])
    copy(writer, 2, 560, 16, [came])
    writer.result("rows", 2, 0, 2, 8, False)
    assert came == (arrival(0, direction), 1)
    assert outcomes(writer) == {values[::2].tobytes()}
    assert (writer.run().buffers[1] == 0xFF).all()


def test_messages_of_one_direction_arrive_in_order():
    writer = Writer(chip(pus=2))
    first = writer.put(0, 0, np.full(8, 1, np.float16))
    second = writer.put(0, 16, np.full(8, 2, np.float16))
    writer.send(0, 1, 0, 64, 16, [first])
    writer.send(0, 1, 16, 64, 16, [second])
    copy(writer, 1, 64, 0, [(arrival(0, 0), 2)])
    writer.result("x", 1, 0, 1, 8, False)
    assert outcomes(writer) == {np.full(8, 2, np.float16).tobytes()}


def test_a_missing_wait_on_a_message_shows_up():
    writer = Writer(chip(pus=2))
    loaded = writer.put(0, 0, np.ones(8, np.float16))
    writer.send(0, 1, 0, 64, 16, [loaded])
    copy(writer, 1, 64, 0, [])
    writer.result("x", 1, 0, 1, 8, False)
    assert "IllegalScheduleError" in outcomes(writer)


def test_a_message_to_all_lands_at_the_same_place_of_every_other_unit():
    writer = Writer(chip(pus=3, lanes=1))
    values, common = halves(np.random.default_rng(0), 2, 8), shared(3, 2)
    loaded = writer.put(1, 0, values)
    fields = {"m": 2, "a_ld": 16, "b_ld": 32, "n": 3, "imm": 1, "signal": common}
    writer.add(1, SEND_1, SEND, [loaded], bytes=16, a=0, b=512, **fields)
    for pu in (0, 2):
        for row in range(2):
            copy(writer, pu, 512 + 32 * row, 16 * row, [(common, 1)])
        writer.result(f"rows{pu}", pu, 0, 2, 8, False)
    for seed in (None, 1, 2):
        results = writer.run(seed=seed).results
        assert all(found.tobytes() == values.tobytes() for found in results.values())
    assert len(results) == 2


def test_a_shared_semaphore_counts_messages_from_anywhere():
    writer = Writer(chip(pus=3))
    common = shared(3, 2)
    for pu in (0, 2):
        loaded = writer.put(pu, 0, np.full(8, pu, np.float16))
        writer.send(pu, 1, 0, 64 + 16 * pu, 16, [loaded], pu // 2, signal=common)
    copy(writer, 1, 64, 0, [(common, 2)])
    copy(writer, 1, 96, 16, [(common, 2)])
    writer.result("x", 1, 0, 2, 8, False)
    assert outcomes(writer) == {np.repeat(np.array([0, 2], np.float16), 8).tobytes()}
    writer.streams[1][1]["count0"] = 1
    writer.streams[1][0]["count0"] = 1
    assert "IllegalScheduleError" in outcomes(writer)


def test_a_value_overwritten_too_early_gives_changing_results():
    """PU 0 overwrites what it sends without waiting for its SEND."""
    writer = Writer(chip(pus=2))
    one = writer.put(0, 0, np.full(8, 1, np.float16))
    two = writer.put(0, 16, np.full(8, 2, np.float16))
    came = writer.send(0, 1, 0, 64, 16, [one])
    copy(writer, 0, 16, 0, [two])
    copy(writer, 1, 64, 0, [came])
    writer.result("x", 1, 0, 1, 8, False)
    assert len(outcomes(writer)) == 2
    writer.streams[0][-1]["wait1"], writer.streams[0][-1]["count1"] = 3, 1
    assert outcomes(writer) == {np.full(8, 1, np.float16).tobytes()}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("imm", 1, "direction 1"),
        ("bank", 0, "PU 0"),
        ("bank", 2, "PU 2"),
        ("signal", 4, r"signal 4; allowed: 7 or a shared one, 11\.\.20"),
        ("signal", 9, "signal 9"),
        ("signal", 21, "signal 21"),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused(field, value, words):
    writer = Writer(chip(pus=2))
    loaded = writer.put(0, 0, np.ones(8, np.float16))
    writer.send(0, 1, 0, 64, 16, [loaded])
    writer.streams[0][-1][field] = value
    with pytest.raises(IllegalScheduleError, match=words):
        writer.run()


def test_a_message_that_lands_outside_the_buffer_names_both_ends():
    writer = Writer(chip(pus=2))
    loaded = writer.put(0, 0, np.ones(8, np.float16))
    writer.send(0, 1, 0, 16380, 16, [loaded])
    with pytest.raises(IllegalScheduleError, match="PU 1, message from PU 0 by port 0"):
        writer.run()


# ---------------------------------------------------------------------------------------------------------------- moves


def test_a_store_is_seen_by_the_stream_after_it():
    """The new row of V is stored, then streamed: a PASS multiplies it."""
    rng = np.random.default_rng(1)
    writer = Writer(chip())
    tensor = halves(rng, 8, 8)
    writer.tensors["w"] = tensor
    a, new = np.eye(8, dtype=np.float16), halves(rng, 8)
    writer.put(0, 0, a)
    loaded = writer.put(0, 256, new)
    row, counts = writer.place(0, "w", [TILE])
    writer.store(0, 2, row, 1, 1, 256, [loaded])  # strip 2, its second beat: k = 6
    writer.add(0, MOVE, STREAM, row=row, table=writer.table(*counts))
    writer.product(0, TILE, 8, 0, 512, [loaded])
    writer.result("c", 0, 512, 8, 8, True)
    expected = tensor.astype(np.float32)
    expected[6] = new
    assert outcomes(writer) == {expected.tobytes()}


def test_beats_of_a_load_leave_a_fifo_that_a_pass_is_emptying():
    """STREAM, LOAD, STREAM on bank 0; one PASS takes the beats of both streams, the LOAD leaves between them."""
    rng = np.random.default_rng(2)
    writer = Writer(chip())
    tall = Tile(OS, 4, CHAIN, N_CONTIGUOUS, 8, 4, 0, ((0, 8),))
    writer.tensors["w"] = halves(rng, 8, 8)
    loaded = writer.put(0, 0, np.eye(8, dtype=np.float16))
    writer.stream(0, "w", [tall])
    late = writer.put(0, 1024, np.full(8, 7, np.float16), bank=0)
    writer.stream(0, "w", [replace(tall, k_start=4)])
    writer.product(0, TILE, 8, 0, 512, [loaded])
    copy(writer, 0, 1024, 1040, [late])
    writer.result("c", 0, 512, 8, 8, True)
    writer.result("late", 0, 1040, 1, 8, False)
    expected = writer.tensors["w"].astype(np.float32)
    assert outcomes(writer) == {expected.tobytes() + np.full(8, 7, np.float16).tobytes()}


def test_a_load_completes_when_its_last_beat_stands_in_the_buffer():
    writer = Writer(chip())
    rng = np.random.default_rng(3)
    values = halves(rng, 32)
    loaded = writer.put(0, 0, values)
    copy(writer, 0, 0, 512, [loaded], 32)
    writer.result("x", 0, 512, 1, 32, False)
    assert outcomes(writer) == {values.tobytes()}
    writer.streams[0][-1]["wait0"] = -1
    assert "IllegalScheduleError" in outcomes(writer)


def test_a_load_behind_beats_that_nobody_takes_is_a_deadlock():
    writer = Writer(chip())
    writer.tensors["w"] = np.ones((8, 8), np.float16)
    writer.stream(0, "w", [TILE])
    loaded = writer.put(0, 0, np.ones((8, 8), np.float16))
    writer.product(0, TILE, 8, 0, 512, [loaded])
    with pytest.raises(DeadlockError) as error:
        writer.run()
    text = str(error.value)
    assert "instruction 3 (pass of op0) waits: got instructions completed by move: 1; allowed: 3 or more" in text
    assert "PU 0, move 1 of the core: got 4 beats of a LOAD behind others in the FIFO" in text


def test_beats_left_over_are_refused():
    writer = Writer(chip())
    writer.tensors["w"] = np.ones((8, 8), np.float16)
    writer.stream(0, "w", [TILE])
    with pytest.raises(IllegalScheduleError, match="FIFO of strip 3: got 2 beats left at the end"):
        writer.run()


def test_a_pass_that_lacks_beats_is_a_deadlock():
    writer = Writer(chip())
    writer.tensors["w"] = np.ones((8, 8), np.float16)
    loaded = writer.put(0, 0, np.ones((8, 8), np.float16))
    row, _ = writer.place(0, "w", [TILE])
    writer.add(0, MOVE, STREAM, row=row, table=writer.table(2, 1, 2, 0))
    writer.product(0, TILE, 8, 0, 512, [loaded])
    with pytest.raises(DeadlockError, match=r"waits for beats: got strip 1 lacks 1, strip 3 lacks 2"):
        writer.run()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bank": 4}, "4 banks"),
        ({"row": 64}, "64 rows"),
        ({"column": 3, "beats": 2}, "one row of 4 columns"),
        ({"beats": 0}, "0 beats"),
        ({"out": 16376}, "buffer"),
    ],
)
def test_a_load_outside_bank_or_buffer_is_refused(change, words):
    writer = Writer(chip())
    writer.put(0, 0, np.ones(8, np.float16))
    for name, value in change.items():
        writer.streams[0][0][name] = value
    with pytest.raises(IllegalScheduleError, match=words):
        writer.run()


def test_a_stream_without_a_table_is_refused():
    writer = Writer(chip())
    writer.add(0, MOVE, STREAM)
    with pytest.raises(IllegalScheduleError, match=r"table -1\.\.3"):
        writer.run()


# ------------------------------------------------------------------------------------------------- order and deadlock


def test_a_deadlock_names_who_waits_for_what():
    writer = Writer(chip(pus=2))
    writer.vector(0, V_COPY, [(arrival(1, 1), 2)], m=1, n=1, out=64)
    writer.vector(1, V_COPY, [(ARRAY, 1), (VECTOR, 0)], m=1, n=1, out=64)
    with pytest.raises(DeadlockError) as error:
        writer.run()
    lines = str(error.value).splitlines()
    assert lines[0] == "the program cannot go on: every unit with work left waits"
    waiting = "instruction 0 (copy of op0) waits"
    assert f"PU 0, {waiting}: got messages from PU 1 by port 1: 0; allowed: 2 or more" in lines[1]
    assert f"PU 1, {waiting}: got instructions completed by array: 0; allowed: 1 or more" in lines[2]
    assert len(lines) == 3


def test_a_cycle_of_waits_is_found_in_every_order():
    writer = Writer(chip(pus=2))
    for pu in (0, 1):
        writer.put(pu, 0, np.ones(8, np.float16))
        writer.send(pu, 1 - pu, 0, 64, 16, [(arrival(1 - pu, 0), 1)])
    assert outcomes(writer) == {"DeadlockError"}


def test_a_full_queue_holds_back_what_comes_after_it():
    """Four copies wait for a message of this core's own program that is dispatched after them."""

    def write(depth):
        writer = Writer(chip(pus=2, queue_depth=depth))
        loaded = writer.put(0, 0, np.ones(8, np.float16))
        for _ in range(5):
            copy(writer, 0, 0, 256, [loaded, (3, 1)])
        writer.send(0, 1, 0, 64, 16, [loaded])
        writer.result("x", 0, 256, 1, 8, False)
        return writer

    assert outcomes(write(5)) == {np.ones(8, np.float16).tobytes()}
    with pytest.raises(DeadlockError, match="waits for room: got the queue of vector full"):
        write(4).run()


def test_units_work_in_program_order():
    writer = Writer(chip())
    for value in range(6):
        loaded = writer.put(0, 16 * value, np.full(8, value, np.float16))
    for value in range(6):
        copy(writer, 0, 16 * value, 256, [loaded])
    writer.result("x", 0, 256, 1, 8, False)
    assert outcomes(writer) == {np.full(8, 5, np.float16).tobytes()}


def test_a_vector_operation_on_the_result_of_another_needs_a_wait():
    writer = Writer(chip())
    loaded = writer.put(0, 0, np.ones(8, np.float16))
    first = copy(writer, 0, 0, 64, [loaded])
    copy(writer, 0, 64, 128, [])
    writer.result("x", 0, 128, 1, 8, False)
    assert "IllegalScheduleError" in outcomes(writer)
    assert outcomes(writer, overlap=False) == {np.ones(8, np.float16).tobytes()}
    writer.streams[0][-1]["wait0"], writer.streams[0][-1]["count0"] = first
    assert outcomes(writer) == {np.ones(8, np.float16).tobytes()}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("wait2", semaphores(2), r"semaphores 0\.\.20"),
        ("unit", ARRAY, "unit 0; allowed: vector"),
        ("unit", 7, "unit 7"),
    ],
)
def test_an_instruction_of_no_such_unit_or_semaphore_is_refused(field, value, words):
    writer = Writer(chip(pus=2))
    writer.vector(0, V_COPY, m=1, n=1)
    writer.streams[0][0][field] = value
    with pytest.raises(IllegalScheduleError, match=words):
        writer.run()


@pytest.mark.parametrize(("op", "unit"), [(PASS, "array"), (LOAD, "move"), (SEND, "send_0 or send_1")])
def test_each_operation_has_its_unit(op, unit):
    writer = Writer(chip())
    writer.add(0, VECTOR, op)
    with pytest.raises(IllegalScheduleError, match=f"unit 1; allowed: {unit}"):
        writer.run()


def test_a_result_that_nobody_wrote_is_refused():
    writer = Writer(chip())
    writer.result("x", 0, 0, 2, 2, True)
    with pytest.raises(IllegalScheduleError, match=r"result x, element \(0, 0\): got unwritten bytes"):
        writer.run()


def test_a_program_for_another_chip_is_refused():
    program = Writer(chip(pus=2)).program()
    with pytest.raises(IllegalScheduleError, match="2 instruction streams; allowed: 1, one per PU"):
        run(program, chip(), {})
    params = chip(pus=2)
    with pytest.raises(IllegalScheduleError, match="4 strips of 4 columns"):
        run(program, replace(params, core=params.core._replace(columns=4)), {})


# ------------------------------------------------------------------------------------------------------------ together


def ring_product(seed=None, forget=None):
    """C = A B on four PUs: each has a quarter of K, sends its FP32 part round the ring, and PU d adds column block d.

    `forget` drops the waits of one class of instructions.
    """
    pus, m, k, n = 4, 3, 32, 32
    rng = np.random.default_rng(5)
    writer = Writer(chip(pus=pus))
    a, b = halves(rng, m, k), halves(rng, k, n)
    writer.tensors["w"] = b

    def waits(kind, *pairs):
        return [] if kind == forget else list(pairs)

    for pu in range(pus):
        own = slice(8 * pu, 8 * pu + 8)
        tile = Tile(WS, 2, CHAIN, N_CONTIGUOUS, n, 8, 8 * pu, ((0, n),))
        loaded = writer.put(pu, 0, a[:, own])
        writer.stream(pu, "w", [tile])
        done = writer.product(pu, tile, m, 0, 1024, waits("pass", loaded))
        rows = {"m": m, "a_ld": 4 * n, "b_ld": 32}
        # own part of block d to plane `pu` of PU d; three rows of eight FP32
        for target in range(pus):
            if target != pu:
                direction = int((target - pu) % pus > 2)
                place = 4096 + 96 * pu
                writer.send(pu, target, 1024 + 32 * target, place, 32, waits("send", done), direction, **rows)
        copied = {"a": 1024 + 32 * pu, "a_ld": 4 * n, "out": 4096 + 96 * pu, "out_ld": 32, "modifiers": F_A_FP32}
        moved = writer.vector(pu, V_COPY, waits("copy", done), m=m, n=8, **copied)
        came = [(arrival(s, int((pu - s) % pus > 2)), 1) for s in range(pus) if s != pu]
        planes = {"planes": pus, "plane_ld": 96, "a": 4096, "a_ld": 32, "out": 8192, "out_ld": 32}
        waited = waits("reduce", moved, *came)
        total = writer.vector(pu, V_REDUCE, waited, m=m, n=8, modifiers=F_OUT_FP32, **planes)
        writer.vector(pu, V_COPY, [total], m=m, n=8, a=8192, a_ld=32, out=9000, out_ld=32, modifiers=F_A_FP32)
        writer.result(f"block{pu}", pu, 9000, m, 8, True)
    return writer, a, b


def test_a_ring_product_is_right_in_every_order():
    writer, a, b = ring_product()
    result = writer.run()
    c = np.concatenate([result.results[f"block{pu}"] for pu in range(4)], axis=1)
    exact = a.astype(float) @ b.astype(float)
    bound = 35 * 2.0**-24 * (abs(a.astype(float)) @ abs(b.astype(float)))
    assert (abs(c - exact) <= bound).all()
    assert not check_operators(result, writer.params).faults
    assert check_delivery(result, writer.tensors) == ()
    assert outcomes(writer) == {b"".join(v.tobytes() for v in result.results.values())}


@pytest.mark.parametrize("kind", ["send", "copy", "reduce"])
def test_a_ring_product_with_a_forgotten_wait_shows_up(kind):
    writer, _, _ = ring_product(forget=kind)
    assert "IllegalScheduleError" in outcomes(writer)


def test_the_same_seed_gives_the_same_order():
    writer, _, _ = ring_product()
    orders = [[(e.pu, e.index) for e in writer.run(seed).executions] for seed in (4, 4, 5)]
    assert orders[0] == orders[1] != orders[2]


def test_nothing_is_recorded_unless_asked():
    writer, _, _ = ring_product()
    assert writer.run(record=False).executions == []


def test_delivery_of_another_tensor_is_found():
    writer, _, b = ring_product()
    result = writer.run()
    other = b.copy()
    other[9, 3] += 1
    (fault,) = check_delivery(result, {"w": other})
    assert "PU 1" in fault.where
    unknown = np.full_like(b, np.nan)
    assert check_delivery(result, {"w": unknown}) == ()


def test_a_result_of_all_cores_is_read_from_each():
    writer = Writer(chip(pus=2))
    loaded = writer.put(1, 32, np.full(8, 3, np.float16))
    copy(writer, 1, 32, 64, [loaded])
    writer.result("x", -1, 64, 1, 8, False)
    values = writer.run().results["x"]
    assert np.isnan(values[0]).all()
    assert values[1].tolist() == [[3] * 8]


def test_operations_of_one_core_see_its_own_dram_only():
    writer = Writer(chip(pus=2))
    for pu in (0, 1):
        loaded = writer.put(pu, 0, np.full(8, pu + 1, np.float16))
        copy(writer, pu, 0, 64, [loaded])
        writer.result(f"x{pu}", pu, 64, 1, 8, False)
    results = writer.run().results
    assert (results["x0"] == 1).all()
    assert (results["x1"] == 2).all()


def test_sums_of_squares_travel_in_single_precision():
    rng = np.random.default_rng(8)
    writer = Writer(chip(pus=2))
    x = halves(rng, 2, 8)
    loaded = writer.put(0, 0, x)
    summed = writer.vector(0, V_SUM_SQUARES, [loaded], m=2, n=8, a=0, a_ld=16, out=64)
    came = writer.send(0, 1, 64, 128, 8, [summed], 1)
    writer.vector(1, V_COPY, [came], m=1, n=2, a=128, out=256, modifiers=F_A_FP32)
    writer.result("s", 1, 256, 1, 2, True)
    assert writer.streams[0][-1]["unit"] == SEND_1
    assert writer.run().results["s"][0] == pytest.approx((x.astype(float) ** 2).sum(1), rel=1e-6)


def test_single_precision_results_keep_their_bits():
    rng = np.random.default_rng(9)
    writer = Writer(chip())
    values = singles(rng, 1, 6)
    loaded = writer.put(0, 0, values)
    writer.vector(0, V_COPY, [loaded], m=1, n=6, a=0, out=64, modifiers=F_A_FP32)
    writer.result("x", 0, 64, 1, 6, True)
    assert (writer.run().results["x"] == values).all()
