"""A recorder that keeps everything it is handed, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from nmpsim.dram.native.state import BANK_BITS, REASON_BITS

NOTHING = [(name, "i8") for name in ("pu", "unit", "bank", "link", "reason", "start", "end")]
"""Fields of an empty log."""


class Collected:
    """Keeps all rows, with the PU in front.

    Parameters
    ----------
    full : bool
        Banks, ports and commands too.
    """

    def __init__(self, *, full: bool = True) -> None:
        self.full = full
        self.rows: dict[str, list[np.ndarray]] = {"core": [], "bank": [], "link": []}

    def _keep(self, kind: str, pu: int, rows: Any) -> None:
        part = np.zeros(len(rows), [("pu", "i8"), *((name, "i8") for name in rows.dtype.names)])
        part["pu"] = pu
        for name in rows.dtype.names:
            part[name] = rows[name]
        self.rows[kind].append(part)

    def core(self, pu: int, rows: Any) -> None:
        self._keep("core", pu, rows)

    def bank(self, pu: int, words: Any) -> None:
        rows = np.zeros(len(words), [(name, "i8") for name in ("bank", "ticks", "reason")])
        rows["bank"] = words >> REASON_BITS & 2**BANK_BITS - 1
        rows["ticks"] = words >> BANK_BITS + REASON_BITS
        rows["reason"] = words & 2**REASON_BITS - 1
        self._keep("bank", pu, rows)

    def link(self, rows: Any) -> None:
        self._keep("link", 0, rows)

    def access(self, pu: int, rows: Any) -> None:
        """Pass over them: the log of DRAM commands tells more, and a log that is full may cut a row access in two."""

    def _all(self, kind: str) -> np.ndarray:
        parts = self.rows[kind]
        return np.concatenate(parts) if parts else np.zeros(0, NOTHING)

    def intervals(self) -> np.ndarray:
        """Intervals of the units of the cores, sorted by PU, unit and start."""
        rows = self._all("core")
        rows = rows[rows["reason"] >= 0]
        return rows[np.lexsort((rows["start"], rows["unit"], rows["pu"]))]

    def events(self) -> np.ndarray:
        """Instructions taken and completed, sorted by PU, unit, tick and kind."""
        rows = self._all("core")
        rows = rows[rows["reason"] < 0]
        return rows[np.lexsort((rows["reason"], rows["start"], rows["unit"], rows["pu"]))]

    def banks(self) -> np.ndarray:
        """Intervals of the banks in their order, sorted by PU and bank; the first of each starts in tick 0."""
        rows = self._all("bank")
        return rows[np.lexsort((rows["bank"], rows["pu"]))] if len(rows) else rows

    def links(self) -> np.ndarray:
        """Intervals of the links, sorted by link and start."""
        rows = self._all("link")
        return rows[np.lexsort((rows["start"], rows["link"]))]
