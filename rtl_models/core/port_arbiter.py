"""RTL of the arbiter of the buffer's ports: who reads and who writes which bank in a cycle.

    compute unit --address, bytes--> [ banks ] ---------------------------> taken (never refused)
    vector unit  --read, write-----> [ banks ] --free?--> both or neither -----+
    copy engines --in, out---------> [ banks ] --free?--> one each             |  read ports of all banks
    data mover   --load 0 ... n----> [ banks ] --free?--> first free in turn   +-->
                 --store-----------> [ banks ] --free?-->                      |  write ports of all banks
    senders      --0, 1------------> [ banks ] --free?-->                      |
    receivers    --0, 1------------> [ banks ] --free?-->                     -+

Every bank has one read and one write port (nmpsim/core/ports.py).  An access is granted whole or not at all, and in the
order drawn: it is refused if one of its banks is taken by someone above it; a refused one takes nothing.  The vector
unit's read and write are one access.  Of the loads, whose beats wait in the FIFOs of the strips, one is granted a
cycle: the first whose banks are free, from the strip after the last one granted on; those that were looked at before it
have a conflict, later ones are not looked at.  All outputs belong to the cycle of the inputs; what a grant changes but
the turn is the requester's matter.

The compute unit names what its control knows: a stream of operands, a stream of results (the sums that it adds to are
the banks of the same words, so one bit asks for them), and the write of a finished fold, one per MAC-tree slice.  In
the separate arrangement it takes no port of the buffer; only the banks of the output buffer from which it reads sums
matter, which the engine that copies out must leave alone.

First cycles on four banks of 16 bytes: the compute unit streams operands of 16 bytes a cycle from address 0 on until
cycle 2; from cycle 1 on the vector unit waits to read 32 bytes at 16 and write 16 bytes at 0, and beats of 16 bytes
wait, two of strip 0 to address 0, one of strip 1 to 32::

    cycle            0      1      2      3      4      5
    compute          0001   0010   0100
    vector_conflict         1      1
    vector_grant                          1
    load0_grant             1                    1
    load0_conflict                        1
    load1_grant                    1
    turn             0      0      1      0      0      1
    read_banks       0001   0010   0100   0110
    write_banks             0001   0100   0001   0001

``python -m rtl_models.core.port_arbiter --export FILE`` writes its Verilog.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import pyrtl

from nmpsim.spec import MachineParams
from nmpsim.spec.params import MAC_TREE, CoreParams
from rtl_models.core.bank_set import Banks
from rtl_models.core.pins import show
from rtl_models.core.wires import any_of
from rtl_models.verilog import export

DIRECTIONS = 2
"""Senders and receivers: clockwise, counter-clockwise."""


class ArbiterParams(NamedTuple):
    """What the arbiter is made for."""

    core: CoreParams
    beat_bytes: int  # a load or store moves this much a cycle
    flit_bytes: int  # most bytes of a send or receive

    @property
    def folds(self) -> int:
        """Finished folds that may be written in one cycle: one per MAC-tree slice, or one."""
        return self.core.strips if self.core.kind == MAC_TREE else 1

    @property
    def address_bits(self) -> int:
        """Width of an address: all buffers lie one behind the other."""
        core = self.core
        return (core.buffer_bytes + (core.operand_bytes + core.output_bytes if core.separate else 0) - 1).bit_length()


def arbiter_params(machine: MachineParams) -> ArbiterParams:
    """Return the arbiter of a chip's core."""
    return ArbiterParams(machine.core, machine.dram.column_bytes, machine.noc.flit_bytes)


def port_arbiter(params: ArbiterParams) -> pyrtl.Block:
    """Return the arbiter of one core.

    Parameters
    ----------
    params : ArbiterParams

    Raises
    ------
    ValueError
        If the width of a bank is no power of two.
    """
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        _Arbiter(params).connect()
    return block


