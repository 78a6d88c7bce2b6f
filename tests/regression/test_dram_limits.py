"""What 3D-stacked DRAM delivers at most, derived on paper and measured command by command.

Symbols: N columns per row, nROW cycles from one ACT of a bank to the next when it streams whole rows,

    nROW = max(nRC, nRP + max(nRAS, nRCD + (N - 1) nCCD + nRTP))

The first row's latency and what is left after the last column are less than one nROW; so R rows give the limit to
within 1 / R, which is the tolerance of every comparison below unless it is exact.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.dram.native.stream import stream_banks, stream_requests
from nmpsim.dram.native.traffic import REQUEST, run_requests
from nmpsim.spec import load_chip, resolve, with_overrides
from nmpsim.spec.params import ACT, PRE, RD, REF, DramParams
from nmpsim.spec.standard.preset import preset_machine
from tests.unit.dram.chips import SMALL, latency_table, stratum

TRCD_NS = (2.29, 3.92, 5.99, 8.50, 11.44, 14.82, 18.63, 22.88)  # Stratum, arXiv 2510.05245, Table 1
CARD_TBPS = 104.9  # Raptor: 128 B every 2.5 ns in each of 2048 channels


def row_cycle(params: DramParams, latency: np.ndarray) -> int:
    """Return nROW of tier 0."""
    n = latency[0]
    columns = n[ACT, RD] + (params.columns - 1) * max(n[RD, RD], 1) + n[RD, PRE]
    return int(max(n[ACT, ACT], n[PRE, ACT] + max(n[ACT, PRE], columns)))


def stream_cycles(params: DramParams, latency: np.ndarray, rows: int, channels: int = 1) -> int:
    """Return the cycles in which all banks stream `rows` whole rows of tier 0, up to the last beat."""
    requests = [stream_requests(params, 0, rows)] * channels
    return run_requests(params, latency, requests, per_cycle=params.banks, log=False).cycles


@pytest.mark.parametrize("tier", range(8))
def test_every_tier_of_stratum_delivers_a_row_of_all_banks_per_row_cycle(tier: int) -> None:
    """256 banks x 4096 B / (tRCD + 27.50 + 4.77 ns); on a grid of 0.1 ns three times are at most 0.1 ns longer."""
    rows = 400
    row_ns = TRCD_NS[tier] + 27.50 + 4.77
    expected = 256 * 4096 / row_ns / 1000
    measured = stream_banks(stratum(10.0), tier, rows)
    assert expected * (1 - 0.3 / row_ns - 1 / rows) <= measured <= expected * (1 + 1 / rows)


@pytest.mark.parametrize(("divisor", "loss"), [(32, 0.0546), (16, 0.0273), (8, 0.0136)], ids=["1 ms", "2 ms", "4 ms"])
def test_refresh_of_the_silicon_preset_costs_its_share_of_bank_time(divisor: int, loss: float) -> None:
    """1364 rows x 40 ns per interval: 5.46, 2.73 and 1.36 % at 1, 2 and 4 ms; each refresh delays the stream by nRFC.

    REFpb takes the place between PRE and ACT: nRP + nRFC instead of nRP.  With R rows the number of refreshes that
    fall due is known to one, and so is the loss to nRFC / (R nROW).
    """
    machine = preset_machine("raptor", {"dram.temperature.hot_divisor": divisor, "dram.refresh.postpone": 0})
    dram = machine.dram
    assert machine.latency[0, REF, ACT] * 1000 / 700 == pytest.approx(40)
    rows = 1364
    nRFC, nROW = int(machine.latency[0, REF, ACT]), row_cycle(dram, machine.latency)
    off = stream_cycles(dram._replace(refresh=0), machine.latency, rows)
    on = stream_cycles(dram, machine.latency, rows)
    assert 1 - off / on == pytest.approx(loss, abs=nRFC / (rows * nROW) + 0.0001)  # published to four digits


def test_the_silicon_preset_streams_what_the_card_was_measured_to_stream() -> None:
    """124 columns and about 39 cycles of turnaround at 0.7 GHz: 76 % of 137.6 TB/s, 2.5 ns per 128 B of a channel."""
    machine = preset_machine("raptor", {"dram.refresh.mode": "off"})
    dram, rows = machine.dram, 600
    cycles = stream_cycles(dram, machine.latency, rows)
    channel_bytes = dram.banks * rows * dram.columns * dram.column_bytes
    card = 2048 * channel_bytes / (cycles / 0.7) / 1000
    assert card == pytest.approx(CARD_TBPS, rel=0.005 + 1 / rows)  # 105 and 2.5 ns are given to three and two digits


@settings(max_examples=60, deadline=None)
@given(
    columns=st.integers(1, 16),
    times=st.fixed_dictionaries(
        {name: st.integers(1, 30) for name in ("nRCD", "nRAS", "nRC", "nRP", "nRTP")} | {"nCCD": st.integers(1, 4)}
    ),
)
def test_a_stream_of_one_bank_takes_exactly_one_row_cycle_per_row(columns: int, times: dict[str, int]) -> None:
    """Efficiency N nCCD / nROW: N nCCD + turnaround where columns decide, nRC or nRAS + nRP where they do not."""
    params = SMALL._replace(banks=1, rows=64, rows_per_tier=64, tiers=1, columns=columns, fifo_columns=3 * columns)
    latency = latency_table(times)
    few, many = (stream_cycles(params, latency, rows) for rows in (4, 44))
    assert many - few == 40 * row_cycle(params, latency)


PORT = {"nRCD": 5, "nRAS": 9, "nRC": 14, "nRP": 5, "nCCD": 1, "nRTP": 3}
"""4 columns: nROW = 5 + max(9, 5 + 3 + 3) = 16."""


@pytest.mark.parametrize("hold", [0, 1], ids=["row", "column"])
@pytest.mark.parametrize(("banks", "ports"), [(2, 1), (3, 1), (4, 1), (6, 1), (4, 2), (6, 2), (8, 2), (8, 4)])
def test_m_layers_over_n_ports(banks: int, ports: int, hold: int) -> None:
    """The lesser of n columns per nBL and m rows per nROW: two banks ping-pong on a port, more of them fill it.

    With 4 columns and nROW 16, four layers per port just fill it; below that the recharge of a row is not hidden.
    """
    params = SMALL._replace(
        banks=banks, port_banks=banks, ports=ports, port_hold=hold, nBL=1, rows=1024, rows_per_tier=512, fifo_columns=12
    )
    latency = latency_table(PORT, PORT)
    nROW = row_cycle(params, latency)
    assert nROW == 16
    few, many = 32, 432
    cycles = stream_cycles(params, latency, many) - stream_cycles(params, latency, few)
    columns = (many - few) * banks * params.columns
    expected = columns / min(ports, banks * params.columns / nROW)
    assert cycles == pytest.approx(expected, abs=nROW)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"nRRD": 6}, 6),
        ({"nFAW": 40}, 10),
        ({"nRRD": 6, "nFAW": 20}, 6),
        ({"nRRD": 2, "nFAW": 8}, 2),  # nROW / banks = 2 decides as well
    ],
)
def test_the_activation_budget_of_a_channel(rule: dict[str, int], expected: int) -> None:
    """A row per max(nRRD, nFAW / 4, nROW / banks) cycles."""
    params = SMALL._replace(banks=8, rows=1024, rows_per_tier=512, fifo_columns=12, **rule)
    latency = latency_table(PORT, PORT)
    assert expected == max(rule.get("nRRD", 0), rule.get("nFAW", 0) / 4, row_cycle(params, latency) / 8)
    few, many = 20, 220
    cycles = stream_cycles(params, latency, many) - stream_cycles(params, latency, few)
    assert cycles == pytest.approx((many - few) * 8 * expected, abs=2 * row_cycle(params, latency))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [({"die_nRRD": 3}, 3), ({"die_nFAW": 50, "die_acts": 10}, 5), ({"die_nFAW": 30, "die_acts": 20}, 2)],
)
def test_the_activation_budget_of_the_die(rule: dict[str, int], expected: int) -> None:
    """A row per max(die_nRRD, die_nFAW / die_acts) cycles of the die; two channels of 4 banks could do one per 2."""
    params = SMALL._replace(banks=4, rows=1024, rows_per_tier=512, fifo_columns=12, **rule)
    latency = latency_table(PORT, PORT)
    few, many = 20, 220
    cycles = stream_cycles(params, latency, many, 2) - stream_cycles(params, latency, few, 2)
    assert cycles == pytest.approx((many - few) * 8 * expected, abs=2 * row_cycle(params, latency))


def test_open_rows_save_the_row_cycle_and_a_cap_bounds_how_often() -> None:
    """R accesses of one column to one row: closed page nROW each, open page nCCD, cap h one nROW per h."""
    latency = latency_table(PORT, PORT)
    params = SMALL._replace(banks=1, rows=1024, rows_per_tier=512, fifo_columns=12, run_queue=4)

    def cycles(row_hits: int, accesses: int) -> int:
        requests = REQUEST.zeros(accesses)
        requests["rows"] = requests["columns"] = 1
        return run_requests(params._replace(row_hits=row_hits), latency, [requests], log=False).cycles

    one_column = row_cycle(params._replace(columns=1), latency)
    assert cycles(1, 90) - cycles(1, 10) == 80 * one_column
    assert cycles(0, 90) - cycles(0, 10) == 80 * PORT["nCCD"]
    four_columns = row_cycle(params._replace(columns=4), latency)  # four hits move four columns of a row
    assert cycles(4, 84) - cycles(4, 4) == 20 * four_columns


def test_a_hot_die_refreshes_twice_as_often_and_again_for_every_ten_degrees() -> None:
    chip = load_chip("stratum")
    intervals = {
        celsius: resolve(with_overrides(chip, {"dram.temperature.celsius": celsius})).dram.nREFI
        for celsius in (45.0, 85.0, 85.1, 95.0, 95.1, 105.0, 105.1)
    }
    full = intervals[85.0]
    assert full == 4025
    assert list(intervals.values()) == [full, full, full // 2, full // 2, full // 4, full // 4, full // 8]
