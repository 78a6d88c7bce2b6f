"""Streaming bandwidth by commands: the published figures on a fine grid, the rounded ones on the default grid."""

import pytest

from nmpsim.dram.native.stream import stream_banks
from nmpsim.errors import InfeasibleError, ProtocolError
from tests.unit.dram.chips import stratum

ROWS = 400
PUBLISHED = {0: 30.34, 7: 19.01}  # Stratum, arXiv 2510.05245, Table 1: TB/s of the fastest and the slowest tier


@pytest.mark.parametrize("tier", PUBLISHED)
def test_the_published_bandwidth_of_a_tier_on_a_grid_of_a_tenth_ns(tier):
    assert stream_banks(stratum(10.0), tier, ROWS) == pytest.approx(PUBLISHED[tier], rel=0.005)


@pytest.mark.parametrize("tier", range(8))
def test_the_default_grid_gives_one_row_of_all_banks_per_rounded_row_cycle(tier):
    chip = stratum(1.0)
    latency = chip.latency[tier]
    nRC = max(latency[0, 0], latency[0, 1] + latency[1, 0])  # ACT-ACT, or ACT-PRE and PRE-ACT
    row_bytes = chip.cores * chip.dram.banks * chip.dram.columns * chip.dram.column_bytes
    measured = stream_banks(chip, tier, ROWS)
    ends = nRC / ROWS  # the first row's latency and the last row's tail are less than a row cycle
    assert measured == pytest.approx(row_bytes / nRC / 1000, rel=ends / nRC)


def test_the_rounding_of_tier_0_is_what_35_cycles_predict():
    assert stream_banks(stratum(1.0), 0, 2000) == pytest.approx(29.96, rel=0.001)


def test_plain_mode_measures_the_same_ticks():
    chip = stratum(1.0)
    assert stream_banks(chip, 3, 40, plain=True) == stream_banks(chip, 3, 40)
    assert stream_banks(chip, 3, 300, plain=True, refresh=True) == stream_banks(chip, 3, 300, refresh=True)


def test_refresh_costs_its_share_once_the_postponed_debt_is_due():
    chip = stratum(1.0)
    dram = chip.dram
    nRFC = int(chip.latency[0, 4, 0])
    off, on = (stream_banks(chip, 0, 4000, refresh=refresh) for refresh in (False, True))
    cycles = 4000 * 35
    debts = cycles // dram.nREFI - dram.postpone
    expected = cycles / (cycles + debts * nRFC)
    one_refresh = nRFC / cycles
    assert on / off == pytest.approx(expected, abs=2 * one_refresh)


def test_more_rows_than_the_tier_has_are_refused():
    with pytest.raises(InfeasibleError, match="rows_per_bank: got 4097; allowed: 1 to 4096"):
        stream_banks(stratum(1.0), 0, 4097)


def test_rows_that_do_not_fit_into_the_landing_fifo_are_refused():
    chip = stratum(1.0)
    narrow = type(chip)(**{**vars(chip), "dram": chip.dram._replace(fifo_columns=8)})
    with pytest.raises(ProtocolError, match="more columns per row access than the landing FIFO"):
        stream_banks(narrow, 0, 1)
