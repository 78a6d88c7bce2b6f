"""From chip files to integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.errors import SpecError
from nmpsim.spec import load_chip, resolve, with_overrides
from nmpsim.spec.params import ACT, MAC_TREE, PRE, RD, REF, SYSTOLIC, WR
from nmpsim.spec.resolve import row_times_ns
from nmpsim.spec.schema import ChipSpec
from nmpsim.units import exact, period_ns

TRCD = (2.29, 3.92, 5.99, 8.50, 11.44, 14.82, 18.63, 22.88)
TRC = (34.56, 36.19, 38.26, 40.77, 43.71, 47.09, 50.90, 55.15)


def test_stratum_table_1(spec: ChipSpec) -> None:
    """Stratum, arXiv 2510.05245, Table 1: 32 GB, 16 x 16 banks of 1 Gb, 4 KiB rows, 8 tiers."""
    machine = resolve(spec)
    dram = machine.dram
    row_bytes = dram.columns * dram.column_bytes
    assert (machine.cores, dram.banks, dram.tiers, row_bytes) == (16, 16, 8, 4096)
    assert dram.rows * row_bytes == 2**30 // 8
    assert machine.cores * dram.banks * dram.rows * row_bytes == 32 * 2**30
    assert dram.rows_per_tier == 4096
    assert spec.dram.timing.tRCD_ns.value == TRCD
    assert machine.row_cycle_ns == TRC
    assert [float(ras) for _, ras, _ in row_times_ns(spec)] == pytest.approx([t + 27.5 for t in TRCD])


def test_the_cores_of_the_two_chips() -> None:
    snake, stratum = resolve(load_chip("snake")).core, resolve(load_chip("stratum")).core
    assert (snake.kind, snake.strips, snake.strip_rows, snake.columns) == (SYSTOLIC, 16, 8, 128)
    assert (snake.macs_per_cycle, snake.register_beats, snake.psum_bytes) == (128 * 128, 0, 0)
    assert (stratum.kind, stratum.strips, stratum.strip_rows, stratum.columns) == (MAC_TREE, 16, 1, 128)
    assert (stratum.macs_per_cycle, stratum.register_beats, stratum.psum_bytes) == (16 * 16 * 16, 16, 65536)
    assert (snake.buffer_bytes, snake.buffer_banks, snake.bank_bytes) == (2**20, 32, 64)
    assert (stratum.buffer_bytes, stratum.buffer_banks, stratum.bank_bytes) == (1_310_720, 40, 64)
    assert (snake.edge_bytes, stratum.edge_bytes) == (32 * 64, 16 * 16 * 4)
    assert snake.run_ahead == stratum.run_ahead == 128


def test_the_clocks_of_the_two_chips() -> None:
    snake, stratum = resolve(load_chip("snake")), resolve(load_chip("stratum"))
    assert (snake.tick_ps, snake.core_period, snake.dram_period, snake.noc_period) == (Fraction(250), 5, 4, 4)
    assert (stratum.tick_ps, stratum.core_period, stratum.dram_period, stratum.noc_period) == (Fraction(250), 4, 4, 4)


def test_the_constraint_table_in_cycles_of_1_ns(spec: ChipSpec) -> None:
    latency = resolve(spec).latency
    assert latency.dtype == np.int64
    assert latency.flags.c_contiguous
    assert latency.shape == (8, 5, 5)
    no = -1
    # next:   ACT  PRE   RD   WR  REF
    assert latency[0].tolist() == [
        [35, 30, 3, 3, 35],
        [5, no, no, no, 5],
        [no, 10, 1, 3, no],
        [no, 4 + 1 + 16, 4 + 1 + 6, 1, no],
        [56, no, no, no, 56],
    ]  # fmt: skip
    assert latency[:, ACT, RD].tolist() == [3, 4, 6, 9, 12, 15, 19, 23]
    assert latency[:, ACT, PRE].tolist() == [30, 32, 34, 36, 39, 43, 47, 51]
    assert latency[:, ACT, ACT].tolist() == [35, 37, 39, 41, 44, 48, 51, 56]


def test_a_fine_command_clock_gives_the_published_row_cycle_within_half_a_percent(spec: ChipSpec) -> None:
    machine = resolve(with_overrides(spec, {"clock.dram_GHz": 10.0}))
    for tier, row_ns in enumerate(TRC):
        cycles = machine.latency[tier, ACT, ACT]
        assert row_ns <= cycles * 0.1 + 1e-9 < row_ns * 1.005
    assert machine.latency[0, ACT, ACT] == 346


def test_every_rounding_is_told(spec: ChipSpec) -> None:
    rounding = resolve(spec).rounding
    assert "tRC tier 0: 34.56 ns -> 35 cycles of 1 ns, +1.27 %" in rounding
    assert "tRP: 4.77 ns -> 5 cycles of 1 ns, +4.82 %" in rounding
    assert "row cycle tier 6 (nRAS + nRP): 50.9 ns -> 52 cycles of 1 ns, +2.16 %" in rounding
    assert not any(line.startswith(("tCCD", "tRRD", "tRAS tier 3")) for line in rounding)  # exact, or no rule
    exactly = {f"dram.timing.{k}": v for k, v in (("tRP_ns", 5.0), ("tRFC_ns", 56.0), ("tRCD_ns", [3.5] * 8))}
    assert resolve(with_overrides(spec, exactly)).rounding == tuple(
        f"tRCD tier {tier}: 3.5 ns -> 4 cycles of 1 ns, +14.29 %" for tier in range(8)
    )


def test_the_refresh_interval_is_never_exceeded(spec: ChipSpec) -> None:
    machine = resolve(with_overrides(spec, {"dram.timing.tREFI_ns": 3900.9}))
    assert machine.dram.nREFI == 3900
    assert "tREFI: 3900.9 ns -> 3900 cycles of 1 ns, -0.02 %" in machine.rounding


def test_refresh_costs_the_cited_share_of_a_bank(spec: ChipSpec) -> None:
    timing = spec.dram.timing
    assert timing.tRFC_ns.value == TRC[-1]
    assert round(100 * timing.tRFC_ns.value / timing.tREFI_ns.value, 2) == 1.37


def test_a_whole_row_streams_within_tras_in_every_tier(spec: ChipSpec) -> None:
    machine = resolve(spec)
    for n in machine.latency:
        assert n[ACT, RD] + (machine.dram.columns - 1) * n[RD, RD] + n[RD, PRE] <= n[ACT, PRE]


def test_resolving_twice_gives_the_same_integers(spec: ChipSpec) -> None:
    one, two = resolve(spec), resolve(spec)
    assert (one.core, one.dram, one.noc, one.rounding) == (two.core, two.dram, two.noc, two.rounding)
    assert np.array_equal(one.latency, two.latency)


def test_everything_a_kernel_gets_is_a_plain_integer(spec: ChipSpec) -> None:
    machine = resolve(spec)
    for params in (machine.core, machine.dram, machine.noc):
        assert all(type(value) is int and abs(value) < 2**62 for value in params), params


NS = st.decimals(min_value="0.01", max_value="500", places=2).map(float)
SEPARATIONS = ("tRP", "tRAS_minus_tRCD", "tCCD", "tRTP", "tCL", "tCWL", "tWR", "tWTR", "tRTW", "tRRD", "tFAW", "tRFC")


@settings(max_examples=60, deadline=None)
@given(
    times=st.fixed_dictionaries({f"dram.timing.{name}_ns": NS for name in SEPARATIONS}),
    tiers=st.lists(NS, min_size=8, max_size=8),
    ghz=st.sampled_from([0.5, 0.8, 1.0, 1.2, 3.2, 10.0]),
    interval=st.decimals(min_value="600", max_value="9000", places=2).map(float),
)
def test_no_separation_is_shorter_than_asked(
    times: dict[str, float], tiers: list[float], ghz: float, interval: float
) -> None:
    changes = {**times, "dram.timing.tRCD_ns": tiers, "clock.dram_GHz": ghz, "dram.timing.tREFI_ns": interval}
    changes["dram.timing.tBL_ns"] = times["dram.timing.tCCD_ns"]  # not longer than a column
    spec = with_overrides(load_chip("stratum"), changes)
    machine, period = resolve(spec), period_ns(ghz)
    t = {name: exact(times[f"dram.timing.{name}_ns"]) for name in SEPARATIONS}
    for tier, rcd in enumerate(map(exact, tiers)):
        n = machine.latency[tier]
        ras = rcd + t["tRAS_minus_tRCD"]
        asked = {
            (ACT, RD): rcd,
            (ACT, WR): rcd,
            (ACT, PRE): ras,
            (ACT, ACT): ras + t["tRP"],
            (ACT, REF): ras + t["tRP"],
            (PRE, ACT): t["tRP"],
            (PRE, REF): t["tRP"],
            (RD, RD): t["tCCD"],
            (RD, PRE): t["tRTP"],
            (RD, WR): t["tRTW"],
            (WR, WR): t["tCCD"],
            (WR, PRE): t["tCWL"] + t["tCCD"] + t["tWR"],
            (WR, RD): t["tCWL"] + t["tCCD"] + t["tWTR"],
            (REF, ACT): t["tRFC"],
            (REF, REF): t["tRFC"],
        }
        for pair, ns in asked.items():
            parts = 3 if pair in ((WR, PRE), (WR, RD)) else 1
            assert ns <= int(n[pair]) * period < ns + parts * period
        ruled = {(a, b) for a in range(5) for b in range(5) if n[a, b] >= 0}
        assert ruled == asked.keys()
    for name, cycles in (
        ("tCL", machine.dram.nCL),
        ("tCWL", machine.dram.nCWL),
        ("tRRD", machine.dram.nRRD),
        ("tFAW", machine.dram.nFAW),
    ):
        assert t[name] <= cycles * period < t[name] + period
    assert exact(interval) - period < machine.dram.nREFI * period <= exact(interval)


def test_clocks_without_a_common_tick_never_reach_resolve(spec: ChipSpec) -> None:
    with pytest.raises(SpecError, match=r"use the near ratio core_GHz = 0\.7854 "):
        with_overrides(spec, {"clock.core_GHz": 0.785398163397})
