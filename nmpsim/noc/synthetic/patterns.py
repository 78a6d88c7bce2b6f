"""Where packets go: uniform, hotspots, permutations of the address.

=============  ===========================================================================================
uniform        every node with the same probability, the own one too
hotspot        one of the given nodes, by weight
transpose      the two halves of the address bits change places; 4^i nodes
bitcomp        every address bit inverted; 2^i nodes
bitrev         the address bits in reverse order; 2^i nodes
shuffle        the address bits rotated up by one; 2^i nodes
neighbor       one up in every dimension, wrapping
tornado        (k + 1) // 2 - 1 up in every dimension of k, wrapping
permutation    given, node by node
=============  ===========================================================================================

As in BookSim 2 (28f43299, ``traffic.cpp``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, WorkloadError

PATTERNS = ("uniform", "hotspot", "transpose", "bitcomp", "bitrev", "shuffle", "neighbor", "tornado", "permutation")
SPELLING = (
    "uniform, transpose, bitcomp, bitrev, shuffle, neighbor, tornado, hotspot({nodes}), hotspot({nodes},{weights}), "
    "permutation({nodes})"
)
ONE = 1 << 32
"""A probability of 1."""


@dataclass(frozen=True)
class Pattern:
    """Destinations of all packets.

    Parameters
    ----------
    name : str
    destination : ndarray of int64, shape (nodes,)
        Fixed destination of each node; empty if they are drawn.
    spot : ndarray of int64, shape (spots, 2)
        Nodes, and 2^32 times the probability that one up to it is drawn; empty if destinations are fixed.
    """

    name: str
    destination: NDArray[np.int64]
    spot: NDArray[np.int64]


def make_pattern(text: str, nodes: int, radix: tuple[int, ...]) -> Pattern:
    """Return a pattern for a network.

    Parameters
    ----------
    text : str
        As in `SPELLING`; lists in braces or not, ``neighbor({k},{n},{1})`` too.
    nodes : int
    radix : tuple of int
        Nodes along each dimension.

    Raises
    ------
    WorkloadError
        If there is no such pattern, or not for so many nodes.
    """
    match = re.fullmatch(r"\s*([a-z]+)\s*(?:\((.*)\))?\s*", text)
    name = match.group(1) if match else ""
    if match is None or name not in PATTERNS:
        raise _wrong(text, SPELLING, "choose one of these")
    lists = _lists(text, match.group(2) or "")
    if name == "uniform":
        return _drawn(name, np.arange(nodes), np.ones(nodes))
    if name == "hotspot":
        return _hotspot(text, lists, nodes)
    if name == "permutation":
        given = np.array(lists[0] if lists else [], np.int64)
        if len(given) != nodes or ((given < 0) | (given >= nodes)).any():
            raise _wrong(text, f"{nodes} destinations from 0 to {nodes - 1}", "name one for each node")
        return Pattern(name, given, np.zeros((0, 2), np.int64))
    if name in {"neighbor", "tornado"}:
        if len(lists) > 1:
            radix = (lists[0][0],) * lists[1][0]
        if prod(radix) != nodes:
            raise _wrong(text, f"dimensions of {nodes} nodes in all", "correct the dimensions")
    return Pattern(name, _fixed(name, text, nodes, radix), np.zeros((0, 2), np.int64))


def _wrong(got: str, allowed: str, todo: str) -> WorkloadError:
    """Return the error of a pattern."""
    return WorkloadError("the traffic is wrong", [Fault("traffic", repr(got), allowed, todo)])


def _lists(text: str, inside: str) -> list[list[int]]:
    """Return the lists of numbers in the brackets of a pattern."""
    parts = re.findall(r"\{([^{}]*)\}", inside) or ([inside] if inside.strip() else [])
    try:
        return [[int(word) for word in part.split(",")] for part in parts]
    except ValueError:
        raise _wrong(text, SPELLING, "give whole numbers") from None


def _drawn(name: str, nodes: NDArray[np.int64], weights: NDArray[np.float64]) -> Pattern:
    """Return a pattern of drawn destinations."""
    edges = np.round(np.cumsum(weights) / weights.sum() * ONE).astype(np.int64)
    return Pattern(name, np.zeros(0, np.int64), np.stack([nodes.astype(np.int64), edges], axis=1))


def _hotspot(text: str, lists: list[list[int]], nodes: int) -> Pattern:
    """Return the pattern of traffic to a few nodes."""
    spots = np.array(lists[0] if lists else [], np.int64)
    weights = np.array(lists[1] if len(lists) > 1 else [1] * len(spots), np.float64)
    if not len(spots) or ((spots < 0) | (spots >= nodes)).any():
        raise _wrong(text, f"nodes from 0 to {nodes - 1}", "name the hot nodes")
    if len(weights) != len(spots) or (weights < 0).any() or not weights.sum():
        raise _wrong(text, "one weight for each hot node, not all 0", "correct the weights")
    return _drawn("hotspot", spots, weights)


def _fixed(name: str, text: str, nodes: int, radix: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the permutation of a pattern."""
    source = np.arange(nodes, dtype=np.int64)
    if name in {"neighbor", "tornado"}:
        destination, place = np.zeros(nodes, np.int64), 1
        for k in radix:
            step = 1 if name == "neighbor" else (k + 1) // 2 - 1
            destination += place * ((source // place + step) % k)
            place *= k
        return destination
    bits = nodes.bit_length() - 1
    if nodes != 1 << bits or (name == "transpose" and bits % 2):
        raise _wrong(text, "4^i nodes" if name == "transpose" else "2^i nodes", f"not {nodes}: use another pattern")
    if name == "bitcomp":
        return nodes - 1 - source
    if name == "shuffle":
        return (source << 1 | source >> max(bits - 1, 0)) & (nodes - 1)
    if name == "transpose":
        half = bits // 2
        return source >> half | (source << half & (nodes - 1))
    return sum(((source >> b & 1) << (bits - 1 - b) for b in range(bits)), np.zeros(nodes, np.int64))
