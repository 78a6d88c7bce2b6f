"""The progress bar of a simulation, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

import tqdm

_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} instructions [{elapsed}<{remaining}{postfix}]"


class Bar:
    """Phases of a run as words, then instructions completed and simulated cycles per second."""

    def __init__(self) -> None:
        pause = 0.2 if sys.stderr.isatty() else 2.0
        self._bar: Any = tqdm.tqdm(
            total=1, desc="starting", file=sys.stderr, bar_format="{desc}", leave=False, mininterval=pause
        )
        self._first: tuple[int, float] | None = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def phase(self, words: str) -> None:
        """Show what is being done, without numbers.

        Parameters
        ----------
        words : str
        """
        self._bar.bar_format = "{desc}"
        self._bar.set_description_str(words)

    def advance(self, cycles: int, completed: int, total: int) -> None:
        """Show how far the simulation is; called after every slice of it.

        Parameters
        ----------
        cycles : int
            Core cycles simulated.
        completed, total : int
            Instructions.
        """
        now = time.monotonic()
        if self._first is None:  # before, kernels were compiled: the rate counts from here
            self._first = cycles, now
            self._bar.bar_format = _FORMAT
            self._bar.reset(total)
            self._bar.set_description_str("simulating")
        done, since = self._first
        rate = f"{(cycles - done) / (now - since):,.0f} cycles/s" if now > since and cycles > done else "..."
        self._bar.set_postfix_str(f"cycle {cycles:,}, {rate}", refresh=False)
        self._bar.update(completed - self._bar.n)
