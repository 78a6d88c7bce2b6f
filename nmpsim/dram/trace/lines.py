"""Text traces line by line: plain or gzip, and every bad line with its number.

file --> chunks of whole lines --one regular expression--> numbers    sound chunks, at C speed
                               `-- line by line ---------> faults     chunks with a bad line
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import Fault, WorkloadError

Integers = NDArray[np.int64]

MOST_FAULTS = 20
"""Faults shown of one file; the others are counted."""

CHUNK_BYTES = 1 << 20
LONGEST_LINE = 1 << 16
"""Bytes; a longer line is no line of a trace."""

DIGITS = 18
"""Decimal digits of a number at most: any such number fits into 64 bits."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class LineFaults:
    """What is wrong with one file.

    Parameters
    ----------
    file : str
        Its name, for messages.
    kind : str
        What it should be, as ``"request trace"``.
    """

    def __init__(self, file: str, kind: str) -> None:
        self.file = file
        self.kind = kind
        self.count = 0
        self._kept: list[tuple[int, Fault]] = []

    def add(self, line: int, got: str, allowed: str, todo: str) -> None:
        """Note a fault.

        Parameters
        ----------
        line : int
            Counted from 1; 0 for the file as a whole.
        got, allowed, todo : str
            As in `Fault`.
        """
        where = f"{self.file}:{line}" if line else self.file
        self.count += 1
        self._kept.append((line, Fault(where, got, allowed, todo)))
        if len(self._kept) > 8 * MOST_FAULTS:
            self._kept = self._first()

    def add_rows(self, rows: Integers, lines: Integers, tell: Callable[[int], tuple[str, str, str]]) -> None:
        """Note one fault for each of many rows, writing messages only for those that can be shown.

        Parameters
        ----------
        rows : ndarray of int64
            Rows at fault, rising.
        lines : ndarray of int64
            Line of every row.
        tell : callable
            From a row to ``(got, allowed, todo)``.
        """
        for row in rows[:MOST_FAULTS].tolist():
            self.add(int(lines[row]), *tell(row))
        self.count += max(0, len(rows) - MOST_FAULTS)

    def _first(self) -> list[tuple[int, Fault]]:
        return sorted(self._kept, key=lambda kept: kept[0])[:MOST_FAULTS]

    def refuse(self) -> None:
        """Raise the faults noted, the first ones of the file.

        Raises
        ------
        WorkloadError
            If there are any.
        """
        if not self.count:
            return
        shown = [fault for _, fault in self._first()]
        if self.count > len(shown):
            rest = self.count - len(shown)
            shown.append(Fault(self.file, f"{rest} more faults", "none", "correct those above first"))
        times = "a fault" if self.count == 1 else f"{self.count} faults"
        raise WorkloadError(f"{self.kind} {self.file} has {times}", shown)


@dataclass(frozen=True)
class Column:
    """One column of a trace.

    Parameters
    ----------
    name : str
    words : tuple of str
        Allowed words, read as 0, 1, ...; empty for a column of integers.
    low : int
        Smallest integer, 0 or -1.
    base : int
        10, or 0 where ``0x`` may stand before hexadecimal digits.
    """

    name: str
    words: tuple[str, ...] = ()
    low: int = 0
    base: int = 10

    @property
    def pattern(self) -> str:
        """Regular expression of a sound token."""
        if self.words:
            return "(?:" + "|".join(map(re.escape, self.words)) + ")"
        decimal = rf"\d{{1,{DIGITS}}}"
        other = ["-1"] * (self.low < 0) + ["0[xX][0-9a-fA-F]{1,15}"] * (self.base == 0)
        return f"(?:{'|'.join([*other, decimal])})"

    @property
    def allowed(self) -> str:
        """What may stand here, in words."""
        if self.words:
            return " or ".join(self.words) if len(self.words) < 4 else ", ".join(self.words)
        least = "an integer of at least 0" if self.low == 0 else "an integer, or -1 for all or none"
        return f"{least}, at most {DIGITS} digits" + (", or 0x and hexadecimal digits" if self.base == 0 else "")

    def value(self, token: str) -> int:
        """Return the number that a sound token stands for."""
        if self.words:
            return self.words.index(token)
        return int(token, 16) if token[:2].lower() == "0x" else int(token)


