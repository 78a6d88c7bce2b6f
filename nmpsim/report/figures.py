"""Figures that reports show and a Run does not hold itself: shares, utilisations, sums by kind, ridges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nmpsim.errors import InternalError
from nmpsim.measure.run import OperatorRun, Run

WEIGHT_BYTES = 2
"""FP16: bytes of one weight."""

FFN_KINDS = ("gate_up", "down")
"""Kinds of the projections of a feed-forward network."""


@dataclass(frozen=True)
class Row:
    """One line of the operator table: an operator, or all of a kind.

    Parameters
    ----------
    name : str
        Name of the operator or kind.
    operators : int
        Operators summed up.
    cycles : int
        Core cycles by which they moved the end of the step forward.
    start, end : int
        Core cycles of the first issue and the last completion.
    macs, moved_bytes, flits : int
        Work; bytes read from and written to DRAM, without padding.
    bounds : dict of str to float
        Lower bounds by resource, summed; core cycles.
    bound_by : str
        Resource with the largest lower bound.
    plan : str
        Shape and dataflow; empty for several operators.
    """

    name: str
    operators: int
    cycles: int
    start: int
    end: int
    macs: int
    moved_bytes: int
    flits: int
    bounds: dict[str, float]
    bound_by: str
    plan: str


def largest(bounds: dict[str, float]) -> str:
    """Name of the largest bound; ``latency`` if there is no work for any resource."""
    name = max(bounds, key=lambda key: bounds[key])
    return name if bounds[name] > 0 else "latency"


def row_of(name: str, operators: Sequence[OperatorRun]) -> Row:
    """Sum of some operators, at least one.

    Parameters
    ----------
    name : str
        Name of the line.
    operators : sequence of OperatorRun
    """
    bounds = {key: sum(o.bounds[key] for o in operators) for key in operators[0].bounds}
    return Row(
        name=name,
        operators=len(operators),
        cycles=sum(o.cycles for o in operators),
        start=min(o.start for o in operators),
        end=max(o.end for o in operators),
        macs=sum(o.macs for o in operators),
        moved_bytes=sum(o.read_bytes + o.write_bytes for o in operators),
        flits=sum(o.flits for o in operators),
        bounds=bounds,
        bound_by=largest(bounds),
        plan=operators[0].plan if len(operators) == 1 else "",
    )


def rows_by_kind(run: Run) -> list[Row]:
    """One row per kind of operator, all layers together, in the order in which the step meets them."""
    kinds: dict[str, list[OperatorRun]] = {}
    for operator in run.operators:
        kinds.setdefault(operator.kind, []).append(operator)
    return [row_of(kind, operators) for kind, operators in kinds.items()]


def check_sum(run: Run) -> None:
    """Make sure that the cycles of the operators add up to those of the run.

    Raises
    ------
    InternalError
        If they do not: then the table of operators would not explain the time of the step.
    """
    total = sum(o.cycles for o in run.operators)
    if total != run.cycles:
        raise InternalError(f"the operators take {total} core cycles, the run {run.cycles}")


def mac_utilisation(run: Run, macs: int, cycles: int) -> float | None:
    """MACs / (PEs x cycles); None over no cycles.

    Parameters
    ----------
    run : Run
        Where the number of PEs comes from.
    macs : int
        Multiply-accumulates.
    cycles : int
        Core cycles.
    """
    return macs / (run.peaks["macs_per_cycle"] * cycles) if cycles else None


def dram_utilisation(run: Run, moved_bytes: int, cycles: int) -> float | None:
    """Bytes / (peak of the fastest tier x time of the cycles); None over no cycles.

    Parameters
    ----------
    run : Run
        Where peak and clock come from.
    moved_bytes : int
        Bytes read and written, without padding.
    cycles : int
        Core cycles.
    """
    return moved_bytes * run.clock_GHz * 1e9 / (run.peaks["dram_bytes_per_second"] * cycles) if cycles else None


def percentages(values: Iterable[int]) -> list[str]:
    """Shares of a whole in per cent with one decimal, rounded so that they add up to exactly 100 (largest remainder).

    Parameters
    ----------
    values : iterable of int
        Parts of the whole, none negative.

    Examples
    --------
    >>> percentages([1, 1, 1])
    ['33.4', '33.3', '33.3']
    """
    parts = list(values)
    whole = sum(parts)
    if whole == 0:
        return ["0.0"] * len(parts)
    shares = [1000 * value // whole for value in parts]
    order = sorted(range(len(parts)), key=lambda i: (-(1000 * parts[i] % whole), i))
    for index in order[: 1000 - sum(shares)]:
        shares[index] += 1
    return [f"{share // 10}.{share % 10}" for share in shares]


def ridge(run: Run, bytes_per_second: float) -> float:
    """Rows M of activations at which a GEMM turns from DRAM to compute.

    One weight is 2 bytes and M multiply-accumulates, so the two take equally long at
    M = 2 bytes x (MACs per second) / (bytes per second).

    Parameters
    ----------
    run : Run
        Where the peak of the compute units comes from.
    bytes_per_second : float
        Bandwidth of the tier in which the weights lie.
    """
    macs_per_second = run.peaks["macs_per_cycle"] * run.clock_GHz * 1e9
    return WEIGHT_BYTES * macs_per_second / bytes_per_second


def ffn_lines(run: Run) -> list[str]:
    """One sentence per projection of the feed-forward network: what bounds it, by how much, and where that turns."""
    fastest = ridge(run, run.peaks["dram_bytes_per_second"])
    slowest = ridge(run, run.peaks["dram_bytes_per_second_slowest"])
    lines = []
    for row in rows_by_kind(run):
        if row.name not in FFN_KINDS:
            continue
        compute, dram = row.bounds["compute"], row.bounds["dram"]
        word, sign = ("compute", ">=") if compute >= dram else ("bandwidth", "<")
        told = f"{row.name}: {word}-bound (compute {compute:,.0f} {sign} dram {dram:,.0f} cycles"
        told += f", {row.operators} operators)" if row.operators > 1 else ")"
        here = f"; M = {row.macs * WEIGHT_BYTES / row.moved_bytes:.1f} here" if row.moved_bytes else ""
        lines.append(f"{told}; turns at M = {fastest:.1f} in tier 0, {slowest:.1f} in the slowest tier{here}")
    return lines
