"""What stacks know from one another saves time and changes no choice."""

import pytest

from nmpsim.analytic.gemm import gemm_cost
from nmpsim.schedule.policy import make_schedule
from nmpsim.schedule.space import Space
from nmpsim.schedule.stacks import StackPrograms
from nmpsim.spec import resolve
from nmpsim.workload import decode_step, synthetic_routing
from nmpsim.workload.shards import make_shard
from tests.builders import KINDS, small_chip, small_model
from tests.unit.stacks.bench import TOKENS

FLOWS = ("OS", "WS", "IS")


def graphs_of(stacks, batch=2, context=21):
    model = small_model(moe=True)
    routing = synthetic_routing(model, batch, None, seed=2)
    shards = [make_shard(model, context, stacks, stack, "blocks") for stack in range(stacks)]
    return [decode_step(model, batch, context, model.layers, routing, shard=shard) for shard in shards]


@pytest.mark.parametrize("policy", ["searched", "temporal-only", "spatial-only", "random-legal"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_stack_chooses_as_it_would_alone(kind, policy):
    graphs, params = graphs_of(2), resolve(small_chip(kind, 4))
    together = StackPrograms(graphs, params, FLOWS, TOKENS[:2], policy=policy, seed=3)
    first = make_schedule(policy, Space(graphs[0], params, FLOWS), 3)
    alone = make_schedule(policy, Space(graphs[1], params, FLOWS, attending=first.attention), 3)
    assert together.alike == [0, 1]
    assert [schedule.gemm for schedule in together.schedules] == [first.gemm, alone.gemm]
    assert first.attention == together.schedules[1].attention


def test_a_plan_is_predicted_once_for_all_stacks(monkeypatch):
    predicted = []

    def counting(params, operator, plan, shares, tier):
        predicted.append((operator.kind, operator.m, operator.n, operator.k, operator.heads, plan, shares, tier))
        return gemm_cost(params, operator, plan, shares, tier)

    monkeypatch.setattr("nmpsim.schedule.predictions.gemm_cost", counting)
    params = resolve(small_chip(KINDS[0], 4))
    graphs = graphs_of(2)
    spaces = [Space(graph, params, FLOWS) for graph in graphs]
    apart = sum(len(one.gemms) for one in spaces)
    StackPrograms(graphs, params, FLOWS, TOKENS[:2], policy="searched")
    assert apart > len({one.sizes(operator) for one in spaces for operator in one.gemms.values()})
    assert len(predicted) == len(set(predicted))
