"""Compressed CSV files of recorded cases, read column by column with every fault noted."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault


class Table:
    """A compressed CSV file, read column by column; faults are collected.

    Parameters
    ----------
    path : Path
    header : tuple of str
        Columns that must stand there.
    optional : tuple of str
        Columns that may follow, all or none.
    """

    def __init__(self, path: Path, header: Sequence[str], optional: Sequence[str] = ()) -> None:
        self.path = path
        self.header = tuple(header)
        self.full = False
        self.faults: list[Fault] = []
        self._rows: list[list[str]] = []
        try:
            text = gzip.decompress(path.read_bytes()).decode("utf-8")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            self.faults.append(Fault(str(path), str(error), "a CSV file, compressed by gzip", "write it anew"))
            return
        first, *rows = list(csv.reader(io.StringIO(text))) or [[]]
        self.full = bool(optional) and first == [*header, *optional]
        if not self.full and first != list(header):
            allowed = ",".join(header) + (f"[,{','.join(optional)}]" if optional else "")
            self.faults.append(Fault(f"{path}:1", repr(",".join(first))[:80], allowed, "write this header"))
            return
        self._places = {name: place for place, name in enumerate(first)}
        for line, row in enumerate(rows, 2):
            if len(row) != len(first):
                got = f"{len(row)} fields"
                self.faults.append(Fault(f"{path}:{line}", got, f"{len(first)} fields", "write the line anew"))
                return
        self._rows = rows

    def _column(self, name: str) -> list[str]:
        place = self._places[name] if self._rows else 0
        return [row[place] for row in self._rows]

    def integers(self, name: str) -> NDArray[np.int64]:
        """Return a column of integers; a fault is noted for the first that is none.

        Parameters
        ----------
        name : str
        """
        texts = self._column(name)
        try:
            return np.array([int(text) for text in texts], np.int64)
        except (ValueError, OverflowError):
            for line, text in enumerate(texts, 2):
                if not (text.removeprefix("-").isdecimal() and abs(int(text)) < 2**63):
                    where = f"{self.path}:{line}: {name}"
                    self.faults.append(Fault(where, repr(text[:40]), "an integer", "correct it"))
                    break
            return np.zeros(len(texts), np.int64)

    def words(self, name: str, allowed: tuple[str, ...]) -> NDArray[np.int64]:
        """Return a column of words as places in `allowed`; a fault is noted for the first that is not there.

        Parameters
        ----------
        name : str
        allowed : tuple of str
        """
        places = {word: place for place, word in enumerate(allowed)}
        found = [places.get(text, -1) for text in self._column(name)]
        if -1 in found:
            line = found.index(-1)
            got = repr(self._column(name)[line][:40])
            self.faults.append(Fault(f"{self.path}:{line + 2}: {name}", got, ", ".join(allowed), "correct it"))
        return np.array(found, np.int64)
