"""How mutants are drawn: kind after kind in turn, in it a function, in it a site; by the seed alone."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, TypeVar


class HasPlace(Protocol):
    """What can be drawn."""

    kind: str
    function: str


Place = TypeVar("Place", bound=HasPlace)


def draw(sites: Sequence[Place], count: int, seed: str) -> list[Place]:
    """Draw different sites; all of them if there are no more than `count`.

    Functions weigh the same, however many nets or statements they have: 64 PEs are drawn as often as one queue.

    Parameters
    ----------
    sites : sequence
    count : int
    seed : str
    """
    dice = random.Random(seed)
    left: dict[str, dict[str, list[Place]]] = defaultdict(lambda: defaultdict(list))
    for site in sites:
        left[site.kind][site.function].append(site)
    drawn: list[Place] = []
    while left and len(drawn) < count:
        kinds = sorted(left)
        dice.shuffle(kinds)
        for kind in kinds:
            functions = left[kind]
            function = dice.choice(sorted(functions))
            own = functions[function]
            drawn.append(own.pop(dice.randrange(len(own))))
            if not own:
                del functions[function]
            if not functions:
                del left[kind]
    return drawn[:count]
