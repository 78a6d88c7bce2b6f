"""RTL of a processing element of the reconfigurable array: INT8 with INT32 sums, FP16 or BF16 with FP32 sums.

                    b, b_valid   load (IS)   psum (WS)   weight (WS, end of its skew line)
                        |           |           |          |
                        |     [shadow: row = load_row]     |
                        |           +---- first ----+------+
                        v                           v
      a, tag ------> [choose by flow] <---------- [stay]
         |                |
        [a]          [multiply] --> [product 1 .. L] --> [add] <-- +0 (first) | acc[set] (OS) | psum above | psum left
       [tag]              |                                |
         v           active = both valid              [acc 0][acc 1] --> read_set --> read
    right neighbour       [b] [load] --> below             +--> psum --> below (WS) or right (IS)

The registers are those of docs/core/array.md; accumulator set 0 is also ``psum``, since no flow uses both.  All of them
load only in cycles with ``move``.  What arrives without a valid partner adds nothing: the sum passes unchanged.
FP16 products are exact, those of BF16 wherever FP32 can hold them; FP32 sums round to nearest even; INT8 sums wrap
around.

First cycles of OS, one PE, a b = 2 3, 4 5, 6 7, the first one with ``tag.first``, ``move`` 0 in cycle 1::

    cycle     0    1    2    3    4    5
    a         2    4    4    6
    active    1         1    1
    stages 0       6    6    26   68   68
    stages 1                 6    26   68
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import pyrtl

from rtl_models.core.bf16 import bf16_multiply
from rtl_models.core.floats import Wire, held
from rtl_models.core.fp16 import fp16_multiply
from rtl_models.core.fp32 import fp32_add

FLOW_OS, FLOW_WS, FLOW_IS = 0, 1, 2
"""Codes of the input ``flow``."""

PRECISIONS = ("fp16", "bf16", "int8")


class PeParams(NamedTuple):
    """What a PE is built from."""

    precision: str  # one of PRECISIONS
    stages: int = 0  # registers between multiplier and adder, `pe_latency` of the chip; cycles
    sets: int = 2  # accumulator sets, `fold_sets` of the chip
    row_bits: int = 8  # width of a row number

    @property
    def operand_bits(self) -> int:
        """Width of an operand; bits."""
        return 8 if self.precision == "int8" else 16

    @property
    def sum_bits(self) -> int:
        """Width of a product and of a sum; bits."""
        return 32

    @property
    def set_bits(self) -> int:
        """Width of the number of an accumulator set; bits."""
        return max(1, (self.sets - 1).bit_length())


class Tag(NamedTuple):
    """What travels beside A."""

    valid: Wire  # 1: there is an operand
    first: Wire  # 1: begins a fold (OS), takes the next stationary operand (WS, IS)
    set: Wire  # accumulator set (OS)


class PeInputs(NamedTuple):
    """Wires into a PE: what its neighbours' registers hold."""

    move: Wire  # the wavefront moves in this cycle
    flow: Wire  # FLOW_OS, FLOW_WS, FLOW_IS
    row: Wire  # number of the PE's row within its group
    a: Wire  # from the left
    tag: Tag  # from the left
    b: Wire  # from above
    b_valid: Wire
    psum_above: Wire  # WS
    p_valid_above: Wire
    psum_left: Wire  # IS
    weight: Wire  # WS: end of the skew line, used with tag.first
    weight_valid: Wire
    load: Wire  # IS: A on its way down to its row
    load_row: Wire
    load_valid: Wire
    read_set: Wire  # which accumulator is shown


class PeOutputs(NamedTuple):
    """Wires out of a PE: registers, but for the last two."""

    a: Wire
    tag: Tag
    b: Wire
    b_valid: Wire
    psum: Wire
    p_valid: Wire
    load: Wire
    load_row: Wire
    load_valid: Wire
    active: Wire  # two valid operands are multiplied in this cycle (stages > 0: p_valid of WS not yet looked at)
    read: Wire  # accumulator `read_set`


def int8_multiply(x: Wire, y: Wire) -> Wire:
    """Return the product of two INT8 numbers, extended to 32 bits."""
    none = pyrtl.Const(0, 8)
    wrong = pyrtl.select(x[-1], y, none) + pyrtl.select(y[-1], x, none)  # what unsigned factors give too much, in 256s
    product = x * y
    high = (product[8:] - wrong[:8]).truncate(8)
    return pyrtl.concat(high, product[:8]).sign_extended(32)


def int32_add(x: Wire, y: Wire) -> Wire:
    """Return the sum of two INT32 numbers, wrapped around."""
    return (x + y).truncate(32)


