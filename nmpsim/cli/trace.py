"""``nmpsim trace``: a recorded run in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import Numbers
from nmpsim.errors import Fault

if TYPE_CHECKING:
    from nmpsim.trace.options import TraceOptions

trace = typer.Typer(help="Show and convert what `simulate --trace` recorded.", no_args_is_help=True)

FORMATS = ("perfetto", "fst", "npy", "text", "commands")

UnitsOption = Annotated[
    str | None, typer.Option("--units", metavar="KIND[@PUS],...", help="Kinds of units, such as array,bank@0-3.")
]
FromOption = Annotated[str | None, typer.Option("--from", metavar="CYCLE", help="First core cycle.")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="CYCLE", help="Core cycle at which to stop.")]


def _window(numbers: Numbers, units: str | None, first: str | None, last: str | None) -> TraceOptions | None:
    """Return the filter that options ask for; faults go to `numbers`."""
    from nmpsim.errors import NmpsimError
    from nmpsim.trace.options import trace_options

    start = None if first is None else numbers.read("--from", first, 0, None, "give a core cycle")
    end = None if last is None else numbers.read("--until", last, 1, None, "give a core cycle")
    try:
        return trace_options("full", units.split(",") if units else (), start, end)
    except NmpsimError as error:
        numbers.faults += error.faults
        return None


@trace.command("export")
def export_trace(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Result of `nmpsim simulate --trace`.")],
    to: Annotated[str, typer.Option("--to", metavar="|".join(FORMATS), help="Format to write.")],
    out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="The file; a name is chosen else.")] = None,
    units: UnitsOption = None,
    first: FromOption = None,
    until: UntilOption = None,
) -> None:
    """Write a trace in another format.

    perfetto: for the Perfetto viewer; fst: waveforms, with a view for GTKWave; npy: arrays with an entry per cycle;
    text: one line per cycle; commands: the DRAM commands, for `nmpsim dram check --chip`.
    """
    with exit_codes():
        numbers = Numbers()
        window = _window(numbers, units, first, until)
        if to not in FORMATS:
            numbers.faults.append(Fault("--to", repr(to), " or ".join(FORMATS), "choose one of them"))
        numbers.refuse()
        assert window is not None
        from nmpsim.trace.export import FORMATS as FILES
        from nmpsim.trace.export import export
        from nmpsim.trace.reader import Trace

        opened = Trace.open(folder)
        path = Path(out) if out else Path(FILES[to])
        count = export(opened, to, path, window.units, window.start, window.end)
        told = {"perfetto": "packets", "fst": "changes", "npy": "unit-cycles", "text": "lines", "commands": "commands"}
        typer.echo(f"{path}: {count:,} {told[to]}")


@trace.command("lines")
def print_lines(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Result of `nmpsim simulate --trace`.")],
    units: UnitsOption = None,
    first: FromOption = None,
    until: UntilOption = None,
) -> None:
    """Print one line per core cycle, a letter per unit."""
    with exit_codes():
        numbers = Numbers()
        window = _window(numbers, units, first, until)
        numbers.refuse()
        assert window is not None
        from nmpsim.trace.lines import cycle_lines
        from nmpsim.trace.reader import Trace

        for line in cycle_lines(Trace.open(folder), window.units, window.start, window.end):
            typer.echo(line)
