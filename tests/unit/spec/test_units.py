"""Exact units and their rounding."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.errors import InternalError
from nmpsim.units import common_divisor, cycles_down, cycles_up, exact, period_ns, rounding_sentence, ticks

NS = st.decimals(min_value="0.001", max_value="100000", places=3).map(float)
GHZ = st.decimals(min_value="0.01", max_value="20", places=2).map(float)


def test_a_decimal_is_read_as_written() -> None:
    assert exact(2.29) == Fraction(229, 100)
    assert exact(1e-05) == Fraction(1, 100_000)
    assert exact("0.1") * 3 == Fraction(3, 10)


@pytest.mark.parametrize(
    ("ns", "ghz", "up", "down"),
    [
        (34.56, 1.0, 35, 34),
        (34.56, 10.0, 346, 345),
        (3.0, 1.0, 3, 3),
        (1.1, 10.0, 11, 11),
        (0.0, 1.0, 0, 0),
        (5, 0.8, 4, 4),
    ],
)
def test_cycles_round_up_and_down_exactly(ns: float, ghz: float, up: int, down: int) -> None:
    assert cycles_up(ns, ghz) == up
    assert cycles_down(ns, ghz) == down


@given(NS, GHZ)
def test_rounding_brackets_the_time_by_less_than_a_cycle(ns: float, ghz: float) -> None:
    asked, period = exact(ns), period_ns(ghz)
    assert asked <= cycles_up(ns, ghz) * period < asked + period
    assert asked - period < cycles_down(ns, ghz) * period <= asked


@given(st.lists(GHZ, min_size=1, max_size=4))
def test_common_divisor_divides_all_and_nothing_larger_does(frequencies: list[float]) -> None:
    periods = [period_ns(f) for f in frequencies]
    tick = common_divisor(periods)
    counts = [ticks(p, tick) for p in periods]
    assert [c * tick for c in counts] == periods
    assert math.gcd(*counts) == 1


def test_a_period_that_is_no_multiple_of_the_tick_is_a_bug() -> None:
    with pytest.raises(InternalError, match="a period of 5/4 is no whole number of ticks of 1"):
        ticks(Fraction(5, 4), Fraction(1))


def test_rounding_is_told_with_its_relative_error() -> None:
    assert rounding_sentence("tRC tier 0", 34.56, 35, 1.0) == "tRC tier 0: 34.56 ns -> 35 cycles of 1 ns, +1.27 %"
    assert rounding_sentence("tREFI", 100.5, 100, 1.0) == "tREFI: 100.5 ns -> 100 cycles of 1 ns, -0.50 %"
    assert rounding_sentence("tCCD", 0.8, 1, 1.0) == "tCCD: 0.8 ns -> 1 cycle of 1 ns, +25.00 %"
    assert rounding_sentence("tCCD", 1.0, 1, 1.0) == ""
