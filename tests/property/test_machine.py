"""The whole die on random programs and decode steps: two modes, any order of visits, any slicing, one machine."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmpsim.analytic.bounds import bounds
from nmpsim.api import collect
from nmpsim.core.state import REASONS
from nmpsim.dram.check.native import check_native
from nmpsim.dram.native.state import REASONS as BANK_REASONS
from nmpsim.machine.simulate import Simulation
from nmpsim.noc.die.sum_state import SUM_REASONS
from nmpsim.noc.router.state import CAUSES
from nmpsim.program.isa import CONSTANT, MOVE
from tests.builders import SNAKE, STRATUM
from tests.property.outcome import LIMIT, Work, collected, differences, observed, run, unit_reasons
from tests.property.strategies import Dice, drawn_by, random_job, random_program
from tests.property.sweep import Sweep, assert_plain_agrees, backwards

SWEEP = Sweep(range(120), range(40))

REACHABLE = {
    "array": {
        "busy", "queue_empty", "wait_semaphore", "operand_late", "accumulators_busy", "load_stationary",
        "pipeline_drain", "reconfigure", "edge_bandwidth",
    },
    "vector": {"busy", "queue_empty", "wait_semaphore", "port_conflict"},
    "move": {
        "busy", "queue_empty", "wait_semaphore", "operand_late", "port_conflict", "bank_queue_full", "no_credit",
    },
    "send": {"busy", "queue_empty", "wait_semaphore", "no_credit", "port_conflict"},
    "sequencer": {"busy", "unit_queue_full", "finished"},
}  # fmt: skip
"""The reasons that a unit can have; the sweep must meet all of them and no other one."""


def assert_sound(simulation: Simulation) -> None:
    """Work is conserved, accounts add up, no bound is beaten."""
    params, die, work = simulation.params, simulation.die, Work(simulation.params, simulation.program)
    counts, cores = simulation.counts(), die.cores
    dram, cycles = params.dram, simulation.end // params.core_period

    # every instruction, every beat, every flit, once
    assert counts["instructions"] == len(work.all)
    assert counts["RD"] == work.read_beats == int(cores.actor["pops"].sum() + cores.mover["beats_in"].sum())
    assert counts["dram_read_bytes"] == work.read_beats * dram.column_bytes
    assert counts["WR"] == work.written_beats == int(cores.mover["beats_out"].sum())
    assert counts["ACT"] + counts["row_hits"] == work.rows
    assert work.rows >= counts["dram_read_bytes"] / (dram.columns * dram.column_bytes)
    assert counts["flits"] == work.flits
    assert counts["arrived_flits"] == work.arrived_flits == int(cores.received["flits"].sum())
    assert counts["messages"] == work.messages
    assert work.arrivals == int(cores.received["messages"].sum())
    assert counts["flit_hops"] == work.flit_hops
    assert counts["vector_elements"] == work.elements
    for queue in (die.channels.fifo, die.channels.write_fifo):
        assert (queue["head"] == queue["filled"]).all()
        assert (queue["filled"] == queue["reserved"]).all()
    for port in (die.network.inject, die.network.eject):
        assert (port["head"] == port["filled"]).all()

    # the account of every unit holds every tick up to the end, those of the banks every DRAM cycle
    core = (simulation.end // params.core_period + 1) * params.core_period
    assert (cores.stall >= 0).all()
    assert (cores.stall.sum(axis=2) == core).all()
    assert (die.channels.stall.sum(axis=2) == simulation.end // params.dram_period + 1).all()
    assert (cores.work.sum(axis=(1, 2)) <= core * cores.actor.shape[1]).all()

    # no bound is beaten
    macs = sum(o.macs for o in simulation.program.operators)
    assert counts["macs"] == macs
    for name, least in bounds(params, macs, 0, work.tier_bytes, work.flit_hops).items():
        assert cycles >= least, name


def assert_checked(simulation: Simulation) -> None:
    """The DRAM checker finds nothing in the commands up to the end."""
    params, log = simulation.params, observed(simulation)["commands"]
    until = simulation.end // params.dram_period
    assert check_native(log, params.dram, params.latency, params.dram_period, channels=params.cores, until=until) == []


def assert_intervals_are_the_accounts(simulation: Simulation) -> None:
    """The recorded intervals of every unit follow each other without a gap and sum to its account."""
    every = collected(simulation).intervals()
    stall = simulation.die.cores.stall
    every = every[every["unit"] < stall.shape[1]]
    total = np.zeros_like(stall)
    np.add.at(total, (every["pu"], every["unit"], every["reason"]), every["end"] - every["start"])
    assert (total == stall).all()
    same = (every["pu"][1:] == every["pu"][:-1]) & (every["unit"][1:] == every["unit"][:-1])
    assert (every["start"][1:] == every["end"][:-1])[same].all()


def test_plain_mode_and_skip_mode_agree():
    SWEEP.assert_modes_agree()


def test_work_is_conserved_and_no_bound_is_beaten():
    for simulation in SWEEP.runs():
        assert_sound(simulation)


def test_the_dram_checker_finds_nothing():
    for simulation in SWEEP.runs():
        assert_checked(simulation)


def test_intervals_are_the_accounts():
    for simulation in SWEEP.runs():
        assert_intervals_are_the_accounts(simulation)


def test_a_random_program_does_what_was_written():
    for seed in SWEEP.programs:
        _, _, written = SWEEP.program(seed)
        counts = SWEEP.ran_program(seed).counts()
        assert counts["macs"] == written.macs
        assert counts["RD"] == written.stream_beats + written.load_beats
        assert counts["WR"] == written.store_beats
        assert counts["vector_elements"] == written.elements


def test_a_decode_step_moves_the_bytes_of_its_graph_and_keeps_its_bounds():
    for seed in SWEEP.jobs:
        job = SWEEP.job(seed)
        outcome = collect(job, SWEEP.ran_job(seed), "skip")
        counts, graph = outcome.counts, job.graph
        assert counts["macs"] == graph.macs
        assert counts["weight_read_bytes"] == graph.weight_bytes
        assert counts["kv_read_bytes"] == graph.kv_read_bytes
        assert counts["kv_write_bytes"] == graph.kv_write_bytes
        assert counts["embedding_read_bytes"] == graph.embedding_bytes
        moves = np.concatenate([s[(s["unit"] == MOVE) & (s["traffic"] == CONSTANT)] for s in job.program.streams])
        assert counts["constant_read_bytes"] == int(moves["bytes"].sum()) > 0
        useful = sum(counts[f"{kind}_read_bytes"] for kind in ("weight", "kv", "embedding", "constant"))
        assert useful <= counts["dram_read_bytes"]
        for name, least in outcome.bounds.items():
            assert outcome.cycles >= least, name
        assert sum(o.cycles for o in outcome.operators) == outcome.cycles
        for operator in outcome.operators:
            for name, least in operator.bounds.items():
                assert operator.end - operator.start >= least, (operator.name, name)


def test_every_reason_is_met_where_it_can_be_and_nowhere_else():
    met = {kind: dict.fromkeys(REASONS, 0) for kind in REACHABLE}
    banks, causes = np.zeros(len(BANK_REASONS), np.int64), dict.fromkeys(CAUSES, 0)
    for simulation in SWEEP.runs():
        for kind, row in unit_reasons(simulation).items():
            for name, ticks in row.items():
                met[kind][name] += ticks
        banks += simulation.die.channels.stall.sum(axis=(0, 1))
        for name, cycles in simulation.stalls()["router"].items():
            causes[name] += cycles
    for kind, row in met.items():
        assert {name for name, ticks in row.items() if ticks} == REACHABLE[kind], kind
    assert set().union(*REACHABLE.values()) == set(REASONS), "a reason that no unit can have"
    assert banks.all(), dict(zip(BANK_REASONS, banks, strict=True))
    assert {name for name, cycles in causes.items() if cycles} == set(CAUSES) - {"switch_held"}


def test_every_instruction_every_conflict_and_every_kind_of_chip_occurs_in_the_sweep():
    total: dict[str, int] = {}
    names = set()
    for simulation in SWEEP.runs():
        names.add(simulation.params.name)
        for name, count in simulation.counts().items():
            total[name] = total.get(name, 0) + count
    assert names == {SNAKE, STRATUM}
    assert all(total.values()), [name for name, count in total.items() if not count]


@pytest.mark.parametrize("seed", range(12))
def test_the_order_of_visits_has_no_influence(seed):
    for (params, program), first in (
        (SWEEP.program(seed)[:2], SWEEP.ran_program(seed)),
        ((SWEEP.job(seed).params, SWEEP.job(seed).program), SWEEP.ran_job(seed)),
    ):
        seen = observed(first)
        order = np.arange(params.cores, dtype=np.int64)
        shuffled = np.array(random.Random(seed).sample(range(params.cores), params.cores), np.int64)
        for way in (order[::-1].copy(), shuffled):
            for plain in (False, True):
                assert not differences(seen, observed(run(params, program, order=way, plain=plain))), (way, plain)


def registers(simulation: Simulation) -> list[bytes]:
    """All registers of a die, byte by byte."""
    die = simulation.die
    return [
        part.tobytes()
        for part in (*die.cores, *die.channels, *die.network, *simulation.fabric.routers, die.clock, die.core_wake)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_the_same_input_gives_the_same_bytes_however_the_run_is_sliced(seed):
    params, program, _ = SWEEP.program(seed)
    whole, again = (run(params, program, recorder=None) for _ in range(2))
    assert registers(whole) == registers(again)
    sliced = Simulation(params, program, log_capacity=whole.die.channels.log.shape[1])
    sliced.run(limit_cycles=LIMIT, slice_cycles=7)
    assert registers(sliced) == registers(whole)


def test_skipping_visits_fewer_components():
    for seed in SWEEP.jobs[:10]:
        job = SWEEP.job(seed)
        plain = run(job.params, job.program, plain=True)
        assert SWEEP.ran_job(seed).die.clock[0].visits < plain.die.clock[0].visits / 2


@settings(max_examples=40)
@given(st.data())
def test_any_program_runs_the_same_in_both_modes(data):
    params, program, written = random_program(drawn_by(data.draw))
    skipped = run(params, program)
    assert_sound(skipped)
    assert_intervals_are_the_accounts(skipped)
    assert skipped.counts()["macs"] == written.macs
    assert_plain_agrees(skipped)


def runs_of_random_programs(**drawn):
    """30 runs of random programs, each of which is sound and the same in plain mode and in another order of visits."""
    for seed in range(30):
        params, program, written = random_program(Dice(seed), **drawn)
        skipped = run(params, program)
        assert_sound(skipped)
        assert_intervals_are_the_accounts(skipped)
        assert skipped.counts()["macs"] == written.macs
        assert_plain_agrees(skipped, seed)
        assert not differences(observed(run(params, program, order=backwards(skipped))), observed(skipped)), seed
        yield skipped


def test_programs_with_messages_to_all_run_the_same_in_both_modes_and_any_order():
    assert sum(int(ran.fabric.terminal["copies"].sum()) for ran in runs_of_random_programs(copies=True)) > 1000


def test_programs_with_sums_run_the_same_in_both_modes_and_any_order():
    merged = sums = 0
    for skipped in runs_of_random_programs(adds=True):
        merged += int(skipped.fabric.summing.adder["merged"].sum())
        sums += int(skipped.fabric.terminal["sums"].sum())
        table = skipped.network().get("adders", [])
        cycles = skipped.fabric.routers.totals[0].now * skipped.fabric.params.lanes
        assert all(sum(row[name] for name in SUM_REASONS) == cycles for row in table)
    assert merged > 1000
    assert sums > 300


@settings(max_examples=15)
@given(st.data())
def test_any_decode_step_runs_the_same_in_both_modes(data):
    job = random_job(drawn_by(data.draw))
    assume(job is not None)
    skipped = run(job.params, job.program)
    assert_sound(skipped)
    assert_checked(skipped)
    assert_plain_agrees(skipped)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 9000, 1000))
def test_plain_mode_and_skip_mode_agree_on_thousands_of_programs(first):
    for seed in range(first, first + 1000):
        params, program, _ = SWEEP.new_program(seed)
        skipped = run(params, program)
        assert_sound(skipped)
        assert_plain_agrees(skipped, seed)
