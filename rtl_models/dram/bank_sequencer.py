"""RTL of the native controller's bank sequencer: one bank with a port of its own.

    run queue --head--> [ next row | could it start? ] <--- landing credits <--- credit_return
        ^                        |
        +------ take_run ------- v
    write FIFO --valid--> [ decide: ACT REFpb | RD WR | hit | PRE ] --> command, row, column
        ^                    |        ^       ^          ^
        +-- pop_write -------+     timers  refresh   want_act --> activation budget --> act_grant
                                            clock <--- cycle

The rules are those of docs/dram/native.md with ``port_banks = ports = 1``; the activation budget and the FIFOs stand
outside.  Inputs of cycle t have their effect on the outputs of cycle t, but for ``credit_return``, which frees its
place for cycle t + 1.  Runs must lie inside the bank and read accesses must fit into the landing FIFO: the kernel
reports others as faults, the RTL does not look.

First cycles: a read run of two accesses of two columns, rows 4 and 5, and a write run of one column to row 5; nRCD 3,
nRAS 6, nRTP 2, nRP 2, nCCD 1, nRTW 3, nWTP 2, ``row_hits`` 2, landing FIFO of four beats whose credits do not return,
the write datum there from cycle 16 on::

    cycle     0    1    2    3    4    5    6    7    8    9    10   11   12   13   14   15   16   17   18
    command   ACT            RD   RD        PRE       ACT            RD   RD                  WR        PRE
    row       4    4    4    4    4    4    4    4    5    5    5    5    5    5    5    5    5    5    5
    column    0              0    1                   0              0    1                   2
    take_run                                          1                        1
    pop_write                                                                                 1
    credits   4    2    2    2    2    2    2    2    2    0    0    0    0    0    0    0    0    0    0

Parameters, widths and reset values are fixed when the block is made.  ``python -m rtl_models.dram.bank_sequencer
--export FILE`` writes its Verilog.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
import pyrtl
from numpy.typing import NDArray

from nmpsim.spec import MachineParams
from nmpsim.spec.params import ACT, PRE, RD, REF, WR, DramParams
from rtl_models.dram.refresh import RefreshClock
from rtl_models.dram.timers import Timers
from rtl_models.verilog import export

REASONS = (
    "transfer",
    "activate",
    "precharge",
    "no_landing_space",
    "write_data_late",
    "activation_budget",
    "refresh",
    "no_request",
    "turnaround",
    "port_busy",
)
"""What a bank spends a DRAM cycle on; output ``reason`` is the index.

