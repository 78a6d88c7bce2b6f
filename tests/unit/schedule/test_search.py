"""The search finds the cheapest schedule of small spaces, the same every time, and says why."""

from itertools import product
from math import ceil

import pytest

from nmpsim.errors import InfeasibleError, SpecError
from nmpsim.program.schedule import OVER_K, OVER_N
from nmpsim.schedule.policy import POLICIES, Narrowed, make_schedule
from nmpsim.schedule.search import Limit, Search
from nmpsim.schedule.space import Space
from nmpsim.schedule.step import plan_step
from nmpsim.schedule.why import explain
from nmpsim.spec import resolve
from nmpsim.workload import decode_step, synthetic_routing
from tests.builders import KINDS, SNAKE, small_chip, small_model

FLOWS = ("OS", "WS", "IS")


def space(kind=SNAKE, pus=4, *, moe=False, layers=1, batch=2, context=21, **overrides):
    model = small_model(moe=moe, layers=layers)
    routing = synthetic_routing(model, batch, layers, seed=2) if moe else None
    params = resolve(small_chip(kind, pus, **overrides))
    return Space(decode_step(model, batch, context, layers, routing), params, FLOWS)


def least_of_all(search, down, limit):
    """The cheapest choice of one plan per layout and GEMM, by trying every one of them."""
    chain = search.stages(down, limit)
    best = None
    for choice in product(*(range(len(stage.options)) for stage in chain[0])):
        layout, total = "sliced", 0
        for stage, number in zip(chain[0], choice, strict=True):
            total += stage.cost(layout, stage.options[number])
            layout = stage.options[number].gives
        best = total if best is None else min(best, total)
    return best


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pus", [1, 2, 4])
@pytest.mark.parametrize("moe", [False, True])
def test_the_chain_of_a_step_is_solved_as_by_enumeration(kind, pus, moe):
    search = Search(space(kind, pus, moe=moe))
    limit = next(search.limits())
    for down in (OVER_N, OVER_K):
        solved = search.solve(down, limit)
        if solved is not None:
            assert solved[0] == least_of_all(search, down, limit)


class Unpruned(Search):
    """A search that looks at every plan, also at those on teams that cannot be taken."""

    def costs(self, index):
        plans = self.space.plans(self.graph.operators[index])
        pairs = [(plan, self.cost(index, plan)) for plan in plans]
        return tuple(sorted((pair for pair in pairs if pair[1] is not None), key=lambda pair: pair[1].total))


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_search_leaves_out_changes_nothing(kind, moe):
    whole = space(kind, 4, moe=moe)
    search, every = Search(whole), Unpruned(whole)
    gemms = [i for i, o in whole.gemms.items() if any(p.team > 1 for p in whole.plans(o))]
    assert sum(len(every.costs(i)) for i in gemms) > sum(len(search.costs(i)) for i in gemms)
    for limit in search.limits():
        for down in (OVER_N, OVER_K):
            assert search.solve(down, limit) == every.solve(down, limit)


@pytest.mark.parametrize("chip", ["snake", "stratum"])
def test_experts_with_fewer_column_blocks_than_pus_are_computed_by_teams(chip):
    """OLMoE's experts have 8 pairs of column blocks: over N half of the 16 PUs would have no weights."""
    schedule = plan_step("olmoe-1b-7b", chip, batch=4, context=256, layers=1, policy="searched").schedule()
    taken = [
        plan
        for i, plan in schedule.gemm.items()
        if ".expert" in (o := schedule.graph.operators[i]).name and o.kind == "gate_up"
    ]
    assert taken
    assert {(plan.team, plan.working) for plan in taken} == {(2, 2)}


@pytest.mark.parametrize("kind", KINDS)
def test_no_plan_is_cheaper_than_its_representative_by_more_than_a_prediction_resolves(kind):
    search = Search(space(kind))
    limit = next(search.limits())
    _, chosen = search.solve(OVER_K, limit)
    for index, plan in chosen.items():
        operator = search.graph.operators[index]
        layouts = search.layouts(operator, plan, OVER_K)
        costs = dict(search.allowed(index, OVER_K, limit))
        alike = [c.total for p, c in costs.items() if search.layouts(operator, p, OVER_K) == layouts]
        assert costs[plan].total <= min(alike) + search.unresolved(index)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_gives_the_same_schedule_every_time(kind, policy):
    assert make_schedule(policy, space(kind), 3) == make_schedule(policy, space(kind), 3)


