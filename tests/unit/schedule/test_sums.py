"""Sums of the routers: what the encoder makes of reduce-scatters, and what the checker asks of contributions."""

from dataclasses import replace

import pytest

from nmpsim.api import prepare
from nmpsim.errors import IllegalScheduleError
from nmpsim.program.encode.collective import owners_in_turn
from nmpsim.program.encode.emitter import Emitter
from nmpsim.program.isa import F_SUM, SEND, SEND_0, SUMS, V_ADD, arrival, shared
from nmpsim.program.sums import sums_of
from nmpsim.schedule.check import check_hazards, check_program
from nmpsim.spec import resolve
from tests.builders import KINDS, SNAKE, small_chip, small_model
from tests.families import FAMILIES
from tests.unit.schedule.drafts import Draft
from tests.unit.schedule.test_hazards import hazards, loaded


def summed_job(kind, pus, *, model=None, batch=2, context=21, layers=1, **settings):
    """A prepared step on a small chip whose routers add."""
    chip = small_chip(kind, pus, noc__collectives="network", **settings)
    return prepare(model or small_model(layers=layers), chip, batch=batch, context=context, layers=layers)


def is_sum(stream):
    """Which instructions of a stream are contributions."""
    return (stream["op"] == SEND) & (stream["modifiers"] & F_SUM != 0)


