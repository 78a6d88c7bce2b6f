"""Who takes what a simulation records while it runs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Recorder(Protocol):
    """Takes the logs of a die whenever they are full, and once at the end.

    The rows are views of the die's own memory: they hold until the call returns.
    """

    full: bool
    """Whether receivers, buffer ports, banks, links and commands are wanted too, not only the units of the cores."""

    def core(self, pu: int, rows: Any) -> None:
        """Take intervals and events of the units of a core.

        Parameters
        ----------
        pu : int
        rows : array of INTERVAL
            In the order of their ends for every unit.
        """

    def bank(self, pu: int, words: NDArray[np.int64]) -> None:
        """Take intervals of the banks of a channel.

        Parameters
        ----------
        pu : int
        words : ndarray of int64
            As `nmpsim.dram.native.state.BANK_BITS` tells; those of a bank follow each other without a gap from tick 0.
        """

    def link(self, rows: Any) -> None:
        """Take intervals of the links: those between routers by their place in the topology, then those to stacks.

        Parameters
        ----------
        rows : array of LINK_INTERVAL
            In the order of time for every link.
        """

    def access(self, pu: int, rows: Any) -> None:
        """Take row accesses of a channel, which hold all its commands.

        Parameters
        ----------
        pu : int
        rows : array of ROW_ACCESS
            In the order of time for every bank.
        """
