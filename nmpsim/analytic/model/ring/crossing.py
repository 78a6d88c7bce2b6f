"""Regions of all PUs that go straight to all others on a ring, and the gather of whole rows behind them.

A word is a small region, such as a router's logits.  Both ways round are followed each for itself (`parts.py`), for
they share no link::

    up      words to the nearest ... the furthest  | step of the gather | next step, when that has come | ...
    down    words to the furthest ... the nearest  | step of the gather | ...

A message of the gather keeps a word waiting at every router that the word passes, and words that wait keep links
unused: so both take longer than what the links carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from nmpsim.analytic.model.ring.parts import Flits, Ring, Way
from nmpsim.spec.params import MachineParams


@dataclass(frozen=True)
class Crossed:
    """When what was sent is there, on the PU that is last; core cycles from the last start.

    Parameters
    ----------
    sent : float
        The last word has left.
    told : float
        The last word is there.
    brought : float
        The last rows of the gather are there; 0 without.
    """

    sent: float
    told: float
    brought: float


def crossed(
    p: MachineParams, words: Flits, rows: Flits, starts: tuple[float, ...], shared: tuple[bool, ...] = ()
) -> Crossed:
    """Return when words of every PU to all others, and then a gather, are through.

    Parameters
    ----------
    p : MachineParams
        Its network is a ring of routers that do not copy.
    words : tuple of int
        Flits of the word of every PU.
    rows : tuple of int
        Flits of what every PU brings to the gather.
    starts : tuple of float
        Core cycle at which the first word of every PU may leave.
    shared : tuple of bool
        Whether flits of a word that follow each other lie in one bank, of every PU; of none if left out.
    """
    noc, pace = p.noc, p.core_period / p.noc_period
    allocation = max(noc.nVA, noc.nSA) if noc.speculative else noc.nVA + noc.nSA
    router = noc.nROUTE + allocation + noc.nST
    ring = Ring(
        noc.vcs,
        noc.buffer_flits,
        noc.inject_flits,
        noc.eject_flits,
        pace,
        1 + noc.nPORT,
        router + noc.nLINK,
        router + noc.nPORT + noc.nSYNC * pace,
        noc.nSA + noc.nPORT + noc.nCREDIT,
        noc.nSA + noc.nLINK + noc.nCREDIT,
        noc.nSYNC,
    )
    return _crossed(ring, words, rows, starts, shared or (False,) * len(words))


def _behind(flits: int, messages: int, *, shared: bool) -> int:
    """Cycles by which the second port is behind the first, which reads the same word and comes first.

    By a flit, or two if those that follow each other lie in one bank; by all messages where no flit is left then.
    """
    apart = 2 if shared else 1
    return apart if flits >= 2 * apart else flits * messages


@lru_cache(maxsize=4096)
def _crossed(ring: Ring, words: Flits, rows: Flits, starts: tuple[float, ...], shared: tuple[bool, ...]) -> Crossed:
    """Both ways round, the second one for ports that come after the first."""
    nodes = len(words)
    begin = tuple(start * ring.pace for start in starts)
    ways = [Way(ring, words, rows, tuple(range(1, nodes // 2 + 1)), begin)]
    if nodes > 2:
        furthest_first = tuple(range((nodes - 1) // 2, 0, -1))
        later = tuple(
            at + _behind(flits, nodes // 2, shared=same) * ring.pace
            for at, flits, same in zip(begin, words, shared, strict=True)
        )
        ways.append(Way(ring, words[::-1], rows[::-1], furthest_first, later[::-1]))
    for way in ways:
        way.run()
    sent, told, brought = (max(max(getattr(way, name)) for way in ways) for name in ("sent", "told", "brought"))
    last = max(starts)
    return Crossed(sent / ring.pace - last, told / ring.pace - last, max(0.0, brought / ring.pace - last))
