"""A netlist of PyRTL evaluated bit-sliced: every wire of one bit is a row of words, one bit per case.

    values of a port, one per case       rows of the port, one per bit
        5 = 101                              bit 2   1 0 1
        2 = 010              --->            bit 1   0 1 0
        7 = 111                              bit 0   1 0 1

PyRTL takes the block apart to gates of one bit (`pyrtl.synthesize`); each gate is then one NumPy operation for all
cases at once.
"""

from __future__ import annotations

import numpy as np
import pyrtl

PORTION = 1 << 16
"""Cases that are evaluated together: rows of 8 KiB."""

GATES = {
    "&": np.bitwise_and,
    "|": np.bitwise_or,
    "^": np.bitwise_xor,
}


def to_rows(values: np.ndarray, bits: int) -> np.ndarray:
    """Rows of a port: shape (bits, bytes), case n in bit n % 8 of byte n // 8."""
    octets = np.ascontiguousarray(values.astype(np.uint64)).view(np.uint8).reshape(len(values), 8)
    spread = np.unpackbits(octets[:, : (bits + 7) // 8], axis=1, bitorder="little")[:, :bits]
    return np.packbits(spread.T, axis=1, bitorder="little")


def to_values(rows: np.ndarray, count: int) -> np.ndarray:
    """Values of a port, one per case; uint64."""
    spread = np.unpackbits(rows, axis=1, count=count, bitorder="little").T
    octets = np.packbits(spread, axis=1, bitorder="little")
    whole = np.zeros((count, 8), np.uint8)
    whole[:, : octets.shape[1]] = octets
    return whole.view(np.uint64).ravel()


class Sliced:
    """A block as a list of gates.

    Parameters
    ----------
    block : pyrtl.Block
        Without memories and registers; it is not changed.
    """

    def __init__(self, block: pyrtl.Block) -> None:
        names = {kind: block.wirevector_subset(kind) for kind in (pyrtl.Input, pyrtl.Output)}
        self.ports = {wire.name: len(wire) for wires in names.values() for wire in wires}
        self.inputs = {wire.name for wire in names[pyrtl.Input]}
        gates = pyrtl.synthesize(update_working_block=False, merge_io_vectors=False, block=block)
        self.places: dict = {}
        self.constants = [(self.place(wire), wire.val) for wire in gates.wirevector_subset(pyrtl.Const)]
        self.gates = []
        for net in gates:  # in the order of their inputs
            if net.op == "w":
                self.places[net.dests[0].name] = self.place(net.args[0])
                continue
            assert net.op in {"~", "n", *GATES}, f"{net}: a gate of one bit is expected"
            self.gates.append((net.op, tuple(self.place(wire) for wire in (*net.args, *net.dests))))
        self.bits = {
            wire.name: [self.place(bit) for bit in gates.io_map[wire]] for wires in names.values() for wire in wires
        }

    def place(self, wire) -> int:
        """Row number of a wire."""
        return self.places.setdefault(wire.name, len(self.places))

    def evaluate(self, **values: np.ndarray) -> dict[str, np.ndarray]:
        """Values by output, of values by input."""
        count = len(next(iter(values.values())))
        length = (count + 7) // 8
        rows: list = [None] * len(self.places)
        for place, value in self.constants:
            rows[place] = np.full(length, 255 * value, np.uint8)
        for name, given in values.items():
            for place, row in zip(self.bits[name], to_rows(given, self.ports[name]), strict=True):
                rows[place] = row
        for op, places in self.gates:
            if op == "~":
                rows[places[1]] = np.bitwise_not(rows[places[0]])
            elif op == "n":
                rows[places[2]] = np.bitwise_not(rows[places[0]] & rows[places[1]])
            else:
                rows[places[2]] = GATES[op](rows[places[0]], rows[places[1]])
        return {
            name: to_values(np.array([rows[place] for place in places]), count)
            for name, places in self.bits.items()
            if name not in self.inputs
        }

    def values(self, **values: np.ndarray) -> np.ndarray:
        """Values of the only output, for any number of cases: they pass in portions that fit a cache."""
        count = len(next(iter(values.values())))
        parts = []
        for first in range(0, count, PORTION):
            (part,) = self.evaluate(**{name: given[first : first + PORTION] for name, given in values.items()}).values()
            parts.append(part)
        return np.concatenate(parts)