A bank with a port of its own is never `port_busy`."""

CYCLE_BITS = 32
"""Width of the free-running cycle count (assumed: a bank then may owe or wait for 2**31 cycles, seconds at 1 GHz)."""


class Run(NamedTuple):
    """The run at the head of the queue."""

    valid: pyrtl.WireVector  # there is one, and the bank may see it
    first_row: pyrtl.WireVector  # row of the first access
    rows: pyrtl.WireVector  # accesses, 1 ... rows of the bank
    row_stride: pyrtl.WireVector  # rows from one access to the next, two's complement
    first_column: pyrtl.WireVector  # first column of every access
    columns: pyrtl.WireVector  # columns of every access, 1 ... columns of a row
    is_write: pyrtl.WireVector  # 1: WR, 0: RD


class Widths(NamedTuple):
    """Widths of the ports; bits."""

    row: int  # row number, also of the stride
    rows: int  # count of row accesses
    column: int  # column number
    columns: int  # count of columns
    credits: int  # free places of the landing FIFO


def widths(params: DramParams) -> Widths:
    """Return the widths of the ports for the integers of a channel."""
    return Widths(
        row=max((params.rows - 1).bit_length(), 1),
        rows=params.rows.bit_length(),
        column=max((params.columns - 1).bit_length(), 1),
        columns=params.columns.bit_length(),
        credits=params.fifo_columns.bit_length(),
    )


def bank_sequencer(
    params: DramParams, latency: NDArray[np.int64], *, bank: int = 0, cycle_bits: int = CYCLE_BITS
) -> pyrtl.Block:
    """Return the sequencer of one bank.

    Parameters
    ----------
    params : DramParams
        The channel; ports that banks share are not modelled.
    latency : ndarray of int64, shape (tier, 5, 5)
        Separations of two commands of one bank, -1 = none; DRAM cycles.
    bank : int
        Which bank of the channel; it matters for when refreshes fall due.
    cycle_bits : int
        Width of the cycle count and of the refresh count; both wrap.

    Raises
    ------
    ValueError
        If banks share ports, or if `cycle_bits` is too small for the refresh interval.
    """
    if params.port_banks != 1:
        raise ValueError(f"bank sequencer: got port_banks {params.port_banks}; allowed: 1; give each bank its own port")
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        size = widths(params)
        run = Run(
            valid=pyrtl.Input(1, "run_valid"),
            first_row=pyrtl.Input(size.row, "run_first_row"),
            rows=pyrtl.Input(size.rows, "run_rows"),
            row_stride=pyrtl.Input(size.row, "run_row_stride"),
            first_column=pyrtl.Input(size.column, "run_first_column"),
            columns=pyrtl.Input(size.columns, "run_columns"),
            is_write=pyrtl.Input(1, "run_is_write"),
        )
        _Sequencer(params, Timers(latency), RefreshClock(params, bank, cycle_bits), run).connect()
    return block


class _Sequencer:
    """Registers of one bank, its decisions in the order of docs/dram/native.md, their effects, its outputs."""

    def __init__(self, params: DramParams, timers: Timers, clock: RefreshClock, run: Run) -> None:
        size = widths(params)
        self.params, self.size, self.timers, self.clock, self.run = params, size, timers, clock, run
        self.write_valid = pyrtl.Input(1, "write_valid")
        self.act_grant = pyrtl.Input(1, "act_grant")
        self.credit_return = pyrtl.Input(1, "credit_return")
        self.is_open = pyrtl.Register(1, "is_open")
        self.closing = pyrtl.Register(1, "closing")
        self.row = pyrtl.Register(size.row, "open_row")
        self.tier = pyrtl.Register((params.tiers - 1).bit_length(), "tier") if params.tiers > 1 else None
        self.column = pyrtl.Register(size.column, "next_column")
        self.left = pyrtl.Register(size.columns, "columns_left")
        self.is_write = pyrtl.Register(1, "is_write")
        self.rows_begun = pyrtl.Register(size.rows, "rows_begun")
        self.credits = pyrtl.Register(size.credits, "credits", reset_value=params.fifo_columns)
        self.hits = pyrtl.Register(params.row_hits.bit_length(), "hits") if params.row_hits > 1 else None
        self.wait = pyrtl.Register(4, "wait_reason")  # why the next column of the access must wait for its timer
        self.refreshed = pyrtl.Register(1, "refreshed")  # REFpb, not a row access, was the last to begin

    def connect(self) -> None:
        """Connect everything."""
        self.decide()
        self.store()
        self.show()

    def decide(self) -> None:
        """Make the wires that say what is done in this cycle."""
        run, ready, times = self.run, self.timers.ready, self.clock.times()
        self.goes_on = self.rows_begun != 0
        self.next_row = pyrtl.select(self.goes_on, (self.row + run.row_stride).truncate(self.size.row), run.first_row)
        self.fits = run.is_write | (self.credits >= run.columns)
        could_start = run.valid & self.fits
        self.limit = times.limit

        idle = ~self.is_open
        self.want_act = idle & could_start & ready(ACT) & ~times.limit
        self.act = self.want_act & self.act_grant
        may_refresh = times.limit | (~could_start & (times.due | (times.early & ~run.valid)))
        self.ref = idle & ready(REF) & may_refresh

        finished = self.is_open & (self.left == 0)
        other_row = run.valid & (self.next_row != self.row)
        must_close = self.closing | self.is_capped() | times.limit | other_row | (~could_start & times.due)
        self.close = finished & must_close
        self.hit = finished & could_start & ~must_close
        self.pre = self.close & ready(PRE)

        self.moving = (self.is_open & (self.left != 0)) | self.hit
        self.writes = pyrtl.select(self.hit, run.is_write, self.is_write)
        self.column_ready = pyrtl.select(self.writes, ready(WR), ready(RD))
        move = self.moving & self.column_ready
        self.rd = move & ~self.writes
        self.wr = move & self.writes & self.write_valid
        self.begin = self.act | self.hit
        self.takes = self.begin & ((self.rows_begun + 1) == run.rows)

    def is_capped(self) -> pyrtl.WireVector:
        """Return whether the open row has served as many accesses as one ACT may."""
        if self.hits is None:
            return pyrtl.Const(int(self.params.row_hits == 1), 1)
        return self.hits == self.params.row_hits

    def tier_of(self, row: pyrtl.WireVector) -> pyrtl.WireVector:
        """Return the latency class of a row."""
        assert self.tier is not None
        count = pyrtl.Const(0, len(self.tier))
        for tier in range(1, self.params.tiers):
            above = row >= tier * self.params.rows_per_tier
            count = pyrtl.select(above, pyrtl.Const(tier, len(self.tier)), count)
        return count

    def store(self) -> None:
        """Connect the registers."""
        run, size, select = self.run, self.size, pyrtl.select
        moved = self.rd | self.wr
        self.is_open.next <<= self.act | (self.is_open & ~self.pre)
        self.closing.next <<= self.close & ~self.pre
        self.row.next <<= select(self.begin, self.next_row, self.row)
        self.is_write.next <<= select(self.begin, run.is_write, self.is_write)
        self.refreshed.next <<= self.ref | (self.refreshed & ~self.act)

        self.column_now = select(self.begin, run.first_column, self.column)
        left_now = select(self.begin, run.columns, self.left)
        self.column.next <<= (self.column_now + moved).truncate(size.column)
        self.left.next <<= (left_now - moved).truncate(size.columns)

        begun = select(self.takes, pyrtl.Const(0, size.rows), (self.rows_begun + 1).truncate(size.rows))
        self.rows_begun.next <<= select(self.begin, begun, self.rows_begun)
        reserved = select(self.begin & ~run.is_write, run.columns, pyrtl.Const(0, size.columns))
        self.credits.next <<= (self.credits + self.credit_return - reserved).truncate(size.credits)
        if self.hits is not None:
            one_more = (self.hits + self.hit).truncate(len(self.hits))
            self.hits.next <<= select(self.act, pyrtl.Const(1, len(self.hits)), one_more)

        opened = None
        if self.tier is not None:
            opened = self.tier_of(self.next_row)
            self.tier.next <<= select(self.act, opened, self.tier)
        issued = {ACT: self.act, PRE: self.pre, RD: self.rd, WR: self.wr, REF: self.ref}
        self.timers.drive(issued, {command: opened if command == ACT else self.tier for command in issued})
        self.clock.drive(self.ref)

    def reason(self) -> pyrtl.WireVector:
        """Return what the cycle goes to (changes what `wait` holds next)."""
        turn = self.run.is_write != self.is_write
        wait_now = pyrtl.select(self.hit, pyrtl.select(turn, _code("turnaround"), _code("transfer")), self.wait)
        wait_next = pyrtl.select(self.rd | self.wr, _code("transfer"), wait_now)
        self.wait.next <<= pyrtl.select(self.act, _code("activate"), wait_next)
        tail = pyrtl.select(self.is_write, self.timers.ready(WR), self.timers.ready(RD))
        recovers = pyrtl.select(self.refreshed, _code("refresh"), _code("precharge"))
        unserved = pyrtl.select(self.run.valid, _code("no_landing_space"), _code("no_request"))
        moves = _first(
            (self.rd | self.wr, _code("transfer")),
            (self.column_ready, _code("write_data_late")),
            otherwise=wait_now,
        )
        stays = _first(
            (self.pre, _code("precharge")),
            (~tail, _code("transfer")),
            (self.close, _code("precharge")),
            otherwise=unserved,
        )
        rests = _first(
            (self.act, _code("activate")),
            (self.ref, _code("refresh")),
            (~self.timers.ready(ACT), recovers),
            (self.limit, _code("refresh")),
            (self.run.valid & self.fits, _code("activation_budget")),
            otherwise=unserved,
        )
        return _first((self.moving, moves), (self.is_open, stays), otherwise=rests)

    def show(self) -> None:
        """Connect the outputs."""
        command = _first(
            (self.act, pyrtl.Const(ACT, 3)),
            (self.pre, pyrtl.Const(PRE, 3)),
            (self.rd, pyrtl.Const(RD, 3)),
            (self.wr, pyrtl.Const(WR, 3)),
            otherwise=pyrtl.Const(REF, 3),
        )
        outputs = {
            "command_valid": self.act | self.pre | self.rd | self.wr | self.ref,
            "command": command,  # ACT, PRE, RD, WR, REF of nmpsim.spec.params; no meaning without command_valid
            "row": pyrtl.select(self.begin, self.next_row, self.row),
            "column": self.column_now,  # of RD and WR; the first one of ACT
            "take_run": self.takes,
            "pop_write": self.wr,
            "want_act": self.want_act,
            "refreshes": self.clock.count,
            "reason": self.reason(),
        }
        for name, wire in outputs.items():
            port = pyrtl.Output(len(wire), name)
            port <<= wire


def _code(reason: str) -> pyrtl.WireVector:
    """Return the code of a reason."""
    return pyrtl.Const(REASONS.index(reason), 4)


def _first(*cases: tuple[pyrtl.WireVector, pyrtl.WireVector], otherwise: pyrtl.WireVector) -> pyrtl.WireVector:
    """Return the value of the first case whose bit is 1."""
    value = otherwise
    for bit, chosen in reversed(cases):
        value = pyrtl.select(bit, chosen, value)
    return value


def for_chip(machine: MachineParams) -> pyrtl.Block:
    """Return the sequencer of bank 0 of a chip."""
    return bank_sequencer(machine.dram, machine.latency)


if __name__ == "__main__":
    sys.exit(export("bank_sequencer", for_chip))
