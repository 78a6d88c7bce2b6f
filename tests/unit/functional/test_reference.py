"""The reference against a second, naive implementation and hand-made cases."""

import numpy as np
import pytest

from nmpsim.functional import random_tensors, reference_step, rope_table
from nmpsim.workload import decode_step, synthetic_routing
from tests.unit.functional.models import model


def naive_step(m, batch, context, t, tokens, routing, layers):
    """Logits by loops over sequences, heads and tokens, in FP64 without any rounding."""
    w = {name: value.astype(float) for name, value in t.items()}
    E, H, G, F = m.head_dim, m.heads, m.kv_heads, m.ffn
    cos, sin = w["rope"][0, : E // 2], w["rope"][0, E // 2 :]

    def norm(x, gain):
        return x / np.sqrt(sum(v * v for v in x) / len(x) + m.rms_eps) * gain[0]

    def turn(head):
        pairs = (head[: E // 2] + 1j * head[E // 2 :]) * (cos + 1j * sin)
        return np.concatenate([pairs.real, pairs.imag])

    def network(x, prefix):
        both = x @ w[f"{prefix}.gate_up"]
        return (both[:F] / (1 + np.exp(-both[:F])) * both[F:]) @ w[f"{prefix}.down"]

    logits = []
    for b, token in enumerate(tokens):
        x = w["embedding"][token]
        for layer in range(layers):
            p = f"layers.{layer}"
            qkv = (norm(x, w[f"{p}.norm1"]) @ w[f"{p}.qkv"]).reshape(-1, E)
            heads = []
            for h in range(H):
                g = h * G // H
                keys = [*w[f"{p}.k.{b}.{g}"][:-1], turn(qkv[H + g])]
                values = [*w[f"{p}.v.{b}.{g}"][:-1], qkv[H + G + g]]
                scores = np.exp([turn(qkv[h]) @ key / np.sqrt(E) for key in keys])
                heads.append(sum(s * v for s, v in zip(scores, values, strict=True)) / sum(scores))
            x = x + np.concatenate(heads) @ w[f"{p}.attn_out"]
            y = norm(x, w[f"{p}.norm2"])
            if m.is_moe:
                chosen = routing.assignment[layer][b]
                gates = np.exp([(y @ w[f"{p}.router"])[e] for e in chosen])
                parts = [g * network(y, f"{p}.expert.{e}") for g, e in zip(gates / gates.sum(), chosen, strict=True)]
                x = x + sum(parts)
            else:
                x = x + network(y, p)
        logits.append(norm(x, w["final_norm"]) @ w["lm_head"])
    return np.array(logits)


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("context", [1, 2, 19])
def test_the_reference_agrees_with_a_naive_implementation(moe, context):
    m = model(moe=moe, layers=2)
    routing = synthetic_routing(m, 3, 2, seed=context) if moe else None
    t = random_tensors(m, 3, context, 2, seed=4)
    step = reference_step(m, 3, context, t, [7, 0, 95], routing, 2)
    exact = naive_step(m, 3, context, t, [7, 0, 95], routing, 2)
    assert abs(step["lm_head"] - exact).max() < 0.02 * abs(exact).max()
    assert (step["sampling"] == step["lm_head"].argmax(1)).all()


def test_every_operator_of_the_graph_has_a_result():
    m = model(moe=True, layers=1)
    routing = synthetic_routing(m, 2, 1)
    step = reference_step(m, 2, 5, random_tensors(m, 2, 5, 1, 0), [1, 2], routing, 1)
    fused = {"gather", "gate_up", "attn_out", "combine"}  # part of the next result
    for operator in decode_step(m, 2, 5, 1, routing):
        last = operator.name.rsplit(".", 1)[-1]
        name = operator.name.replace("kv_append", "new_k")
        assert last in fused or name in step, operator.name
    assert "layer0.combine" in step


def test_results_are_rounded_where_the_machine_stores_them():
    m = model()
    step = reference_step(m, 1, 4, random_tensors(m, 1, 4, 1, 0), [1])
    stored = {name for name, values in step.items() if values.dtype == np.float16}
    assert {name for name in step if name.startswith("layer0.")} - stored == {"layer0.score"}
    assert {"embedding", "final_norm"} <= stored
    assert step["lm_head"].dtype == np.float64


def test_activations_stay_of_order_one():
    m = model(moe=True, layers=3)
    step = reference_step(m, 2, 50, random_tensors(m, 2, 50, 3, 1), [3, 4], synthetic_routing(m, 2, 3), 3)
    for name, values in step.items():
        if name != "sampling" and "softmax" not in name:
            assert 0.05 < np.sqrt((values.astype(float) ** 2).mean()) < 10, name


def test_rows_that_the_step_appends_are_unknown_before():
    m = model()
    t = random_tensors(m, 2, 6, 1, 0)
    names = [name for name in t if ".k." in name or ".v." in name]
    assert len(names) == 8
    for name in names:
        assert t[name].shape == (6, 16)
        assert np.isnan(t[name][-1]).all()
        assert not np.isnan(t[name][:-1]).any()


def test_a_tied_head_is_the_embedding():
    t = random_tensors(model(tied=True), 1, 2, 1, 0)
    assert (t["lm_head"] == t["embedding"].T).all()


def test_the_table_of_angles_starts_with_the_position_itself():
    table = rope_table(model(), 5)[0]
    assert table[0] == pytest.approx(np.cos(5))
    assert table[8] == pytest.approx(np.sin(5))
    assert table[1] == pytest.approx(np.cos(5 * 10000 ** (-2 / 16)))
    assert (rope_table(model(), 0)[0] == [1] * 8 + [0] * 8).all()
