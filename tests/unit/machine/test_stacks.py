"""A die that stands for several stacks: messages to the next one come in on its own links."""

from dataclasses import replace

import pytest

from nmpsim.analytic.bounds import bounds
from nmpsim.machine.simulate import Simulation
from nmpsim.program.encode.emitter import Emitter, Event
from nmpsim.program.isa import SEND, SEND_0, V_COPY, arrival
from nmpsim.program.program import Program, ProgramOperator
from nmpsim.spec import resolve
from tests.builders import KINDS, SNAKE, small_chip

BYTES = 400


def exchange(kind, pus, stacks, further, **settings):
    """Every PU sends to PU `pu + 1` of the stack `further` on, and copies what it got; the simulation, run."""
    params = replace(resolve(small_chip(kind, pus, **settings)), stacks=stacks)
    out = Emitter(params)
    for pu in range(pus):
        there = (pu + 1) % pus
        out.emit(pu, SEND_0, SEND, m=1, bytes=BYTES, a=0, b=4096, bank=there, stack=further, signal=arrival(pu, 0))
    for pu in range(pus):
        out.vector(pu, V_COPY, 1, 16, [Event(arrival((pu - 1) % pus, 0), 1)], a=4096, a_ld=32, out=8192, out_ld=32)
    operators = (ProgramOperator("exchange", "all", 0, 0, 0, 0, 0, ""),)
    program = Program(params.name, out.streams([(0, 0)] * pus), out.tables(), operators)
    runs = []
    for plain in (False, True):
        simulation = Simulation(params, program, plain=plain)
        simulation.run(limit_cycles=50_000)
        runs.append((simulation.end, simulation.counts(), simulation.stalls(), simulation.network()))
    assert runs[0] == runs[1]
    return params, simulation


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("stacks", "further", "hops"), [(2, 1, 1), (4, 3, 1), (4, 2, 2)])
def test_messages_to_another_stack_come_back_on_the_same_die(kind, stacks, further, hops):
    params, simulation = exchange(kind, 3, stacks, further)
    counts = simulation.counts()
    flits = 3 * -(-BYTES // params.noc.flit_bytes)
    assert counts["messages"] == 3
    assert counts["gateway_flits"] == flits
    assert counts["stack_link_flits"] == hops * flits
    assert counts["stack_link_bytes"] == hops * 3 * BYTES
    assert counts["stack_link_used_bytes"] == hops * flits * params.link.bytes
    assert counts["flit_hops"] == flits
    cycles = simulation.end // params.core_period
    assert cycles > hops * params.link.latency * params.link.period / params.core_period
    least = bounds(params, 0, 0, [0] * params.dram.tiers, flits, link_cycles=hops * flits)
    assert 0 < least["stack_link"] < cycles


def test_a_slower_link_takes_longer():
    ends = [exchange(SNAKE, 2, 2, 1, noc__die_to_die__bytes_per_cycle=width)[1].end for width in (64, 4, 1)]
    assert ends == sorted(ends)
    assert ends[0] < ends[1] < ends[2]


def test_a_longer_link_takes_longer_by_its_latency():
    (short, one), (_, other) = (exchange(SNAKE, 2, 2, 1, noc__die_to_die__latency_cycles=cycles) for cycles in (10, 50))
    assert other.end - one.end == 40 * short.link.period
