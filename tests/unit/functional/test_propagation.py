"""The bound of a whole step: other roundings stay inside, mistakes do not."""

import numpy as np
import pytest

from nmpsim.errors import WorkloadError
from nmpsim.functional import compare_step, random_tensors, reference_step, step_bounds
from nmpsim.workload import synthetic_routing
from tests.unit.functional.models import model

TOKENS = [11, 3]


def make(*, moe, layers=2, context=17):
    m = model(moe=moe, layers=layers)
    routing = synthetic_routing(m, 2, layers, seed=1) if moe else None
    tensors = random_tensors(m, 2, context, layers, 9)
    reference = reference_step(m, 2, context, tensors, TOKENS, routing, layers)
    return m, tensors, reference, routing, step_bounds(m, tensors, reference, routing, layers)


def compared(step):
    return {name: values for name, values in step.items() if not name.endswith("softmax")}


@pytest.mark.parametrize("moe", [False, True])
def test_the_reference_lies_within_its_own_bounds(moe):
    _, _, reference, _, bounds = make(moe=moe)
    assert compare_step(reference, bounds, compared(reference)) == []
    assert set(bounds) == set(compared(reference)) - {"sampling"}
    zero = [name for name, bound in bounds.items() if not (bound > 0).all()]
    assert zero == ["embedding"]


@pytest.mark.parametrize("moe", [False, True])
def test_a_step_with_other_roundings_lies_within_the_bounds(moe, monkeypatch):
    """Every stored result is moved to the neighbouring FP16 number at random: a unit in the last place."""
    m, tensors, reference, routing, bounds = make(moe=moe)
    rng = np.random.default_rng(0)

    def jittered(values):
        rounded = np.asarray(values).astype(np.float16)
        return np.nextafter(rounded, rng.choice(np.array([-np.inf, np.inf], np.float16), rounded.shape))

    monkeypatch.setattr("nmpsim.functional.reference._rounding", lambda _: jittered)
    other = reference_step(m, 2, 17, tensors, TOKENS, routing, 2)
    other["embedding"] = reference["embedding"]
    assert abs(other["lm_head"] - reference["lm_head"]).max() > 0
    assert compare_step(reference, bounds, compared(other)) == []


@pytest.mark.parametrize("moe", [False, True])
def test_the_bounds_are_tight_enough_to_see_a_mistake(moe):
    """A few rows or columns that are zero: outside."""
    m, tensors, reference, routing, bounds = make(moe=moe, layers=1)
    expert = f"expert.{min(routing.tokens[0])}." if moe else ""
    changes = {
        "layers.0.k.1.0": np.s_[3],
        "layers.0.v.0.1": np.s_[16 // 2],
        "layers.0.qkv": np.s_[:, 5],
        f"layers.0.{expert}gate_up": np.s_[:, :8],
        f"layers.0.{expert}down": np.s_[:12],
        "layers.0.norm2": np.s_[0, :6],
        "rope": np.s_[0, :1],
        "lm_head": np.s_[:, 50],
    }
    for name, where in changes.items():
        wrong = dict(tensors)
        wrong[name] = tensors[name].copy()
        wrong[name][where] = 0
        other = reference_step(m, 2, 17, wrong, TOKENS, routing, 1)
        assert compare_step(reference, bounds, {"lm_head": other["lm_head"]}), name


def test_bounds_grow_from_layer_to_layer():
    _, _, _, _, bounds = make(moe=False)
    assert bounds["layer1.ffn_residual"].mean() > bounds["layer0.ffn_residual"].mean() > 0


def test_a_token_is_right_if_its_logit_is_the_greatest_within_the_bounds():
    _, _, reference, _, bounds = make(moe=False, layers=1)
    order = reference["lm_head"].argsort(1)
    best, worst = order[:, -1], order[:, 0]
    assert compare_step(reference, bounds, {"sampling": best}) == []
    (fault,) = compare_step(reference, bounds, {"sampling": np.array([best[0], worst[1]])})
    assert fault.where == "sampling, element (1,)"
    close = dict(reference, lm_head=np.where(np.arange(96) == worst[:, None], 99.0, reference["lm_head"]))
    close["lm_head"][np.arange(2), best] = 99.0 + bounds["lm_head"][np.arange(2), best]
    assert compare_step(close, bounds, {"sampling": worst}) == []


def test_a_number_that_is_none_is_a_fault():
    _, _, reference, _, bounds = make(moe=False, layers=1)
    logits = reference["lm_head"].copy()
    logits[1, 2] = np.nan
    (fault,) = compare_step(reference, bounds, {"lm_head": logits})
    assert fault.where == "lm_head, element (1, 2)"


def test_errors_that_grow_too_far_are_refused():
    m, tensors, _, _, _ = make(moe=False, layers=1)
    sharp = dict(tensors)
    sharp["layers.0.qkv"] = (tensors["layers.0.qkv"].astype(float) * 30).astype(np.float16)
    reference = reference_step(m, 2, 17, sharp, TOKENS, None, 1)
    with pytest.raises(WorkloadError, match=r"layer0.score: got an error of up to .* compare fewer layers"):
        step_bounds(m, sharp, reference, None, 1)
