"""A small reference made by hand: no simulation."""

from nmpsim.spec import load_chip
from nmpsim.validate.operator import Chip, Operator
from nmpsim.validate.reference import Case, Reference, Row


def operator(name="o", kind="down", **fields):
    """An operator; what is not given is 0."""
    zero = dict.fromkeys(
        ("m", "n", "k", "batch", "heads", "kv_heads", "head_dim", "value_dim", "context", "macs", "read_bytes"), 0
    )
    given = {"layer": 0, "weight_bits": 16, "kv_bits": 16, "write_bytes": 0, "vector_elements": 0}
    return Operator(name=name, kind=kind, **{**zero, **given, **fields})


def gemm(m, n, k, **fields):
    """A GEMM with the work that follows from its shape."""
    return operator(m=m, n=n, k=k, macs=m * n * k, read_bytes=2 * n * k, **fields)


def chip(name="snake"):
    return Chip.of(load_chip(name))


def reference(*steps, chip="snake"):
    """A reference of steps, each a list of (operator, cycles, repeat)."""
    cases, rows = [], []
    for number, step in enumerate(steps):
        settings = {"model": "llama-3.1-8b", "chip": chip, "batch": number + 1}
        case = Case(f"step {number}", settings, sum(c for _, c, _ in step), 1, "")
        cases.append(case)
        at = 0
        for one, cycles, repeat in step:
            bounds = {"compute": 0.1 * cycles, "dram": 0.6 * cycles}
            rows.append(Row(case, one, repeat, cycles, at, at + cycles, bounds, {"busy": 3, "operand_late": 1}))
            at += cycles
    return Reference("hand", "made by hand", tuple(cases), tuple(rows), {"timing_sha256": "0"})
