"""The operator graph of a decode step: frozen, in an order in which it can be computed, with its totals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Any

from nmpsim.errors import InternalError
from nmpsim.workload.model import Model
from nmpsim.workload.operators import Operator, OperatorKind
from nmpsim.workload.precision import PLAIN, Precision
from nmpsim.workload.routing import Routing
from nmpsim.workload.shards import Shard

_PLAIN = {"weight_bits": 16, "kv_bits": 16, "scales": 0}
"""Fields that are not hashed with these values: the hash of a step in FP16 is that of a step without formats."""

_HASHED = tuple(field.name for field in fields(Operator))
_hashed = attrgetter(*_HASHED)


def _identity(operator: Operator) -> dict[str, Any]:
    """Fields of an operator that are hashed."""
    found = dict(zip(_HASHED, _hashed(operator), strict=True))
    for name, plain in _PLAIN.items():
        if found[name] == plain:
            del found[name]
    return found


@dataclass(frozen=True)
class OperatorGraph:
    """All operators of one decode step.

    Parameters
    ----------
    model : Model
        The model.
    batch : int
        Sequences, one new token each.
    context : int
        Tokens of each sequence, the new one counted.
    layers : int
        Number of layers in the graph.
    operators : tuple of Operator
        In topological order.
    routing : Routing or None
        Experts of each token, from layer 0 on; None for a dense model.
    first_layer : int
        First of the layers.
    precision : Precision
        Formats of weights and KV cache.
    shard : Shard or None
        Which part of a larger step it is; ``model`` is then that of the part.  None: all of it.

    Raises
    ------
    InternalError
        If a name occurs twice, or a dependency does not point backwards.
    """

    model: Model
    batch: int
    context: int
    layers: int
    operators: tuple[Operator, ...]
    routing: Routing | None = None
    first_layer: int = 0
    precision: Precision = PLAIN
    shard: Shard | None = None

    def __post_init__(self) -> None:
        names = set[str]()
        for index, operator in enumerate(self.operators):
            if operator.name in names:
                raise InternalError(f"operator graph: two operators are called {operator.name}")
            names.add(operator.name)
            if operator.depends and not 0 <= min(operator.depends) <= max(operator.depends) < index:
                raise InternalError(
                    f"operator graph: {operator.name} at index {index} depends on {operator.depends}, not all earlier"
                )

    def __len__(self) -> int:
        return len(self.operators)

    def __iter__(self) -> Iterator[Operator]:
        return iter(self.operators)

    def __getitem__(self, index: int) -> Operator:
        return self.operators[index]

    def of_layer(self, layer: int) -> tuple[Operator, ...]:
        """Operators of one layer; of ``OUTSIDE``: embedding, final norm, LM head, sampling."""
        return tuple(operator for operator in self.operators if operator.layer == layer)

    def of_kind(self, kind: OperatorKind) -> tuple[Operator, ...]:
        """Operators of one kind."""
        return tuple(operator for operator in self.operators if operator.kind is kind)

    @property
    def layer_numbers(self) -> range:
        """Layers in the graph."""
        return range(self.first_layer, self.first_layer + self.layers)

    @property
    def stacks(self) -> int:
        """Stacks that share the step."""
        return self.shard.stacks if self.shard is not None else 1

    @property
    def tokens(self) -> int:
        """Tokens of each sequence whose keys and values lie here."""
        return self.shard.tokens if self.shard is not None else self.context

    @property
    def most_tokens(self) -> int:
        """The most of them on any stack."""
        return self.shard.most_tokens if self.shard is not None else self.context

    @property
    def group(self) -> int:
        """Query heads that meet every KV head."""
        return self.shard.group if self.shard is not None else self.model.heads // self.model.kv_heads

    @property
    def columns(self) -> tuple[int, int]:
        """First and number of the columns of the LM head."""
        return (self.shard.first_column, self.shard.columns) if self.shard is not None else (0, self.model.vocab)

    @cached_property
    def distinct_experts(self) -> dict[int, int]:
        """Number of experts that some token goes to, per layer with experts."""
        if self.routing is None:
            return {}
        numbers = [layer for layer in self.layer_numbers if self.model.has_experts(layer)]
        here = range(self.model.experts) if self.shard is None else set(self.shard.experts)
        return {layer: sum(expert in here for expert in self.routing.tokens[layer]) for layer in numbers}

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of all GEMMs and of the attention."""
        return sum(operator.macs for operator in self.operators)

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of the weight matrices read: LM head included, embedding table and experts without a token not."""
        return sum(operator.weight_bytes for operator in self.operators)

    @cached_property
    def scale_bytes(self) -> int:
        """Bytes of the scales of narrow weights."""
        return sum(operator.scale_bytes for operator in self.operators)

    @cached_property
    def gain_bytes(self) -> int:
        """Bytes of gains and biases."""
        return sum(operator.gain_bytes for operator in self.operators)

    @cached_property
    def embedding_bytes(self) -> int:
        """Bytes of the rows read from the tables of embeddings and positions."""
        return sum(operator.embedding_bytes for operator in self.operators)

    @cached_property
    def kv_read_bytes(self) -> int:
        """Bytes read from the KV cache."""
        return sum(operator.kv_read_bytes for operator in self.operators)

    @cached_property
    def kv_write_bytes(self) -> int:
        """Bytes written to the KV cache."""
        return sum(operator.kv_write_bytes for operator in self.operators)

    @cached_property
    def vector_elements(self) -> int:
        """Elements the vector units work on."""
        return sum(operator.vector_elements for operator in self.operators)

    @property
    def read_bytes(self) -> int:
        """Bytes that must be read from memory at least once: matrices, scales, gains, embedding rows, KV cache."""
        return self.weight_bytes + self.scale_bytes + self.gain_bytes + self.embedding_bytes + self.kv_read_bytes

    @cached_property
    def sha256(self) -> str:
        """Hash of the model file, the step and every operator; 64 hex digits, the same on every machine."""
        identity: dict[str, Any] = {
            "model": self.model.sha256,
            "batch": self.batch,
            "context": self.context,
            "layers": self.layers,
            "operators": [_identity(operator) for operator in self.operators],
        }
        if self.shard is not None:
            identity["shard"] = (self.stacks, self.shard.stack)
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
