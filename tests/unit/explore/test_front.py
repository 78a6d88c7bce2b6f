"""Pareto fronts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.explore.front import front, spread


def test_a_front_holds_what_nothing_beats():
    values = np.array([[3.0, 1], [1, 3], [2, 2], [3, 3], [2, 2], [1, 4]])
    assert front(values).tolist() == [1, 2, 0]


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=30))
def test_a_front_is_that_of_the_definition(rows):
    values = np.array(rows, dtype=float)
    beaten = [
        any((other <= one).all() and ((other < one).any() or j < i) for j, other in enumerate(values) if j != i)
        for i, one in enumerate(values)
    ]
    assert sorted(front(values).tolist()) == [i for i, lost in enumerate(beaten) if not lost]


def test_a_long_front_is_thinned_with_its_ends():
    rows = np.arange(100, 200)
    assert spread(rows, 3).tolist() == [100, 150, 199]
    assert spread(rows, 1).tolist() == [100]
    assert spread(rows, 100).tolist() == rows.tolist()
