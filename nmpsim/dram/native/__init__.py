"""The die's own DRAM channels, one per PU: a command sequencer per bank, a data port per bank or shared ones.

Read in this order: docs/dram/native.md, state.py, channel.py, account.py, stream.py; the contract with the core is
docs/seams/memory-port.md.
"""

from nmpsim.dram.native.account import settle
from nmpsim.dram.native.budget import grant_activations
from nmpsim.dram.native.channel import step_channel
from nmpsim.dram.native.state import REASONS, DramState, check_balance, command_log, make_state, post, raise_faults

__all__ = [
    "REASONS",
    "DramState",
    "check_balance",
    "command_log",
    "grant_activations",
    "make_state",
    "post",
    "raise_faults",
    "settle",
    "step_channel",
]