@pytest.mark.parametrize(("batch", "context", "layers"), [(1, 1, 1), (3, 40, 1), (2, 5, 3)])
@pytest.mark.parametrize("pus", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_combination_is_legal(kind, moe, pus, batch, context, layers):
    model = small_model(moe=moe, layers=layers)
    job = summed_job(kind, pus, model=model, batch=batch, context=context, layers=layers)
    check_hazards(job.program, job.params)
    assert is_sum(job.program.streams[0]).any() == (pus in {3, 7}), "where plain spreads something over K"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_legal(family, kind):
    model = FAMILIES[family]
    job = summed_job(kind, 5, model=model, layers=model.layers)
    check_hazards(job.program, job.params)


def test_a_reduce_scatter_is_a_sum_for_every_owner_by_each_port_and_no_addition_of_a_vector_unit():
    job, other = summed_job(SNAKE, 7), prepare(small_model(), small_chip(SNAKE, 7), batch=2, context=21, layers=1)
    every = sums_of(job.program.streams, 7)
    owners = [int(job.program.streams[0]["bank"][sum_[0, 1]]) for sum_ in every]
    assert set(owners) == set(range(7))
    assert {int(job.program.streams[0]["imm"][sum_[0, 1]]) for sum_ in every} == {0, 1}
    assert not any((stream["op"] == V_ADD).any() for stream in job.program.streams)
    assert any((stream["op"] == V_ADD).any() for stream in other.program.streams)
    assert job.program.regions["landing 0"][1] < other.program.regions["landing 0"][1]


@pytest.mark.parametrize(("pus", "lanes", "order"), [(4, 2, [0, 2, 1, 3]), (5, 2, [0, 3, 1, 4, 2]), (3, 1, [0, 1, 2])])
def test_owners_of_brief_sums_take_turns_so_that_all_lanes_have_work(pus, lanes, order):
    out = Emitter(resolve(small_chip(SNAKE, pus, noc__collectives="network", noc__sum_vcs=lanes)))
    assert owners_in_turn(out, out.params.noc.buffer_flits) == order
    assert [owner * lanes // pus for owner in order][:lanes] == list(range(lanes))
    assert owners_in_turn(out, out.params.noc.buffer_flits + 1) == list(range(pus))


BAD = [
    ({"bank": 4}, "a contribution to a sum for PU 4"),
    ({"stack": 1}, "a contribution to a sum"),
    ({"n": 3}, "n 3"),
    ({"signal": arrival(0, 0)}, f"signal {arrival(0, 0)}"),
    ({"bytes": 6}, "6 bytes a row"),
    ({"m": 1}, "m 1"),
    ({"b": 0}, "b 0"),
    ({"modifiers": 0}, "contributions to sums"),
]


@pytest.mark.parametrize(("fields", "text"), BAD)
def test_a_malformed_contribution_is_refused(fields, text):
    job = summed_job(SNAKE, 3)
    stream = job.program.streams[1].copy()
    index = next(i for i in range(len(stream)) if is_sum(stream)[i] and stream["imm"][i] == 0)
    for name, value in fields.items():
        stream[name][index] = value
    with pytest.raises(IllegalScheduleError) as caught:
        check_program(
            replace(job.program, streams=(job.program.streams[0], stream, *job.program.streams[2:])), job.params
        )
    assert any(text in fault.got for fault in caught.value.faults), [fault.got for fault in caught.value.faults]


def test_contributions_in_another_order_are_refused():
    job = summed_job(SNAKE, 3)
    stream = job.program.streams[2].copy()
    one, other = [i for i in range(len(stream)) if is_sum(stream)[i] and stream["imm"][i] == 0][:2]
    stream["bank"][one], stream["bank"][other] = stream["bank"][other], stream["bank"][one]
    with pytest.raises(IllegalScheduleError) as caught:
        check_program(replace(job.program, streams=(*job.program.streams[:2], stream)), job.params)
    assert any("PU 2" in fault.where for fault in caught.value.faults)


def test_a_contribution_is_refused_where_routers_do_not_add():
    job = summed_job(SNAKE, 3)
    plain = replace(job.params, noc=job.params.noc._replace(sum_lanes=0))
    with pytest.raises(IllegalScheduleError, match=r"noc\.collectives"):
        check_program(job.program, plain)


# --------------------------------------------------------------------------------------------------------- hazards


def draft_of(pus=3):
    """A draft for a chip whose routers add."""
    draft = Draft(pus)
    noc = draft.params.noc._replace(multicast_lanes=1, multicast_flits=1, sum_lanes=1)
    draft.params = replace(draft.params, noc=noc)
    return draft


def begun(draft):
    """Load the part of every PU, to address 0; events by PU."""
    return [[loaded(draft, 0, pu=pu)] for pu in range(draft.params.cores)]


def add_up(draft, owner, waits, *, a=0, b=0, port=0, common=0):
    """Contribute 16 bytes of every PU to a sum; returns completion by PU, and its arrival at the owner."""
    signal = shared(draft.params.cores, common)
    fields = {"m": 1, "bytes": 16, "a": a, "b": b, "bank": owner, "imm": port, "signal": signal, "modifiers": F_SUM}
    sent = {pu: draft.emit(pu, SEND_0 + port, SEND, events, **fields) for pu, events in enumerate(waits)}
    return sent, draft.count(owner, signal)


@pytest.mark.parametrize(("waits", "found"), [(True, []), (False, ["read after write"])])
def test_a_sum_is_read_after_it_has_arrived(waits, found):
    draft = draft_of()
    _, came = add_up(draft, 1, begun(draft))
    draft.copy(1, 0, 64, [came] if waits else [])
    assert sorted({got.split(": ")[-1].split(" of ")[0] for got in hazards(draft)} - {"write after read"}) == found


def test_that_a_sum_has_come_says_that_all_have_contributed():
    """PU 1 tells PU 0 that it has the sum: PU 0 may overwrite its part, though it does not wait for its own SEND."""
    for told in (True, False):
        draft = draft_of()
        _, came = add_up(draft, 1, begun(draft))
        _, word = draft.send(1, 0, 64, 512, [came, loaded(draft, 64, pu=1)], direction=1)
        draft.load(0, 0, [word] if told else [])
        assert any("write after read" in got for got in hazards(draft)) == (not told)


def test_sums_of_one_owner_and_port_come_in_their_order():
    draft = draft_of()
    starts = begun(draft)
    add_up(draft, 1, starts, b=64)
    _, came = add_up(draft, 1, starts, b=128)
    draft.copy(1, 64, 256, [came])
    assert hazards(draft) == []


def test_sums_of_two_ports_that_one_semaphore_counts_may_come_in_any_order():
    draft = draft_of()
    starts = begun(draft)
    _, came = add_up(draft, 1, starts, b=64)
    add_up(draft, 1, starts, b=128, port=1)
    draft.copy(1, 64, 256, [came])
    assert any("read after write" in got for got in hazards(draft))


def test_two_ports_whose_sums_wait_for_each_other_are_a_deadlock():
    """PU 0 begins the sum of port 1 after that of port 0 has come, PU 1 the other way about."""
    draft = draft_of(2)
    starts = begun(draft)
    signals = [(shared(2, SUMS[0]), 1), (shared(2, SUMS[1]), 1)]
    for port in (0, 1):
        waits = [[*starts[pu], *([signals[1 - port]] if port != pu else [])] for pu in range(2)]
        add_up(draft, port, waits, b=64 + 64 * port, port=port, common=SUMS[port])
    with pytest.raises(IllegalScheduleError) as caught:
        check_program(draft.program(), draft.params)
    assert any("have not begun to contribute" in fault.got for fault in caught.value.faults)
