"""Arrays in kernels: what compiled code reads and writes is what NumPy does."""

import os
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from nmpsim.kernel import CACHE_LINE, Record, inlined, kernel
from tests.architecture.sources import ROOT

COUNTER = Record("COUNTER", ("hits", "", "how often"), ("last", "", "what came last"))


class Pair(NamedTuple):
    """Two arrays and a number."""

    table: Any
    counter: Any
    factor: int


class Nest(NamedTuple):
    """A tuple in a tuple."""

    pair: Pair
    total: Any


@inlined
def touch(counters, r, c, value):
    """Count a value."""
    counter = counters[r, c]
    counter.hits += 1
    counter.last = value


@kernel
def walk(nest):
    """Add up a table of three dimensions, row by row, count, and write each item anew."""
    table = nest.pair.table
    layers, rows, columns = table.shape
    for a in range(len(table)):
        layer = table[a]
        for r in range(rows):
            row = layer[r]
            for c in range(columns):
                nest.total[0] += row[c]
                touch(nest.pair.counter, r, c, table[a, r, c])
                row[c] = row[c] * nest.pair.factor
    return layers * 100 + layer.shape[0] * 10 + len(row)


@kernel
def copy_record(pair, source, target):
    """Copy a record of the first row."""
    row = pair.counter[0]
    row[target] = row[source]


@kernel
def pick(pair, r, c):
    """Return an item of a table."""
    return pair.table[r, c]


def test_items_rows_shapes_records_and_nested_tuples_are_those_of_numpy():
    table = np.arange(24, dtype=np.int64).reshape(2, 3, 4)
    before, counters, total = table.copy(), COUNTER.zeros(3, 4), np.zeros(1, np.int64)
    assert walk(Nest(Pair(table, counters, 7), total)) == 234
    assert total[0] == before.sum()
    assert (table == 7 * before).all()
    assert (counters["hits"] == 2).all()
    assert (counters["last"] == before[1]).all()


def test_a_record_is_copied_whole():
    counters = COUNTER.zeros(1, 3)
    counters[0, 2].hits, counters[0, 2].last = 5, 9
    copy_record(Pair(np.zeros((1, 1), np.int64), counters, 1), 2, 0)
    assert counters.tolist() == [[(5, 9), (0, 0), (5, 9)]]


def test_an_array_with_gaps_is_refused():
    with pytest.raises(ValueError, match="contiguous"):
        pick(Pair(np.zeros((4, 4), np.int64)[:, ::2], COUNTER.zeros(1), 1), 0, 0)


def test_records_begin_on_a_cache_line():
    for shape in ((1,), (3, 5), (1000,)):
        array = COUNTER.zeros(*shape)
        assert array.shape == shape
        assert array.ctypes.data % CACHE_LINE == 0
        assert not array["hits"].any()


@pytest.mark.parametrize("index", [(-1, 0), (0, -1), (2, 0), (0, 3)])
def test_the_checked_lane_refuses_every_index_that_is_negative_or_too_large(index):
    code = (
        "import numpy as np\n"
        "from tests.unit.test_registers import COUNTER, Pair, pick\n"
        "pair = Pair(np.arange(6, dtype=np.int64).reshape(2, 3), COUNTER.zeros(1), 1)\n"
        f"assert pick(pair, 1, 2) == 5\npick(pair, {index[0]}, {index[1]})\n"
    )
    environment = {**os.environ, "NMPSIM_LANE": "checked", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "IndexError" in done.stderr
