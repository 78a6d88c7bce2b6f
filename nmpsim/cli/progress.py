"""The progress bar of a simulation, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

import tqdm

_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} instructions [{elapsed}<{remaining}{postfix}]"


class Bar:
    """Instructions completed and simulated cycles per second; before that, on a terminal, the phase in words."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._bar: Any = None
        self._first = 0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self, total: int, words: str, layout: str) -> None:
        self._close()
        pause = 0.2 if self._terminal else 2.0
        self._bar = tqdm.tqdm(
            total=total, desc=words, bar_format=layout, file=sys.stderr, leave=False, mininterval=pause
        )

    def phase(self, words: str) -> None:
        """Show what is being done, without numbers; a log gets only the bar.

        Parameters
        ----------
        words : str
        """
        if self._terminal:
            self._open(1, words, "{desc}")

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
        if self._first[1] == 0.0:  # before, kernels were compiled: the rate counts from here
            self._first = cycles, now
            self._open(total, "simulating", _FORMAT)
        done, since = self._first
        rate = f"{(cycles - done) / (now - since):,.0f} cycles/s" if now > since and cycles > done else "..."
        self._bar.set_postfix_str(f"cycle {cycles:,}, {rate}", refresh=False)
        self._bar.update(completed - self._bar.n)
