"""How far a machine's step may lie from the reference: rounding errors propagated through the whole step.

Machine and reference round the same results to FP16, but sum in another order, so that the same result may round
differently.  Each such difference is a *source*: a zero-mean number of at most one unit in the last place (of FP16
max(2^-10 |x|, 2^-24), of BF16 max(2^-7 |x|, 2^-133)), plus the FP32 summation bound gamma_n sum |a b| of that result; n
counts 64 additions more than the sum has terms, for planes and partial sums over PUs.  Results that a schedule may or
may not store as FP16 (an expert's output) have a source of half a unit in the last place.

To first order the error of a result is a linear function of all sources: its row of a matrix L, which is carried from
operator to operator by the derivative of each operator at the reference (columns are sources; in the scale of the
source).  For independent zero-mean sources Hoeffding's inequality gives P(|error| > t ||L||_2) <= 2 exp(-t^2 / 2);
with N results compared, t = sqrt(2 ln(2 N / 1e-9)) leaves a chance of 1e-9 that any of them lies outside.  The bound is
doubled for terms of second order; they are smaller than those of first order while no norm and no exponent is off by
more than a quarter, which is checked.  Rounding errors as independent zero-mean numbers are the model of Higham and
Mary.  At the end of a layer L is replaced by a triangular matrix with the same products of rows (QR).

Source
------
N. J. Higham, T. Mary, A New Approach to Probabilistic Rounding Error Analysis, SIAM J. Sci. Comput. 41(5), 2019,
A2815-A2835; W. Hoeffding, Probability inequalities for sums of bounded random variables, JASA 58, 1963, Theorem 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, WorkloadError
from nmpsim.functional.image import Tensors
from nmpsim.functional.memory import HALVES
from nmpsim.functional.reference import Reals, Step, appended, caches
from nmpsim.functional.tolerance import ROUNDOFF, gamma
from nmpsim.workload import ABSORBED, LAYER_NORM, PER_HEAD, RELU, SIGMOID, Model, Routing

CHANCE = 1e-9
"""Chance that a correct machine lies outside the bound of any result."""

EXTRA_TERMS = 64
"""Additions beyond those of a plain sum: planes, partial sums over PUs, residual."""

SECOND_ORDER = 2.0
"""Factor for what the linear propagation leaves out."""

LARGEST_SHIFT = 0.25
"""Largest relative error of a norm, and error of an exponent, for which that factor holds."""


def step_bounds(
    model: Model,
    tensors: Tensors,
    reference: Step,
    routing: Routing | None = None,
    layers: int | None = None,
    first_layer: int = 0,
    operands: str = "fp16",
) -> dict[str, Reals]:
    """Bound the distance of a correct machine from the reference.

    Parameters
    ----------
    model : Model
        Dimensions.
    tensors : mapping of str to ndarray
        Weights and KV cache of the step.
    reference : dict of ndarray
        From `reference_step`.
    routing : Routing, optional
        Experts of each token; needed for a mixture of experts.
    layers : int, optional
        Number of layers; all from ``first_layer`` on by default.
    first_layer : int
        First of them.
    operands : str
        Format of the PEs of the chip: ``fp16`` or ``bf16``.

    Returns
    -------
    dict of ndarray
        Bound of each element of each result of the reference, except ``softmax`` (a machine may refer it to another
        maximum) and ``sampling``.

    Raises
    ------
    WorkloadError
        If errors can grow so far that the propagation does not hold.
    """
    depth = model.layers - first_layer if layers is None else layers
    numbers = range(first_layer, first_layer + depth)
    total = sum(values.size for values in reference.values())
    factor = np.sqrt(2 * np.log(2 * total / CHANCE))
    bounded = [name for name in reference if not name.endswith("softmax") and name != "sampling"]
    bounds = {name: np.zeros(reference[name].shape) for name in bounded}
    for sequence in range(len(reference["embedding"])):
        _Sequence(model, tensors, reference, routing, sequence, factor, bounds, HALVES[operands]).step(numbers)
    return bounds


def compare_step(reference: Step, bounds: Mapping[str, Reals], found: Mapping[str, NDArray[Any]]) -> list[Fault]:
    """Compare results of a machine with the reference.

    Parameters
    ----------
    reference : dict of ndarray
        From `reference_step`.
    bounds : mapping of str to ndarray
        From `step_bounds`.
    found : mapping of str to ndarray
        Results of the machine by the same names and of the same shapes; ``sampling``: tokens.

    Returns
    -------
    list of Fault
        One for each result with an element out of bounds.  A token is right if its logit is the greatest within the
        bounds of both.
    """
    faults = []
    for name, values in found.items():
        if name == "sampling":
            logits, rows = reference["lm_head"], np.arange(len(values))
            best = reference["sampling"]
            bound = bounds["lm_head"][rows, values] + bounds["lm_head"][rows, best]
            error = logits[rows, best] - logits[rows, values]
        else:
            bound = bounds[name]
            error = abs(values.astype(np.float64) - reference[name].astype(np.float64))
        if not (error <= bound).all():
            excess = np.nan_to_num(error - bound, nan=np.inf)
            worst = np.unravel_index(int(excess.argmax()), excess.shape)
            place = f"{name}, element {tuple(int(i) for i in worst)}"
            allowed = f"at most {bound[worst]:.3g}"
            faults.append(Fault(place, f"an error of {error[worst]:.3g}", allowed, "correct the program"))
    return faults


class _Sequence:
    """Error matrices of one sequence; `width` sources so far."""

    def __init__(
        self,
        model: Model,
        tensors: Tensors,
        reference: Step,
        routing: Routing | None,
        sequence: int,
        factor: float,
        bounds: dict[str, Reals],
        half: np.dtype[Any],
    ) -> None:
        self.model, self.tensors, self.reference, self.routing = model, tensors, reference, routing
        self.sequence, self.factor, self.bounds = sequence, SECOND_ORDER * factor, bounds
        self.width = 0
        self.roundoff, self.least = ROUNDOFF[half]

    def step(self, layers: range) -> None:
        """Carry the errors through a step (changes `bounds`)."""
        x = np.zeros((self.model.hidden, 0))  # rows of the embedding are copied
        last = "embedding"
        if self.model.learned_positions:
            last = "position"
            x = self.half(x, last)
        for layer in layers:
            name, prefix = f"layer{layer}", f"layers.{layer}"
            normed = self.norm(x, self.value(last), f"{prefix}.norm1", f"{name}.attn_norm")
            attend = self.attention if self.model.latent is None else self.latent_attention
            out = attend(normed, name, prefix)
            entry = f"{name}.value_up" if f"{name}.value_up" in self.reference else f"{name}.value"
            out = self.project(out, self.value(entry), self.weight(f"{prefix}.attn_out"))
            x = self.half(self.total(x, out), f"{name}.attn_residual")
            normed = self.norm(x, self.value(f"{name}.attn_residual"), f"{prefix}.norm2", f"{name}.ffn_norm")
            if self.model.has_experts(layer):
                out = self.experts(normed, layer)
            else:
                entry_value = self.value(f"{name}.ffn_norm")
                activate = self.relu if self.model.network == RELU else self.swiglu
                up = "up" if self.model.network == RELU else "gate_up"
                active = activate(normed, entry_value, f"{prefix}.{up}", f"{name}.activation", self.sequence)
                out = self.project(active, self.value(f"{name}.activation"), self.weight(f"{prefix}.down"))
            last = f"{name}.ffn_residual"
            x = self.half(self.total(x, out), last)
            triangle: Reals = np.linalg.qr(x.T).R
            x = triangle.T
            self.width = x.shape[1]
        normed = self.norm(x, self.value(last), "final_norm", "final_norm")
        self.note("lm_head", self.project(normed, self.value("final_norm"), self.weight("lm_head")))

    def norm(self, x: Reals, value: Reals, gain: str, name: str) -> Reals:
        """Carry errors through a norm of the model's kind, and its rounding."""
        return self.half(self.normed(x, value, self.weight(gain), name, layered=self.model.norm == LAYER_NORM), name)

    def normed(self, x: Reals, value: Reals, gain: Reals, name: str, *, layered: bool = False) -> Reals:
        """Carry errors through a norm.  A LayerNorm takes the mean away first."""
        raw = value
        if layered:
            value = value - value.mean()
            x = x - x.mean(axis=0, keepdims=True)
        root = np.sqrt((value**2).mean() + self.model.rms_eps)
        self.require(self.factor * np.sqrt((x**2).sum(axis=1)).max(initial=0.0) / root, name)
        along = value @ x / (len(value) * root**3)
        row = gain[0] if layered else gain.reshape(-1)
        turned: Reals = row[:, None] * (x / root - np.outer(value, along))
        if layered:  # the variance is the difference of two sums, each with its own error
            size = gamma(len(value) + EXTRA_TERMS) * ((raw**2).mean() + raw.mean() ** 2) / root**2
            turned = self.source(turned, size * abs(row * value / root))
        return turned

    def attention(self, normed: Reals, name: str, prefix: str) -> Reals:
        """Carry errors from the norm to the attention output."""
        model = self.model
        head, keys = model.head_dim, model.kv_heads * model.head_dim
        qkv = self.project(normed, self.value(f"{name}.attn_norm"), self.weight(f"{prefix}.qkv"))
        qkv = self.half(qkv, f"{name}.qkv")
        turned = qkv[:-keys]
        if model.qk_norm:
            turned = self.half(self.norm_heads(turned, name, prefix), f"{name}.qk_norm")
        if model.rope_dim:
            turned = self.half(self.rotate(turned), f"{name}.rope")
        stored = next(f"{name}.{part}" for part in ("rope", "qk_norm", "qkv") if f"{name}.{part}" in self.reference)
        value = self.value(stored)[: model.heads * head].reshape(model.heads, head)
        turned, new = self.pad(turned), self.pad(qkv[-keys:])
        queries = turned[: model.heads * head].reshape(model.heads, head, -1)
        new_keys = turned[model.heads * head :].reshape(model.kv_heads, head, -1)
        return self.cached(name, prefix, value, queries, new_keys, new.reshape(model.kv_heads, head, -1))

    def norm_heads(self, x: Reals, name: str, prefix: str) -> Reals:
        """Carry errors through the norms of queries and keys."""
        model, head = self.model, self.model.head_dim
        value = self.value(f"{name}.qkv")
        parts, start = [], 0
        for kind, heads in (("q", model.heads), ("k", model.kv_heads)):
            step = head if model.qk_norm == PER_HEAD else heads * head
            gain = self.weight(f"{prefix}.{kind}_norm")
            for first in range(start, start + heads * head, step):
                rows = slice(first, first + step)
                parts.append(self.normed(x[rows], value[rows], gain, f"{name}.qk_norm"))
            start += heads * head
        return np.concatenate(parts)

    def latent_attention(self, normed: Reals, name: str, prefix: str) -> Reals:
        """Carry errors from the norm to the output of latent attention."""
        model, latent, heads = self.model, self.model.latent, self.model.heads
        assert latent is not None
        rows = self.project(normed, self.value(f"{name}.attn_norm"), self.weight(f"{prefix}.latent"))
        rows = self.half(rows, f"{name}.latent")
        value = self.value(f"{name}.latent")
        second = latent.q_rank + latent.kv_rank
        kept = {}
        for kind, part in (("q", slice(0, latent.q_rank)), ("kv", slice(latent.q_rank, second))):
            gain = self.weight(f"{prefix}.{kind}_norm")
            kept[kind] = self.half(self.normed(rows[part], value[part], gain, name), f"{name}.{kind}_norm")
        up = self.project(kept["q"], self.value(f"{name}.q_norm"), self.weight(f"{prefix}.q_up"))
        up = self.half(up, f"{name}.q_up")
        both = np.concatenate(
            [
                up.reshape(heads, model.head_dim, -1)[:, latent.nope :].reshape(heads * latent.rope, -1),
                self.pad(rows[second:]),
            ]
        )
        turned = self.pad(self.half(self.rotate(both), f"{name}.rope"))
        turned_value = self.value(f"{name}.rope").reshape(heads + 1, latent.rope)
        rotated = turned.reshape(heads + 1, latent.rope, -1)
        plain = self.pad(up).reshape(heads, model.head_dim, -1)[:, : latent.nope]
        plain_value = self.value(f"{name}.q_up").reshape(heads, model.head_dim)[:, : latent.nope]
        if latent.form != ABSORBED:
            new = self.project(kept["kv"], self.value(f"{name}.kv_norm"), self.weight(f"{prefix}.kv_up"))
            new = self.half(new, f"{name}.kv_up").reshape(heads, latent.nope + latent.value, -1)
            shared = np.repeat(self.padded(rotated[heads:], new.shape[-1]), heads, axis=0)
            keys = np.concatenate([new[:, : latent.nope], shared], axis=1)
            query = np.concatenate([self.padded(part, new.shape[-1]) for part in (plain, rotated[:heads])], axis=1)
            query_value = np.concatenate([plain_value, turned_value[:heads]], axis=1)
            return self.cached(name, prefix, query_value, query, keys, new[:, latent.nope :])
        matrices = self.weight(f"{prefix}.absorb").reshape(heads, latent.nope, latent.kv_rank)
        absorbed = self.half(self.per_head(plain, plain_value, matrices), f"{name}.absorb")
        absorbed = absorbed.reshape(heads, latent.kv_rank, -1)
        size = absorbed.shape[-1]
        query = np.concatenate([absorbed, self.padded(rotated[:heads], size)], axis=1)
        query_value = self.value(f"{name}.absorb").reshape(heads, latent.kv_rank)
        query_value = np.concatenate([query_value, turned_value[:heads]], axis=1)
        row = self.padded(kept["kv"][None], size)
        keys = np.concatenate([row, self.padded(rotated[heads:], size)], axis=1)
        out = self.cached(name, prefix, query_value, query, keys, row)
        matrices = self.weight(f"{prefix}.value_up").reshape(heads, latent.kv_rank, latent.value)
        out_value = self.value(f"{name}.value").reshape(heads, latent.kv_rank)
        result = self.per_head(out.reshape(heads, latent.kv_rank, -1), out_value, matrices)
        return self.half(result, f"{name}.value_up")

    def per_head(self, x: Reals, value: Reals, weight: Reals) -> Reals:
        """Carry errors through a product with a matrix of its own for every head; result rows: head after head."""
        carried = np.einsum("hks,hkn->hns", x, weight).reshape(-1, x.shape[-1])
        size = gamma(value.shape[1] + EXTRA_TERMS) * np.einsum("hk,hkn->hn", abs(value), abs(weight))
        return self.source(carried, size.reshape(-1))

    def padded(self, x: Reals, width: int) -> Reals:
        """Zero effect of sources that came later; the last axis is that of the sources."""
        return np.concatenate([x, np.zeros((*x.shape[:-1], width - x.shape[-1]))], axis=-1)

    def cached(
        self, name: str, prefix: str, query_value: Reals, queries: Reals, new_keys: Reals, new_values: Reals
    ) -> Reals:
        """Carry errors of queries and new keys and values, shape (head, column, source), to the values."""
        model, b, group = self.model, self.sequence, self.model.heads // self.model.kv_heads
        for g in range(model.kv_heads):
            self.note(f"{name}.new_k", new_keys[g], (b, g))
            self.note(f"{name}.new_v", new_values[g], (b, g))
        keys, values = caches(model, self.tensors, prefix, b, *appended(self.reference, name, b))
        if f"{name}.cached_k" in self.reference:  # both sides read the same numbers from the cache
            new_keys, new_values = 0 * new_keys, 0 * new_values
        out = []
        for h in range(model.heads):
            g = h // group
            score = keys[g] @ queries[h]
            score[-1] += query_value[h] @ new_keys[g]
            terms = keys.shape[-1] + EXTRA_TERMS
            score = self.source(score, gamma(terms) * (abs(keys[g]) @ abs(query_value[h])))
            self.note(f"{name}.score", score, (b, h))
            exponent = score * model.score_scale
            self.require(self.factor * np.sqrt((exponent**2).sum(axis=1)).max(), f"{name}.score")
            raw = self.reference[f"{name}.softmax"][b, h].astype(np.float64)
            weights = raw / raw.sum()
            result = weights @ values[g]
            carried = (values[g] - result).T * weights @ exponent
            carried = self.total(carried, weights[-1] * new_values[g])
            rounding = 2 * np.maximum(self.roundoff * raw, self.least) + gamma(EXTRA_TERMS) * raw
            out.append(self.source_of(carried, (values[g] - result).T * (rounding / raw.sum())))
        return self.half(np.concatenate([self.pad(part) for part in out]), f"{name}.value")

    def rotate(self, heads: Reals) -> Reals:
        """Turn the rows of heads by the angles of the position."""
        half = self.model.rope_dim // 2
        table = self.weight("rope").reshape(2, half, 1)
        halves = heads.reshape(-1, 2, half, heads.shape[1])
        first, second = halves[:, 0], halves[:, 1]
        turned = np.stack([first * table[0] - second * table[1], second * table[0] + first * table[1]], axis=1)
        return turned.reshape(heads.shape)

    def swiglu(self, x: Reals, value: Reals, weight: str, name: str, row: int) -> Reals:
        """Carry errors through the gate and up projections and the activation; `row` of the result."""
        both = self.project(x, value, self.weight(weight))
        gate, up = np.split(value @ self.weight(weight), 2)
        sigmoid = 1 / (1 + np.exp(-gate))
        slope = sigmoid * (1 + gate * (1 - sigmoid)) * up
        half = len(gate)
        return self.half(slope[:, None] * both[:half] + (gate * sigmoid)[:, None] * both[half:], name, row)

    def relu(self, x: Reals, value: Reals, weight: str, name: str, row: int) -> Reals:
        """Carry errors through the up projection and a ReLU; an entry that may have either sign keeps its error."""
        up = self.project(x, value, self.weight(weight))
        entry = value @ self.weight(weight)
        if f"{weight}_bias" in self.tensors:
            entry = entry + self.weight(f"{weight}_bias").reshape(-1)
        reach = self.factor * np.sqrt((up**2).sum(axis=1))
        return self.half((entry > -reach)[:, None] * up, name, row)

    def experts(self, normed: Reals, layer: int) -> Reals:
        """Carry errors through router and experts."""
        assert self.routing is not None
        name, prefix = f"layer{layer}", f"layers.{layer}"
        entry = self.value(f"{name}.ffn_norm")
        logits = self.project(normed, entry, self.weight(f"{prefix}.router"))
        self.note(f"{name}.router", logits)
        chosen = list(self.routing.assignment[layer][self.sequence])
        gates = self.value(f"{name}.topk")
        self.require(self.factor * np.sqrt((logits**2).sum(axis=1)).max(), f"{name}.router")
        carried = self.gates(logits, self.value(f"{name}.router"), chosen)
        weights = self.source(carried, gamma(self.model.experts + EXTRA_TERMS) * gates)
        self.note(f"{name}.topk", weights)
        total = np.zeros((self.model.hidden, 0))
        if self.model.gating.shared_ffn:
            stem, source = f"{name}.shared", f"{prefix}.shared"
            active = self.swiglu(normed, entry, f"{source}.gate_up", f"{stem}.activation", self.sequence)
            total = self.project(active, self.value(f"{stem}.activation"), self.weight(f"{source}.down"))
            self.note(f"{stem}.down", total)
        for place, expert in enumerate(chosen):
            row = self.routing.tokens[layer][expert].index(self.sequence)
            stem, source = f"{name}.expert{expert}", f"{prefix}.expert.{expert}"
            active = self.swiglu(normed, entry, f"{source}.gate_up", f"{stem}.activation", row)
            value = self.reference[f"{stem}.down"][row]
            down = self.project(active, self.value(f"{stem}.activation", row), self.weight(f"{source}.down"))
            down = self.source(down, np.maximum(self.roundoff * abs(value), self.least))
            self.note(f"{stem}.down", down, row)
            total = self.total(total, self.total(gates[place] * down, np.outer(value, self.pad(weights)[place])))
        self.note(f"{name}.combine", total)
        return total

    def gates(self, x: Reals, logits: Reals, chosen: list[int]) -> Reals:
        """Carry errors of the logits to the weights of the chosen experts."""
        gating = self.model.gating
        if gating.scoring == SIGMOID:
            scores = 1 / (1 + np.exp(-logits))
            carried = (scores * (1 - scores))[:, None] * x
        else:
            scores = np.exp(logits - logits.max())
            scores /= scores.sum()
            carried = scores[:, None] * (x - scores @ x)
        own, result = scores[chosen], carried[chosen]
        if gating.normalise:
            total = own.sum()
            result = result / total - np.outer(own, result.sum(axis=0)) / total**2
        return np.asarray(gating.scale * result, np.float64)

    def project(self, x: Reals, value: Reals, weight: Reals) -> Reals:
        """Carry errors through a product with a weight matrix (k, n), with the FP32 summation."""
        return self.source(weight.T @ x, gamma(len(value) + EXTRA_TERMS) * (abs(value) @ abs(weight)))

    def half(self, x: Reals, name: str, row: int | None = None) -> Reals:
        """Add the rounding of a result of the reference to FP16, and note its bound."""
        value = self.value(name, row)
        rounded = self.source(x, 2 * np.maximum(self.roundoff * abs(value), self.least))
        self.note(name, rounded, row)
        return rounded

    def source(self, x: Reals, size: Reals) -> Reals:
        """Add one source for each row."""
        return self.source_of(x, np.diag(size))

    def source_of(self, x: Reals, columns: Reals) -> Reals:
        """Add sources with given effects; shape (row, source)."""
        result = np.concatenate([self.pad(x), columns], axis=1)
        self.width = result.shape[1]
        return result

    def pad(self, x: Reals) -> Reals:
        """Zero effect of the sources that came later."""
        return np.concatenate([x, np.zeros((len(x), self.width - x.shape[1]))], axis=1)

    def total(self, x: Reals, y: Reals) -> Reals:
        """Errors of a sum."""
        return self.pad(x) + self.pad(y)

    def note(self, name: str, x: Reals, row: int | tuple[int, int] | None = None) -> None:
        """Note the bound of one row of a result, or of one head of a row."""
        self.bounds[name][self.sequence if row is None else row] = self.factor * np.sqrt((x**2).sum(axis=1))

    def value(self, name: str, row: int | None = None) -> Reals:
        """One row of a result of the reference."""
        return np.asarray(self.reference[name][self.sequence if row is None else row], np.float64)

    def weight(self, name: str) -> Reals:
        """Tensor in FP64."""
        return np.asarray(self.tensors[name], np.float64)

    def require(self, shift: float, name: str) -> None:
        """Refuse where the propagation does not hold."""
        if shift > LARGEST_SHIFT:
            got = f"an error of up to {shift:.3g}"
            fault = Fault(f"sequence {self.sequence}, {name}", got, f"up to {LARGEST_SHIFT}", "compare fewer layers")
            raise WorkloadError("rounding errors cannot be propagated through this step", [fault])
