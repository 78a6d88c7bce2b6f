"""Rules that join several fields."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nmpsim.errors import Fault, SpecError
from nmpsim.spec import load_chip, resolve, with_overrides

CASES = [
    ("snake", {"dram.tiers": 3, "dram.timing.tRCD_ns": [1.0, 2.0, 3.0]}, "dram.rows_per_bank",
     "a multiple of dram.tiers = 3"),
    ("snake", {"dram.tiers": 4}, "dram.timing.tRCD_ns", "one per tier, dram.tiers = 4"),
    ("snake", {"dram.row_bytes": 4000}, "dram.row_bytes", "a multiple of dram.column_bytes = 256"),
    ("stratum", {"port.fifo_bytes": 2048}, "port.fifo_bytes", "at least dram.row_bytes = 4096"),
    ("stratum", {"port.fifo_bytes": 8200}, "port.fifo_bytes", "a multiple of dram.column_bytes = 256"),
    ("snake", {"dram.timing.tREFI_ns": 56.0}, "dram.timing.tREFI_ns",
     "more than dram.timing.tRFC_ns = 55.15 ns (56 DRAM cycles)"),
    ("snake", {"core.array.granularity": 24}, "core.array.rows", "a multiple of core.array.granularity = 24"),
    ("snake", {"core.array.granularity": 16}, "core.array.rows", "as many strips as dram.banks_per_channel = 16"),
    ("snake", {"core.array.cols": 64}, "core.array.cols",
     "dram.column_bytes / 2 = 128 (one FP16 element of a beat per column)"),
    ("snake", {"core.array.dataflows": ["OS", "OS"]}, "core.array.dataflows", "each dataflow once"),
    ("snake", {"core.kind": "mac_tree"}, "core.array", "none, as core.kind = 'mac_tree'"),
    ("snake", {"core.kind": "mac_tree"}, "core.mac_tree", "one, as core.kind = 'mac_tree'"),
    ("snake", {"core.array": None}, "core.array", "one, as core.kind = 'systolic'"),
    ("stratum", {"core.mac_tree.slices": 8}, "core.mac_tree.slices", "as many as dram.banks_per_channel = 16"),
    ("stratum", {"core.mac_tree.taps": 48}, "core.mac_tree.taps",
     "a divisor of dram.column_bytes / 2 = 128 (elements of a beat)"),
    ("stratum", {"core.mac_tree.psum_bytes": 65537}, "core.mac_tree.psum_bytes",
     "a multiple of 8 (FP32 sums in core.mac_tree.fold_sets = 2 equal sets)"),
    ("stratum", {"core.mac_tree.edge_bytes": 1000}, "core.mac_tree.edge_bytes",
     "a multiple of 64 (FP32 sums of core.mac_tree.slices = 16)"),
    ("stratum", {"core.mac_tree.edge_bytes": 2624}, "core.mac_tree.edge_bytes",
     "at most what all ports of the buffer give, 40 x 64 = 2560"),
    ("stratum", {"core.buffer.banks": 48}, "core.buffer.bytes", "a multiple of banks x bank_bytes = 48 x 64 = 3072"),
    ("stratum", {"core.vector.read_bytes": 4096}, "core.vector.read_bytes",
     "at most what all ports of the buffer give, 40 x 64 = 2560"),
    ("stratum", {"core.vector.write_bytes": 4096}, "core.vector.write_bytes",
     "at most what all ports of the buffer give, 40 x 64 = 2560"),
    ("stratum", {"clock.noc_GHz": 1.00000001}, "clock",
     "frequencies whose periods are at most 1000000 common ticks long"),
]  # fmt: skip


@pytest.mark.parametrize(("chip", "changes", "where", "allowed"), CASES)
def test_an_impossible_geometry_is_refused(chip: str, changes: dict[str, object], where: str, allowed: str) -> None:
    with pytest.raises(SpecError) as caught:
        with_overrides(load_chip(chip), changes)
    prefix = f"chips/{chip}.toml with overrides: "
    found = {(fault.where.removeprefix(prefix), fault.allowed) for fault in caught.value.faults}
    assert (where, allowed) in found
    assert all(fault.got and fault.todo for fault in caught.value.faults)


def test_an_odd_beat_is_refused() -> None:
    changes = {"dram.column_bytes": 1, "core.mac_tree.taps": 1}
    with pytest.raises(
        SpecError, match=r"dram.column_bytes: got 1; allowed: an even number; a beat carries whole FP16"
    ):
        with_overrides(load_chip("stratum"), changes)


@pytest.mark.parametrize(
    ("chip", "changes"),
    [
        ("snake", {"port.fifo_bytes": 4096}),
        ("snake", {"dram.timing.tREFI_ns": 57.0}),
        ("stratum", {"core.mac_tree.taps": 128}),
        ("stratum", {"core.vector.read_bytes": 2560}),
        ("stratum", {"chip.pus": 1}),
    ],
)
def test_the_limit_itself_is_allowed(chip: str, changes: dict[str, object]) -> None:
    resolve(with_overrides(load_chip(chip), changes))


def test_a_broken_field_hides_only_the_rules_that_need_it(faults_of: Callable[..., list[Fault]]) -> None:
    faults = faults_of(
        "snake",
        {
            r"^tiers = .*$": "tiers = 7",
            r"^cols = .*$": 'cols = { value = 64, source = "x" }',
            r"^fifo_bytes = .*$": 'fifo_bytes = { value = 100, source = "x" }',
        },
    )
    assert [f.where for f in faults] == [
        "my.toml: dram.tiers",
        "my.toml: port.fifo_bytes",
        "my.toml: port.fifo_bytes",
        "my.toml: core.array.cols",
    ]


def test_rules_of_an_absent_core_section_are_left_out(faults_of: Callable[..., list[Fault]]) -> None:
    faults = faults_of("snake", {r"^\[core\.array\]": "[core.aray]"})
    assert [(f.where, f.todo) for f in faults] == [
        ("my.toml: core.aray", "did you mean core.array?"),
        ("my.toml: core.array", "add [core.array]"),
    ]
