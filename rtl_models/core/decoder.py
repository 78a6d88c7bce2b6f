"""RTL of one column of the decoder at a strip's edge: narrow codes of B become FP16 or BF16 numbers, times a scale.

    whole ----------------------------------------------------------------.
    bytes 0, 1 --[choose part]--> E4M3 ----------.                         v
                      |                       [format]--> [x scale] -|-> [round] --> [choose] --> [value]
                      '------> INT8 -------------'            ^     cut
    nibbles 0..3 --[choose part]----^         load_scale --> [scale]

A column of a strip sees 16 bits of a beat as they are, or its own element of each of the two or four parts into which
the beat falls (`nmpsim.program.packing`).  Every number of E4M3, INT8 and INT4 is one of FP16 and of BF16; the product
with a scale of the same format is exact in FP32 (BF16: within its range), so that there is one rounding: to nearest,
ties to even.  Without scales the register holds the step of the codes, a power of two.  Whole numbers pass by.

First cycles, codes c0, c1 of one beat, `part` 0 and 1, scale s loaded in cycle 0, no register within::

    cycle    0    1    2    3
    scale         s    s    s
    part          0    1
    value              c0s  c1s
"""

from __future__ import annotations

from typing import NamedTuple

import pyrtl

from rtl_models.core.bf16 import bf16_multiply, fp32_to_bf16
from rtl_models.core.floats import BF16, FP16, Format, Wire, chosen, held, leading_zeros, shifted_left
from rtl_models.core.fp16 import fp16_multiply, fp32_to_fp16

WHOLE, FP8, INT8, INT4 = range(4)
"""Codes of the input ``form``: those of `nmpsim.program.isa`."""


class DecoderInputs(NamedTuple):
    """Wires into a column."""

    whole: Wire  # 16 bits of the beat as they are
    octets: Wire  # its element of each half of the beat; 2 x 8 bits
    nibbles: Wire  # its element of each quarter; 4 x 4 bits
    part: Wire  # which of them; 2 bits
    form: Wire  # format of B; 2 bits
    scale: Wire  # 16 bits, a number of the format of the PEs
    load_scale: Wire  # the register takes it


def _bias(to: Format) -> int:
    """Bias of the exponent of a format."""
    return (1 << (to.exponent - 1)) - 1


def fp8_number(code: Wire, to: Format) -> Wire:
    """Return a number of E4M3 in a wider format; exact."""
    field, fraction = code[3:7], code[:3]
    bias, bits = _bias(to), to.exponent
    small = field == 0
    zeros = leading_zeros(fraction)
    moved = shifted_left(fraction, zeros)
    # a subnormal number f 2^-9 has its first bit at 2^(-7 - zeros)
    exponent = pyrtl.select(
        small, (pyrtl.Const(bias - 7, bits) - zeros).truncate(bits), (field + (bias - 7)).truncate(bits)
    )
    places = pyrtl.select(small, pyrtl.concat(moved[:2], pyrtl.Const(0, 1)), fraction)
    magnitude = chosen(
        ((field == 15) & (fraction == 7), to.nan),
        (small & (fraction == 0), 0),
        otherwise=pyrtl.concat(exponent, places, pyrtl.Const(0, to.fraction - 3)),
    )
    return pyrtl.concat(code[7] & ~((field == 15) & (fraction == 7)), magnitude)


def integer_number(code: Wire, to: Format) -> Wire:
    """Return an INT8 number in a floating-point format; exact."""
    size = pyrtl.select(code[7], (~code + 1).truncate(8), code)
    zeros = leading_zeros(size)
    moved = shifted_left(size, zeros)
    exponent = (pyrtl.Const(_bias(to) + 7, to.exponent) - zeros).truncate(to.exponent)
    rest = [pyrtl.Const(0, to.fraction - 7)] if to.fraction > 7 else []
    found = pyrtl.concat(exponent, moved[:7], *rest)
    return pyrtl.concat(code[7], pyrtl.select(size == 0, pyrtl.Const(0, to.bits - 1), found))


def decoder_column(inputs: DecoderInputs, *, stages: int = 0, precision: str = "fp16") -> Wire:
    """Return the value of a column, from a register.

    Parameters
    ----------
    inputs : DecoderInputs
    stages : int
        Register levels between multiplication and rounding; cycles.
    precision : str
        Of the value: fp16 or bf16.

    Returns
    -------
    Wire
        16 bits; stages + 1 cycles behind the inputs.
    """
    to, multiply, rounded = {
        "fp16": (FP16, fp16_multiply, fp32_to_fp16),
        "bf16": (BF16, bf16_multiply, fp32_to_bf16),
    }[precision]
    octet = pyrtl.select(inputs.part[0], inputs.octets[8:], inputs.octets[:8])
    nibble = pyrtl.mux(inputs.part, *(inputs.nibbles[4 * i : 4 * i + 4] for i in range(4)))
    integer = integer_number(pyrtl.select(inputs.form[0], nibble.sign_extended(8), octet), to)
    number = pyrtl.select(inputs.form[1], integer, fp8_number(octet, to))
    product = multiply(number, held(inputs.scale, inputs.load_scale), stages=stages)
    passes = inputs.form == WHOLE
    whole = inputs.whole
    for _ in range(stages):
        passes, whole = held(passes), held(whole)
    return held(pyrtl.select(passes, whole, rounded(product)))


def decoder_block(stages: int = 0, precision: str = "fp16") -> pyrtl.Block:
    """Return a column of the decoder as a block with named pins.

    Parameters
    ----------
    stages, precision : int, str
        As for `decoder_column`.
    """
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        widths = {"whole": 16, "octets": 16, "nibbles": 16, "part": 2, "form": 2, "scale": 16, "load_scale": 1}
        pins = {name: pyrtl.Input(bits, name) for name, bits in widths.items()}
        port = pyrtl.Output(16, "value")
        port <<= decoder_column(DecoderInputs(**pins), stages=stages, precision=precision)
    return block
