"""Who takes what a simulation records while it runs."""

from __future__ import annotations

from typing import Any, Protocol


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

    def bank(self, pu: int, rows: Any) -> None:
        """Take intervals of the banks of a channel.

        Parameters
        ----------
        pu : int
        rows : array of BANK_INTERVAL
            In the order of time for every bank.
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
