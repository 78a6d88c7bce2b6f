"""When a bank owes a refresh: one register, the cycle at which the next one falls due.

      cycle --> [ - ] --> lateness --> [ >= 0                ] --> due
                  ^                    [ >= postpone * nREFI ] --> limit
               [due at] + nREFI        [ >= -pull_in * nREFI ] --> early
                  at each REFpb

nREFI 4, pull_in 1, bank 0, and nobody ever wants the bank: every REFpb comes one interval ahead::

    cycle     0    1    2    3    4    5    6    7    8    9
    command   REFpb               REFpb               REFpb
    due at    4    8    8    8    8    12   12   12   12   16
    early     1    0    0    0    1    0    0    0    1    0
"""

from __future__ import annotations

from typing import NamedTuple

import pyrtl

from nmpsim.spec.params import DramParams


class RefreshTimes(NamedTuple):
    """Where a bank stands with its next refresh; one bit each."""

    due: pyrtl.WireVector  # the refresh is owed
    limit: pyrtl.WireVector  # no row access may begin before it
    early: pyrtl.WireVector  # it may be done, if nobody wants the bank


class RefreshClock:
    """The refresh calendar of one bank; nothing, without an input, where refresh is off.

    Parameters
    ----------
    params : DramParams
    bank : int
        Which bank of the channel: refreshes of a channel are spread over the interval.
    bits : int
        Width of the input `cycle`, a free-running count of DRAM cycles, and of the count of refreshes; both may wrap.

    Raises
    ------
    ValueError
        If the count wraps so soon that a refresh that may still be postponed cannot be told from one done ahead.
    """

    def __init__(self, params: DramParams, bank: int, bits: int) -> None:
        self.params = params
        if not params.refresh:
            self.count = pyrtl.Const(0, bits)
            return
        first = params.nREFI + params.nREFI * bank // params.banks
        longest = max(first + params.pull_in * params.nREFI, (params.postpone + 1) * params.nREFI)
        if longest >= 2 ** (bits - 1):
            allowed = f"at least {longest.bit_length() + 1} bits for {longest} DRAM cycles of debt or advance"
            raise ValueError(f"cycle counter: got {bits} bits; allowed: {allowed}; widen it")
        self.due_at = pyrtl.Register(bits, "due_at", reset_value=first)
        self.count = pyrtl.Register(bits, "refresh_count")
        self.lateness = (pyrtl.Input(bits, "cycle") - self.due_at).truncate(bits)

    def times(self) -> RefreshTimes:
        """Return what the calendar says in this cycle."""
        if not self.params.refresh:
            never = pyrtl.Const(0, 1)
            return RefreshTimes(never, never, never)
        owed = ~self.lateness[-1]
        late = self.params.postpone * self.params.nREFI
        ahead = 2 ** len(self.lateness) - self.params.pull_in * self.params.nREFI  # a negative lateness, as bits
        return RefreshTimes(
            due=owed,
            limit=owed & (self.lateness >= late),
            early=owed | (self.lateness >= ahead) if self.params.pull_in else owed,
        )

    def drive(self, done: pyrtl.WireVector) -> None:
        """Connect the calendar to the bit that says that REFpb is issued."""
        if not self.params.refresh:
            return
        bits = len(self.due_at)
        following = (self.due_at + self.params.nREFI).truncate(bits)
        self.due_at.next <<= pyrtl.select(done, following, self.due_at)
        self.count.next <<= (self.count + done).truncate(bits)
