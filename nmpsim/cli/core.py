"""``nmpsim core``: what one core takes for matrix products."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import ChipOption, Faults
from nmpsim.errors import Fault, NmpsimError

if TYPE_CHECKING:
    from nmpsim.spec.params import MachineParams
    from nmpsim.sweep import Product

LARGEST = 2**20
"""Largest M, N or K."""

MOST_ELEMENTS = 2**32
"""Most elements of B."""

MOST_PRODUCTS = 4096

_PART = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?")

core = typer.Typer(
    help="What one core takes for matrix products.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@core.callback()
def group() -> None:
    """What one core takes for matrix products."""


class Lists(Faults):
    """Reads lists of integers from options and collects what is wrong with them."""

    def read(self, option: str, text: str, high: int) -> list[int]:
        """Return the integers of a list such as ``1,2,8-64:8``; none, and a fault noted, if it is none.

        Parameters
        ----------
        option : str
            Name of the option.
        text : str
            What was given.
        high : int
            Largest allowed integer.
        """
        found: list[int] = []
        for part in text.split(","):
            match = _PART.fullmatch(part.strip())
            low, last, step = (int(x) if x else None for x in match.groups()) if match else (None, None, None)
            top = low if last is None else last
            if low is None or top is None or step == 0 or not 1 <= low <= top <= high:
                allowed = f"integers in 1..{high}, such as 16 or 1,2,4 or 8-64:8 (from 8 to 64 in steps of 8)"
                self.faults.append(Fault(option, repr(text[:60]), allowed, "give other sizes"))
                return []
            if (top - low) // (step or 1) >= MOST_PRODUCTS:
                allowed = f"at most {MOST_PRODUCTS} integers"
                self.faults.append(Fault(option, repr(text[:60]), allowed, "give a larger step"))
                return []
            found += range(low, top + 1, step or 1)
        return list(dict.fromkeys(found))

    def rate(self, text: str, most: int) -> Fraction | None:
        """Return the bytes per cycle of --fifo-rate; None, and a fault noted, if they are none.

        Parameters
        ----------
        text : str
            What was given.
        most : int
            Bytes of a beat.
        """
        if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) and 0 < Fraction(text) <= most:
            return Fraction(text)
        allowed = f"a number above 0, at most {most}: a beat a cycle"
        self.faults.append(Fault("--fifo-rate", repr(text[:60]), allowed, "leave it out for operands always there"))
        return None


def _sizes(lists: Lists, m: str | None, n: str | None, k: str | None) -> list[Product]:
    """Return the products of --m, --n and --k."""
    from nmpsim.sweep import Product

    read = [lists.read(o, t, LARGEST) for o, t in (("--m", m), ("--n", n), ("--k", k)) if t is not None]
    if len(read) < 3 or lists.faults:
        return []
    count = len(read[0]) * len(read[1]) * len(read[2])
    if count > MOST_PRODUCTS:
        lists.faults.append(Fault("--m, --n, --k", f"{count} products", f"at most {MOST_PRODUCTS}", "give fewer sizes"))
        return []
    if (elements := max(read[1]) * max(read[2])) > MOST_ELEMENTS:
        todo = "sweep the share of one core"
        lists.faults.append(Fault("--n, --k", f"{elements} elements of B", f"at most {MOST_ELEMENTS}", todo))
        return []
    return [Product("product", x, y, z) for y in read[1] for z in read[2] for x in read[0]]


def _decode(lists: Lists, names: list[str], batch: str, context: str, params: MachineParams | None) -> list[Product]:
    """Return the products of the decode steps of models."""
    from nmpsim.sweep import decode_products
    from nmpsim.workload import load_model
    from nmpsim.workload.limits import MAX_BATCH

    batches = lists.read("--batch", batch, MAX_BATCH)
    contexts = lists.read("--context", context, LARGEST)
    if len(contexts) > 1:
        lists.faults.append(Fault("--context", repr(context[:60]), "one integer", "sweep one context at a time"))
    found: dict[Product, None] = {}
    for name in names:
        try:
            model = load_model(name)
            for size in batches if params is not None and contexts else ():
                assert params is not None
                found.update(dict.fromkeys(decode_products(model, params, size, contexts[0])))
        except NmpsimError as error:
            lists.faults += error.faults
    return sorted(found, key=lambda one: (one.name, one.n, one.k, one.m))


@core.command("sweep")
def sweep_shapes(
    chip: ChipOption,
    m: Annotated[str | None, typer.Option("--m", metavar="LIST", help="Rows of A: 16, or 1,2,4, or 8-64:8.")] = None,
    n: Annotated[str | None, typer.Option("--n", metavar="LIST", help="Columns of B.")] = None,
    k: Annotated[str | None, typer.Option("--k", metavar="LIST", help="Rows of B.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="NAME|PATH", help="Products of a model's decode step instead; may be repeated."
        ),
    ] = None,
    batch: Annotated[str | None, typer.Option("--batch", metavar="LIST", help="With --model; 1 by default.")] = None,
    context: Annotated[
        str | None, typer.Option("--context", metavar="TOKENS", help="With --model; 1024 by default.")
    ] = None,
    fifo_rate: Annotated[
        str | None,
        typer.Option(
            "--fifo-rate", metavar="BYTES", help="What each bank delivers per core cycle; always enough by default."
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Print every mapping, not only the best one of each dataflow.")
    ] = False,
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="Write sweep.csv, sweep.parquet and utilisation.png.")
    ] = None,
) -> None:
    """Run products on every shape, dataflow and relation of the groups of a chip's core, by the cycle model.

    Cycles are those of an idle core, with fill, drain and the additions of partial sums.  Products of a model are the
    shares of one PU.
    """
    with exit_codes():
        from nmpsim.spec import load_chip, resolve
        from nmpsim.sweep import mappings, sweep
        from nmpsim.sweep.figure import curves_of, draw_panels, image_bytes
        from nmpsim.sweep.run import check_chip
        from nmpsim.sweep.tables import (
            CSV,
            PARQUET,
            PLOT,
            best_rows,
            check_folder,
            csv_bytes,
            parquet_bytes,
            rows_of,
            terminal_table,
            write_files,
        )

        lists, params = Lists(), None
        dataflows: tuple[str, ...] = ()
        try:
            spec = load_chip(chip)
            params = resolve(spec)
            check_chip(params)
            dataflows = tuple(spec.core.array.dataflows) if spec.core.array is not None else ()
        except NmpsimError as error:
            lists.faults += error.faults or (Fault("--chip", repr(chip), "a chip", str(error)),)
        missing = [name for name, text in (("--m", m), ("--n", n), ("--k", k)) if text is None]
        if model and len(missing) < 3:
            _sizes(lists, m, n, k)
            lists.faults.append(
                Fault("--model", repr(model[0]), "no --m, --n, --k beside it", "leave out one of the two")
            )
        elif not model and missing:
            todo = "give all three, or --model"
            lists.faults.append(Fault(", ".join(missing), "nothing", "sizes of a product", todo))
        if not model:
            for name, text in (("--batch", batch), ("--context", context)):
                if text is not None:
                    lists.faults.append(Fault(name, repr(text[:60]), "nothing without --model", f"leave out {name}"))
            products = _sizes(lists, m, n, k)
        else:
            products = _decode(lists, model, batch or "1", context or "1024", params)
        beat = 2 * params.core.columns if params is not None else 2**20
        rate = lists.rate(fifo_rate, beat) if fifo_rate is not None else None
        if out is not None:
            lists.faults += check_folder(Path(out)) if out else [Fault("--out", "''", "a folder", "name a folder")]
        lists.refuse()
        assert params is not None
        found = list(sweep(params, mappings(params.core, dataflows), products, rate=rate))
        _print(terminal_table(found if every else best_rows(found), params.core, _title(params, rate, every=every)))
        if out:
            rows = rows_of(found, params.core)
            figure = draw_panels(curves_of(found), f"{params.name}: utilisation of the best mapping of each dataflow")
            contents = {CSV: csv_bytes(rows), PARQUET: parquet_bytes(rows), PLOT: image_bytes(figure)}
            write_files(Path(out), contents)
            typer.echo(f"{len(rows)} rows written to {out}")


def _title(params: MachineParams, rate: Fraction | None, *, every: bool) -> str:
    """Return what the table shows."""
    beats = "operands always there" if rate is None else f"{float(rate):g} B per cycle and bank"
    which = "every mapping" if every else "best mapping of each dataflow"
    return f"one core of {params.name}, {beats}: {which} (* fastest)"


def _print(table: object) -> None:
    """Print a table as wide as it is."""
    from rich.console import Console

    Console(width=180, highlight=False, soft_wrap=True).print(table)
