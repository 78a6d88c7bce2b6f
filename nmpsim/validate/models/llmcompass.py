"""Tiling in LLMCompass's manner: a search over tiles that fit twice into the buffer, double-buffered.

A share of a product is cut into tiles (tm, tk) x (tk, tn); a tile's weights are loaded from the DRAM at the PU's share
of the peak while the tile before is multiplied.  The columns of a tile are divided over the lanes of the core, each
with an output-stationary array: here the strips of the array, or the slices of the MAC trees.  The best tile counts.
A single row (GEMV) skips the search and takes the time of its bytes.

Source: Zhang et al., LLMCompass (ISCA 2024, arXiv 2312.03134), and its public code; array cycles by SCALE-Sim's form.

Leaves out: rows and refresh of the DRAM, the network, shapes of a reconfigurable array, latencies, overlap between
operators; there is no level between buffer and DRAM.
"""

import math
from functools import cache

from nmpsim.validate.models.scale_sim import array_cycles
from nmpsim.validate.operator import ATTENTION, Chip, Operator

ACTIVATION_BYTES, SUM_BYTES = 2, 4


def _sizes(extent: int) -> list[int]:
    """Return the extents of a tile that are tried: powers of two from 16 on, and the whole."""
    powers = range(4, max(4, extent.bit_length()))
    return [*(2**power for power in powers if 2**power < extent), extent]


@cache
def product_cycles(
    m: int, n: int, k: int, bits: int, lanes: int, rows: int, cols: int, buffer: int, bytes_per_cycle: float
) -> float:
    """Return the cycles of one product on one core with the best tile; infinity if none fits.

    Parameters
    ----------
    m, n, k : int
    bits : int
        Of an element of the weights.
    lanes : int
        Of the core.
    rows, cols : int
        Of the array of a lane.
    buffer : int
        Bytes.
    bytes_per_cycle : float
        From the DRAM to this core.
    """
    best = math.inf
    for tm in _sizes(m):
        for tk in _sizes(k):
            for tn in _sizes(n):
                weights = tk * tn * bits / 8
                if 2 * (ACTIVATION_BYTES * tm * tk + weights) + SUM_BYTES * tm * tn > buffer:
                    continue
                tiles = -(-m // tm) * -(-n // tn) * -(-k // tk)
                load, compute = weights / bytes_per_cycle, array_cycles("OS", tm, -(-tn // lanes), tk, rows, cols)
                best = min(best, load + (tiles - 1) * max(load, compute) + compute)
    return best


def predict(operator: Operator, chip: Chip) -> float:
    """Return core cycles.

    Parameters
    ----------
    operator : Operator
    chip : Chip
    """
    memory = (operator.read_bytes + operator.write_bytes) / chip.bytes_per_cycle[0]
    if operator.product is None:
        return max(memory, operator.vector_elements / chip.lanes)
    count, m, n, k = operator.product.share(chip.pus)
    if m == 1:
        return memory
    bits = operator.kv_bits if operator.operator_class == ATTENTION else operator.weight_bits
    rate = chip.bytes_per_cycle[0] / chip.pus
    array = chip.strips, chip.strip_rows, chip.strip_cols
    return count * product_cycles(m, n, k, bits, *array, chip.buffer_bytes, rate)
