"""The plain schedule picks the least of all plans, and its closed forms count what enumeration counts."""

from dataclasses import replace
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.analytic.array import pass_cycles
from nmpsim.errors import InfeasibleError
from nmpsim.program.beats import Tile, beat_counts, beats_of, legal
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, WS
from nmpsim.program.schedule import OVER_K, OVER_N
from nmpsim.schedule.plain import candidates, plain_schedule
from nmpsim.spec import load_chip, resolve
from nmpsim.spec.params import MAC_TREE
from nmpsim.workload import Operator, OperatorKind, decode_step, load_model, synthetic_routing
from tests.builders import KINDS, SNAKE, STRATUM, small_chip, small_model

FLOWS = ("OS", "WS", "IS")


@lru_cache
def machine(kind, pus=2):
    return resolve(small_chip(kind, pus))


def every_shape(core):
    """All (flow, group, split, contiguous) that the chip can run, by trying everything."""
    flows = (TREE,) if core.kind == MAC_TREE else (OS, WS, IS)
    groups = (1,) if core.kind == MAC_TREE else range(1, core.strips + 1)
    return [
        (flow, group, split, contiguous)
        for flow in flows
        for group in groups
        if core.strips % group == 0
        for split in (CHAIN, SPLIT_K, SPLIT_N)
        for contiguous in (N_CONTIGUOUS, K_CONTIGUOUS)
        if legal(flow, split, contiguous)
    ]


def widest_share(columns, quantum, pus):
    """Columns of the PU with the most, when whole blocks are dealt out one by one."""
    held = [0] * pus
    for number, start in enumerate(range(0, columns, quantum)):
        held[number % pus] += min(quantum, columns - start)
    return max(held)


sizes = st.tuples(st.integers(1, 8), st.integers(1, 200), st.integers(1, 200))


@given(kind=st.sampled_from(KINDS), pus=st.integers(1, 5), size=sizes)
def test_the_first_candidate_has_the_fewest_array_cycles_of_all(kind, pus, size):
    params, (m, n, k) = machine(kind, pus), size
    params = replace(params, core=params.core._replace(buffer_bytes=2**30))  # room for the partial sums of any plan
    operator = Operator("layer0.down", OperatorKind.DOWN, 0, m=m, n=n, k=k)
    found = candidates(operator, params, FLOWS, (OVER_N, OVER_K))
    core = params.core
    shares = ((widest_share(n, core.columns, pus), k), (n, widest_share(k, core.columns, pus)))
    cycles = [pass_cycles(core, *shape, m, *share) for shape in every_shape(core) for share in shares]
    assert found[0].plan.array_cycles == min(c for c in cycles if c >= 0)
    assert [c.rank for c in found] == sorted(c.rank for c in found)


@given(kind=st.sampled_from(KINDS), size=sizes)
def test_no_closed_form_beats_the_beats_or_the_multipliers(kind, size):
    core, (m, n, k) = machine(kind).core, size
    for shape in every_shape(core):
        cycles = pass_cycles(core, *shape, m, n, k)
        if cycles >= 0:
            assert cycles >= beat_counts(Tile(*shape, n, k, 0, ((0, n),)), core).max()
            assert cycles * core.macs_per_cycle >= m * n * k


