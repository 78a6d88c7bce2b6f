"""Digests of tiny runs, to compare lanes in separate interpreters: ``python -m tests.property.lanes``."""

from __future__ import annotations

from tests.property.outcome import digest, run
from tests.property.strategies import Dice, random_program

SEEDS = (116, 364, 367, 108, 5)
"""Programs with few visits: the plain Python lane steps some thousand components a second."""


SEPARATE_SEEDS = (37, 102)
"""The same with a compute unit that has buffers of its own."""


def programs():
    """Yield (seed, params, program)."""
    for seed in (*SEEDS, *SEPARATE_SEEDS):
        params, program, _ = random_program(Dice(seed), steps=(6,), separate=seed in SEPARATE_SEEDS)
        yield seed, params, program


def digests() -> str:
    """One line per run."""
    return "\n".join(
        f"{seed} {'plain' if plain else 'skip'} {digest(run(params, program, plain=plain))}"
        for seed, params, program in programs()
        for plain in (False, True)
    )


if __name__ == "__main__":
    print(digests())
