"""The intervals of a trace, expanded, are what plain mode does in every cycle; and they add up to the counters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.api import prepare
from nmpsim.core.state import BUSY
from nmpsim.dram.native.state import command_log
from nmpsim.machine.simulate import Simulation
from nmpsim.noc.die.state import LINK_REASONS, NO_FLIT, TRANSFER
from nmpsim.program.isa import UNITS
from nmpsim.spec import parse_chip
from nmpsim.trace import Trace, TraceWriter, trace_options
from nmpsim.trace.expand import commands, expand
from nmpsim.trace.units import first_reason
from nmpsim.workload import parse_config
from tests.property.outcome import LIMIT, LOG
from tests.property.stepped import Stepped
from tests.property.strategies import Dice, drawn_by, random_job, random_program
from tests.unit.report.small import chip_text, config_text


def traced(params, program, *, plain=False, level="full", folder=None, **options):
    """(simulation, trace) of a run that ended."""
    writer = TraceWriter(params, program, trace_options(level, **options), folder)
    simulation = Simulation(params, program, plain=plain, recorder=writer, log_capacity=LOG)
    simulation.run(limit_cycles=LIMIT)
    writer.close(simulation.until)
    return simulation, Trace.of(writer)


def assert_is_plain_mode(params, program, trace: Trace) -> None:
    """Every unit of the trace, cycle by cycle."""
    stepped = Stepped(params, program)
    cycles = len(next(iter(stepped.cores.values())))
    for unit in trace.recorded:
        seen = expand(trace, unit)
        assert (np.diff(seen["tick"]) == unit.period).all()
        reason = seen["reason"] - first_reason(unit.family)
        if unit.family == "core":
            told = np.stack([reason, seen["operator"], seen["value"]], axis=1)[:cycles]
            expected = np.array(stepped.cores[unit.pu, unit.row])
            assert len(told) == cycles
        elif unit.family == "bank":
            expected = np.array(stepped.banks[unit.pu, unit.row])
            told = reason[: len(expected)]
            assert len(told) == len(expected) or len(expected) - len(told) < params.core_period
            expected = expected[: len(told)]
        elif unit.kind == "buffer":
            told, expected = seen["value"][:cycles], np.array(stepped.ports[unit.pu, unit.name])
            assert ((told > 0) == (reason[:cycles] == 0)).all()
        elif unit.kind == "receive":
            told, expected = seen["value"][:cycles], np.array(stepped.flits[unit.pu, int(unit.name[-1])])
        elif unit.family == "link":
            if unit.kind == "link":
                told, expected = reason == TRANSFER, stepped.links[unit.row] == 1
                assert set(reason.tolist()) <= {TRANSFER, NO_FLIT}
            else:
                told, expected = reason, stepped.stack_links[unit.row]
            cut = min(len(told), len(expected))
            assert max(len(told), len(expected)) - cut <= params.core_period
            told, expected = told[:cut], expected[:cut]
        else:
            continue
        wrong = np.flatnonzero((told != expected).reshape(len(told), -1).any(axis=1))
        assert len(wrong) == 0, (unit, wrong[:3], told[wrong[:3]], expected[wrong[:3]])


def assert_totals_are_the_counters(simulation: Simulation, trace: Trace) -> None:
    """Intervals of every unit follow each other from 0 to the end; reasons, work and commands add up."""
    params, die, counts = simulation.params, simulation.die, simulation.counts()
    rows = trace.intervals()
    for unit in trace.recorded:
        own = rows[rows["unit"] == unit.number]
        assert own["start"][0] == 0
        assert (own["start"][1:] == own["end"][:-1]).all()
        assert own["end"][-1] >= simulation.end
    length = rows["end"] - rows["start"]
    family = np.array([unit.family for unit in trace.units])[rows["unit"]]
    kind = np.array([unit.kind for unit in trace.units])[rows["unit"]]
    pu = np.array([unit.pu for unit in trace.units])[rows["unit"]]
    row = np.array([unit.row for unit in trace.units])[rows["unit"]]
    stall = np.zeros_like(die.cores.stall)
    of = family == "core"
    np.add.at(stall, (pu[of], row[of], rows["reason"][of]), length[of])
    present = [unit.row for unit in trace.units if unit.pu == 0 and unit.family == "core"]
    assert (stall[:, present] == die.cores.stall[:, present]).all()

    def work(which: str) -> int:
        return int((rows["value"] * length)[kind == which].sum()) // params.core_period

    array, slices = kind == "array", die.cores.actor.shape[1]
    assert work("array") == counts["macs"]
    assert (rows["value"][array] <= params.core.macs_per_cycle // slices).all()
    assert (rows["value"][array & (rows["reason"] != BUSY)] == 0).all()
    assert work("send") == work("receive") == counts["flits"]
    assert work("move") == counts["RD"] + counts["WR"] - int(die.cores.actor["pops"].sum())
    assert work("sequencer") == counts["instructions"]
    made = trace.columns("instructions")
    assert len(made["op"]) == counts["instructions"] + (slices - 1) * counts["passes"] // slices
    assert (made["start"] <= made["end"]).all()
    log = commands(trace)
    expected = command_log(die.channels, trace.until)
    assert log.tolist() == expected.tolist()
    _assert_links_are_the_counters(simulation, trace, rows, kind)
    port = (kind == "port") & (rows["value"] == 1)
    busy = int(length[port].sum())
    assert busy <= (counts["RD"] + counts["WR"]) * params.dram.nBL * params.dram_period
    bank = np.zeros_like(die.channels.stall)
    of = family == "bank"
    np.add.at(bank, (pu[of], row[of], rows["reason"][of] - first_reason("bank")), length[of] // params.dram_period)
    past = die.channels.stall.sum() - bank.sum()  # cycles between the end of the trace and the close of the accounts
    assert 0 <= past <= die.channels.stall.shape[0] * die.channels.stall.shape[1] * params.core_period
    assert (bank <= die.channels.stall).all()


def _assert_links_are_the_counters(simulation: Simulation, trace: Trace, rows: np.ndarray, kind: np.ndarray) -> None:
    """Busy cycles of a link between routers are its flits, reasons of one between stacks its account."""
    params, network = simulation.params, simulation.network()
    reason, length = rows["reason"] - first_reason("link"), rows["end"] - rows["start"]
    for unit in trace.recorded:
        if unit.family == "link":
            own = rows["unit"] == unit.number
            spent = [int(length[own & (reason == r)].sum()) // unit.period for r in range(len(LINK_REASONS))]
            if unit.kind == "link":
                assert unit.pu == network["links"][unit.row]["from"]
                assert unit.name == f"link to {network['links'][unit.row]['to']}"
                assert spent[TRANSFER] == network["links"][unit.row]["flits"]
                assert spent[TRANSFER] + spent[NO_FLIT] == int(length[own].sum()) // unit.period
            else:
                account = simulation.fabric.link_stall[unit.pu] // unit.period
                past = account.sum() - sum(spent)  # between the end of the trace and the close of the accounts
                assert 0 <= past * unit.period <= params.core_period + unit.period
                assert (account >= spent).all()
    assert (kind == "link").any() == bool(network["links"])


@pytest.mark.parametrize("separate", [False, True])
def test_a_trace_of_skip_mode_is_plain_mode_cycle_by_cycle(separate):
    for seed in range(6):
        params, program, _ = random_program(Dice(seed), steps=(8, 3), separate=separate)
        simulation, trace = traced(params, program)
        assert_totals_are_the_counters(simulation, trace)
        assert_is_plain_mode(params, program, trace)


def test_a_trace_of_a_decode_step_is_plain_mode_cycle_by_cycle():
    seen = 0
    for seed in range(3):
        job = random_job(Dice(seed))
        if job is not None:
            seen += 1
            simulation, trace = traced(job.params, job.program)
            assert_totals_are_the_counters(simulation, trace)
            assert_is_plain_mode(job.params, job.program, trace)
    assert seen


@settings(max_examples=8)
@given(st.data())
def test_any_program_has_the_same_trace_in_both_modes(data):
    params, program, _ = random_program(drawn_by(data.draw), steps=(3, 8), separate=data.draw(st.booleans()))
    simulation, trace = traced(params, program)
    assert_totals_are_the_counters(simulation, trace)
    assert_is_plain_mode(params, program, trace)
    other = traced(params, program, plain=True)[1]
    assert trace.intervals().tolist() == other.intervals().tolist()
    for name in ("instructions", "flows"):
        assert trace.table(name).equals(other.table(name))


def test_a_window_and_a_filter_keep_what_lies_inside():
    params, program, _ = random_program(Dice(1))
    _, whole = traced(params, program)
    kinds = ("array", "bank@0", "buffer", "instruction")
    cycles = whole.until // params.core_period
    start, end = cycles // 4, cycles // 2
    _, part = traced(params, program, units=kinds, start=start, end=end)
    assert {unit.kind for unit in part.recorded} == {"array", "bank", "buffer"}
    assert all(unit.pu == 0 for unit in part.recorded if unit.kind == "bank")
    assert part.intervals().tolist() == whole.intervals(part.recorded, start, end).tolist()
    for unit in part.recorded:
        one, other = expand(part, unit), expand(whole, unit, start, end)
        assert all((one[name] == other[name]).all() for name in one), unit
    _, coarse = traced(params, program, level="coarse")
    assert coarse.intervals().tolist() == whole.intervals(coarse.recorded).tolist()
    assert {unit.family for unit in coarse.recorded} == {"core"}
    _, ported = traced(params, program, units=("port",))
    assert ported.intervals().tolist() == whole.intervals(ported.recorded).tolist()


def test_a_window_is_the_same_however_often_the_logs_are_handed_over(monkeypatch):
    params, program, _ = random_program(Dice(1))
    cycles = traced(params, program)[1].until // params.core_period
    start, end = cycles // 4, cycles // 2
    _, whole = traced(params, program, start=start, end=end)
    banks, handed = TraceWriter.bank, []

    def in_pieces(writer, pu, words):
        for first in range(0, len(words), 7):
            handed.append(pu)
            banks(writer, pu, words[first : first + 7])

    monkeypatch.setattr(TraceWriter, "bank", in_pieces)
    _, part = traced(params, program, start=start, end=end)
    assert len(handed) > 2 * params.cores
    assert part.intervals().tolist() == whole.intervals().tolist()


def test_a_trace_in_files_is_the_trace_in_memory(tmp_path):
    params, program, _ = random_program(Dice(5))
    _, here = traced(params, program)
    traced(params, program, folder=tmp_path)
    there = Trace.open(tmp_path)
    assert not list(tmp_path.glob("*.partial"))
    assert here.meta == there.meta
    assert here.intervals().tolist() == there.intervals().tolist()
    assert commands(here).tolist() == commands(there).tolist()
    assert here.table("instructions").equals(there.table("instructions"))


def test_the_rows_of_the_log_lie_behind_the_units():
    params, program, _ = random_program(Dice(0))
    _, trace = traced(params, program)
    assert min(unit.row for unit in trace.units if unit.family == "watch") >= UNITS


def test_links_between_stacks_are_plain_mode_cycle_by_cycle():
    model = parse_config(config_text().encode(), "tiny", "config.json", "a test")
    job = prepare(model, parse_chip(chip_text(), "small.toml"), batch=2, context=16, layers=1, stacks=2)
    simulation, trace = traced(job.params, job.program)
    assert any(unit.kind == "stack_link" for unit in trace.recorded)
    across = trace.intervals([unit for unit in trace.recorded if unit.kind == "stack_link"])
    assert {trace.reasons[r] for r in across["reason"].tolist()} >= {"transfer", "no_flit"}
    assert_totals_are_the_counters(simulation, trace)
    assert_is_plain_mode(job.params, job.program, trace)
    plain = traced(job.params, job.program, plain=True)[1]
    assert trace.intervals().tolist() == plain.intervals().tolist()
