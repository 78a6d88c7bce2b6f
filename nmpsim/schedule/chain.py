"""The cheapest way through a chain of operators whose plans want, and leave, layouts of the activation between them.

Exact dynamic programming: behind each stage, the cheapest way to every layout that can stand there.  Costs are whole
core cycles, so equal ways are equal; of several the first in the order of the options wins.

    stage 0          stage 1          stage 2
    option a ──┐ ┌── option a ──┐ ┌── option a
    option b ──┼─┼── option b ──┼─┼── option b        an edge costs the change of layout, an option its own cycles
               └─┘              └─┘
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

IMPOSSIBLE = 2**60
"""Cost of a change of layout that the machine cannot make; core cycles."""

Change = Callable[[str, str], int]


@dataclass(frozen=True)
class Option:
    """One plan of a stage.

    Parameters
    ----------
    cost : int
        Core cycles with its input in the right layout.
    takes, gives : str
        Layouts of input and result.
    """

    cost: int
    takes: str
    gives: str


@dataclass(frozen=True)
class Stage:
    """An operator with a choice.

    Parameters
    ----------
    options : tuple of Option
    change : callable
        Cycles from the layout that stands before it to the one that an option takes.
    enters : str
        Layout of its input, where that is not the result of the stage before; "" otherwise.
    """

    options: tuple[Option, ...]
    change: Change
    enters: str = ""

    def cost(self, layout: str, option: Option) -> int:
        """Cycles of an option behind a layout."""
        return min(IMPOSSIBLE, self.change(self.enters or layout, option.takes) + option.cost)


def cheapest(stages: Sequence[Stage], start: str) -> tuple[int, tuple[int, ...]] | None:
    """Return the least cost of a chain and the option of every stage; None if there is no way through.

    Parameters
    ----------
    stages : sequence of Stage
    start : str
        Layout in front of the first stage.
    """
    ways: dict[str, tuple[int, int]] = {start: (0, -1)}
    trail: list[tuple[int, int]] = []  # (option, entry of the way before)
    for stage in stages:
        following: dict[str, tuple[int, int]] = {}
        for layout, (spent, entry) in ways.items():
            for number, option in enumerate(stage.options):
                total = spent + stage.cost(layout, option)
                if total < IMPOSSIBLE and (option.gives not in following or total < following[option.gives][0]):
                    trail.append((number, entry))
                    following[option.gives] = total, len(trail) - 1
        ways = following
    if not ways:
        return None
    total, entry = min(ways.values())
    chosen = []
    while entry >= 0:
        number, entry = trail[entry]
        chosen.append(number)
    return total, tuple(reversed(chosen))


def enumerated(stages: Sequence[Stage], start: str) -> int | None:
    """Return the least cost of a chain by trying every choice; for small chains.

    Parameters
    ----------
    stages : sequence of Stage
    start : str
    """
    best: int | None = None
    for choice in product(*(stage.options for stage in stages)):
        layout, total = start, 0
        for stage, option in zip(stages, choice, strict=True):
            total += stage.cost(layout, option)
            layout = option.gives
        if total < IMPOSSIBLE and (best is None or total < best):
            best = total
    return best
