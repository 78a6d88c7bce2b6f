"""Bytes are read after they are written and not overwritten while they are needed: by hand, one pair at a time."""

import pytest

from nmpsim.errors import IllegalScheduleError
from nmpsim.program.isa import ARRAY, KV, MOVE, SEND_0, VECTOR
from nmpsim.schedule.check import check_hazards, check_program
from tests.builders import KINDS, SNAKE, STRATUM
from tests.unit.schedule.drafts import Draft, waits_of, without_wait


def hazards(draft, **options):
    """What the checker says about a program that keeps all other rules."""
    program = draft.program(**options)
    check_program(program, draft.params)
    try:
        check_hazards(program, draft.params)
    except IllegalScheduleError as error:
        return [fault.got for fault in error.faults]
    return []


def loaded(draft, *addresses, pu=0):
    """Load a beat to every address; the event of the last."""
    for address in addresses:
        event = draft.load(pu, address)
    return event


def test_a_read_of_bytes_that_nobody_wrote_is_refused():
    draft = Draft()
    draft.copy(0, 0, 64)
    (got,) = hazards(draft)
    assert "never written" in got


def test_a_read_of_bytes_of_which_some_were_written_is_refused():
    draft = Draft()
    draft.copy(0, 0, 64, [loaded(draft, 0)], n=9)
    (got,) = hazards(draft)
    assert "reads 18 bytes at 0 of PU 0, of which some were never written" in got


@pytest.mark.parametrize("waits", [True, False])
def test_a_consumer_waits_for_its_producer(waits):
    draft = Draft()
    event = loaded(draft, 0)
    draft.copy(0, 0, 64, [event] if waits else [])
    assert [("read after write" in got) for got in hazards(draft)] == ([] if waits else [True])


def test_a_wait_for_something_after_the_producer_is_enough():
    draft = Draft()
    loaded(draft, 0)
    later = loaded(draft, 32)
    first = draft.copy(0, 32, 64, [later])
    tile = draft.tile()
    draft.stream(0, tile)
    draft.work(0, tile, 0, 96, [first])
    assert hazards(draft) == []


@pytest.mark.parametrize("waits", [True, False])
def test_a_vector_operation_reads_what_the_one_before_wrote_only_after_a_wait(waits):
    draft = Draft()
    first = draft.copy(0, 0, 64, [loaded(draft, 0)])
    draft.copy(0, 64, 128, [first] if waits else [])
    assert ["read after write" in got for got in hazards(draft)] == ([] if waits else [True])


def test_vector_operations_overwrite_what_earlier_ones_read_and_wrote_without_a_wait():
    draft = Draft()
    event = loaded(draft, 0, 32)
    draft.copy(0, 0, 64, [event])
    draft.copy(0, 32, 64)
    draft.copy(0, 32, 0)
    assert hazards(draft) == []


@pytest.mark.parametrize("waits", [True, False])
def test_a_load_waits_for_the_reader_of_what_it_overwrites(waits):
    draft = Draft()
    reader = draft.copy(0, 0, 64, [loaded(draft, 0)])
    draft.load(0, 0, [reader] if waits else [])
    kinds = sorted(got.split(": ")[-1].split(" of ")[0] for got in hazards(draft))
    assert kinds == ([] if waits else ["write after read", "write after write"])


@pytest.mark.parametrize(("waits", "found"), [([(MOVE, 1)], []), ([], ["write after write"])])
def test_loads_to_the_same_bytes_need_an_order(waits, found):
    draft = Draft()
    draft.load(0, 0, bank=0)
    draft.load(0, 0, waits, bank=1)
    assert [got.split(": ")[-1].split(" of ")[0] for got in hazards(draft)] == found


@pytest.mark.parametrize(("waits", "found"), [([(SEND_0, 1)], []), ([], ["write after read"])])
def test_what_a_message_is_read_from_is_overwritten_after_the_send_is_over(waits, found):
    draft = Draft(2)
    event = loaded(draft, 0, 32)
    _, came = draft.send(0, 1, 0, 0, [event])
    draft.copy(1, 0, 32, [came])
    draft.copy(0, 32, 0, [event, *waits])
    assert [got.split(": ")[-1].split(" of ")[0] for got in hazards(draft)] == found


def test_a_message_that_has_arrived_is_over_at_its_sender():
    draft = Draft(2)
    event = loaded(draft, 0, 32)
    _, came = draft.send(0, 1, 0, 0, [event])
    _, back = draft.send(1, 0, 0, 64, [came])
    draft.copy(0, 32, 0, [event, back])
    assert hazards(draft) == []