def folds_and_steps(core, shape, n, k):
    """Folds of the busiest group, and the longest fold in steps, from the lists of beats alone."""
    flow, group, *_ = shape
    tile = Tile(*shape, n, k, 0, ((0, n),))
    folds = steps = 0
    for first in range(0, core.strips, group):
        beats = [beats_of(tile, core, strip).tolist() for strip in range(first, first + group)]
        blocks = {block for rows in beats for _, block in rows}
        mine = 0
        for block in blocks:
            indices = {index for rows in beats for index, b in rows if b == block}
            steps = max(steps, len(indices))
            mine += -(-len(indices) // (group * core.strip_rows)) if flow == WS else 1
        folds = max(folds, mine)
    return folds, steps


@given(size=sizes)
def test_array_cycles_are_folds_times_steps_and_the_way_through(size):
    """Counted from the beats; with a buffer wide enough that neither operands nor results wait for its ports."""
    core = machine(SNAKE).core._replace(buffer_banks=62, bank_bytes=10**6)
    m, n, k = size
    for shape in every_shape(core):
        flow, group, split, _ = shape
        cycles = pass_cycles(core, *shape, m, n, k)
        rows = group * core.strip_rows
        if flow in {OS, IS} and m > rows:
            assert cycles == -1
            continue
        folds, steps = folds_and_steps(core, shape, n, k)
        through = rows + core.columns - 1 + core.pe_latency
        through += core.columns * (core.strips // group - 1) if split == CHAIN else 0
        if flow == OS:
            assert cycles == folds * max(steps, m) + through + m
        elif flow == IS:
            assert cycles == folds * max(steps, m if folds > 1 else 0) + m + through
        else:
            assert cycles == folds * max(m, core.strip_rows) + core.strip_rows + through


@pytest.mark.parametrize("pus", [1, 3])
@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_has_a_plan_for_every_gemm_and_is_the_same_every_time(kind, moe, pus):
    model = small_model(moe=moe)
    routing = synthetic_routing(model, 2, 1, seed=0) if moe else None
    graph = decode_step(model, 2, 21, 1, routing)
    schedule = plain_schedule(graph, machine(kind, pus), FLOWS)
    assert set(schedule.gemm) == {i for i, operator in enumerate(graph.operators) if operator.weight_bytes}
    assert plain_schedule(graph, machine(kind, pus), FLOWS) == schedule


@pytest.mark.parametrize("chip", KINDS)
def test_plans_of_a_shipped_model_are_the_least_of_their_spread(chip):
    params = resolve(load_chip(chip))
    graph = decode_step(load_model("llama-3.1-8b"), 4, 256, 1)
    core, pus = params.core, params.cores
    for index, plan in plain_schedule(graph, params, FLOWS).gemm.items():
        o = graph.operators[index]
        halves = 2 if o.kind is OperatorKind.GATE_UP else 1
        n = widest_share(o.n // halves, core.columns, pus) * halves if plan.over == OVER_N else o.n
        k = o.k if plan.over == OVER_N else widest_share(o.k, core.columns, pus)
        cycles = [pass_cycles(core, *shape, o.m, n, k) for shape in every_shape(core)]
        assert plan.array_cycles == min(c for c in cycles if c >= 0)


def test_a_batch_beyond_the_rows_of_the_array_has_no_plan_on_os_and_is():
    params = machine(SNAKE)
    rows = params.core.strips * params.core.strip_rows
    for m, flows in ((rows, ("OS", "IS")), (rows + 1, ("OS", "WS", "IS"))):
        operator = Operator("layer0.down", OperatorKind.DOWN, 0, m=m, n=16, k=16)
        assert candidates(operator, params, flows, (OVER_N,))
        assert {c.plan.shape.flow for c in candidates(operator, params, flows, (OVER_N,))} == (
            {OS, IS} if m == rows else {WS}
        )


@pytest.mark.parametrize("flows", [("IS",), ("OS",), ("WS",)])
def test_a_chip_that_cannot_take_both_keys_and_values_is_refused(flows):
    with pytest.raises(InfeasibleError, match="attention has no legal dataflow") as caught:
        plain_schedule(decode_step(small_model(), 1, 21, 1), machine(SNAKE), flows)
    assert caught.value.faults[0].got == flows[0]


def test_an_operator_without_plan_is_named_with_its_shape():
    model, params = small_model(), machine(SNAKE)
    with pytest.raises(InfeasibleError, match="no legal plan on chip snake") as caught:
        plain_schedule(decode_step(model, 9, 21, 1), params, ("OS", "IS"))
    assert {fault.where for fault in caught.value.faults} >= {"layer0.qkv", "lm_head"}
    assert all(fault.got.startswith("M 9 ") for fault in caught.value.faults)


def test_the_mac_tree_ignores_the_dataflows_of_arrays():
    graph = decode_step(small_model(), 2, 21, 1)
    assert plain_schedule(graph, machine(STRATUM), ()) == plain_schedule(graph, machine(STRATUM), FLOWS)
