"""Decode steps on dies whose PUs have several cores and a network inside."""

import numpy as np
import pytest

from nmpsim.analytic.network import network_links
from nmpsim.api import collect, prepare
from nmpsim.machine.simulate import Simulation
from nmpsim.noc.die.state import TRANSFER
from nmpsim.spec import resolve
from nmpsim.trace import Trace, TraceWriter, trace_options
from nmpsim.trace.units import first_reason
from tests.builders import KINDS, SNAKE, STRATUM, small_chip, small_model

INSIDE = {
    "crossbar": {"noc__pu__topology": "crossbar", "noc__pu__flit_bytes": 8},
    "ring": {"noc__pu__topology": "ring", "noc__pu__flit_bytes": 16, "noc__pu__clock_GHz": 2.0},
    "mesh": {"noc__pu__topology": "mesh:2x2", "noc__pu__flit_bytes": 32, "noc__pu__clock_GHz": 0.5},
}


def run_all(kind, pus, cores, *, moe=False, **settings):
    """A small step in both modes and another order of visits, which must agree; the observed run and its counts."""
    chip = small_chip(kind, pus, chip__cores_per_pu=cores, **settings)
    job = prepare(small_model(moe=moe), chip, batch=2, context=21, layers=1)
    runs = []
    backwards = np.arange(job.params.cores)[::-1].copy()
    for plain, order in ((False, None), (True, None), (False, backwards)):
        simulation = Simulation(job.params, job.program, plain=plain, order=order)
        simulation.run(limit_cycles=200_000)
        runs.append((simulation.end, simulation.counts(), simulation.stalls(), simulation.network()))
    assert runs[1] == runs[0]
    assert runs[2] == runs[0]
    return collect(job, simulation, "skip"), runs[0][1]


@pytest.mark.parametrize(("kind", "moe"), [(SNAKE, False), (STRATUM, True)])
@pytest.mark.parametrize("inside", INSIDE)
def test_a_step_on_four_pus_of_four_cores(inside, kind, moe):
    """The same program as on sixteen PUs of one core, so the same work; no bound is beaten."""
    run, counts = run_all(kind, 4, 4, moe=moe, **INSIDE[inside])
    flat = prepare(small_model(moe=moe), small_chip(kind, 16), batch=2, context=21, layers=1)
    simulation = Simulation(flat.params, flat.program)
    simulation.run(limit_cycles=200_000)
    others = simulation.counts()
    for name in ("macs", "RD", "WR", "vector_elements", "messages"):
        assert counts[name] == others[name], name
    assert {"pu_noc", "noc"} <= set(run.bounds)
    for name, least in run.bounds.items():
        assert run.cycles >= least, name
    params = resolve(small_chip(kind, 4, chip__cores_per_pu=4, **INSIDE[inside]))
    for level, noc, period in (("noc", params.outer, params.outer_period), ("pu_noc", params.noc, params.noc_period)):
        links = max(1, network_links(noc))  # the hops that the program tells are those that the links counted
        assert run.bounds[level] == pytest.approx(counts[HOPS[level]] / links * period / params.core_period)
    for level in ("noc", "pu_noc"):
        assert (run.energy_J.get(f"{level}_link", 0) > 0) == (counts[HOPS[level]] > 0)
        assert run.energy_J[f"{level}_router"] > 0
    taken = sum(row["bytes_taken"] for row in run.network["pu_gateways"])
    assert taken == sum(row["bytes_sent"] for row in run.network["pu_gateways"]) == counts["gateway_bytes"] > 0


HOPS = {"noc": "flit_hops", "pu_noc": "pu_flit_hops"}


def test_one_core_per_pu_is_the_machine_without_networks_inside():
    one, other = (
        resolve(small_chip(SNAKE, 4, **more)) for more in ({}, {"noc__pu__vcs": 8, "noc__pu__flit_bytes": 16})
    )
    for name, value in vars(one).items():
        assert np.array_equal(value, getattr(other, name)), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_pu_of_several_cores_has_a_network_inside_only(kind):
    run, counts = run_all(kind, 1, 4, **INSIDE["ring"])
    assert counts["flit_hops"] > 0
    assert "pu_gateways" not in run.network


@pytest.mark.parametrize("inside", ["ring", "mesh"])
def test_a_full_trace_tells_the_flits_of_the_links_of_both_levels(inside):
    job = prepare(small_model(), small_chip(SNAKE, 4, chip__cores_per_pu=4, **INSIDE[inside]), batch=2, context=21)
    writer = TraceWriter(job.params, job.program, trace_options("full"), None)
    simulation = Simulation(job.params, job.program, recorder=writer)
    simulation.run(limit_cycles=200_000)
    writer.close(simulation.until)
    trace, network = Trace.of(writer), simulation.network()
    for kind, name in (("link", "links"), ("pu_link", "pu_links")):
        units = [unit for unit in trace.recorded if unit.kind == kind]
        rows = trace.intervals(units)
        busy = rows[rows["reason"] == first_reason("link") + TRANSFER]
        assert len(units) == len(network[name]) > 0
        for unit, link in zip(units, network[name], strict=True):
            own = busy[busy["unit"] == unit.number]
            assert int((own["end"] - own["start"]).sum()) // unit.period == link["flits"]
            assert unit.pu == link["from"] * (4 if kind == "link" else 1)
