"""Rows of a sweep as a table on the terminal, a CSV file and a Parquet file."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from nmpsim.errors import Fault, NmpsimError
from nmpsim.spec.params import CoreParams
from nmpsim.sweep.run import Measured, best

CSV, PARQUET, PLOT = "sweep.csv", "sweep.parquet", "utilisation.png"
"""Files of a sweep."""

Cell = int | float | str

COLUMNS: dict[str, Callable[[Measured, CoreParams], Cell]] = {
    "operator": lambda one, _: one.product.name,
    "m": lambda one, _: one.product.m,
    "n": lambda one, _: one.product.n,
    "k": lambda one, _: one.product.k,
    "dataflow": lambda one, _: one.mapping.flow_name,
    "shape": lambda one, core: one.mapping.shape(core),
    "strips_per_group": lambda one, _: one.mapping.group,
    "groups": lambda one, _: one.mapping.split_name,
    "contiguous": lambda one, _: one.mapping.layout,
    "passes": lambda one, _: one.passes,
    "cycles": lambda one, _: one.cycles,
    "utilisation": lambda one, _: one.utilisation,
    "macs": lambda one, _: one.macs,
    "beats": lambda one, _: one.beats,
    "fifo_peak_B_per_cycle": lambda one, _: one.fifo_peak,
    "fifo_mean_B_per_cycle": lambda one, _: one.fifo_mean,
    "read_peak_B_per_cycle": lambda one, _: one.read_peak,
    "read_mean_B_per_cycle": lambda one, _: one.read_mean,
    "write_peak_B_per_cycle": lambda one, _: one.write_peak,
    "write_mean_B_per_cycle": lambda one, _: one.write_mean,
    "busy_cycles": lambda one, _: one.busy,
    "edge_bandwidth_cycles": lambda one, _: one.paced,
    "adding_cycles": lambda one, _: one.adding,
    "exposed_adding_cycles": lambda one, _: one.exposed,
}
"""Columns of the files: name and value."""


def rows_of(found: Iterable[Measured], core: CoreParams) -> list[dict[str, Cell]]:
    """Return the rows of the files.

    Parameters
    ----------
    found : iterable of Measured
    core : CoreParams
        Of the chip.
    """
    return [{name: value(one, core) for name, value in COLUMNS.items()} for one in found]


def best_rows(found: Sequence[Measured]) -> list[Measured]:
    """Return the best mapping of each product and dataflow, in order of the products.

    Parameters
    ----------
    found : sequence of Measured
    """
    groups: dict[tuple[Any, int], list[Measured]] = {}
    for one in found:
        groups.setdefault((one.product, one.mapping.flow), []).append(one)
    return [best(group) for group in groups.values()]


def terminal_table(found: Sequence[Measured], core: CoreParams, title: str) -> Any:
    """Return a table for the terminal; the fastest mapping of each product is marked.

    Parameters
    ----------
    found : sequence of Measured
    core : CoreParams
    title : str

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table

    fastest: dict[Any, int] = {}
    for one in found:
        fastest[one.product] = min(one.cycles, fastest.get(one.product, one.cycles))
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("operator")
    for name in ("M", "N", "K"):
        table.add_column(name, justify="right")
    table.add_column("mapping", no_wrap=True)
    for name in ("cycles", "use %", "FIFO B/cyc", "peak", "read B/cyc", "peak", "write B/cyc", "peak", "adds"):
        table.add_column(name, justify="right")
    for one in found:
        mark = "*" if one.cycles == fastest[one.product] else " "
        table.add_row(
            one.product.name,
            str(one.product.m),
            str(one.product.n),
            str(one.product.k),
            f"{mark} {one.mapping.text(core)}",
            f"{one.cycles:,}",
            f"{100 * one.utilisation:.2f}",
            f"{one.fifo_mean:.0f}",
            f"{one.fifo_peak:.0f}",
            f"{one.read_mean:.0f}",
            f"{one.read_peak:.0f}",
            f"{one.write_mean:.0f}",
            f"{one.write_peak:.0f}",
            f"{one.adding:,}" if one.adding else "",
        )
    return table


def csv_bytes(rows: Sequence[dict[str, Cell]]) -> bytes:
    """Return rows as CSV.

    Parameters
    ----------
    rows : sequence of dict
        From `rows_of`.
    """
    lines = [",".join(COLUMNS)]
    lines += [
        ",".join(f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row.values()) for row in rows
    ]
    return ("\n".join(lines) + "\n").encode()


def parquet_bytes(rows: Sequence[dict[str, Cell]]) -> bytes:
    """Return rows as Parquet.

    Parameters
    ----------
    rows : sequence of dict
        From `rows_of`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), target)
    return target.getvalue()


def check_folder(folder: Path) -> list[Fault]:
    """Return what is wrong with the folder of a sweep: it may be missing, or a folder.

    Parameters
    ----------
    folder : Path
    """
    place = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if place.is_dir():
        return []
    return [Fault("--out", repr(str(folder)), "a folder, there or to be made", "name another folder")]


def write_files(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files into a folder, each under a temporary name that is then changed into its own.

    Parameters
    ----------
    folder : Path
        Made if missing.
    contents : dict of str to bytes
        By name.

    Raises
    ------
    NmpsimError
        If they cannot be written; then none has got its name.
    """
    mark = secrets.token_hex(4)
    staged = {folder / name: folder / f".{name}.{mark}" for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, temporary in staged.items():
            temporary.write_bytes(contents[path.name])
        for path, temporary in staged.items():
            temporary.replace(path)
    except OSError as error:
        todo = "check its permissions and the space left, or choose another folder"
        fault = Fault(str(folder), error.strerror or str(error), "a folder to write to", todo)
        raise NmpsimError("cannot write the sweep", [fault]) from error
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
