"""Random narrow weights and caches, and whether a narrow cache holds the right numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault
from nmpsim.functional.formats import LARGEST_FP8, LARGEST_INT8, as_numbers, real, rounded, spread_scales
from nmpsim.functional.image import CODES, SCALES
from nmpsim.functional.memory import HALVES
from nmpsim.functional.reference import Reals, Step
from nmpsim.program.isa import B_FP8, B_INT8
from nmpsim.program.packing import CODES as FORMATS
from nmpsim.workload import FP8, INT4, INT8, KV_STEP, NARROW_TENSORS, Precision

LARGEST: Mapping[str, float] = {FP8: LARGEST_FP8, INT8: LARGEST_INT8, INT4: 7}
"""Largest code of a format of weights."""


def narrow_tensors(tensors: Mapping[str, NDArray[Any]], precision: Precision) -> dict[str, NDArray[Any]]:
    """Bring the tensors of a step into the formats of a precision: the greatest weight of a group is the largest code.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        From `nmpsim.functional.random_tensors`.
    precision : Precision

    Returns
    -------
    dict of ndarray
        All tensors; narrow weights as the decoder yields them, with codes and scales beside them
        (`nmpsim.functional.image`), keys and values as numbers of the format of the cache.
    """
    found = dict(tensors)
    for name, values in tensors.items():
        parts = name.split(".")
        if parts[0] == "layers" and precision.group and parts[-1] in NARROW_TENSORS:
            found |= _weights(name, values, precision)
        if parts[0] == "layers" and parts[2] in ("k", "v") and precision.kv in (FP8, INT8):
            code = FORMATS[precision.kv]
            found[name] = rounded(values, code, kv_step(code))
    return found


def kv_step(code: int) -> float:
    """Value of one step of a narrow cache."""
    return KV_STEP if code == B_INT8 else 1.0


def _weights(name: str, values: NDArray[Any], precision: Precision) -> dict[str, NDArray[Any]]:
    """Codes and scales of a weight matrix, and what the decoder makes of them."""
    k, n = precision.scaled
    rows, columns = values.shape
    whole = np.zeros((-(-rows // k) * k, -(-columns // n) * n))
    half = HALVES[precision.activations]
    whole[:rows, :columns] = abs(values.astype(np.float64))
    greatest = whole.reshape(len(whole) // k, k, -1, n).max(axis=(1, 3))
    scales = as_numbers(np.where(greatest, greatest, 1.0) / LARGEST[precision.weights], half)
    wide = spread_scales(scales, rows, columns, (k, n)).astype(np.float64)
    exact = np.clip(values / wide, -LARGEST[precision.weights], LARGEST[precision.weights])
    codes = rounded(exact, B_FP8 if precision.weights == FP8 else B_INT8)
    return {name: as_numbers(real(codes) * real(wide), half), name + CODES: codes, name + SCALES: scales}


def check_cache(
    reference: Step, bounds: Mapping[str, Reals], found: Mapping[str, NDArray[Any]], kv: str
) -> list[Fault]:
    """Compare the new keys and values in a narrow cache with the reference.

    Rounding to a format keeps the order of numbers: what is within the bound of the exact value becomes a number
    between those that the ends of this range become.

    Parameters
    ----------
    reference, bounds : dict of ndarray
        From `reference_step` and `step_bounds`: ``layerL.new_k``, ``layerL.new_v`` before their rounding.
    found : mapping of str to ndarray
        From `machine_step`: ``layerL.cached_k``, ``layerL.cached_v``.
    kv : str
        Format of the cache.

    Returns
    -------
    list of Fault
        One for each result with an element outside its range.
    """
    faults = []
    code = FORMATS[kv]
    for name, values in found.items():
        if ".cached_" not in name:
            continue
        exact = reference[name.replace("cached", "new")].astype(np.float64)
        bound = bounds[name.replace("cached", "new")]
        low, high = (rounded(exact + sign * bound, code, kv_step(code)) for sign in (-1, 1))
        wrong = (values < low) | (values > high)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            got, allowed = f"{values[place]}", f"{low[place]} to {high[place]}"
            faults.append(Fault(f"{name}, element {place}", got, allowed, "correct the rounding or its place"))
    return faults
