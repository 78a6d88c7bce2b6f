"""Networks by name."""

from __future__ import annotations

import re
from pathlib import Path

from nmpsim.errors import Fault, SpecError
from nmpsim.noc.topology.anynet import read_anynet
from nmpsim.noc.topology.crossbar import crossbar
from nmpsim.noc.topology.graph import Topology
from nmpsim.noc.topology.grid import mesh, torus

SPELLINGS = "mesh:KxK, mesh:KxKxK, torus:KxK, ring:N, crossbar:N, or the path of a network list"
MOST_NODES = 1024
"""Nodes of a named network: its routing table has a row for each pair."""


def named_topology(text: str) -> Topology:
    """Return the network of a name.

    Parameters
    ----------
    text : str
        As in `SPELLINGS`; all dimensions of a mesh or torus alike.

    Raises
    ------
    SpecError
        If there is none.
    """
    match = re.fullmatch(r"(mesh|torus|ring|crossbar):(\d{1,6}(?:x\d{1,6})*)", text)
    if match is None:
        if Path(text).is_file():
            return read_anynet(Path(text))
        raise _wrong(text, SPELLINGS, "choose one of these")
    kind, sizes = match.group(1), [int(word) for word in match.group(2).split("x")]
    least = {"mesh": 2, "torus": 3, "ring": 3, "crossbar": 1}[kind]
    if len(set(sizes)) > 1 or sizes[0] < least or sizes[0] ** len(sizes) > MOST_NODES:
        raise _wrong(text, f"equal dimensions of at least {least}, {MOST_NODES} nodes in all", "change the size")
    if kind in {"ring", "crossbar"} and len(sizes) > 1:
        raise _wrong(text, f"{kind}:N", "give one number")
    if kind == "crossbar":
        return crossbar(sizes[0])
    return mesh(sizes[0], len(sizes)) if kind == "mesh" else torus(sizes[0], len(sizes))


def _wrong(got: str, allowed: str, todo: str) -> SpecError:
    """Return the error of a name."""
    return SpecError("the network cannot be built", [Fault("topology", repr(got), allowed, todo)])
