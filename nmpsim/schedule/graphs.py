"""Graphs of the parts of a step, each made when it is asked for, and what every part moves, without its graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from nmpsim.workload import PLAIN, Model, Operator, OperatorGraph, Precision, Routing, decode_step
from nmpsim.workload.operators import OUTSIDE
from nmpsim.workload.shards import Shard, make_shard, shard_sizes


@dataclass(frozen=True)
class StackGraphs(Sequence[OperatorGraph]):
    """Operator graph of every stack, in order; of one stack, that of the whole step.

    Parameters
    ----------
    model : Model
        The whole model.
    batch, context : int
        Of the step.
    layers : int
        Number of layers.
    routing : Routing or None
        Experts of each token; None for a dense model.
    first_layer : int
        First of the layers.
    precision : Precision
        Formats of weights and KV cache.
    stacks : int
        Number of stacks.
    placement : str
        Rule of `nmpsim.workload.placement.place_experts`.
    """

    model: Model
    batch: int
    context: int
    layers: int
    routing: Routing | None = None
    first_layer: int = 0
    precision: Precision = PLAIN
    stacks: int = 1
    placement: str = "blocks"
    _made: dict[int, OperatorGraph] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return self.stacks

    @overload
    def __getitem__(self, index: int) -> OperatorGraph: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[OperatorGraph, ...]: ...

    def __getitem__(self, index: int | slice) -> OperatorGraph | tuple[OperatorGraph, ...]:
        if isinstance(index, slice):
            return tuple(self[stack] for stack in range(self.stacks)[index])
        stack = range(self.stacks)[index]
        if stack not in self._made:
            shard = self._shard(stack) if self.stacks > 1 else None
            self._made[stack] = self._graph(self.first_layer, self.layers, shard)
        return self._made[stack]

    def _shard(self, stack: int) -> Shard:
        return make_shard(self.model, self.context, self.stacks, stack, self.placement)

    def _graph(self, first_layer: int, layers: int, shard: Shard | None) -> OperatorGraph:
        return decode_step(
            self.model, self.batch, self.context, layers, self.routing, first_layer, self.precision, shard
        )

    def moved_bytes(self) -> list[int]:
        """Return the bytes that every stack must read and write in a step, without making its graph.

        Layers of a kind move the same on a stack but for its experts, and so do stacks of the same sizes; an expert
        with a token moves the same in every layer, wherever it lies and however many tokens it has.
        """
        if self.stacks == 1:
            return [_moved(self[0])]
        known: dict[tuple[int, ...], int] = {}
        sizes = [shard_sizes(self.model, self.context, self.stacks, stack) for stack in range(self.stacks)]
        for stack, own in enumerate(sizes):
            if own not in known:
                known[own] = self._without_experts(replace(self._shard(stack), experts=()))
        found = [known[own] for own in sizes]
        routed = [layer for layer in self.model.alike(self.first_layer, self.layers) if self.model.has_experts(layer)]
        if self.routing is None or not routed:
            return found
        places = {expert: stack for stack in range(self.stacks) for expert in self._shard(stack).experts}
        some = next(iter(self.routing.tokens[routed[0]]))
        layer = self._graph(routed[0], 1, replace(self._shard(places[some]), experts=(some,)))
        one = _moved(operator for operator in layer if operator.expert == some)
        for number in range(self.first_layer, self.first_layer + self.layers):
            if self.model.has_experts(number):
                for expert in self.routing.tokens[number]:
                    found[places[expert]] += one
        return found

    def _without_experts(self, shard: Shard) -> int:
        """Bytes that a part without experts moves."""
        total = outside = 0
        for layer, number in self.model.alike(self.first_layer, self.layers).items():
            graph = self._graph(layer, 1, shard)
            total += number * _moved(graph.of_layer(layer))
            outside = _moved(graph.of_layer(OUTSIDE))
        return total + outside


def _moved(operators: Iterable[Operator]) -> int:
    """Bytes that operators must read and write."""
    return sum(
        o.weight_bytes + o.scale_bytes + o.gain_bytes + o.embedding_bytes + o.kv_read_bytes + o.kv_write_bytes
        for o in operators
    )