class LineFormat:
    """How the lines of one format become numbers.

    Parameters
    ----------
    columns : sequence of Column
        From left to right.
    separators : sequence of str
        Between them: ``","`` or ``" "``, one less than columns; a blank stands for any number of blanks.
    """

    def __init__(self, columns: Sequence[Column], separators: Sequence[str]) -> None:
        assert len(separators) == len(columns) - 1
        self.columns = tuple(columns)
        self.separators = tuple(separators)
        gaps = [", ?" if one == "," else one for one in separators]
        row = columns[0].pattern + "".join(gap + c.pattern for gap, c in zip(gaps, columns[1:], strict=True))
        self._body = re.compile(f"(?:{row}\n)*".encode())
        self._line = [re.compile(column.pattern) for column in self.columns]

    @property
    def shape(self) -> str:
        """The line as a person would write it, as ``id,at,op``."""
        words = [column.name for column in self.columns]
        return words[0] + "".join(gap + word for gap, word in zip(self.separators, words[1:], strict=True))

    def read(self, first: int, chunk: bytes, faults: LineFaults) -> tuple[Integers, Integers]:
        """Return the numbers of the sound lines of a chunk, and which lines they are.

        Parameters
        ----------
        first : int
            Number of the chunk's first line.
        chunk : bytes
            Whole lines.
        faults : LineFaults
            Collects what is wrong (changed).

        Returns
        -------
        numbers : ndarray of int64, shape (lines, columns)
        lines : ndarray of int64, shape (lines,)
        """
        if self._body.fullmatch(chunk):
            count = chunk.count(b"\n")
            return self._numbers(chunk).reshape(count, len(self.columns)), np.arange(first, first + count)
        rows: list[list[int]] = []
        lines: list[int] = []
        for number, line in enumerate(chunk.split(b"\n")[:-1], first):
            row = self._row(number, line, faults)
            if row is not None:
                rows.append(row)
                lines.append(number)
        return np.array(rows, np.int64).reshape(-1, len(self.columns)), np.array(lines, np.int64)

    def _numbers(self, chunk: bytes) -> Integers:
        """Return all numbers of a sound chunk, row by row."""
        text = chunk.replace(b" ", b",").replace(b",,", b",") if b" " in chunk else chunk
        text = b"," + text.replace(b"\n", b",")
        for column in self.columns:
            for code, word in enumerate(column.words):  # every token stands between commas, no two words are adjacent
                text = text.replace(f",{word},".encode(), f",{code},".encode())
        text = text[1:-1]
        if b"x" in text or b"X" in text:
            tokens = text.decode().split(",")
            return np.array([int(token, 16) if token[1:2] in {"x", "X"} else int(token) for token in tokens], np.int64)
        return np.fromstring(text.decode(), np.int64, sep=",")

    def _row(self, number: int, line: bytes, faults: LineFaults) -> list[int] | None:
        """Return the numbers of a line, or None and its faults."""
        text = line.decode("ascii", "backslashreplace")
        tokens = self._split(text)
        if len(tokens) != len(self.columns):
            got = f"{len(tokens)} columns" if text.strip() else "an empty line"
            faults.add(number, got, f"{len(self.columns)} columns: {self.shape}", "complete the line or remove it")
            return None
        row = []
        for column, pattern, token in zip(self.columns, self._line, tokens, strict=True):
            if pattern.fullmatch(token):
                row.append(column.value(token))
            else:
                got = f"{column.name} = {token[:40]!r}"
                faults.add(number, got, column.allowed, f"correct {column.name}")
        return row if len(row) == len(tokens) else None

    def _split(self, text: str) -> list[str]:
        """Return the tokens of a line."""
        if " " not in self.separators:
            return [token.strip(" ") for token in text.split(",")] if text.strip() else []
        head, *rest = text.split(maxsplit=1) or [""]
        return [head, *(part for one in rest for part in one.strip().split(","))] if head else []


def header_fault(faults: LineFaults, first: bytes, allowed: str) -> None:
    """Note that the first line tells no format (changes faults)."""
    got = repr(first.decode("ascii", "backslashreplace")[:60])
    faults.add(1, f"first line {got}", allowed, "put the header there, or correct the line")


def text_chunks(path: Path, faults: LineFaults) -> Iterator[tuple[int, bytes]]:
    """Yield (number of the first line, whole lines) of a text file, plain or gzip.

    The last line gets its newline if it lacks one; what cannot be read is noted as a fault and ends the file.

    Parameters
    ----------
    path : Path
    faults : LineFaults
        Collects what is wrong (changed).
    """
    number, rest = 1, b""
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == _GZIP
            if path.suffix == ".gz" and not packed:
                faults.add(0, "a file that is not gzip", "gzip, or a name without .gz", "pack or rename the file")
                return
            source = gzip.GzipFile(fileobj=raw) if packed else raw
            while True:
                chunk = source.read(CHUNK_BYTES)
                if number == 1 and not rest:
                    chunk = chunk.removeprefix(_BOM)
                text = rest + chunk
                end = len(text) if not chunk else text.rfind(b"\n") + 1
                whole, rest = text[:end], text[end:]
                if whole:
                    whole = whole.replace(b"\r\n", b"\n")
                    whole = whole if whole.endswith(b"\n") else whole + b"\n"
                    yield number, whole
                    number += whole.count(b"\n")
                if not chunk:
                    return
                if len(rest) > LONGEST_LINE:
                    faults.add(number, "a line without end", f"lines of at most {LONGEST_LINE} bytes", "give a trace")
                    return
    except EOFError:
        faults.add(number + rest.count(b"\n"), "the end of a truncated gzip file", "a whole file", "copy it again")
    except (gzip.BadGzipFile, zlib.error) as error:
        faults.add(number, f"damaged gzip: {error}", "a sound gzip file", "copy it again")
    except OSError as error:
        faults.add(0, error.strerror or str(error), "a file that can be read", "check its path and permissions")
