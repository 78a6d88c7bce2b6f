"""The report of a run as plain text: what the step took, what bounds it, where the cycles went."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import Box
from rich.console import Console
from rich.table import Table

from nmpsim.measure.run import Run
from nmpsim.report.figures import (
    Row,
    check_sum,
    dram_utilisation,
    ffn_lines,
    largest,
    mac_utilisation,
    percentages,
    row_of,
    rows_by_kind,
)

WIDTH = 400
"""Characters a line may have before it is folded; no table is that wide."""

# Columns are parted by blanks, head and sum by dashes: readable in any terminal and encoding.
_BOX = Box("    \n    \n -- \n    \n -- \n -- \n    \n    \n", ascii=True)


def report_text(run: Run, *, full: bool = True) -> str:
    """Return the report of a run; ASCII, ends with a newline.

    Parameters
    ----------
    run : Run
    full : bool
        Also list every operator by itself.

    Raises
    ------
    InternalError
        If the cycles of the operators do not add up to those of the run.
    """
    check_sum(run)
    parts = [_header(run), _bounds(run), _operators(run), _ffn(run), _stalls(run), _counts(run), _energy(run)]
    if full:
        parts.append(_listing(run))
    parts += [_rounding(run), _speed(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(run: Run) -> str:
    options = run.provenance["options"]
    batch = int(options["batch"])
    words = [f"batch {batch}", f"context {options['context']}", f"layers {options['layers']}"]
    words += [f"routing {options['routing']}"] if options["routing"] else []
    words += [f"first tier {options['first_tier']}"] if options["first_tier"] else []
    words += [f"first layer {options['first_layer']}"] if "first_layer" in options else []
    words += [f"{options['attention']} attention"] if "attention" in options else []
    words += [_formats(options["precision"])] if "precision" in options else []
    ghz = f"{run.clock_GHz:g} GHz"
    experts = run.provenance.get("distinct_experts", {})
    stacks = run.provenance.get("stacks")
    facts = [
        ("model", f"{run.provenance['model']['name']}, {', '.join(words)}"),
        *([("distinct experts", _experts(list(experts.values())))] if experts else []),
        ("chip", str(run.provenance["chip"]["name"])),
        *([("stacks", _stacks(stacks))] if stacks else []),
        ("cycles", f"{run.cycles:,} cycles of the core clock, {ghz}"),
        ("time per token", f"{_seconds(run.seconds)} (one step: every sequence gets one token)"),
        ("tokens per second", f"{batch / run.seconds:,.1f} (batch {batch} / time of the step)"),
    ]
    return "\n".join(f"{name:<19}{value}" for name, value in facts)


def _stacks(stacks: dict[str, Any]) -> str:
    """Return which stack was simulated, and for whom it stands."""
    role = "representative of all" if stacks["representative"] else f"imbalance {stacks['imbalance']:.3f}"
    return f"{stacks['number']}, of which {stacks['simulated']} was simulated, {role} ({stacks['reason']})"


def _experts(counts: list[int]) -> str:
    """Distinct experts of the layers that have experts."""
    least, most = min(counts), max(counts)
    span = f"{least}" if least == most else f"{least} to {most}"
    return f"{span} a layer, {sum(counts):,} in {len(counts)} layers"


def _seconds(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds * 1e9:.4g} ns"


def _formats(precision: Mapping[str, object]) -> str:
    """Formats of a step that is not FP16 everywhere."""
    group = f" in groups of {precision['group']}" if precision["group"] else ""
    return f"weights {precision['weights']}{group}, KV cache {precision['kv']}"


def _bounds(run: Run) -> str:
    what = {
        "compute": "MACs / PEs",
        "vector": "elements / vector lanes",
        "dram": "bytes of each tier / its peak bandwidth, less one row cycle",
        "noc": "flit-hops / directed links",
        "pu_noc": "flit-hops inside PUs / directed links there",
    }
    table = _table("bound", "cycles", "run / bound", "what it counts", left=("bound", "what it counts"))
    for name, cycles in run.bounds.items():
        times = f"{run.cycles / cycles:.2f}" if cycles else "-"
        table.add_row(name, f"{cycles:,.0f}", times, what.get(name, ""))
    top = largest(run.bounds)
    verdict = f"The run takes {run.cycles / run.bounds[top]:.3f} x its largest bound, {top}."
    title = "Lower bounds: core cycles that no machine with the same peaks can beat"
    return f"{title}\n{_text(table)}\n{verdict}"


def _operators(run: Run) -> str:
    macs, dram = run.peaks["macs_per_cycle"], run.peaks["dram_bytes_per_second"]
    notes = [
        "Operators, all layers together",
        "  cycles     by which it moved the end of the step forward; they add up to the cycles of the run",
        "  bound by   the resource with the largest lower bound",
        f"  MAC util   MACs / (PEs x cycles), {macs:,.0f} PEs",
        f"  DRAM util  bytes / (peak of the fastest tier x cycles), {dram / 1e12:.2f} TB/s",
        "  A utilisation over 100 % means: part of the work was done while an earlier operator still held the end.",
    ]
    return "\n".join([*notes, _rows(run, rows_by_kind(run), "kind")])


def _listing(run: Run) -> str:
    rows = [row_of(operator.name, [operator]) for operator in run.operators]
    return f"Every operator (columns as above)\n{_rows(run, rows, 'operator', per_operator=True)}"


def _rows(run: Run, rows: Sequence[Row], first: str, *, per_operator: bool = False) -> str:
    """Table of rows, with their sum below."""
    columns = ["cycles", "share %", "bound by", "MAC util %", "DRAM util %", "bytes", "flits"]
    columns = [*columns, "start", "end", "plan"] if per_operator else ["number", *columns]
    table = _table(first, *columns, left=(first, "bound by", "plan"), foot=True)

    def cells(row: Row, share: str) -> list[str]:
        macs = mac_utilisation(run, row.macs, row.cycles) if row.macs else None
        dram = dram_utilisation(run, row.moved_bytes, row.cycles) if row.moved_bytes else None
        utilisations = ["-" if value is None else f"{100 * value:.1f}" for value in (macs, dram)]
        start = [f"{row.cycles:,}", share, row.bound_by, *utilisations, f"{row.moved_bytes:,}", f"{row.flits:,}"]
        place = [f"{row.start:,}", f"{row.end:,}", row.plan]
        return [row.name, *start, *place] if per_operator else [row.name, str(row.operators), *start]

    for row, share in zip(rows, percentages(r.cycles for r in rows), strict=True):
        table.add_row(*cells(row, share))
    for column, foot in zip(table.columns, cells(row_of("all", run.operators), "100.0"), strict=True):
        column.footer = foot
    return _text(table)


def _ffn(run: Run) -> str:
    lines = ffn_lines(run)
    return "\n".join(["Projections of the feed-forward network", *(f"  {line}" for line in lines)]) if lines else ""


def _stalls(run: Run) -> str:
    table = _table("unit", "reason", "unit-cycles", "%", left=("unit", "reason"))
    for number, (unit, reasons) in enumerate(run.stalls.items()):
        if number:
            table.add_section()
        ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        for (reason, cycles), share in zip(ordered, percentages(c for _, c in ordered), strict=True):
            table.add_row(unit, reason, f"{cycles:,}", share)
        table.add_row(unit, "all", f"{sum(reasons.values()):,}", "100.0")
    title = "What each kind of unit did or waited for: units x cycles of their own clock; busy and transfer are work"
    return f"{title}\n{_text(table)}"


def _counts(run: Run) -> str:
    table = _table("count", "number", left=("count",))
    for name, value in sorted(run.counts.items(), key=lambda item: item[0].lower()):
        table.add_row(name, f"{value:,}")
    return f"Counts\n{_text(table)}"


def _energy(run: Run) -> str:
    """Energy by component, the largest first."""
    batch = int(run.provenance["options"]["batch"])
    total = sum(run.energy_J.values())
    table = _table("component", "J per step", "J per token", "%", left=("component",), foot=True)
    ordered = sorted(run.energy_J.items(), key=lambda item: (-item[1], item[0]))
    for name, joules in ordered:
        table.add_row(name, f"{joules:.4g}", f"{joules / batch:.4g}", f"{100 * joules / total:.1f}")
    for column, foot in zip(table.columns, ("all", f"{total:.4g}", f"{total / batch:.4g}", "100.0"), strict=True):
        column.footer = foot
    title = f"Energy: counts times coefficients (nmpsim/cost); mean power {total / run.seconds:.1f} W"
    return f"{title}\n{_text(table)}"


def _rounding(run: Run) -> str:
    return "\n".join(["Rounded to cycles", *(f"  {note}" for note in run.notes or ("nothing",))])


def _speed(run: Run) -> str:
    speed = run.speed
    return (
        f"Simulation: {speed['cpu_seconds']:.3g} CPU seconds, {speed['die_cycles_per_second']:,.0f} die cycles/s, "
        f"{speed['unit_steps_per_second']:,.0f} unit steps/s"
    )


def _table(*columns: str, left: Iterable[str], foot: bool = False) -> Table:
    table = Table(box=_BOX, pad_edge=False, show_edge=False, show_footer=foot)
    for column in columns:
        table.add_column(column, justify="left" if column in set(left) else "right", no_wrap=True)
    return table


def _text(table: Table) -> str:
    """Text of a table, without colours and without blanks at the ends of lines."""
    console = Console(
        file=io.StringIO(),
        width=WIDTH,
        color_system=None,
        force_terminal=False,
        markup=False,
        highlight=False,
        emoji=False,
    )
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip())
