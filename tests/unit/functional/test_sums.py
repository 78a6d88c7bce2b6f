"""Sums that routers make: their order is that of the engine's trees bit by bit, and whole steps come out right."""

import numpy as np
import pytest

from nmpsim.errors import IllegalScheduleError
from nmpsim.functional import (
    check_delivery,
    check_operators,
    compare_step,
    machine_step,
    random_tensors,
    reference_step,
    run,
    step_bounds,
)
from nmpsim.functional.sums import add_up
from nmpsim.noc.die.state import build_fabric
from nmpsim.noc.die.topology import die_topology
from nmpsim.program.encode import encode
from nmpsim.program.isa import F_SUM, SEND, SEND_0, SUMS, V_COPY, shared
from nmpsim.program.schedule import OVER_K
from nmpsim.schedule.check import check_hazards
from nmpsim.schedule.plain import plain_schedule
from nmpsim.schedule.space import Space
from nmpsim.spec import resolve
from nmpsim.spec.params import CROSSBAR, MESH, RING, TORUS, LinkParams
from nmpsim.workload import decode_step, synthetic_routing
from tests.builders import KINDS, small_chip, small_model
from tests.unit.functional.bench import Writer, chip, singles
from tests.unit.noc.bench import shaped
from tests.unit.stacks.bench import execute

SHAPES = [
    *((RING, radix, 1) for radix in (2, 3, 4, 5, 7, 8, 16)),
    *((MESH, 2, 2), (MESH, 3, 2), (MESH, 4, 2), (MESH, 5, 1)),
    *((TORUS, 2, 2), (TORUS, 3, 2), (TORUS, 4, 1)),
    *((CROSSBAR, 2, 1), (CROSSBAR, 5, 1)),
]
TOKENS = (11, 95, 11)


def by_registers(noc, owner, port, parts):
    """Add the parts of all nodes as the registers of the engine's trees say, input after input."""
    topology = die_topology(noc, gateways=False)
    fabric = build_fabric(noc, LinkParams(), 1)
    node_at = {
        (topology.terminals[t].router, topology.terminals[t].in_port): t % noc.nodes
        for t in range(port * noc.nodes, (port + 1) * noc.nodes)
    }
    before = {(channel.sink, channel.in_port): channel.source for channel in topology.channels}
    first = (port * noc.nodes + owner) * topology.routers

    def at(router):
        expected = int(fabric.routers.tree_at[first + router].expected)
        total = None
        for p in (p for p in range(topology.ports) if expected >> p & 1):
            part = parts[node_at[router, p]] if (router, p) in node_at else at(before[router, p])
            total = part if total is None else total + part
        return total

    return at(topology.terminals[port * noc.nodes + owner].router)


@pytest.mark.parametrize(("kind", "radix", "dims"), SHAPES)
def test_the_order_of_a_sum_is_that_of_the_trees_of_the_engine(kind, radix, dims):
    noc = shaped(kind, radix, dims, multicast_lanes=1, sum_lanes=1)
    rng = np.random.default_rng(radix)
    sizes = np.float32(10) ** rng.integers(-6, 7, (noc.nodes, 1))
    parts = list((singles(rng, noc.nodes, 400) * sizes).astype(np.float32))
    seen = set()
    for port in (0, 1):
        for owner in range(noc.nodes):
            total = add_up(noc, owner, port, parts)
            assert total.dtype == np.float32
            assert (total.view(np.uint32) == by_registers(noc, owner, port, parts).view(np.uint32)).all()
            assert np.allclose(total, np.sum(parts, axis=0, dtype=np.float64), rtol=1e-3, atol=40)
            seen.add(total.tobytes())
    assert len(seen) > 1 or noc.nodes == 2 or kind == CROSSBAR, "numbers whose sum depends on the order"


