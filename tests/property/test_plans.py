"""Every plan of the space computes right numbers and is legal: any model, chip, number of PUs, policy and seed."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from nmpsim.errors import InfeasibleError
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
from nmpsim.program.encode import encode
from nmpsim.program.encode.memory import Buffer
from nmpsim.program.schedule import OVER_K
from nmpsim.schedule.check import check_hazards
from nmpsim.schedule.policy import POLICIES, make_schedule
from nmpsim.schedule.search import Search
from nmpsim.schedule.space import Space, key_of
from nmpsim.spec import resolve
from nmpsim.workload import decode_step, synthetic_routing
from tests.builders import KINDS, SEPARATE, SNAKE, STRATUM, small_chip, small_model
from tests.families import FAMILIES

TOKENS = (11, 95, 11)
FLOWS = ("OS", "WS", "IS")
MODELS = {
    "dense": small_model(),
    "heads that divide": small_model(kv_heads=4, heads=4, hidden=96),
    "moe": small_model(moe=True),
    **FAMILIES,
    # of the hidden state:
    "few columns": small_model(hidden=16, layers=2),
    "few columns, experts": small_model(moe=True, hidden=16),
    "one owner": small_model(moe=True, hidden=8),
    "shared expert": replace(FAMILIES["absorbed"], hidden=16),
}


def make(model, kind, pus, context, batch, policy, seed, **overrides):
    """Schedule, program, chip and routing; None if nothing fits.  Policy "cheapest": what the search alone finds."""
    params = resolve(small_chip(kind, pus, **overrides))
    routing = synthetic_routing(model, batch, None, seed=2) if model.is_moe else None
    graph = decode_step(model, batch, context, None, routing)
    try:
        space = Space(graph, params, FLOWS)
        schedule = Search(space).best().schedule if policy == "cheapest" else make_schedule(policy, space, seed)
        program = encode(schedule, params, TOKENS[:batch])
    except InfeasibleError:
        return None
    return schedule, program, params, routing


def is_right(model, made, context, batch):
    """Check legality, delivered elements, every operator and every result."""
    _, program, params, routing = made
    check_hazards(program, params)
    layers = model.layers
    tensors = random_tensors(model, batch, context, layers, 1, 0)
    reference = reference_step(model, batch, context, tensors, TOKENS[:batch], routing, layers, 0)
    bounds = step_bounds(model, tensors, reference, routing, layers, 0)
    result = run(program, params, tensors)
    assert check_delivery(result, tensors) == ()
    assert check_operators(result, params).faults == ()
    assert compare_step(reference, bounds, machine_step(result, model, batch, layers)) == []


@settings(
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    max_examples=10,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    name=st.sampled_from(sorted(MODELS)),
    kind=st.sampled_from(KINDS),
    pus=st.sampled_from((2, 3, 4, 5, 8, 16)),
    size=st.sampled_from(((21, 2), (1, 3), (40, 1))),
    seed=st.integers(0, 2**16),
    separate=st.booleans(),
)
@example("normed-heads", SNAKE, 8, (21, 2), 448, False)  # PUs without columns of the result did not wait
@example("expanded", STRATUM, 8, (21, 2), 587, True)  # PUs without columns of an expert lagged behind two experts
@example("expanded", STRATUM, 8, (40, 1), 371, False)  # more PUs than column blocks of K
def test_random_legal_plans_compute_the_reference(name, kind, pus, size, seed, separate):
    (context, batch), model = size, MODELS[name]
    overrides = SEPARATE if separate else {}
    made = make(model, kind, pus, context, batch, "random-legal", seed, core__buffer__bytes=2**20, **overrides)
    if made is not None:
        is_right(model, made, context, batch)


@pytest.mark.parametrize("pus", [8, 16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["normed-heads", "expanded"])
def test_pus_without_columns_keep_in_step(name, kind, pus):
    """More PUs than blocks of columns: of the hidden state, of an expert, or of the vocabulary."""
    made = make(MODELS[name], kind, pus, 21, 2, "plain", 0, core__buffer__bytes=2**20, **SEPARATE)
    assert made is not None
    is_right(MODELS[name], made, 21, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "pus"), [("few columns", 16), ("few columns, experts", 16), ("one owner", 4), ("shared expert", 8)]
)
def test_pus_without_columns_of_the_hidden_state_keep_in_step(name, pus, kind):
    """They have no part in the results of a layer, but read, pass on and receive what these are made of."""
    made = make(MODELS[name], kind, pus, 21, 2, "plain", 0, core__buffer__bytes=2**20)
    assert made is not None
    is_right(MODELS[name], made, 21, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "pus", "ahead"),
    [
        ("few columns", 16, False),
        ("few columns, experts", 16, False),
        ("few columns, experts", 16, True),
        ("one owner", 8, False),
        ("one owner", 8, True),
        ("shared expert", 16, True),
    ],
)
def test_order_does_not_rest_on_where_regions_lie(name, pus, ahead, kind, monkeypatch):
    """Regions of attention and of the feed-forward network overlap in other ways."""
    model = MODELS[name]
    params = resolve(small_chip(kind, pus, core__buffer__bytes=2**20))
    routing = synthetic_routing(model, 2, None, seed=2) if model.is_moe else None
    space = Space(decode_step(model, 2, 21, None, routing), params, FLOWS)
    take = Buffer.take
    for seed in range(3):
        dice = random.Random(seed)

        def moved(self, name, size, phase="", dice=dice):
            if phase:
                take(self, f"gap before {name}", dice.choice((1, 8, 32)) * self.align, phase)
            return take(self, name, size, phase)

        monkeypatch.setattr(Buffer, "take", moved)
        made = replace(make_schedule("plain" if seed < 2 else "random-legal", space, seed), ahead=ahead)
        program = encode(made, params, TOKENS[:2])
        assert "gap before attention output" in program.regions
        check_hazards(program, params)


@pytest.mark.parametrize("policy", ["cheapest", *POLICIES])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["dense", "moe", "absorbed"])
def test_every_policy_computes_the_reference(policy, kind, name):
    made = make(MODELS[name], kind, 4, 21, 2, policy, 1)
    assert made is not None
    is_right(MODELS[name], made, 21, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operator", ["attn_out", "qkv", "gate_up", "down"])
def test_operators_over_k_compute_the_reference(kind, operator):
    """One operator at a time is forced over K, in the fewest and in the most chunks."""
    model = MODELS["heads that divide"]
    params = resolve(small_chip(kind, 4, core__buffer__bytes=2**20))
    graph = decode_step(model, 3, 21)
    space = Space(graph, params, FLOWS)
    plain = make_schedule("plain", space)
    index = next(i for i, o in space.gemms.items() if o.kind == operator)
    plans = {p.chunks: p for p in space.plans(graph.operators[index]) if p.over == OVER_K}
    assert len(plans) > 1
    for plan in (plans[min(plans)], plans[max(plans)]):
        schedule = space.schedule({**plain.gemm, index: plan}, plain.attention)
        if operator == "down" or space.fits(schedule):
            made = schedule, encode(schedule, params, TOKENS), params, None
            is_right(model, made, 21, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "pus"),
    [("heads that divide", 2), ("heads that divide", 16), ("moe", 4), ("moe", 8), ("expanded", 6), ("learned", 3)],
)
def test_teams_compute_the_reference(name, kind, pus):
    """All GEMMs that may are on teams: grids of N and K, groups of PUs, and both."""
    model = MODELS[name]
    params = resolve(small_chip(kind, pus, core__buffer__bytes=2**20, **(SEPARATE if pus == 6 else {})))
    routing = synthetic_routing(model, 2, None, seed=2) if model.is_moe else None
    space = Space(decode_step(model, 2, 21, None, routing), params, FLOWS)
    plain = make_schedule("plain", space)
    dice, drawn = random.Random(pus), {}
    for operator in space.gemms.values():
        plans = [p for p in space.plans(operator) if p.team > 1]
        if plans:
            drawn[key_of(operator)] = dice.choice(plans)
    gemm = {i: drawn.get(key_of(o), plain.gemm[i]) for i, o in space.gemms.items()}
    assert sum(plan.team > 1 for plan in gemm.values()) >= len(gemm) // 2
    made = space.schedule(gemm, plain.attention)
    is_right(model, (made, encode(made, params, TOKENS[:2]), params, routing), 21, 2)


def moe_step(name, kind, pus, batch=3, context=21, **overrides):
    """Space and routing of a step with experts."""
    model = MODELS[name]
    params = resolve(small_chip(kind, pus, core__buffer__bytes=2**20, **overrides))
    routing = synthetic_routing(model, batch, None, seed=2)
    return Space(decode_step(model, batch, context, None, routing), params, FLOWS), routing


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "pus"),
    [
        ("moe", 2),
        ("moe", 4),
        ("moe", 8),
        ("normed-heads", 3),
        ("normed-heads", 4),
        ("expanded", 2),
        ("absorbed", 3),
        ("absorbed", 6),
        ("absorbed", 8),
        ("few columns, experts", 16),
        ("one owner", 8),
        ("shared expert", 16),
    ],
)
def test_experts_that_begin_ahead_compute_the_reference(name, pus, kind):
    space, routing = moe_step(name, kind, pus, **(SEPARATE if pus == 3 else {}))
    assert space.overlaps_experts
    drawn = 0
    for seed in range(2):
        schedule = make_schedule("plain" if seed == 0 else "random-legal", space, seed)
        early = replace(schedule, ahead=True)
        if space.fits(early):
            drawn += 1
            is_right(MODELS[name], (early, encode(early, space.params, TOKENS), space.params, routing), 21, 3)
    assert drawn


def test_draws_reach_experts_that_begin_ahead():
    space, _ = moe_step("moe", SNAKE, 4)
    assert {make_schedule("random-legal", space, seed).ahead for seed in range(12)} == {False, True}


def test_draws_reach_every_kind_of_plan():
    """What the property above draws is not always the same corner."""
    seen = Counter()
    for seed in range(60):
        made = make(MODELS["heads that divide"], SNAKE, 4, 21, 2, "random-legal", seed, core__buffer__bytes=2**20)
        schedule = made[0]
        for index, plan in schedule.gemm.items():
            kind = schedule.graph.operators[index].kind
            seen.update([(kind, plan.over), plan.shape.flow_name, plan.shape.split_name, plan.chunks])
            seen.update([(kind, "grid" if plan.working == plan.team else "group")] if plan.team > 1 else [])
        attention = schedule.attention
        seen.update([("parts", attention.parts > 1), ("together", attention.together > 1)])
    for kind in ("qkv", "attn_out", "gate_up", "down"):
        assert seen[kind, 0], kind
        assert seen[kind, 1], kind
        assert seen[kind, "grid"], kind
        assert seen[kind, "group"], kind
    assert all(seen[name] for name in ("OS", "WS", "IS", "chain", "fission-N", "fission-K"))
    assert all(seen[which, flag] for which in ("parts", "together") for flag in (False, True))
