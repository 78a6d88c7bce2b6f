"""The bar of a study's runs, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nmpsim.study.runner import Outcome, Progress


@contextmanager
def study_bar(unit: str = "run") -> Iterator[Progress]:
    """Show a bar of the runs, and those that fail.

    Parameters
    ----------
    unit : str
        What is counted.
    """
    import tqdm

    with tqdm.tqdm(unit=unit, file=sys.stderr, mininterval=0.5 if sys.stderr.isatty() else 5.0) as bar:

        def advance(done: int, total: int, outcome: Outcome) -> None:
            bar.total = total
            if outcome.error:
                bar.write(f"failed: {outcome.point.text}: {outcome.error.splitlines()[0]}", file=sys.stderr)
            bar.update(done - bar.n)

        yield advance
