"""What of a netlist any synthesis tool would fold away: wires that never change, and logic that only they depend on.

Every bit is 0, 1 or unknown.  Registers begin with their reset values and are joined with what they load until nothing
changes any more; inputs and memories are unknown.  What is known in the end holds in every cycle, whatever comes.
"""

from __future__ import annotations

from collections.abc import Callable

import pyrtl
from pyrtl.core import LogicNet

Bits = tuple[int, int]
"""(mask of the bits that are known, their values)."""


def full(wire: pyrtl.WireVector) -> int:
    """Return the mask of all bits of a wire."""
    return (1 << len(wire)) - 1


def joined(a: Bits, b: Bits) -> Bits:
    """Return what two possibilities have in common."""
    known = a[0] & b[0] & ~(a[1] ^ b[1])
    return known, a[1] & known


def conjunction(a: Bits, b: Bits) -> Bits:
    """Return the bits of a & b."""
    ones = a[1] & b[1]
    zeros = (a[0] & ~a[1]) | (b[0] & ~b[1])
    return ones | zeros, ones


def inverse(a: Bits) -> Bits:
    """Return the bits of ~a."""
    return a[0], ~a[1] & a[0]


def exclusive(a: Bits, b: Bits) -> Bits:
    """Return the bits of a ^ b."""
    known = a[0] & b[0]
    return known, (a[1] ^ b[1]) & known


def chosen(net: LogicNet, by: Bits, a: Bits, b: Bits) -> Bits:
    """Return the bits of a multiplexer."""
    if by[0]:
        return b if by[1] else a
    return a if net.args[1] is net.args[2] else joined(a, b)


def equality(net: LogicNet, a: Bits, b: Bits) -> Bits:
    """Return the bit of a = b."""
    if a[0] & b[0] & (a[1] ^ b[1]):
        return 1, 0
    both = a[0] & b[0] == full(net.args[0])
    return (1, 1) if both or net.args[0] is net.args[1] else (0, 0)


def picked(net: LogicNet, a: Bits) -> Bits:
    """Return the bits that a slice takes."""
    known = value = 0
    for place, bit in enumerate(net.op_param):
        known |= (a[0] >> bit & 1) << place
        value |= (a[1] >> bit & 1) << place
    return known, value


def together(net: LogicNet, *parts: Bits) -> Bits:
    """Return the bits of a concatenation."""
    known = value = 0
    for wire, part in zip(net.args, parts, strict=True):
        known, value = known << len(wire) | part[0], value << len(wire) | part[1]
    return known, value


NUMBERS: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


def result(net: LogicNet, args: list[Bits]) -> Bits:
    """Return the known bits of the result of a net."""
    match net.op:
        case "w":
            return args[0]
        case "~":
            return inverse(args[0])
        case "&":
            return conjunction(*args)
        case "|":
            return inverse(conjunction(inverse(args[0]), inverse(args[1])))
        case "^":
            return exclusive(*args)
        case "x":
            return chosen(net, *args)
        case "=":
            return equality(net, *args)
        case "s":
            return picked(net, args[0])
        case "c":
            return together(net, *args)
        case op if op in NUMBERS and all(bits[0] == full(wire) for bits, wire in zip(args, net.args, strict=True)):
            mask = full(net.dests[0])
            return mask, int(NUMBERS[op](args[0][1], args[1][1])) & mask
        case _:
            return 0, 0


def known_bits(block: pyrtl.Block) -> dict[int, Bits]:
    """Return what is known of each wire, by its identity.

    Parameters
    ----------
    block : pyrtl.Block
    """
    order = [net for net in block if net.op not in "r@"]  # PyRTL walks a block from inputs to outputs
    registers = [net for net in block.logic if net.op == "r"]
    bits: dict[int, Bits] = {id(wire): (0, 0) for wire in block.wirevector_subset(pyrtl.Input)}
    bits |= {id(wire): (full(wire), int(wire.val)) for wire in block.wirevector_subset(pyrtl.Const)}
    bits |= {id(net.dests[0]): (full(net.dests[0]), net.dests[0].reset_value or 0) for net in registers}
    changed = True
    while changed:
        changed = False
        for net in order:
            bits[id(net.dests[0])] = result(net, [bits[id(wire)] for wire in net.args])
        for net in registers:
            held = bits[id(net.dests[0])]
            now = joined(held, bits[id(net.args[0])])
            changed = changed or now != held
            bits[id(net.dests[0])] = now
    return bits


def heard(block: pyrtl.Block, bits: dict[int, Bits]) -> set[int]:
    """Return the identities of the nets that an output depends on, through registers and memories too.

    Parameters
    ----------
    block : pyrtl.Block
    bits : dict of int to Bits
        What is known of its wires.
    """
    driver = {id(wire): net for net in block.logic for wire in net.dests}
    writes: dict[int, list[LogicNet]] = {}
    for net in block.logic_subset("@"):
        writes.setdefault(net.op_param[0], []).append(net)
    reached: set[int] = set()
    ahead = [driver[id(wire)] for wire in block.wirevector_subset(pyrtl.Output)]
    while ahead:
        net = ahead.pop()
        if id(net) in reached or (net.dests and bits[id(net.dests[0])][0] == full(net.dests[0])):
            continue
        reached.add(id(net))
        args = list(net.args)
        if net.op == "x" and bits[id(args[0])][0]:
            args = [args[2] if bits[id(args[0])][1] else args[1]]
        ahead += [driver[id(wire)] for wire in args if id(wire) in driver]
        ahead += writes.get(net.op_param[0], []) if net.op == "m" else []
    return reached
