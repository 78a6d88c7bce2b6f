"""RTL of one column of the decoder at a strip's edge: narrow codes of B become FP16 numbers, times a scale.

    whole (FP16) ---------------------------------------------------------.
    bytes 0, 1 --[choose part]--> E4M3 to FP16 --.                         v
                      |                       [format]--> [x scale] -|-> [round] --> [choose] --> [value]
                      '------> INT8 to FP16 -----'            ^     cut
    nibbles 0..3 --[choose part]----^         load_scale --> [scale]

A column of a strip sees 16 bits of a beat as they are, or its own element of each of the two or four parts into which
the beat falls (`nmpsim.program.packing`).  Every number of E4M3, INT8 and INT4 is one of FP16, and the product with a
scale is exact in FP32, so that there is one rounding: to nearest, ties to even.  Without scales the register holds the
step of the codes, a power of two.  FP16 passes by.

First cycles, codes c0, c1 of one beat, `part` 0 and 1, scale s loaded in cycle 0, no register within::

    cycle    0    1    2    3
    scale         s    s    s
    part          0    1
    value              c0s  c1s
"""

from __future__ import annotations

from typing import NamedTuple

import pyrtl

from rtl_models.core.floats import FP16, Wire, chosen, held, leading_zeros, shifted_left
from rtl_models.core.fp16 import fp16_multiply, fp32_to_fp16

WHOLE, FP8, INT8, INT4 = range(4)
"""Codes of the input ``form``: those of `nmpsim.program.isa`."""

BIAS = 15
"""Bias of the exponent of FP16."""


class DecoderInputs(NamedTuple):
    """Wires into a column."""

    whole: Wire  # 16 bits of the beat as they are
    octets: Wire  # its element of each half of the beat; 2 x 8 bits
    nibbles: Wire  # its element of each quarter; 4 x 4 bits
    part: Wire  # which of them; 2 bits
    form: Wire  # format of B; 2 bits
    scale: Wire  # 16 bits, FP16
    load_scale: Wire  # the register takes it


def fp8_to_fp16(code: Wire) -> Wire:
    """Return a number of E4M3 as FP16; exact."""
    field, fraction = code[3:7], code[:3]
    small = field == 0
    zeros = leading_zeros(fraction)
    moved = shifted_left(fraction, zeros)
    # a subnormal number f 2^-9 has its first bit at 2^(-7 - zeros)
    exponent = pyrtl.select(small, (pyrtl.Const(BIAS - 7, 5) - zeros).truncate(5), (field + (BIAS - 7)).truncate(5))
    places = pyrtl.select(small, pyrtl.concat(moved[:2], pyrtl.Const(0, 1)), fraction)
    magnitude = chosen(
        ((field == 15) & (fraction == 7), FP16.nan),
        (small & (fraction == 0), 0),
        otherwise=pyrtl.concat(exponent, places, pyrtl.Const(0, FP16.fraction - 3)),
    )
    return pyrtl.concat(code[7] & ~((field == 15) & (fraction == 7)), magnitude)


def integer_to_fp16(code: Wire) -> Wire:
    """Return an INT8 number as FP16; exact."""
    size = pyrtl.select(code[7], (~code + 1).truncate(8), code)
    zeros = leading_zeros(size)
    moved = shifted_left(size, zeros)
    exponent = (pyrtl.Const(BIAS + 7, 5) - zeros).truncate(5)
    found = pyrtl.concat(exponent, moved[:7], pyrtl.Const(0, FP16.fraction - 7))
    return pyrtl.concat(code[7], pyrtl.select(size == 0, pyrtl.Const(0, 15), found))


def decoder_column(inputs: DecoderInputs, *, stages: int = 0) -> Wire:
    """Return the value of a column, from a register.

    Parameters
    ----------
    inputs : DecoderInputs
    stages : int
        Register levels between multiplication and rounding; cycles.

    Returns
    -------
    Wire
        16 bits; stages + 1 cycles behind the inputs.
    """
    octet = pyrtl.select(inputs.part[0], inputs.octets[8:], inputs.octets[:8])
    nibble = pyrtl.mux(inputs.part, *(inputs.nibbles[4 * i : 4 * i + 4] for i in range(4)))
    integer = integer_to_fp16(pyrtl.select(inputs.form[0], nibble.sign_extended(8), octet))
    number = pyrtl.select(inputs.form[1], integer, fp8_to_fp16(octet))
    product = fp16_multiply(number, held(inputs.scale, inputs.load_scale), stages=stages)
    passes = inputs.form == WHOLE
    whole = inputs.whole
    for _ in range(stages):
        passes, whole = held(passes), held(whole)
    return held(pyrtl.select(passes, whole, fp32_to_fp16(product)))


def decoder_block(stages: int = 0) -> pyrtl.Block:
    """Return a column of the decoder as a block with named pins.

    Parameters
    ----------
    stages : int
        As for `decoder_column`.
    """
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        widths = {"whole": 16, "octets": 16, "nibbles": 16, "part": 2, "form": 2, "scale": 16, "load_scale": 1}
        pins = {name: pyrtl.Input(bits, name) for name, bits in widths.items()}
        port = pyrtl.Output(16, "value")
        port <<= decoder_column(DecoderInputs(**pins), stages=stages)
    return block
