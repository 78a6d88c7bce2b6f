"""Pareto fronts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def front(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows that no other row beats: none is at most as large everywhere and smaller somewhere.

    Of equal rows the first counts.

    Parameters
    ----------
    values : ndarray of float, shape (row, objective)
        To be minimised.

    Returns
    -------
    ndarray of int
        Rows, ascending in the first objective.
    """
    order = np.lexsort((np.arange(len(values)), *values.T[::-1]))
    kept: list[int] = []
    best = np.empty((0, values.shape[1]))
    for row in order.tolist():
        if not (best <= values[row]).all(axis=1).any():
            kept.append(row)
            best = values[kept]
    return np.array(kept, dtype=np.int64)


def spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many rows, evenly spread, the ends among them.

    Parameters
    ----------
    rows : ndarray of int
    most : int
        At least 1.
    """
    if len(rows) <= most:
        return rows
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(np.int64))]
