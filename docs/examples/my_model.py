"""A model of operator time to be judged: nmpsim validate docs/examples/my_model.py:predict."""

from nmpsim.validate import Chip, Operator

LATENCY = 100
"""Core cycles that every operator waits for data and for others; assumed, to show what a constant does."""


def predict(operator: Operator, chip: Chip) -> float:
    """Return core cycles: the roofline and a latency."""
    compute = operator.macs / chip.macs_per_cycle
    memory = (operator.read_bytes + operator.write_bytes) / chip.bytes_per_cycle[0]
    vector = operator.vector_elements / chip.lanes
    return LATENCY + max(compute, memory, vector)
