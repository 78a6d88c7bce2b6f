"""Columns that grow while a simulation runs, and go to a Parquet file, or stay in memory, when they are many."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from nmpsim.dram.native.state import ROW_ACCESS

ROWS_PER_GROUP = 2**17
"""Rows that are written together: few enough that their memory is used again and again."""

PAGE_BYTES = 2**22
"""A page holds a whole group of a column: fewer and longer pieces for the compressor."""

REASON_BITS = 8
"""A key of the table of banks is ``unit << REASON_BITS | reason``: one column takes less time to write than two."""

TICKS = ("act", "first", "pre")
"""Fields of ROW_ACCESS that are ticks after its `at`; -1 = none."""

COLUMNS: dict[str, dict[str, str]] = {
    "intervals": {"unit": "u4", "reason": "u1", "operator": "i4", "value": "i4", "start": "i8", "end": "i8"},
    "banks": {"key": "u4", "length": "i4"},
    "accesses": {"pu": "u4"} | dict.fromkeys(ROW_ACCESS.dtype.names or (), "i4") | {"at": "i8"},
}


def file_of(table: str) -> str:
    """Name of the file of a table."""
    return f"trace-{table}.parquet"


class Table:
    """A table that is filled while a simulation runs.

    Parameters
    ----------
    name : str
        Of `COLUMNS`.
    folder : Path or None
        Where its file is written; None keeps it in memory.
    """

    def __init__(self, name: str, folder: Path | None) -> None:
        types = COLUMNS[name]
        self._group = {column: np.empty(ROWS_PER_GROUP, kind) for column, kind in types.items()}
        self._used = 0
        self._kept: list[Any] = []
        self._schema = pa.schema([(column, pa.from_numpy_dtype(np.dtype(kind))) for column, kind in types.items()])
        self._writer = None
        if folder is not None:
            self._writer = parquet.ParquetWriter(
                folder / f"{file_of(name)}.partial",
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=False,
                write_statistics=False,
                data_page_size=PAGE_BYTES,
            )

    def add(self, columns: Mapping[str, NDArray[Any]], keep: NDArray[np.bool_] | None = None) -> None:
        """Append rows.

        Parameters
        ----------
        columns : mapping of str to ndarray
            All columns of the table, of any integer type; they are copied.
        keep : ndarray of bool, optional
            Which rows; all by default.
        """
        if keep is not None:
            columns = {name: column[keep] for name, column in columns.items()}
        rows = len(next(iter(columns.values())))
        done = 0
        while done < rows:
            count = min(rows - done, ROWS_PER_GROUP - self._used)
            for name, group in self._group.items():
                group[self._used : self._used + count] = columns[name][done : done + count]
            done += count
            self._used += count
            if self._used == ROWS_PER_GROUP:
                self._flush()

    def _flush(self) -> None:
        if self._used == 0:
            return
        columns = [group[: self._used] for group in self._group.values()]
        if self._writer is None:
            self._kept.append(pa.Table.from_arrays([pa.array(c.copy()) for c in columns], schema=self._schema))
        else:
            self._writer.write_table(pa.Table.from_arrays([pa.array(c) for c in columns], schema=self._schema))
        self._used = 0

    def close(self) -> Any:
        """Write the rest; return the table if it is kept in memory."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            return None
        return pa.concat_tables(self._kept) if self._kept else self._schema.empty_table()
