"""The DRAM channels: one per PU, a command sequencer and a data port per bank.

Read in this order: state.py, channel.py, account.py, check.py, stream.py; the contract is docs/seams/memory-port.md.
"""

from nmpsim.dram.account import settle
from nmpsim.dram.channel import step_channel
from nmpsim.dram.state import REASONS, DramState, check_balance, command_log, make_state, post, raise_faults

__all__ = [
    "REASONS",
    "DramState",
    "check_balance",
    "command_log",
    "make_state",
    "post",
    "raise_faults",
    "settle",
    "step_channel",
]
