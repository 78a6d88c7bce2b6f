"""Roofline: the slowest of compute, memory and vector units, each at its peak.

Source: Williams, Waterman, Patterson, "Roofline" (CACM 52, 2009), with a third roof for the vector units.

Leaves out: shapes, fill and drain, rows, refresh, the network, latencies, and any overlap between operators.
"""

from nmpsim.validate.operator import Chip, Operator


def predict(operator: Operator, chip: Chip) -> float:
    """Return core cycles.

    Parameters
    ----------
    operator : Operator
    chip : Chip
    """
    compute = operator.macs / chip.macs_per_cycle
    memory = (operator.read_bytes + operator.write_bytes) / chip.bytes_per_cycle[0]
    return max(compute, memory, operator.vector_elements / chip.lanes)