@pytest.mark.parametrize("waits", [True, False])
def test_a_receiver_waits_for_the_message(waits):
    draft = Draft(2)
    _, came = draft.send(0, 1, 0, 0, [loaded(draft, 0)])
    draft.copy(1, 0, 32, [came] if waits else [])
    found = hazards(draft)
    assert bool(found) != waits
    assert all("never written" in got or "after" in got for got in found)


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_second_message_to_the_same_place_needs_an_acknowledgement(acknowledged):
    draft = Draft(2)
    event = loaded(draft, 0)
    _, first = draft.send(0, 1, 0, 0, [event])
    used = draft.copy(1, 0, 32, [first])
    _, back = draft.send(1, 0, 32, 64, [used])
    _, second = draft.send(0, 1, 0, 0, [event, *([back] if acknowledged else [])])
    draft.copy(1, 0, 48, [second])
    found = hazards(draft)
    assert bool(found) != acknowledged
    assert all("of PU 1: " in got for got in found)


def test_messages_of_one_source_and_direction_arrive_in_order():
    draft = Draft(2)
    event = loaded(draft, 0, 32)
    draft.send(0, 1, 0, 0, [event])
    _, second = draft.send(0, 1, 32, 0, [event])
    draft.copy(1, 0, 64, [second])
    assert hazards(draft) == []


def test_messages_of_one_source_in_two_directions_do_not():
    draft = Draft(2)
    event = loaded(draft, 0, 32)
    _, one = draft.send(0, 1, 0, 0, [event])
    _, other = draft.send(0, 1, 32, 0, [event], direction=1)
    draft.copy(1, 0, 64, [one, other])
    assert [got.split(": ")[-1].split(" of ")[0] for got in hazards(draft)] == ["write after write"]


@pytest.mark.parametrize(("count", "found"), [(2, 0), (1, 2)])
def test_a_shared_semaphore_assures_a_message_when_the_count_needs_it(count, found):
    draft = Draft(3)
    for source in (1, 2):
        _, came = draft.send(source, 0, 0, 32 * source, [loaded(draft, 0, pu=source)], common=0)
    for source in (1, 2):
        draft.copy(0, 32 * source, 128 * source, [(came[0], count)])
    assert len(hazards(draft)) == found


def rounds(draft, commons, acknowledged):
    """Two rounds of messages to PU 0, the second sent after an answer of PU 0 to one of the sources only."""
    events = [None, loaded(draft, 0, pu=1), loaded(draft, 0, pu=2)]
    for source in (1, 2):
        _, first = draft.send(source, 0, 0, 32 * source, [events[source]], common=commons[0])
    used = [draft.copy(0, 32 * source, 128 * source, [first]) for source in (1, 2)]
    answers = [draft.send(0, to, 128, 64, [used[-1]], direction=to - 1)[1] for to in (1, 2)]
    for source in (1, 2):
        waits = [answers[source - 1]] if acknowledged else []
        _, second = draft.send(source, 0, 0, 512 + 32 * source, [events[source], *waits], common=commons[1])
    for source in (1, 2):
        draft.copy(0, 512 + 32 * source, 1024 + 32 * source, [second])


@pytest.mark.parametrize(
    ("commons", "acknowledged", "sound"),
    [((0, 0), True, True), ((0, 1), True, True), ((0, 1), False, True), ((0, 0), False, False)],
)
def test_a_shared_semaphore_may_be_used_again_when_nobody_can_overtake(commons, acknowledged, sound):
    draft = Draft(3)
    rounds(draft, commons, acknowledged)
    found = hazards(draft)
    assert (found == []) == sound
    assert all("read after write" in got for got in found)


def test_alternating_shared_semaphores_keep_all_to_all_exchanges_apart():
    """Each exchange is over before the next but one can begin, as everybody has sent in the one between."""
    pus, draft = 3, Draft(3)
    own = [loaded(draft, 0, pu=pu) for pu in range(pus)]
    for turn in range(6):
        came = {}
        for pu in range(pus):
            for distance in (1, 2):
                to = (pu + distance) % pus
                _, came[to] = draft.send(pu, to, 0, 64 + 32 * pu + 256 * (turn % 2), [own[pu]], common=turn % 2)
        for pu in range(pus):
            for other in {0, 1, 2} - {pu}:
                own[pu] = draft.copy(pu, 64 + 32 * other + 256 * (turn % 2), 1024 + 32 * other, [came[pu], own[pu]])
    assert hazards(draft) == []