def arithmetic(precision: str) -> tuple[Callable[[Wire, Wire], Wire], Callable[[Wire, Wire], Wire]]:
    """Return multiplier and adder of a precision.

    Parameters
    ----------
    precision : str
        One of PRECISIONS.

    Raises
    ------
    ValueError
        If it is another one.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"PE: got precision {precision!r}; allowed: {', '.join(PRECISIONS)}; choose one")
    multiply, add = {
        "fp16": (fp16_multiply, fp32_add),
        "bf16": (bf16_multiply, fp32_add),
        "int8": (int8_multiply, int32_add),
    }[precision]
    return multiply, add


def pe(params: PeParams, inputs: PeInputs, name: str = "") -> PeOutputs:
    """Add one PE to the working block; return its outputs.

    Parameters
    ----------
    params : PeParams
    inputs : PeInputs
    name : str
        Prefix of its registers' names; PyRTL chooses them if it is empty.

    Returns
    -------
    PeOutputs

    Raises
    ------
    ValueError
        If the precision is not known, or if there are no accumulator sets.
    """
    if params.sets < 1:
        raise ValueError(f"PE: got {params.sets} accumulator sets; allowed: 1 or more; give fold_sets")
    multiply, add = arithmetic(params.precision)
    move, tag, select = inputs.move, inputs.tag, pyrtl.select

    def stored(wire: Wire, what: str) -> Wire:
        return held(wire, move, f"{name}_{what}" if name else "")

    is_ws, is_is = inputs.flow == FLOW_WS, inputs.flow == FLOW_IS
    stationary = is_ws | is_is

    shadow = pyrtl.Register(params.operand_bits, f"{name}_shadow" if name else "")
    shadow_valid = pyrtl.Register(1, f"{name}_shadow_valid" if name else "")
    caught = inputs.load_valid & (inputs.load_row == inputs.row)
    shadow.next <<= select(move & caught, inputs.load, shadow)
    shadow_valid.next <<= select(move, caught | (shadow_valid & ~tag.first), shadow_valid)

    stay = pyrtl.Register(params.operand_bits, f"{name}_stay" if name else "")
    stay_valid = pyrtl.Register(1, f"{name}_stay_valid" if name else "")
    fresh, fresh_valid = select(is_is, shadow, inputs.weight), select(is_is, shadow_valid, inputs.weight_valid)
    operand = select(tag.first, fresh, stay)
    operand_valid = select(tag.first, fresh_valid, stay_valid)
    swap = move & stationary
    stay.next <<= select(swap, operand, stay)
    stay_valid.next <<= select(swap, operand_valid, stay_valid)

    pair = tag.valid & (is_ws | inputs.b_valid) & (~stationary | operand_valid)
    product = multiply(select(is_is, operand, inputs.a), select(is_ws, operand, inputs.b))
    ready, late = pair, tag
    for _ in range(params.stages):
        product, ready = held(product, move), held(ready, move)
        late = Tag(*(held(wire, move) for wire in late))

    sums = [pyrtl.Register(params.sum_bits, f"{name}_sum{n}" if name else "") for n in range(params.sets)]
    kept = _of_set(late.set, sums)
    zero = pyrtl.Const(0, params.sum_bits)
    base = select(stationary, select(is_ws, inputs.psum_above, inputs.psum_left), select(late.first, zero, kept))
    adds = ready & (~is_ws | inputs.p_valid_above)
    total = select(adds, add(base, product), base)
    for n, register in enumerate(sums):
        opened = ~stationary & late.valid & (late.set == n)
        register.next <<= select(move & ((stationary | opened) if n == 0 else opened), total, register)

    active = move & pair & (~is_ws | inputs.p_valid_above) if params.stages == 0 else move & pair
    return PeOutputs(
        a=stored(inputs.a, "a"),
        tag=Tag(*(stored(wire, what) for wire, what in zip(tag, Tag._fields, strict=True))),
        b=stored(inputs.b, "b"),
        b_valid=stored(inputs.b_valid, "b_valid"),
        psum=sums[0],
        p_valid=stored(select(is_ws, inputs.p_valid_above, late.valid & is_is), "p_valid"),
        load=stored(inputs.load, "load"),
        load_row=stored(inputs.load_row, "load_row"),
        load_valid=stored(inputs.load_valid, "load_valid"),
        active=active,
        read=_of_set(inputs.read_set, sums),
    )


def _of_set(number: Wire, sums: list[Wire]) -> Wire:
    """Return the accumulator of a set; the last one if there is none of that number."""
    value = sums[-1]
    for n, register in reversed(list(enumerate(sums[:-1]))):
        value = pyrtl.select(number == n, register, value)
    return value


def input_widths(params: PeParams) -> dict[str, int]:
    """Return the width of each input port of `pe_block`; bits."""
    widths = {"flow": 2, "row": params.row_bits, "load_row": params.row_bits, "read_set": params.set_bits}
    operands, sums = ("a", "b", "weight", "load"), ("psum_above", "psum_left")
    widths |= dict.fromkeys(operands, params.operand_bits) | dict.fromkeys(sums, params.sum_bits)
    names = [name for name in PeInputs._fields if name != "tag"]
    tags = {"tag_valid": 1, "tag_first": 1, "tag_set": params.set_bits}
    return {name: widths.get(name, 1) for name in names} | tags


def pe_block(params: PeParams) -> pyrtl.Block:
    """Return one PE as a module.

    Its inputs have the names of the fields of PeInputs, its outputs those of PeOutputs with ``out_`` in front; the
    tag is three ports, ``tag_valid``, ``tag_first``, ``tag_set``.

    Parameters
    ----------
    params : PeParams

    Raises
    ------
    ValueError
        As `pe`.
    """
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        wires = {name: pyrtl.Input(bits, name) for name, bits in input_widths(params).items()}
        tag = Tag(*(wires.pop(f"tag_{field}") for field in Tag._fields))
        out = pe(params, PeInputs(tag=tag, **wires), "pe")
        shown = {name: wire for name, wire in out._asdict().items() if name != "tag"}
        shown |= {f"tag_{name}": wire for name, wire in out.tag._asdict().items()}
        for name, wire in shown.items():
            port = pyrtl.Output(len(wire), f"out_{name}")
            port <<= cast("Wire", wire)
    return block
