"""The independent checker: replays any command trace against a Protocol and names the broken rule, the pair, the tick.

It shares no code with the controllers.  They keep what is allowed from when and look ahead, command by command; this
keeps what was issued when and looks back, rule by rule over the whole trace.

    trace --commands.py--> columns --+--> address.py   unknown commands, wildcards, ranges
                                     +--> table.py     every row of Protocol.constraints
                                     +--> bank.py      open and closed banks
                                     +--> bus.py       command buses, half-clock edges
                                     +--> refresh.py   early, late and missing refreshes (if asked)
                                     +--> native.py    what the die's controller promises beyond its protocol
"""

from nmpsim.dram.check.bus import BusRule
from nmpsim.dram.check.commands import CommandColumns, columns_of
from nmpsim.dram.check.refresh import RefreshRule, all_bank_refresh, per_bank_refresh
from nmpsim.dram.check.replay import check_commands
from nmpsim.dram.check.table import row_text
from nmpsim.dram.check.violation import Violation

__all__ = [
    "BusRule",
    "CommandColumns",
    "RefreshRule",
    "Violation",
    "all_bank_refresh",
    "check_commands",
    "columns_of",
    "per_bank_refresh",
    "row_text",
]
