"""Tensor-parallel shards: what one of several stacks holds and computes of a model.

====================  ==============================================================================================
part                  on stack s of N
====================  ==============================================================================================
query heads           H / N consecutive ones, their projection and their rows of the output projection
KV heads              G / N consecutive ones; with fewer KV heads than stacks, N / G stacks share one: each projects
                      it, and holds its part of the context
latent cache          one row for all heads: each stack holds 1 / N of the context
latent projections    the down projections on every stack, up projections by heads
feed-forward          columns of the up projections and rows of the down projection, also of a shared expert
experts               whole experts, by placement; the router on every stack
vocabulary            columns of the LM head
embedding             columns of the table: D / N of every row
norms, residual       on every stack; gains of a norm over all heads together by heads
====================  ==============================================================================================

A stack runs the decode step of its own, smaller model, and collectives join the stacks where the parts meet.

Source
------
M. Shoeybi et al., Megatron-LM, arXiv 1909.08053, section 3 (columns, then rows; vocabulary); sequence split with
combined softmax statistics: T. Dao et al., Flash-Decoding (2023).  That down projections of latent attention stay whole
is an assumption: 2,112 of DeepSeek-V3's columns, too few to be worth an exchange.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from nmpsim.errors import Fault, WorkloadError
from nmpsim.workload.limits import count_faults
from nmpsim.workload.model import Model
from nmpsim.workload.placement import MOST_STACKS, place_experts
from nmpsim.workload.precision import BITS, FP16, PLAIN, Precision
from nmpsim.workload.routing import Routing


@dataclass(frozen=True)
class Shard:
    """The part of a decode step that one stack does.

    Parameters
    ----------
    stacks, stack : int
        Number of stacks, and which one.
    whole : Model
        The model of all stacks together.
    model : Model
        Dimensions of the part: heads, KV heads, widths of networks; experts and vocabulary are those of the whole.
    share : int
        Stacks that share every KV head; more than 1: a sequence split.
    first_token, tokens : int
        Part of the context whose keys and values lie here.
    context : int
        Whole context.
    first_column, columns : int
        Part of the vocabulary.
    width : int
        Columns of the embedding table that lie here.
    experts : tuple of int
        Experts that lie here.
    """

    stacks: int
    stack: int
    whole: Model
    model: Model
    share: int
    first_token: int
    tokens: int
    context: int
    first_column: int
    columns: int
    width: int
    experts: tuple[int, ...]

    @property
    def part(self) -> int:
        """Which part of the context."""
        return self.stack % self.share

    @property
    def most_tokens(self) -> int:
        """Tokens of the longest part of the context: space is laid out alike in all stacks."""
        return -(-self.context // self.share)

    @property
    def appends(self) -> bool:
        """Whether the end of the context lies here, so that new keys and values are stored."""
        return self.part == self.share - 1

    @property
    def group(self) -> int:
        """Query heads that meet every KV head here: also those projected by other stacks."""
        return self.share * self.model.heads // self.model.kv_heads

    @property
    def first_head(self) -> int:
        """First query head of the whole model that is projected here."""
        return self.stack * self.model.heads

    @property
    def first_kv_head(self) -> int:
        """First KV head of the whole model that is cached here."""
        return self.stack // self.share * self.model.kv_heads

    def member(self, distance: int) -> tuple[int, int]:
        """Stack of the same KV heads, `distance` parts further on.

        Returns
        -------
        tuple of int
            Its part of the context, and how many stacks further on it is, modulo their number.
        """
        part = (self.part + distance) % self.share
        return part, (part - self.part) % self.stacks


def balanced_share(count: int, parts: int, part: int) -> tuple[int, int]:
    """First and number of one of `parts` shares of `count` things, as even as possible, in order."""
    first = count * part // parts
    return first, count * (part + 1) // parts - first


def sharing(model: Model, stacks: int) -> int:
    """Stacks that share a KV head: 1 while there are as many KV heads as stacks."""
    return max(1, stacks // model.kv_heads)


def shard_faults(model: Model, stacks: object, context: int = 1) -> list[Fault]:
    """Faults of a number of stacks for a model and a context."""
    faults = count_faults("stacks", stacks, 1, MOST_STACKS, "give the number of stacks")
    if faults or not isinstance(stacks, int) or stacks == 1:
        return faults
    heads, kv_heads = model.heads, model.kv_heads
    if heads % stacks:
        allowed = f"a divisor of {heads} query heads ({model.name})"
        faults.append(Fault("stacks", f"{stacks} stacks: heads not divisible", allowed, "choose another number"))
    elif kv_heads % stacks and stacks % kv_heads:
        allowed = f"a divisor or a multiple of {kv_heads} KV heads ({model.name})"
        faults.append(Fault("stacks", f"{stacks} stacks: KV heads not divisible", allowed, "choose another number"))
    elif context < sharing(model, stacks):
        got = f"{context} tokens for {sharing(model, stacks)} stacks that share a KV head"
        faults.append(Fault("context", got, "at least one token for each", "a longer context, or fewer stacks"))
    least = min(width for width in (model.vocab, *_widths(model)) if width)
    if least < stacks:
        allowed = f"at most {least}, the narrowest network of {model.name}"
        faults.append(Fault("stacks", str(stacks), allowed, "choose fewer stacks"))
    return faults


def _widths(model: Model) -> tuple[int, ...]:
    """Widths that are split over stacks; 0: not there."""
    gating = model.gating
    return (0 if model.is_moe else model.ffn), gating.shared_ffn, gating.dense_ffn


@lru_cache(maxsize=64)
def _experts_by_stack(model: Model, stacks: int, placement: str) -> tuple[tuple[int, ...], ...]:
    """Experts of every stack; nothing of a dense model."""
    found: list[list[int]] = [[] for _ in range(stacks)]
    for expert, stack in enumerate(place_experts(model, stacks, placement) if model.is_moe else ()):
        found[stack].append(expert)
    return tuple(map(tuple, found))


def shard_sizes(model: Model, context: int, stacks: int, stack: int) -> tuple[int, ...]:
    """Sizes of the part of a stack: parts of equal sizes have the same operators, but for those of their experts.

    Parameters
    ----------
    model : Model
        The whole model.
    context : int
        Tokens of each sequence, the new one counted.
    stacks, stack : int
        Number of stacks, and which one.

    Returns
    -------
    tuple of int
        Widths of the dense network, the shared expert and the network of the first layers; tokens, and 1 if the last
        one is among them; columns of the vocabulary and of the embedding table.
    """
    share = sharing(model, stacks)
    split = (*_widths(model), model.vocab, model.hidden)
    dense, shared_ffn, dense_ffn, columns, width = (balanced_share(size, stacks, stack)[1] for size in split)
    tokens = balanced_share(context, share, stack % share)[1]
    return dense, shared_ffn, dense_ffn, tokens, int(stack % share == share - 1), columns, width


def make_shard(model: Model, context: int, stacks: int, stack: int, placement: str = "blocks") -> Shard:
    """Return the part of a stack.

    Parameters
    ----------
    model : Model
        The whole model.
    context : int
        Tokens of each sequence, the new one counted.
    stacks, stack : int
        Number of stacks, and which one.
    placement : str
        Rule of `place_experts`.

    Raises
    ------
    WorkloadError
        If the model cannot be shared by so many stacks; all faults at once.
    """
    faults = shard_faults(model, stacks, context)
    if faults:
        raise WorkloadError(f"{model.name} cannot be spread over the stacks", faults)
    dense, shared_ffn, dense_ffn, _, _, _, width = shard_sizes(model, context, stacks, stack)
    share = sharing(model, stacks)
    own = replace(
        model,
        heads=model.heads // stacks,
        kv_heads=max(1, model.kv_heads // stacks),
        ffn=model.ffn if model.is_moe else dense,
        gating=replace(model.gating, shared_ffn=shared_ffn, dense_ffn=dense_ffn),
    )
    experts = _experts_by_stack(model, stacks, placement)[stack]
    tokens, columns = balanced_share(context, share, stack % share), balanced_share(model.vocab, stacks, stack)
    return Shard(stacks, stack, model, own, share, *tokens, context, *columns, width, experts)


def shard_bytes(
    shard: Shard, batch: int, first_layer: int, layers: int, precision: Precision = PLAIN
) -> tuple[int, int]:
    """Bytes that a stack keeps resident.

    Parameters
    ----------
    shard : Shard
    batch : int
    first_layer, layers : int
        Layers that are there.
    precision : Precision
        Formats of weights and KV cache.

    Returns
    -------
    tuple of int
        Weights (with every expert that lies there, its columns of the embedding table and of the LM head), KV cache.
    """
    model = shard.model
    weights = 0
    for layer, number in model.alike(first_layer, layers).items():
        for tensor in model.tensors_of(layer):
            routed = model.has_experts(layer) and tensor.name in {"gate_up", "down"}
            copies = len(shard.experts) if routed else tensor.copies
            whole = tensor.bytes // tensor.copies * copies
            weights += precision.tensor_bytes(tensor.name, tensor.rows, tensor.columns, copies, whole) * number
    for tensor in model.outer_tensors:
        own = {"lm_head": (shard.columns, model.vocab), "embedding": (shard.width, model.hidden)}
        part, whole = own.get(tensor.name, (1, 1))
        weights += tensor.bytes * part // whole
        if tensor.name == "embedding" and model.tie_embeddings and shard.stacks > 1:
            weights += tensor.bytes * shard.columns // model.vocab  # the head takes other columns than the table
    cache = batch * shard.tokens * layers * model.kv_bytes_per_token
    return weights, cache * BITS[precision.kv] // BITS[FP16]


def routed_work(shard: Shard, routing: Routing, layers: range) -> tuple[int, int]:
    """Distinct experts read, and pairs of token and expert computed, of all these layers on one stack.

    Parameters
    ----------
    shard : Shard
    routing : Routing
    layers : range
    """
    here = set(shard.experts)
    hit = [rows for layer in layers for expert, rows in routing.tokens[layer].items() if expert in here]
    return len(hit), sum(len(rows) for rows in hit)


def choose_stacks(
    model: Model, batch: int, context: int, first_layer: int, layers: int, capacity: int, precision: Precision = PLAIN
) -> int:
    """Return the smallest power of two of stacks that holds weights and KV cache.

    Parameters
    ----------
    model : Model
    batch, context : int
        Of the step.
    first_layer, layers : int
        Layers that are there.
    capacity : int
        Bytes of a stack.
    precision : Precision
        Formats of weights and KV cache.

    Raises
    ------
    WorkloadError
        If no such number of stacks holds the model, or the model cannot be shared by it.
    """
    stacks = 1
    while stacks <= MOST_STACKS:
        faults = shard_faults(model, stacks, context)
        if faults:
            raise WorkloadError(f"{model.name} cannot be spread over as many stacks as it needs", faults)
        if largest_shard(model, batch, context, first_layer, layers, stacks, precision=precision) <= capacity:
            return stacks
        stacks *= 2
    fault = Fault("stacks", f"more than {MOST_STACKS}", f"at most {MOST_STACKS}", "a smaller batch or context")
    raise WorkloadError(f"{model.name} needs too many stacks", [fault])


def largest_shard(
    model: Model,
    batch: int,
    context: int,
    first_layer: int,
    layers: int,
    stacks: int,
    placement: str = "blocks",
    precision: Precision = PLAIN,
) -> int:
    """Bytes that the fullest stack keeps resident.

    Parameters
    ----------
    model : Model
    batch, context, first_layer, layers : int
    stacks : int
    placement : str
        As for `make_shard`.
    precision : Precision
        Formats of weights and KV cache.
    """
    experts = _experts_by_stack(model, stacks, placement)
    unlike: dict[tuple[int, ...], int] = {}
    for stack in range(stacks):
        unlike.setdefault((len(experts[stack]), *shard_sizes(model, context, stacks, stack)), stack)
    shards = (make_shard(model, context, stacks, stack, placement) for stack in unlike.values())
    return max(sum(shard_bytes(shard, batch, first_layer, layers, precision)) for shard in shards)
