"""Places at which a PyRTL netlist can be changed, and the changes.

    operand --> [ net ] --> result        a site = (net, change); one site makes one mutant
                  |
                  +-- source: the function in rtl_models that made it

A change keeps every port, so that a recording of the right block can be replayed on the wrong one.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyrtl
from pyrtl.core import LogicNet

from tests.mutation.folding import Bits, full, heard, known_bits

KINDS = ("logic", "arithmetic", "comparison", "negation", "mux", "slice", "concat", "constant", "register")
"""Kinds of changes, drawn in turn."""

PIECES = ("wires.py",)
"""Files of logic that is used everywhere: a net belongs to the function that called them."""

Undo = Callable[[], None]


@dataclass(frozen=True)
class Origin:
    """Where a net was made."""

    function: str  # file and qualified name
    line: int


@dataclass
class Design:
    """A block, those of its nets that matter, in the order in which they were made, and what is known of its wires."""

    block: pyrtl.Block
    nets: list[tuple[LogicNet, Origin]]
    bits: dict[int, Bits]


@dataclass(frozen=True)
class Site:
    """One change of one net."""

    kind: str
    function: str
    line: int
    number: int  # among the sites of the same kind and function
    text: str
    net: LogicNet
    change: Callable[[pyrtl.Block, LogicNet], Undo]

    @property
    def identity(self) -> str:
        """Name that stays the same as long as the function makes the same nets."""
        return f"{self.function} / {self.kind} / {self.number}"


def origin() -> Origin:
    """Return the innermost function of rtl_models that is being run and is no common piece."""
    frame = sys._getframe(1)
    found = None
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if "rtl_models" in path.parts:
            name = frame.f_code.co_qualname.replace(".<locals>", "").replace(".<listcomp>", "")
            found = found or Origin(f"{path.stem}.{name}", frame.f_lineno)
            if path.name not in PIECES:
                return Origin(f"{path.stem}.{name}", frame.f_lineno)
        frame = frame.f_back
    return found or Origin("pyrtl", 0)


def design_of(make: Callable[[], pyrtl.Block]) -> Design:
    """Make a block and note where each of its nets comes from.

    Parameters
    ----------
    make : callable
        Makes the block.
    """
    nets: list[tuple[LogicNet, Origin]] = []
    add_net = pyrtl.Block.add_net

    def noted(block: pyrtl.Block, net: LogicNet) -> None:
        nets.append((net, origin()))
        add_net(block, net)

    pyrtl.Block.add_net = noted
    try:
        block = make()
    finally:
        pyrtl.Block.add_net = add_net
    bits = known_bits(block)
    seen = heard(block, bits)
    return Design(block, [(net, made) for net, made in nets if id(net) in seen], bits)


@contextlib.contextmanager
def mutated(design: Design, site: Site) -> Iterator[pyrtl.Block]:
    """Change a block for as long as the context lasts.

    Parameters
    ----------
    design : Design
    site : Site
    """
    undo = site.change(design.block, site.net)
    try:
        yield design.block
    finally:
        undo()


# -------------------------------------------------------------------------------------------------------------- changes


def exchange(block: pyrtl.Block, net: LogicNet, *others: LogicNet, extra: tuple[pyrtl.WireVector, ...] = ()) -> Undo:
    """Put other nets in the place of one; return what undoes it."""
    block.logic.remove(net)
    block.logic.update(others)

    def undo() -> None:
        block.logic.difference_update(others)
        block.logic.add(net)
        for wire in extra:
            block.remove_wirevector(wire)

    return undo


def with_operator(op: str):
    """Change the operator."""
    return lambda block, net: exchange(block, net, LogicNet(op, net.op_param, net.args, net.dests))


def with_arguments(order: Callable[[tuple], tuple]):
    """Change the arguments."""
    return lambda block, net: exchange(block, net, LogicNet(net.op, net.op_param, order(net.args), net.dests))


def with_parameter(parameter: tuple):
    """Change the bits that a slice takes."""
    return lambda block, net: exchange(block, net, LogicNet(net.op, parameter, net.args, net.dests))


def inverted(order: Callable[[tuple], tuple] = tuple):
    """Invert the result, of other arguments perhaps."""

    def change(block: pyrtl.Block, net: LogicNet) -> Undo:
        with pyrtl.set_working_block(block):
            wire = pyrtl.WireVector(len(net.dests[0]))
        inner = LogicNet(net.op, net.op_param, order(net.args), (wire,))
        return exchange(block, net, inner, LogicNet("~", None, (wire,), net.dests), extra=(wire,))

    return change


def summed(block: pyrtl.Block, net: LogicNet) -> Undo:
    """Add instead of multiplying; the sum is filled up with zeros."""
    with pyrtl.set_working_block(block):
        total = pyrtl.WireVector(len(net.args[0]) + 1)
        zeros = pyrtl.Const(0, len(net.dests[0]) - len(total))
    nets = LogicNet("+", None, net.args, (total,)), LogicNet("c", None, (zeros, total), net.dests)
    return exchange(block, net, *nets, extra=(total, zeros))


def with_constant(index: int, value: int):
    """Give one user of a constant another one."""

    def change(block: pyrtl.Block, net: LogicNet) -> Undo:
        with pyrtl.set_working_block(block):
            constant = pyrtl.Const(value, len(net.args[index]))
        args = (*net.args[:index], constant, *net.args[index + 1 :])
        return exchange(block, net, LogicNet(net.op, net.op_param, args, net.dests), extra=(constant,))

    return change


def reset_to_ones(block: pyrtl.Block, net: LogicNet) -> Undo:
    """Let a register begin with ones."""
    register = net.dests[0]
    before = register.reset_value
    register.reset_value = (1 << len(register)) - 1

    def undo() -> None:
        register.reset_value = before

    return undo


# ---------------------------------------------------------------------------------------------------------------- sites


def is_constant(wire: pyrtl.WireVector, bits: dict[int, Bits], value: int | None = None) -> bool:
    """Return whether a wire never changes, and has that value if one is given."""
    known, held = bits[id(wire)]
    return known == full(wire) and value in {None, held}


def places(net: LogicNet, driver: dict[int, LogicNet], bits: dict[int, Bits]) -> Iterator[tuple[str, str, Callable]]:
    """Yield (kind, text, change) of everything that can be changed at a net."""
    op, args, width = net.op, net.args, len(net.dests[0]) if net.dests else 0
    if op in "&|^":
        none = any(is_constant(wire, bits, 0) for wire in args)  # then | and ^ do the same
        for other in "&|^":
            if other != op and not (none and "&" not in op + other):
                yield "logic", f"{op} -> {other}", with_operator(other)
    if op in "+-" and not is_constant(args[1], bits, 0):
        other = "-" if op == "+" else "+"
        yield "arithmetic", f"{op} -> {other}", with_operator(other)
    if op == "*":
        yield "arithmetic", "* -> +", summed
    if op in "<>":
        yield "comparison", f"{op} -> {op}=", inverted(order=lambda pair: pair[::-1])
        yield "comparison", f"{op} -> {'<' if op == '>' else '>'}", with_operator("<" if op == ">" else ">")
    if op == "=":
        yield "comparison", "= -> !=", inverted()
    if op == "~":
        yield "negation", "~ left out", with_operator("w")
    if width == 1 and op in "&|^s<>":
        yield "negation", f"~ behind {op}", inverted()
    if op == "x" and args[1] is not args[2] and not is_constant(args[0], bits):
        yield "mux", "operands swapped", with_arguments(lambda a: (a[0], a[2], a[1]))
    if op == "s":
        most = len(args[0])
        for by in (-1, 1):
            moved = tuple(bit + by for bit in net.op_param)
            if min(moved) >= 0 and max(moved) < most:
                yield "slice", f"bits moved by {by}", with_parameter(moved)
    if op == "c":
        yield from swaps(args, bits)
    if op in "&|^+-*<>=xc":
        yield from constants(args)
    if op == "r":
        yield "register", "begins with ones", reset_to_ones
        yield from enables(net, driver)


def swaps(args: tuple, bits: dict[int, Bits]) -> Iterator[tuple[str, str, Callable]]:
    """Yield the exchanges of neighbours of equal width in a concatenation."""
    for i in range(len(args) - 1):
        same = bits[id(args[i])] == bits[id(args[i + 1])] and is_constant(args[i], bits)
        if len(args[i]) == len(args[i + 1]) and args[i] is not args[i + 1] and not same:

            def order(a: tuple, i: int = i) -> tuple:
                return (*a[:i], a[i + 1], a[i], *a[i + 2 :])

            yield "concat", f"operands {i} and {i + 1} swapped", with_arguments(order)


def constants(args: tuple) -> Iterator[tuple[str, str, Callable]]:
    """Yield the flips of each bit of each constant operand."""
    for index, wire in enumerate(args):
        if isinstance(wire, pyrtl.Const):
            for bit in range(len(wire)):
                value = int(wire.val) ^ 1 << bit
                yield "constant", f"operand {index}: {int(wire.val)} -> {value}", with_constant(index, value)


def enables(net: LogicNet, driver: dict[int, LogicNet]) -> Iterator[tuple[str, str, Callable]]:
    """Yield what happens to a register that loads always, or never."""
    register = net.dests[0]
    yield "register", "never loads", with_arguments(lambda _: (register,))
    source = driver.get(id(net.args[0]))
    if source is not None and source.op == "x" and any(wire is register for wire in source.args[1:]):
        loaded = source.args[2] if source.args[1] is register else source.args[1]
        yield "register", "always loads", with_arguments(lambda _: (loaded,))


def sites_of(design: Design, only: tuple[str, ...] = ()) -> list[Site]:
    """Return every site of a design.

    Parameters
    ----------
    design : Design
    only : tuple of str
        Beginnings of the names of the functions that count; all of them if empty.
    """
    driver = {id(wire): net for net, _ in design.nets for wire in net.dests}
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for net, made in design.nets:
        if only and not made.function.startswith(only):
            continue
        for kind, text, change in places(net, driver, design.bits):
            number = counts[made.function, kind]
            counts[made.function, kind] += 1
            found.append(Site(kind, made.function, made.line, number, text, net, change))
    return found