def test_random_plans_follow_the_seed():
    drawn = {str(make_schedule("random-legal", space(), seed).lines()) for seed in range(5)}
    assert len(drawn) == 5


def test_the_predicted_total_is_that_of_the_parts():
    search = Search(space())
    found = search.best()
    gemms = search.solve(found.down, found.limit)
    attention = search.attention_cost(found.schedule.attention)
    least = search.attention[0][1].total + search.unresolved(-1)
    assert found.cycles == gemms[0] + ceil(max(least, attention.total))
    assert dict(gemms[1]) == found.schedule.gemm


def test_the_prediction_of_a_schedule_is_that_of_its_chain_and_its_attention():
    search = Search(space(layers=2))
    found = search.best()
    attention = search.attention_cost(found.schedule.attention)
    assert search.predicted(found.schedule) == search.solve(found.down, found.limit)[0] + 2 * ceil(attention.total)


def test_the_search_departs_from_the_plain_schedule_only_where_predictions_resolve_it():
    large = plan_step("llama-3.1-8b", "snake", batch=16, context=256, layers=1).space
    chosen = []
    for one in (space(), space(moe=True), large):
        search = Search(one)
        plain, best, searched = make_schedule("plain", one), search.best().schedule, make_schedule("searched", one)
        gain = search.predicted(plain) - search.predicted(best)
        assert searched == (best if gain > search.doubt(plain, best) else plain)
        chosen.append(searched == best != plain)
    assert chosen == [False, False, True]


def test_less_room_leads_to_a_schedule_that_takes_less():
    wide = Search(space(batch=3)).best()
    sizes = [2**18, *range(2**13, 2**11, -128)]
    fitting = []
    for size in sizes:
        try:
            found = Search(space(batch=3, core__buffer__bytes=size)).best()
        except InfeasibleError:
            break
        fitting.append(found)
        assert Search(space(batch=3, core__buffer__bytes=size)).space.fits(found.schedule)
    assert wide.schedule.gemm == fitting[0].schedule.gemm
    assert len(fitting) < len(sizes)  # the smallest is too small for all, and is refused
    assert any(f.limit != fitting[0].limit for f in fitting)


def test_a_narrowed_space_keeps_to_its_rule_and_falls_back_where_it_leaves_nothing():
    whole = space()
    none = Narrowed(
        whole.graph,
        whole.params,
        FLOWS,
        allows=lambda _, plan: plan.chunks == 77,
        attends=lambda plan: plan.parts == 77,
    )
    only = Narrowed(
        whole.graph,
        whole.params,
        FLOWS,
        allows=lambda _, plan: plan.over == OVER_N,
        attends=lambda plan: plan.parts == 1,
    )
    for operator in whole.gemms.values():
        assert none.plans(operator) == whole.plans(operator)
        kept = only.plans(operator)
        assert kept == tuple(p for p in whole.plans(operator) if p.over == OVER_N) or kept == whole.plans(operator)
    assert none.attention == whole.attention
    assert {p.parts for p in only.attention} == {1}


def test_an_unknown_policy_is_refused_with_the_names():
    with pytest.raises(SpecError, match="searched"):
        make_schedule("best", space())


def test_a_limit_leaves_out_what_takes_more_room():
    search = Search(space())
    for index, operator in search.space.gemms.items():
        for size in (128, 1024, 4096):
            for plan, _ in search.allowed(index, OVER_K, Limit(size, 1, True)):
                assert search.space.partial_bytes(operator, plan) <= size


@pytest.mark.parametrize("policy", ["plain", "searched"])
def test_the_explanation_names_every_operator_and_marks_the_plan_taken(policy):
    whole = space()
    schedule = make_schedule(policy, whole)
    lines = explain(Search(whole), schedule)
    for index, plan in schedule.gemm.items():
        operator = whole.graph.operators[index]
        at = next(i for i, line in enumerate(lines) if line.startswith(operator.name))
        block = lines[at + 1 : at + 9]
        assert any(line.startswith("*") and plan.shape.flow_name in line for line in block), operator.name
        assert any(line.strip().startswith("taken:") for line in block), operator.name
    assert any(line.startswith("*") and "parts" in line for line in lines)
