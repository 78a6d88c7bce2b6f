"""Messages to all: what the encoder makes of collectives where the routers copy, and what the checker asks of them."""

from dataclasses import replace

import pytest

from nmpsim.api import prepare
from nmpsim.errors import IllegalScheduleError
from nmpsim.program.isa import GATHERS, SEND, SEND_0, arrival, shared
from nmpsim.schedule.check import check_hazards, check_program
from tests.builders import KINDS, SNAKE, small_chip, small_model
from tests.families import FAMILIES
from tests.unit.schedule.drafts import Draft
from tests.unit.schedule.test_hazards import hazards, loaded


def multicast_job(kind, pus, *, model=None, batch=2, context=21, layers=1, **settings):
    """A prepared step on a small chip whose routers copy."""
    chip = small_chip(kind, pus, noc__collectives="multicast", **settings)
    return prepare(model or small_model(layers=layers), chip, batch=batch, context=context, layers=layers)


def sends_of(job):
    """SENDs of all cores: those to all, and the others."""
    every = [ins for stream in job.program.streams for ins in stream[stream["op"] == SEND]]
    return [ins for ins in every if ins["n"]], [ins for ins in every if not ins["n"]]


@pytest.mark.parametrize(("batch", "context", "layers"), [(1, 1, 1), (3, 40, 1), (2, 5, 3)])
@pytest.mark.parametrize("pus", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_combination_is_legal(kind, moe, pus, batch, context, layers):
    model = small_model(moe=moe, layers=layers)
    job = multicast_job(kind, pus, model=model, batch=batch, context=context, layers=layers)
    check_hazards(job.program, job.params)
    assert bool(sends_of(job)[0]) == (pus > 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_legal(family, kind):
    model = FAMILIES[family]
    job = multicast_job(kind, 4, model=model, layers=model.layers)
    check_hazards(job.program, job.params)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_another_shape_is_legal(kind):
    job = multicast_job(kind, 4, noc__topology="mesh:2x2")
    check_hazards(job.program, job.params)


def test_what_is_gathered_is_sent_once_instead_of_once_for_every_hop():
    one = prepare(small_model(), small_chip(SNAKE, 4), batch=2, context=21, layers=1)
    other = multicast_job(SNAKE, 4)
    copied, single = sends_of(other)
    assert {int(ins["n"]) for ins in copied} == {4}
    every = [ins for stream in one.program.streams for ins in stream[stream["op"] == SEND]]
    arrives, once, rest = (sum(int(ins["m"] * ins["bytes"]) for ins in some) for some in (every, copied, single))
    assert arrives == 3 * once + rest
    assert rest < once


def test_where_a_unit_has_nothing_to_send_the_others_send_messages():
    model = FAMILIES["expanded"]
    job = multicast_job(SNAKE, 4, model=model, layers=model.layers)
    copied, single = sends_of(job)
    names = {job.program.operators[int(ins["operator"])].name.split(".")[-1] for ins in copied}
    assert "q_up" not in names, "five blocks of latents for four units: one has none"
    assert copied
    assert single


def test_gathers_take_turns_and_use_both_ports_alike():
    copied, _ = sends_of(multicast_job(SNAKE, 4))
    gathered = [ins for ins in copied if ins["signal"] in {shared(4, common) for common in GATHERS}]
    turns = [int(ins["signal"]) for ins in gathered[: len(gathered) // 4]]  # those of PU 0, in their order
    assert set(turns) == {shared(4, common) for common in GATHERS}
    by_port = [sum(int(ins["m"] * ins["bytes"]) for ins in gathered if ins["imm"] == port) for port in (0, 1)]
    assert by_port[0] == by_port[1] > 0


BAD = [
    ({"n": 3}, "a message to 3 PUs from PU 0 on"),
    ({"n": -4}, "a message to -4 PUs"),
    ({"bank": 1}, "a message to 4 PUs from PU 1 on"),
    ({"stack": 1}, "a message to 4 PUs"),
    ({"signal": arrival(0, 0)}, f"signal {arrival(0, 0)}"),
]


@pytest.mark.parametrize(("fields", "text"), BAD)
def test_a_malformed_message_to_all_is_refused(fields, text):
    job = multicast_job(SNAKE, 4)
    stream = job.program.streams[0].copy()
    index = next(i for i, ins in enumerate(stream) if ins["op"] == SEND and ins["n"])
    for name, value in fields.items():
        stream[name][index] = value
    with pytest.raises(IllegalScheduleError) as caught:
        check_program(replace(job.program, streams=(stream, *job.program.streams[1:])), job.params)
    assert any(text in fault.got for fault in caught.value.faults)


def test_a_message_to_all_is_refused_where_routers_do_not_copy():
    job = multicast_job(SNAKE, 4)
    plain = replace(job.params, noc=job.params.noc._replace(multicast_lanes=0))
    with pytest.raises(IllegalScheduleError, match=r"noc\.collectives"):
        check_program(job.program, plain)


# --------------------------------------------------------------------------------------------------------- hazards


def draft_of(pus=3):
    """A draft for a chip whose routers copy."""
    draft = Draft(pus)
    noc = draft.params.noc._replace(multicast_lanes=1, multicast_flits=1)
    draft.params = replace(draft.params, noc=noc)
    return draft


def to_all(draft, pu, a, waits=(), *, common=0, direction=0, size=16):
    """Send one row to the same place of all others; returns completion at the sender, and arrivals by PU."""
    pus = draft.params.cores
    fields = {"m": 1, "n": pus, "bytes": size, "a": a, "b": a, "bank": 0, "imm": direction}
    sent = draft.emit(pu, SEND_0 + direction, SEND, waits, signal=shared(pus, common), **fields)
    return sent, {to: draft.count(to, shared(pus, common)) for to in range(pus) if to != pu}


@pytest.mark.parametrize(("waits", "found"), [(True, []), (False, ["read after write"])])
def test_a_copy_is_read_after_it_has_arrived(waits, found):
    draft = draft_of()
    event = loaded(draft, 0)
    _, came = to_all(draft, 0, 0, [event])
    for pu in (1, 2):
        draft.copy(pu, 0, 64, [came[pu]] if waits or pu == 1 else [])
    assert [got.split(": ")[-1].split(" of ")[0] for got in hazards(draft)] == found


def test_that_a_copy_has_arrived_at_one_says_nothing_of_another():
    """PU 1 has its copy and tells PU 2, whose own copy may still be on its way."""
    draft = draft_of()
    _, came = to_all(draft, 0, 0, [loaded(draft, 0)])
    _, told = draft.send(1, 2, 0, 256, [came[1]])
    draft.copy(2, 0, 64, [told])
    assert any("read after write" in got for got in hazards(draft))


def test_a_message_to_all_overwrites_nothing_that_may_still_be_read_anywhere():
    for answers in ((1, 2), (1,)):
        draft = draft_of()
        _, came = to_all(draft, 0, 0, [loaded(draft, 0)])
        backs = []
        for pu in (1, 2):
            used = draft.copy(pu, 0, 64, [came[pu]])
            if pu in answers:
                backs.append(draft.send(pu, 0, 64, 128 + 64 * pu, [used])[1])
        to_all(draft, 0, 0, backs, common=1)
        found = hazards(draft)
        assert any("write after read" in got for got in found) == (len(answers) == 1), found


def test_messages_to_one_and_to_all_may_overtake_each_other():
    draft = draft_of()
    event = loaded(draft, 0)
    to_all(draft, 0, 0, [event])
    _, after = draft.send(0, 1, 0, 256, [event])
    draft.copy(1, 0, 64, [after])
    assert any("read after write" in got for got in hazards(draft))