@pytest.mark.parametrize("kind", KINDS)
def test_passes_of_an_array_keep_their_order_and_slices_of_a_mac_tree_do_not(kind):
    draft = Draft(kind=kind)
    event = loaded(draft, 0, 48)
    tiles = [draft.tile(), draft.tile()]
    for tile in tiles:
        draft.stream(0, tile)
    draft.work(0, tiles[0], 0, 64, [event])
    draft.work(0, tiles[1], 48, 0, [event])
    found = [got.split(": ")[-1].split(" of ")[0] for got in hazards(draft)]
    assert found == {SNAKE: [], STRATUM: ["write after read"]}[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_reads_what_the_pass_before_wrote_only_after_a_wait(kind):
    for waits in ([], [(ARRAY, 1)]):
        draft = Draft(kind=kind)
        event = loaded(draft, 0)
        tiles = [draft.tile(), draft.tile()]
        for tile in tiles:
            draft.stream(0, tile)
        draft.work(0, tiles[0], 0, 64, [event])
        draft.work(0, tiles[1], 64, 128, [event, *waits])
        assert ["read after write" in got for got in hazards(draft)] == ([] if waits else [True])


def stored(draft, source, waits, *, stream=True):
    """A STORE of one beat into a tile that is streamed and multiplied behind it; the event of the PASS."""
    tile, row = draft.tile(), draft.row
    draft.store(0, source, row, waits, tensor="cache")
    draft.stream(0, tile, tensor="cache", traffic=KV)
    return draft.work(0, tile, 32, 64, waits)


@pytest.mark.parametrize("after_the_pass", [True, False])
def test_a_store_has_read_when_a_pass_has_taken_a_later_stream(after_the_pass):
    draft = Draft()
    event = loaded(draft, 0, 32, 48)
    done = stored(draft, 0, [event])
    draft.copy(0, 48, 0, [done if after_the_pass else event])
    found = hazards(draft, kv_bytes=2 * 8 * 4)
    assert [got.split(": ")[-1].split(" of ")[0] for got in found] == ([] if after_the_pass else ["write after read"])


def test_a_load_may_overwrite_what_an_earlier_store_has_read():
    draft = Draft()
    event = loaded(draft, 0, 32)
    stored(draft, 0, [event])
    draft.load(0, 0, [event])
    assert hazards(draft, kv_bytes=2 * 8 * 4) == []


def test_results_must_have_been_written():
    draft = Draft()
    loaded(draft, 0)
    draft.results = {"there": (0, 0, 1, 8, 0, False), "missing": (0, 0, 1, 9, 0, False)}
    with pytest.raises(IllegalScheduleError, match="result missing of PU 0") as caught:
        check_hazards(draft.program(), draft.params)
    assert len(caught.value.faults) == 1


def test_the_fault_names_both_instructions_the_bytes_and_the_wait():
    draft = Draft()
    event = loaded(draft, 0)
    draft.copy(0, 0, 64, [event])
    draft.load(0, 0, [event])
    with pytest.raises(IllegalScheduleError) as caught:
        check_hazards(draft.program(), draft.params)
    (fault,) = caught.value.faults
    assert fault.where == "PU 0, instruction 2 (load of all)"
    assert fault.got == "writes 16 bytes at 0 of PU 0: write after read of PU 0, instruction 1 (copy of all)"
    assert fault.todo == f"wait for it, or for something after it (there, semaphore {VECTOR} counts 1 then)"


def chain(kind):
    """A program in which every wait is needed: load, exchange, multiply, exchange back, overwrite."""
    draft = Draft(2, kind)
    for pu in (0, 1):
        event = loaded(draft, 0, pu=pu)
        draft.copy(pu, 0, 32, [event])
    came = [draft.send(1 - pu, pu, 32, 64, [(VECTOR, 1)])[1] for pu in (0, 1)]
    for pu in (0, 1):
        tile = draft.tile()
        draft.stream(pu, tile)
        draft.work(pu, tile, 64, 128, [came[pu]])
        done = draft.copy(pu, 128, 160, [(ARRAY, 1)])
        draft.load(pu, 64, [done])
        draft.copy(pu, 64, 192, [(MOVE, 3)])
    return draft


@pytest.mark.parametrize("kind", KINDS)
def test_every_dropped_wait_is_noticed_where_none_is_redundant(kind):
    draft = chain(kind)
    assert hazards(draft) == []
    program = draft.program()
    missed = []
    for pu, index, which in waits_of(program):
        try:
            check_hazards(without_wait(program, pu, index, which), draft.params)
        except IllegalScheduleError:
            continue
        missed.append((pu, index, which))
    assert missed == []
    assert len(waits_of(program)) == 12
