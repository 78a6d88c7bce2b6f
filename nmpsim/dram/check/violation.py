"""The rules by name, and what the checker says about a broken one."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN = "no command of the protocol"
WILDCARD = "wildcard at or above the level of the command, or an index below it"
ADDRESS = "address out of range"
BEFORE_START = "tick before the start"
ADDRESS_RULES = (UNKNOWN, WILDCARD, ADDRESS, BEFORE_START)

SEPARATION = "separation"
NO_PORT = "column without the number of its port"
TABLE_RULES = (SEPARATION, NO_PORT)

ACT_OPEN = "ACT to an open bank"
COLUMN_CLOSED = "column command to a closed bank"
WRONG_ROW = "column command to another row than the open one"
REF_OPEN = "refresh with an open bank in its scope"
PRE_CLOSED = "precharge of closed banks"
STATE_RULES = (ACT_OPEN, COLUMN_CLOSED, WRONG_ROW, REF_OPEN, PRE_CLOSED)

BUS = "command bus is taken"
COLUMN_EDGE = "column command on a falling edge"
ROW_EDGE = "row command other than a precharge on a falling edge"
PAIRING = "precharge on the falling edge that pairs with a row command to the same bank or scope"
BUS_RULES = (BUS, COLUMN_EDGE, ROW_EDGE, PAIRING)

REF_EARLY = "refresh before it may be pulled in"
REF_LATE = "refresh later than the limit"
ACT_AT_LIMIT = "ACT of a bank that owes more refreshes than may be postponed"
REFRESH_RULES = (REF_EARLY, REF_LATE, ACT_AT_LIMIT)

RULES = (*ADDRESS_RULES, *TABLE_RULES, *STATE_RULES, *BUS_RULES, *REFRESH_RULES)
"""Every rule of `check_commands`; nmpsim/dram/check/native.py has some more."""


@dataclass(frozen=True)
class Violation:
    """One broken rule.

    Parameters
    ----------
    rule : str
        One of the names above.
    row : str
        The row of the protocol's table as text, for SEPARATION; else empty.
    pair : str
        Earlier and offending command, as ``"ACT-RD"``; the offending one alone where no other is concerned.
    address : tuple of int
        Address of the offending command.
    cycle : int
        When; ticks of the protocol.
    earliest : int
        Earliest tick that the rule allows; for REF_LATE the latest; -1 where no time would make it legal.
    since : int
        Tick of the earlier command of the pair; -1 if there is none.
    """

    rule: str
    row: str
    pair: str
    address: tuple[int, ...]
    cycle: int
    earliest: int = -1
    since: int = -1

    def __str__(self) -> str:
        where = ".".join("*" if index < 0 else str(index) for index in self.address)
        row = f" ({self.row})" if self.row else ""
        since = f" after tick {self.since}" if self.since >= 0 else ""
        limit = "latest" if self.rule == REF_LATE else "earliest"
        legal = f"; {limit} legal tick {self.earliest}" if self.earliest >= 0 else ""
        return f"tick {self.cycle}: {self.pair} at {where}{since}: {self.rule}{row}{legal}"
