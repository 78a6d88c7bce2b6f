"""A DRAM protocol as a table: levels, commands, and what must lie between two commands.

The table is data.  A controller is built from it, the independent checker replays traces against it, and
``nmpsim show dram`` prints it; none of them knows a rule that is not written here.

    level      after       before      at least        window  sibling
    Bank       ACT         RD          nRCD            1       no
    Channel    ACT         ACT         nFAW            4       no        the 4th ACT back
    Sid        RD          RD          nCCDR           1       yes       of another Sid of the same parent

Times are in ticks: one clock of the command bus, or half of one where commands may take half clocks.  A command longer
than one tick is stamped at its first tick; latencies here are already between first ticks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nmpsim.errors import Fault, SpecError

Bus = Literal["row", "column"]
Effect = Literal["open", "close", "none"]


@dataclass(frozen=True)
class Command:
    """One command of a protocol.

    Parameters
    ----------
    name : str
        JEDEC spelling: ``ACT``, ``PREpb``, ``PREab``, ``RD``, ``RDA``, ``WR``, ``WRA``, ``REFpb``, ``REFab``.
    bus : "row" or "column"
        Which command bus carries it.
    ticks : int
        Ticks it occupies on that bus.
    level : str
        Level it addresses: ``Bank``, or a higher one for all banks below.
    effect : "open", "close" or "none"
        What it does to the rows of the banks it addresses.
    """

    name: str
    bus: Bus
    ticks: int
    level: str
    effect: Effect

    @property
    def moves_data(self) -> bool:
        """Whether it reads or writes a column."""
        return self.bus == "column"


@dataclass(frozen=True)
class Constraint:
    """One row of the table: `following` may not start before `latency` ticks after `preceding`.

    Parameters
    ----------
    level : str
        Both commands address the same node of this level.
    preceding, following : tuple of str
        Names of commands.
    latency : tuple of int
        Ticks; one figure, or one per tier of the row that the bank opened last (an ACT counts with the row it opens).
    rule : str
        The expression it comes from, as ``"nCWL + nBL + nWR"``.
    window : int
        The `window`-th latest preceding command counts: 4 for a four-activate window.  Beyond 1, one preceding
        command only: of several it would be unclear whether they are counted together.
    sibling : bool
        True: between different children of one parent at this level, instead of within one node.
    beyond_peer : bool
        True for a rule that is right but that Ramulator 2.1 does not have; left out for comparisons with it.

    Raises
    ------
    SpecError
        If a window has several preceding commands.
    """

    level: str
    preceding: tuple[str, ...]
    following: tuple[str, ...]
    latency: tuple[int, ...]
    rule: str
    window: int = 1
    sibling: bool = False
    beyond_peer: bool = False

    def __post_init__(self) -> None:
        """Refuse a window over several commands."""
        if self.window > 1 and len(self.preceding) > 1:
            fault = Fault(
                f"constraint {self.rule} at {self.level}",
                f"window {self.window} after {', '.join(self.preceding)}",
                "one preceding command for a window",
                "write one row for each of them",
            )
            raise SpecError("not a constraint", [fault])


@dataclass(frozen=True)
class Protocol:
    """A protocol with its numbers.

    Parameters
    ----------
    name : str
        Name of the standard or preset.
    levels : tuple of str
        From the root down to ``Bank``; rows and columns are not levels.
    sizes : tuple of int
        Children per node of the level above; the root has size 1.
    rows, columns : int
        Rows of a bank; column accesses (transactions) of a row.
    transaction_bytes : int
        Bytes of one column access.
    rows_per_tier : int
        Rows of one latency class; = `rows` where all rows are alike.
    tick_ps : int
        Length of a tick; picoseconds.
    ticks_per_ck : int
        Ticks of one command clock: 1, or 2 where commands take half clocks.
    commands : tuple of Command
    constraints : tuple of Constraint
    timing : dict of str to int
        Every ``nXXX``; ticks.
    read_latency : int
        RD to the last data of the transaction; ticks.
    half_clock_edges : bool
        True: columns only on odd ticks, and the pairing rule of HBM3 for row commands on even ticks.
    command_pJ : dict of str to float
        Energy of a command, that of an ACT with the PRE that ends it; pJ.  Empty where none is known.
    """

    name: str
    levels: tuple[str, ...]
    sizes: tuple[int, ...]
    rows: int
    columns: int
    transaction_bytes: int
    rows_per_tier: int
    tick_ps: int
    ticks_per_ck: int
    commands: tuple[Command, ...]
    constraints: tuple[Constraint, ...]
    timing: dict[str, int]
    read_latency: int
    half_clock_edges: bool = False
    command_pJ: dict[str, float] = field(default_factory=dict)

    def command(self, name: str) -> Command:
        """Return a command by name.

        Raises
        ------
        KeyError
            If the protocol has no such command.
        """
        return {command.name: command for command in self.commands}[name]

    @property
    def banks(self) -> int:
        """Banks under the root."""
        count = 1
        for size in self.sizes:
            count *= size
        return count


@dataclass(frozen=True)
class IssuedCommand:
    """One line of a command trace.

    Parameters
    ----------
    clock : int
        Tick of issue (first tick of a longer command).
    command : str
        Name.
    address : tuple of int
        One index per level of the protocol; -1 = all children.
    row, column : int
        -1 where the command has none.
    port : int
        Data port that moves the column, where banks share ports; -1 where the command has none.
    """

    clock: int
    command: str
    address: tuple[int, ...]
    row: int = -1
    column: int = -1
    port: int = -1
