"""Clock domains: exact common tick, or a near ratio."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.errors import SpecError
from nmpsim.spec.clock import LONGEST_PERIOD, clock_domains, clock_fault, near_frequencies
from nmpsim.units import period_ns

GHZ = st.floats(min_value=0.1, max_value=20, allow_nan=False)


@pytest.mark.parametrize(
    ("ghz", "tick_ps", "periods"),
    [
        ((0.8, 1.0, 1.0, 0.8), Fraction(250), (5, 4, 4, 5)),
        ((1.0, 1.0, 1.0, 1.0), Fraction(1000), (1, 1, 1, 1)),
        ((0.8, 10.0, 1.0, 0.5), Fraction(50), (25, 2, 20, 40)),
        ((1.2, 0.7, 1.0, 1.0), Fraction(500, 21), (35, 60, 42, 42)),
        ((0.8, 1.0, 1.0, 0.8, 2.0), Fraction(250), (5, 4, 4, 5, 2)),
    ],
)
def test_the_tick_is_the_exact_common_divisor(
    ghz: tuple[float, ...], tick_ps: Fraction, periods: tuple[int, ...]
) -> None:
    domains = clock_domains(*ghz)
    assert domains.tick_ps == tick_ps
    assert domains[1:] == (periods if len(periods) == 5 else (*periods, 0))


def test_a_tick_too_short_is_refused_with_a_near_ratio() -> None:
    with pytest.raises(SpecError) as caught:
        clock_domains(0.80000001, 1.0, 1.0, 1.0)
    text = str(caught.value)
    assert (
        "core_GHz = 0.80000001, dram_GHz = 1.0, noc_GHz = 1.0, link_GHz = 1.0, whose common tick is 1.25e-05 ps" in text
    )
    assert "a period has 100000000 ticks" in text
    assert "periods are at most 1000000 common ticks long" in text
    assert "use the near ratio core_GHz = 0.8 (ratio to dram_GHz 4/5)" in text


def test_the_longest_period_allowed_is_allowed() -> None:
    assert clock_fault("clock", 0.000001, 1.0, 1.0, 1.0) is None
    assert clock_fault("clock", 0.0000005, 1.0, 1.0, 1.0) is not None


def test_frequencies_too_far_apart_have_no_near_ratio() -> None:
    assert near_frequencies((1e-9, 1.0, 1.0, 1.0)) == ()
    fault = clock_fault("clock", 1e-9, 1.0, 1.0, 1.0)
    assert fault is not None
    assert fault.todo == "use frequencies closer to each other"


@given(GHZ, GHZ, GHZ, GHZ)
def test_all_clocks_resolve_or_get_a_proposal_that_does(core: float, dram: float, noc: float, link: float) -> None:
    try:
        domains = clock_domains(core, dram, noc, link)
    except SpecError:
        domains = clock_domains(*near_frequencies((core, dram, noc, link)))
    else:
        periods = [1000 * period_ns(ghz) for ghz in (core, dram, noc, link)]
        assert [n * domains.tick_ps for n in domains[1:5]] == periods
    assert max(domains[1:]) <= LONGEST_PERIOD
