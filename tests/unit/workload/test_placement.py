import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.errors import WorkloadError
from nmpsim.workload import (
    PLACEMENTS,
    Routing,
    StackLoad,
    describe_routing,
    load_model,
    place_experts,
    stack_loads,
    synthetic_routing,
)
from tests.unit.workload.configs import LLAMA_CONFIG, MIXTRAL_CONFIG, model_of

MODEL = model_of(MIXTRAL_CONFIG)


def test_experts_that_do_not_divide_are_spread():
    assert place_experts(MODEL, 4) == (0, 1, 1, 2, 3, 3)
    assert place_experts(MODEL, 4, "round_robin") == (0, 1, 2, 3, 0, 1)


@given(stacks=st.integers(1, 300), rule=st.sampled_from(PLACEMENTS))
def test_no_stack_has_two_experts_more_than_another(stacks, rule):
    placement = place_experts(load_model("deepseek-v3"), stacks, rule)
    held = [placement.count(stack) for stack in range(stacks)]
    assert len(placement) == sum(held) == 256
    assert max(held) - min(held) <= 1


def test_loads_of_stacks_by_hand():
    """Token 0 to experts 3 and 0, token 1 to 0 and 5, token 2 to 3 and 5; stacks of 0, 1, 2 and of 3, 4, 5."""
    routing = Routing((((3, 0), (0, 5), (3, 5)),), "a test")
    assert stack_loads(routing, 0, place_experts(MODEL, 2), 2) == (StackLoad(1, 2), StackLoad(2, 4))
    text = describe_routing(MODEL, routing, 2)
    assert text.splitlines()[1].split(maxsplit=2)[2] == ("3 of 6 experts; 1..2 a stack, tokens 2..4, imbalance 1.333")


@given(stacks=st.integers(1, 40), seed=st.integers(0, 99), rule=st.sampled_from(PLACEMENTS))
def test_stacks_together_have_every_expert_and_token_once(stacks, seed, rule):
    model = load_model("olmoe-1b-7b")
    routing = synthetic_routing(model, 5, 2, "zipf", 1.5, seed)
    loads = stack_loads(routing, 1, place_experts(model, stacks, rule), stacks)
    assert sum(load.tokens for load in loads) == 5 * 8
    assert sum(load.experts for load in loads) == len(routing.tokens[1])


def test_faults_come_at_once():
    with pytest.raises(WorkloadError) as caught:
        place_experts(model_of(LLAMA_CONFIG), 0, "random")
    assert [fault.where for fault in caught.value.faults] == ["stacks", "model", "placement"]
