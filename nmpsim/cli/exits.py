"""From errors to messages and exit codes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

from nmpsim.errors import InternalError, NmpsimError, SimulationError

INPUT, SIMULATION, BUG, INTERRUPTED = 2, 3, 4, 130
"""Exit codes: a wrong input; deadlock or limit; a broken invariant; Ctrl-C."""


def exit_code(error: NmpsimError) -> int:
    """Exit code of an error."""
    if isinstance(error, InternalError):
        return BUG
    return SIMULATION if isinstance(error, SimulationError) else INPUT


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the package's errors and Ctrl-C inside the block into a message on stderr and an exit code.

    Raises
    ------
    typer.Exit
        With one of the codes above.
    """
    try:
        yield
    except NmpsimError as error:
        code = exit_code(error)
        bug = "\nThis is a bug in nmpsim, not in your input." if code == BUG else ""
        typer.echo(f"nmpsim: {error}{bug}", err=True)
        raise typer.Exit(code) from None
    except KeyboardInterrupt:
        typer.echo("nmpsim: interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