class _Arbiter:
    """Ports taken so far, from the highest priority to the lowest."""

    def __init__(self, params: ArbiterParams) -> None:
        core = params.core
        self.params, self.core = params, core
        self.buffer = Banks(core.buffer_banks, core.bank_bytes)
        self.reads = pyrtl.Const(0, core.buffer_banks)
        self.writes = pyrtl.Const(0, core.buffer_banks)

    def connect(self) -> None:
        """Let everybody ask in the order of priority, and show what is taken."""
        if self.core.separate:
            self.sums()
        else:
            self.compute()
        self.vector()
        if self.core.separate:
            self.copies()
        self.loads()
        store = self.access("store", self.params.beat_bytes)
        self.reads = self.reads | self.decide("store", self.asked("store"), store, self.reads)
        for d in range(DIRECTIONS):
            name = f"send{d}"
            banks = self.access(name, self.most(self.params.flit_bytes, f"{name}_bytes"))
            self.reads = self.reads | self.decide(name, self.asked(name), banks, self.reads)
        for d in range(DIRECTIONS):
            name = f"receive{d}"
            banks = self.access(name, self.most(self.params.flit_bytes, f"{name}_bytes"))
            self.writes = self.writes | self.decide(name, self.asked(name), banks, self.writes)
        show("read_banks", self.reads)
        show("write_banks", self.writes)

    def address(self, name: str) -> pyrtl.WireVector:
        """Return an input for an address in the buffer; its high bits are left out where banks repeat."""
        return pyrtl.Input(self.buffer.address_bits(self.params.address_bits), name)

    def result(self, name: str) -> pyrtl.WireVector:
        """Return an address in the output buffer as counted from its first byte (separate arrangement)."""
        first = self.core.buffer_bytes + self.core.operand_bytes
        address = pyrtl.Input(self.output.address_bits(self.params.address_bits), name)
        return (address - first % (1 << len(address))).truncate(len(address))

    def length(self, name: str) -> pyrtl.WireVector:
        """Return an input for bytes, as many as the buffers have."""
        return pyrtl.Input(self.params.address_bits, name)

    def most(self, count: int, name: str) -> pyrtl.WireVector:
        """Return an input for up to `count` bytes."""
        return pyrtl.Input(count.bit_length(), name)

    def asked(self, name: str) -> pyrtl.WireVector:
        """Return the input that says whether somebody asks."""
        return pyrtl.Input(1, f"{name}_valid")

    def access(self, name: str, length: pyrtl.WireVector | int) -> pyrtl.WireVector:
        """Return the banks of the buffer that an access opens."""
        count = pyrtl.Const(length) if isinstance(length, int) else length
        return self.buffer.of(self.address(f"{name}_address"), count)

    def decide(
        self, name: str, asks: pyrtl.WireVector, banks: pyrtl.WireVector, taken: pyrtl.WireVector
    ) -> pyrtl.WireVector:
        """Grant an access unless one of its banks is taken; return what it takes."""
        return gated(self.settle(name, asks, (banks & taken) != 0), banks)

    def settle(self, name: str, asks: pyrtl.WireVector, meets: pyrtl.WireVector) -> pyrtl.WireVector:
        """Show grant and conflict of an access; return the grant."""
        grant = asks & ~meets
        show(f"{name}_grant", grant)
        show(f"{name}_conflict", asks & meets)
        return grant

    def compute(self) -> None:
        """Take what the compute unit asks for."""
        stream = pyrtl.Input(1, "operand_stream")  # 0: a whole access, the load of a stationary operand
        operands = self.buffer.of(self.address("operand_address"), self.length("operand_bytes"), stream)
        results = self.buffer.of(self.address("result_address"), self.length("result_bytes"), 1)
        sums = gated(pyrtl.Input(1, "result_adds"), results)
        self.reads = gated(pyrtl.Input(1, "operand_valid"), operands)
        asks = pyrtl.Input(1, "result_valid")
        self.reads = self.reads | gated(asks, sums)
        self.writes = gated(asks, results)
        for i in range(self.params.folds):
            banks = self.buffer.of(self.address(f"fold{i}_address"), self.length(f"fold{i}_bytes"))
            self.writes = self.writes | gated(self.asked(f"fold{i}"), banks)

    def sums(self) -> None:
        """Note the banks of the output buffer from which the compute unit reads sums (separate arrangement)."""
        core = self.core
        self.output = Banks(core.output_banks, core.array_bank_bytes)
        banks = self.output.of(self.result("result_address"), self.length("result_bytes"), 1)
        self.added = gated(pyrtl.Input(1, "result_valid") & pyrtl.Input(1, "result_adds"), banks)
        show("sum_banks", self.added)

    def vector(self) -> None:
        """Decide on the vector unit, both its accesses together."""
        core = self.core
        reads = self.access("vector_read", self.most(core.vector_read_bytes, "vector_read_bytes"))
        writes = self.access("vector_write", self.most(core.vector_write_bytes, "vector_write_bytes"))
        grant = self.settle("vector", self.asked("vector"), ((reads & self.reads) | (writes & self.writes)) != 0)
        self.reads = self.reads | gated(grant, reads)
        self.writes = self.writes | gated(grant, writes)

    def copies(self) -> None:
        """Decide on the copy engines (separate arrangement)."""
        copy_bytes = self.core.copy_bytes
        reads = self.access("copy_in", self.most(copy_bytes, "copy_in_bytes"))
        self.reads = self.reads | self.decide("copy_in", self.asked("copy_in"), reads, self.reads)
        length = self.most(copy_bytes, "copy_out_bytes")
        writes = self.access("copy_out", length)
        results = self.output.of(self.result("copy_out_source"), length)
        meets = ((writes & self.writes) != 0) | ((results & self.added) != 0)
        self.writes = self.writes | gated(self.settle("copy_out", self.asked("copy_out"), meets), writes)

    def loads(self) -> None:
        """Decide which strip's beat goes into the buffer."""
        strips = self.core.strips
        asks = [self.asked(f"load{s}") for s in range(strips)]
        sets = [self.access(f"load{s}", self.params.beat_bytes) for s in range(strips)]
        meets = [(banks & self.writes) != 0 for banks in sets]
        turn = pyrtl.Register(max((strips - 1).bit_length(), 1), "load_turn")
        in_turn = [turn <= s for s in range(strips)]
        free = [ask & ~met for ask, met in zip(asks, meets, strict=True)]
        later = [a & b for a, b in zip(free, in_turn, strict=True)]  # from the turn to the last strip
        wraps = ~any_of(later)
        written, following = pyrtl.Const(0, len(self.writes)), turn
        for s in range(strips):
            before_later, before = any_of(later[:s]), any_of(free[:s])
            looked_at = pyrtl.select(in_turn[s], ~before_later, wraps & ~before)
            grant = free[s] & looked_at
            show(f"load{s}_grant", grant)
            show(f"load{s}_conflict", asks[s] & meets[s] & looked_at)
            written = written | gated(grant, sets[s])
            following = pyrtl.select(grant, pyrtl.Const((s + 1) % strips, len(turn)), following)
        turn.next <<= following
        show("turn", turn)
        self.writes = self.writes | written


def gated(bit: pyrtl.WireVector, banks: pyrtl.WireVector) -> pyrtl.WireVector:
    """Return a set of banks if a bit is 1, else none."""
    return banks & bit.sign_extended(len(banks))


def for_chip(machine: MachineParams) -> pyrtl.Block:
    """Return the arbiter of a core of a chip."""
    return port_arbiter(arbiter_params(machine))


if __name__ == "__main__":
    sys.exit(export("port_arbiter", for_chip))
