"""Decode steps on several small stacks: encoded, checked and executed together."""

from dataclasses import replace

from nmpsim.functional import (
    check_delivery,
    check_operators,
    compare_step,
    random_tensors,
    reference_step,
    run,
    step_bounds,
)
from nmpsim.functional.stacks import joined_tensors, system_step
from nmpsim.program.system import join_stacks
from nmpsim.schedule.check import check_program
from nmpsim.schedule.stacks import StackPrograms
from nmpsim.spec import resolve
from nmpsim.workload import decode_step, synthetic_routing
from nmpsim.workload.shards import make_shard
from tests.builders import small_chip

TOKENS = (11, 95, 11)


def programs_of(
    model, kind, stacks, pus, batch, context, first_layer=0, placement="blocks", policy="plain", seed=0, **overrides
):
    """Shards, graphs and programs of all stacks, each checked, and the chip."""
    layers = model.layers - first_layer
    params = replace(resolve(small_chip(kind, pus, **overrides)), stacks=stacks)
    routing = synthetic_routing(model, batch, None, seed=2) if model.is_moe else None
    shards = [make_shard(model, context, stacks, s, placement) for s in range(stacks)]
    graphs = [decode_step(model, batch, context, layers, routing, first_layer, shard=shard) for shard in shards]
    plans = StackPrograms(graphs, params, ("OS", "WS", "IS"), TOKENS[:batch], policy=policy, seed=seed)
    programs = [plans.program(stack) for stack in range(stacks)]
    for program in programs:
        check_program(program, params)
    return shards, graphs, programs, params, routing


def execute(model, kind, stacks, pus, batch, context, first_layer=0, **more):
    """Execute all stacks together and compare with the reference of the whole model; returns what was used."""
    layers = model.layers - first_layer
    shards, graphs, programs, params, routing = programs_of(
        model, kind, stacks, pus, batch, context, first_layer, **more
    )
    tensors = random_tensors(model, batch, context, layers, 1, first_layer)
    reference = reference_step(model, batch, context, tensors, TOKENS[:batch], routing, layers, first_layer)
    bounds = step_bounds(model, tensors, reference, routing, layers, first_layer)
    joined, system = join_stacks(programs, params)
    parts = joined_tensors(tensors, shards)
    result = run(joined, system, parts)
    assert check_delivery(result, parts) == ()
    assert check_operators(result, system).faults == ()
    found = system_step(result, shards, batch, layers, first_layer)
    assert compare_step(reference, bounds, found) == []
    return graphs, joined, system, parts, result
