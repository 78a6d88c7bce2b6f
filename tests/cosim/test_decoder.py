"""A column of the decoder, as PyRTL, against the numbers of the functional interpreter: every code of every format."""

import numpy as np
import pyrtl
import pytest

from nmpsim.functional.formats import codes_of, halved, numbers_of, real, scaled
from nmpsim.functional.memory import BF16
from nmpsim.program.isa import B_FP8, B_FP16, B_INT4, B_INT8
from rtl_models.core.decoder import FP8, INT4, INT8, WHOLE, decoder_block

SCALES = np.array([1.0, 2.0**-4, 0.0371, -1.5, 6.1e-5, 3e-7, 0.0, 65504.0], np.float16)


def decoded(form, codes, scale, stages=0, precision="fp16"):
    """Values that the column gives for codes, two or four of them in every beat, in the order of parts."""
    simulation = pyrtl.Simulation(tracer=None, block=decoder_block(stages, precision))
    pins = {"whole": 0, "octets": 0, "nibbles": 0, "part": 0, "form": form, "scale": 0, "load_scale": 0}
    simulation.step(pins | {"scale": int(scale.view(np.uint16)), "load_scale": 1})
    found = []
    parts, bits, name = {
        FP8: (2, 8, "octets"),
        INT8: (2, 8, "octets"),
        INT4: (4, 4, "nibbles"),
        WHOLE: (1, 16, "whole"),
    }[form]
    inputs = [
        {name: sum(int(c) << bits * i for i, c in enumerate(codes[first : first + parts])), "part": part}
        for first in range(0, len(codes), parts)
        for part in range(parts)
    ]
    for number, own in enumerate([*inputs, *[{}] * (stages + 1)]):
        simulation.step(pins | own)
        if number > stages:
            found.append(simulation.inspect("value"))
    return np.array(found, np.uint16)


def canonical(values):
    """Bits, with every NaN as the quiet one of the datapaths."""
    bits = values.astype(np.float16).view(np.uint16).copy()
    bits[np.isnan(values)] = 0x7E00
    return bits


@pytest.mark.parametrize("stages", [0, 1])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("form", "code", "count"), [(FP8, B_FP8, 256), (INT8, B_INT8, 256), (INT4, B_INT4, 16)])
def test_every_code_becomes_the_number_of_its_format_times_the_scale(form, code, count, scale, stages):
    codes = np.arange(count, dtype=np.uint8)
    raw = codes if code != B_INT4 else (codes[0::2] | codes[1::2] << 4).astype(np.uint8)
    expected = canonical(scaled(numbers_of(raw, code), scale))
    assert (decoded(form, codes, scale, stages) == expected).all()


@pytest.mark.parametrize("scale", [1.0, 2.0**-4, 0.0371, -1.5, 3e-39, 1e-40, 0.0, 3e38])
@pytest.mark.parametrize(("form", "code", "count"), [(FP8, B_FP8, 256), (INT8, B_INT8, 256), (INT4, B_INT4, 16)])
def test_every_code_becomes_the_bf16_number_of_its_format_times_the_scale(form, code, count, scale):
    """Also where the product is too large for BF16, subnormal, or too small."""
    codes = np.arange(count, dtype=np.uint8)
    raw = codes if code != B_INT4 else (codes[0::2] | codes[1::2] << 4).astype(np.uint8)
    factor = halved(np.array(scale), BF16)
    numbers = numbers_of(raw, code, BF16)
    expected = scaled(numbers, factor, BF16)
    expected[np.isnan(real(expected))] = 0x7FC0
    assert (decoded(form, codes, factor, 1, "bf16") == expected).all()


def test_fp16_passes_by():
    values = np.array([1.5, -0.0, 6e-8, np.inf], np.float16)
    assert (decoded(WHOLE, values.view(np.uint16), SCALES[3]) == values.view(np.uint16)).all()
    assert (codes_of(values, B_FP16).view(np.float16) == values).all()
