"""A chip as text."""

from __future__ import annotations

import pytest

from nmpsim.spec import describe, load_chip, resolve, with_overrides
from nmpsim.spec.describe import peak_bandwidth, peak_macs, stream_cycles
from nmpsim.spec.schema import ChipSpec, numbers, words


def test_every_value_is_shown_with_its_origin(spec: ChipSpec) -> None:
    lines = describe(spec).splitlines()
    for path, number in numbers(spec):
        assert any(line.split()[:1] == [path] and line.endswith(number.origin) for line in lines), path
    for path, word in words(spec):
        if not path.startswith("chip."):
            assert any(line.split()[:1] == [path] and line.endswith(word) for line in lines), path
    assert spec.sha256 in lines[1]
    for sentence in resolve(spec).rounding:
        assert f"  {sentence}" in lines


def test_the_published_bandwidth_of_every_tier() -> None:
    """Stratum, arXiv 2510.05245, Table 1: 30.34 TB/s in the fastest tier, 19.01 TB/s in the slowest."""
    machine = resolve(load_chip("stratum"))
    published = [30.34, 28.97, 27.41, 25.72, 23.99, 22.27, 20.60, 19.01]
    assert [round(peak_bandwidth(machine, tier, rounded=False), 2) for tier in range(8)] == published


def test_the_bandwidth_at_the_command_clock_is_never_above_the_published_one(spec: ChipSpec) -> None:
    for ghz in (1.0, 10.0):
        machine = resolve(with_overrides(spec, {"clock.dram_GHz": ghz}))
        for tier in range(8):
            ideal, clocked = (peak_bandwidth(machine, tier, rounded=r) for r in (False, True))
            assert ideal * (0.97 if ghz == 1.0 else 0.995) < clocked <= ideal


@pytest.mark.parametrize(
    ("changes", "cycles"),
    [
        ({}, 35),  # nRC = nRAS + nRP
        ({"dram.timing.tRTP_ns": 20.0}, 3 + 15 + 20 + 5),  # the reads last longer than tRAS
        ({"dram.timing.tCCD_ns": 4.0}, 3 + 60 + 10 + 5),
    ],
)
def test_a_streaming_bank_is_limited_by_its_row_cycle_or_by_its_reads(changes: dict[str, float], cycles: int) -> None:
    assert stream_cycles(resolve(with_overrides(load_chip("stratum"), changes)), 0) == cycles


def test_the_peak_compute_of_the_two_chips() -> None:
    assert peak_macs(resolve(load_chip("stratum"))) == pytest.approx(65_536e9)
    assert peak_macs(resolve(load_chip("snake"))) == pytest.approx(262_144 * 0.8e9)


def test_derived_figures_are_printed() -> None:
    text = describe(load_chip("stratum"))
    assert "capacity 34.36 GB" in text
    assert "peak compute 65.54 TMAC/s (16 x 4096 multiply-accumulates per core cycle)" in text
    assert "network link 128.0 GB/s per direction" in text
    assert "refresh takes 1.39 % of a bank's time" in text
    assert "     0         34.56      30.34           35       29.96" in text
    assert ("base tick 250 ps; periods: core 5, DRAM 4, network 4, links between stacks 5 ticks") in describe(
        load_chip("snake")
    )


def test_refresh_off_and_nothing_rounded_are_said() -> None:
    exact = {
        "dram.refresh.mode": "off",
        "dram.timing.tRCD_ns": [3.0] * 8,
        "dram.timing.tRP_ns": 5.0,
        "dram.timing.tRAS_minus_tRCD_ns": 27.0,
        "dram.timing.tRFC_ns": 56.0,
    }
    text = describe(with_overrides(load_chip("stratum"), exact))
    assert "  refresh is off" in text
    assert text.endswith("rounded to DRAM cycles\n  nothing")
    assert "assumed: set by an override" in text