def written(port=0, pus=4, **changes):
    """Every PU copies four numbers and contributes them to a sum for PU 2; PU 2 then copies the sum."""
    writer = Writer(chip(pus=pus, lanes=1, sum_lanes=1))
    rng = np.random.default_rng(3)
    parts = singles(rng, pus, 4)
    signal = shared(pus, SUMS[0])
    for pu in range(pus):
        there = writer.put(pu, 0, parts[pu])
        fields = {"m": 1, "bytes": 16, "a": 0, "b": 64, "bank": 2, "imm": port, "signal": signal, "modifiers": F_SUM}
        writer.add(pu, SEND_0 + port, SEND, [there], **(fields | (changes if pu == 1 else {})))
    writer.vector(2, V_COPY, [(signal, 1)], m=1, n=4, a=64, out=128, modifiers=16)
    writer.result("sum", 2, 128, 1, 4, True)
    return writer, parts


@pytest.mark.parametrize("port", [0, 1])
def test_a_sum_comes_to_its_owner_in_any_order_of_execution(port):
    writer, parts = written(port)
    right = add_up(writer.params.noc, 2, port, [part[None] for part in parts])
    for seed in (None, 1, 2, 3):
        assert (writer.run(seed).results["sum"] == right).all()


@pytest.mark.parametrize("changes", [{"b": 128}, {"signal": shared(4, SUMS[1])}, {"bytes": 8}])
def test_contributions_that_differ_are_refused(changes):
    writer, _ = written(**changes)
    with pytest.raises(IllegalScheduleError):
        writer.run()


def test_a_sum_that_one_does_not_contribute_to_is_refused():
    writer, _ = written()
    writer.streams[1].pop()
    writer.streams[2].pop()  # who waits for the sum
    writer.results.clear()
    with pytest.raises(IllegalScheduleError, match="not complete"):
        writer.run()


def test_an_unwritten_contribution_is_refused():
    writer, _ = written(a=512)
    with pytest.raises(IllegalScheduleError, match="unwritten"):
        writer.run()


def summed_step(kind, pus, moe, batch=3, context=21):
    """A step whose down projection, and where possible more, is spread over K on a chip whose routers add."""
    wide, layers = (160, 1) if pus > 8 else (96, 2)
    model = small_model(moe=moe, layers=layers, kv_heads=4, heads=4, hidden=wide, ffn=wide)
    params = resolve(small_chip(kind, pus, noc__collectives="network", core__buffer__bytes=2**20))
    routing = synthetic_routing(model, batch, None, seed=2) if moe else None
    graph = decode_step(model, batch, context, None, routing)
    schedule = plain_schedule(graph, params, ("OS", "WS", "IS"))
    space = Space(graph, params, ("OS", "WS", "IS"))
    for index, operator in space.gemms.items():
        over_k = [p for p in space.plans(graph.operators[index]) if p.over == OVER_K]
        if operator.kind == "down" and over_k:
            most = max(over_k, key=lambda plan: plan.chunks)
            schedule = space.schedule({**schedule.gemm, index: most}, schedule.attention)
    return model, params, encode(schedule, params, TOKENS[:batch]), routing


@pytest.mark.parametrize("pus", [2, 3, 4, 5, 7, 8, 16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moe", [False, True])
def test_a_decode_step_with_sums_computes_the_reference(moe, kind, pus):
    model, params, program, routing = summed_step(kind, pus, moe)
    assert sum(int((stream["modifiers"][stream["op"] == SEND] & F_SUM != 0).sum()) for stream in program.streams) > 0
    layers = model.layers
    tensors = random_tensors(model, 3, 21, layers, 1)
    reference = reference_step(model, 3, 21, tensors, TOKENS, routing, layers)
    bounds = step_bounds(model, tensors, reference, routing, layers)
    for seed in (None, 5):
        result = run(program, params, tensors, seed)
        assert check_delivery(result, tensors) == ()
        assert check_operators(result, params).faults == ()
        assert compare_step(reference, bounds, machine_step(result, model, 3, layers)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_stacks_whose_routers_add_compute_the_reference_of_the_whole_model(kind):
    model = small_model(kv_heads=4, heads=4, hidden=96, layers=2)
    settings = {"policy": "random-legal", "seed": 0, "noc__collectives": "network", "core__buffer__bytes": 2**20}
    *_, joined, system, parts, _ = execute(model, kind, 2, 4, 2, 21, **settings)
    contributions = [int((stream["modifiers"][stream["op"] == SEND] & F_SUM != 0).sum()) for stream in joined.streams]
    assert min(contributions) == max(contributions) > 0
    check_hazards(joined, system)
    run(joined, system, parts, 3)
