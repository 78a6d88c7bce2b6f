"""A program that cannot come to its end is refused, with who waits for whom."""

import pytest

from nmpsim.core.state import MOVE_SLOTS
from nmpsim.errors import IllegalScheduleError
from nmpsim.program.isa import ARRAY, MOVE, SEND, VECTOR, arrival
from nmpsim.schedule.check import check_program
from tests.builders import KINDS, small_job
from tests.unit.schedule.drafts import Draft, find, with_field, without


def stuck(program, params):
    """Pairs (where, got) of the faults; none if the program comes to its end."""
    try:
        check_program(program, params)
    except IllegalScheduleError as error:
        return [(fault.where, fault.got) for fault in error.faults]
    return []


def test_a_wait_for_an_instruction_that_does_not_come():
    draft = Draft()
    draft.load(0, 0)
    draft.copy(0, 0, 64, [(MOVE, 2)])
    assert stuck(draft.program(), draft.params) == [
        ("PU 0, instruction 1 (copy of all) waits", "1 instructions completed by move, and none to come")
    ]


def test_two_units_that_wait_for_each_other():
    draft = Draft()
    draft.load(0, 0, [(VECTOR, 1)])
    draft.copy(0, 0, 64, [(MOVE, 1)])
    assert stuck(draft.program(), draft.params) == [
        (
            "PU 0, instruction 1 (copy of all) waits",
            "0 instructions completed by move, next PU 0, instruction 0 (load of all)",
        ),
        (
            "PU 0, instruction 0 (load of all) waits",
            "0 instructions completed by vector, next PU 0, instruction 1 (copy of all)",
        ),
    ]


def test_two_cores_that_wait_for_messages_of_each_other():
    draft = Draft(2)
    for pu in (0, 1):
        draft.load(pu, 0)
        draft.send(pu, 1 - pu, 0, 32, [(MOVE, 1), (arrival(1 - pu, 0), 1)])
    assert stuck(draft.program(), draft.params) == [
        ("PU 0, instruction 1 (send of all) waits", "0 messages from PU 1 by port 0"),
        ("PU 1, instruction 1 (send of all) waits", "0 messages from PU 0 by port 0"),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_dropped_message_is_missed(kind):
    job = small_job(kind)
    pu, index = find(job.program, SEND)
    found = stuck(without(job.program, pu, index), job.params)
    assert any("messages" in got for _, got in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_to_another_pu_is_missed(kind):
    job = small_job(kind, 3)
    pu, index = find(job.program, SEND)
    to = int(job.program.streams[pu]["bank"][index])
    found = stuck(with_field(job.program, pu, index, bank=3 - pu - to), job.params)
    assert any(where.startswith(f"PU {to}, ") and "messages" in got for where, got in found)


def test_a_count_too_high_is_told():
    job = small_job("snake")
    pu, index = find(job.program, 0)
    count = int(job.program.streams[pu]["count0"][index])
    found = stuck(with_field(job.program, pu, index, count0=count + 1000), job.params)
    assert found[0][0].startswith(f"PU {pu}, instruction {index} (pass")


@pytest.mark.parametrize("fits", [True, False])
def test_the_sequencer_stops_at_a_full_queue(fits):
    """The copies wait for the load behind them, which is dispatched only while their queue has room."""
    draft = Draft(core__sequencer__queue_depth=3)
    for i in range(3 if fits else 4):
        draft.copy(0, 0, 64 + 16 * i, [(MOVE, 1)])
    draft.load(0, 0)
    found = stuck(draft.program(), draft.params)
    assert bool(found) != fits
    if not fits:
        assert found[-1] == ("PU 0, instruction 3 (copy of all) waits for its queue", "3 instructions of unit vector")


@pytest.mark.parametrize("bank", [0, 1])
def test_a_load_behind_beats_that_wait_for_it(bank):
    """One block of columns on OS with groups of one strip: strip 0 takes all beats, the other banks are free."""
    draft = Draft()
    tile = draft.tile()
    draft.load(0, 64)
    draft.stream(0, tile)
    draft.load(0, 0, bank=bank)
    draft.work(0, tile, 0, 128, [(MOVE, 3)])
    found = stuck(draft.program(), draft.params)
    if bank == 1:
        assert found == []
    else:
        assert ("PU 0, LOAD of 1 beats of bank 0", "4 beats before it in the FIFO that no PASS has taken") in found
        assert (
            "PU 0, instruction 3 (pass of all) waits",
            "2 instructions completed by move, and none to come",
        ) in found


@pytest.mark.parametrize(("k", "ends"), [(32, True), (33, False)])
def test_a_store_behind_more_beats_than_the_fifo_holds(k, ends):
    """The landing FIFO has 32 places; a STORE is over when the beats before it have left the bank."""
    draft = Draft()
    first, cache = draft.tile(k=k), draft.tile()
    draft.load(0, 0, beats=8)
    draft.stream(0, first)
    draft.store(0, 0, draft.row, [(MOVE, 1)], tensor="cache")
    draft.stream(0, cache, tensor="cache", traffic=1)
    draft.work(0, first, 0, 256, [(MOVE, 3)])
    draft.work(0, cache, 0, 512, [(MOVE, 3)])
    found = stuck(draft.program(kv_bytes=64), draft.params)
    assert (found == []) == ends
    if not ends:
        assert ("PU 0, STORE of 1 beats of bank 0", "33 beats before it in the FIFO that no PASS has taken") in found


@pytest.mark.parametrize("ends", [True, False])
def test_streams_beyond_the_run_queues(ends):
    """Each stream is one run of one row (16 beats); two rest in the FIFO, the queue of 4 has room for two runs more."""
    draft = Draft()
    tile = draft.tile(k=16)
    number = 5 if ends else 6
    draft.load(0, 0, beats=2)
    for _ in range(number):
        draft.stream(0, tile)
    for i in range(number):
        draft.work(0, tile, 0, 256 + 64 * i, [(MOVE, 1 + number)])
    found = stuck(draft.program(), draft.params)
    assert (found == []) == ends
    if not ends:
        assert ("PU 0, instruction 6 (stream of all) waits", "full run queues, FIFOs or move slots") in found


@pytest.mark.parametrize("ends", [True, False])
def test_moves_beyond_slots_and_queue(ends):
    """The LOAD of bank 0 holds its slot until the PASS, so that the others complete behind it; then comes the queue."""
    draft = Draft(port__run_queue=64, core__sequencer__queue_depth=3)
    tile = draft.tile()
    draft.load(0, 0)
    draft.stream(0, tile)
    draft.load(0, 16)
    for _ in range(MOVE_SLOTS - 1 + 3 + (not ends)):
        draft.load(0, 1024, bank=1)
    done = draft.copy(0, 0, 512, [(MOVE, 1)])
    draft.work(0, tile, 0, 64, [done])
    found = stuck(draft.program(), draft.params)
    assert (found == []) == ends
    if not ends:
        assert found[-1][1] == "3 instructions of unit move"


def test_a_pass_waits_for_its_stream():
    draft = Draft()
    tile = draft.tile()
    draft.load(0, 0)
    draft.stream(0, tile, [(VECTOR, 1)])
    draft.work(0, tile, 0, 64, [(MOVE, 1)])
    draft.copy(0, 64, 128, [(ARRAY, 1)])
    assert ("PU 0, instruction 2 (pass of all)", "no beats") in stuck(draft.program(), draft.params)
