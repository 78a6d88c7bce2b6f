"""Every number of a chip file reaches the integers that the models are built from."""

from __future__ import annotations

from typing import Any

import pytest

from nmpsim.spec import load_chip, resolve, with_overrides
from nmpsim.spec.params import MachineParams
from nmpsim.spec.schema import numbers, words

NOT_IN_THE_INTEGERS = {
    "core.array.dataflows": "a list of what the scheduler may choose; the array model runs what the program says",
    "core.kind": "bound to the section that is present; changed with it in test_load",
}
"""Settings that need not change MachineParams, with the reason."""

TOGETHER: dict[str, dict[str, Any]] = {
    "dram.banks_per_channel": {"core.array.rows": 256, "core.mac_tree.slices": 32},
    "dram.column_bytes": {"core.array.cols": 256},
    "dram.tiers": {"dram.timing.tRCD_ns": [2.0] * 16},
    "dram.rows_per_bank": {},
    "core.array.rows": {"dram.banks_per_channel": 32},
    "core.array.cols": {"dram.column_bytes": 512},
    "core.array.granularity": {"core.array.rows": 256},
    "core.mac_tree.slices": {"dram.banks_per_channel": 32},
}
"""What geometry forces to change with a number."""

HOT = {"dram.temperature.celsius": 90.0}
LEVELS = {"chip.cores_per_pu": 4}
INSIDE = (
    *("clock_GHz", "flit_bytes", "vcs", "buffer_flits", "routing_cycles", "vc_alloc_cycles", "switch_alloc_cycles"),
    *("switch_cycles", "link_cycles", "port_cycles", "credit_cycles", "sync_cycles", "inject_flits", "eject_flits"),
    *("gateway_flits", "hop_mm"),
)
BASE: dict[str, dict[str, Any]] = {
    "dram.temperature.hot_celsius": HOT,
    "dram.temperature.hot_divisor": HOT,
    "dram.temperature.step_celsius": {"dram.temperature.celsius": 100.0},
    "dram.timing.tBL_ns": {"dram.timing.tCCD_ns": 2.0},
    "port.ports": {"port.banks": 2},
    "noc.vc_alloc_cycles": {"noc.switch_alloc_cycles": 2},
    "noc.multicast_vcs": {"noc.collectives": "multicast"},
    "noc.sum_vcs": {"noc.collectives": "network"},
    **{f"noc.pu.{name}": LEVELS for name in INSIDE},
    "noc.pu.vc_alloc_cycles": LEVELS | {"noc.pu.switch_alloc_cycles": 2},
    **{
        f"core.array_buffer.{name}": {"core.arrangement": "separate"}
        for name in (
            "operand_bytes",
            "operand_banks",
            "output_bytes",
            "output_banks",
            "bank_bytes",
            "copy_bytes",
            "copy_cycles",
        )
    },
}
"""Where a number has no effect in the shipped chips: what it is changed against."""

TO: dict[str, Any] = {
    "core.buffer.banks": {"snake": 16, "stratum": 20},  # doubled, there would be more than 62
    "core.array_buffer.output_banks": {"snake": 16, "stratum": 16},  # the same
    "core.array_buffer.copy_bytes": {"snake": 512, "stratum": 512},  # doubled, the operand buffer is too narrow
    "core.array.fold_sets": {"snake": 1},
    "core.mac_tree.fold_sets": {"stratum": 1},
    "core.array.pe_latency": {"snake": 1},
    "dram.timing.tRRD_ns": {"snake": 2.0, "stratum": 2.0},
    "dram.timing.tFAW_ns": {"snake": 8.0, "stratum": 8.0},
    "dram.refresh.pull_in": {"snake": 2, "stratum": 2},
    "dram.temperature.celsius": {"snake": 90.0, "stratum": 90.0},
    "dram.budget.die_tRRD_ns": {"snake": 2.0, "stratum": 2.0},
    "dram.budget.die_tFAW_ns": {"snake": 8.0, "stratum": 8.0},
    "noc.routing_cycles": {"snake": 1, "stratum": 1},
    "noc.port_cycles": {"snake": 1, "stratum": 1},
    "noc.pu.routing_cycles": {"snake": 1, "stratum": 1},
    "noc.pu.port_cycles": {"snake": 1, "stratum": 1},
    "noc.multicast_vcs": {"snake": 3, "stratum": 3},  # doubled, there would be too many channels
    "dram.row_bytes": {"snake": 2048, "stratum": 2048},  # doubled, it fills the FIFO: allowed, but keep it plain
}
"""New value where doubling is not possible, by chip."""


def fingerprint(machine: MachineParams) -> tuple[Any, ...]:
    """What the models are built from, comparable; without the name and the sentences."""
    clocks = (machine.cores, machine.tick_ps, machine.core_period, machine.dram_period, machine.noc_period)
    parts = (machine.core, machine.dram, machine.noc, machine.latency.tolist(), machine.fill, machine.command_pJ)
    levels = (machine.cores_per_pu, machine.outer, machine.outer_period, machine.outer_hop_mm, machine.gate)
    others = (machine.link, machine.hop_mm, machine.link_pJ_per_bit, machine.operands)
    return (*clocks, *parts, *levels, *others)


KNOBS = [(chip, path) for chip in ("snake", "stratum") for path, _ in numbers(load_chip(chip))]


@pytest.mark.parametrize(("chip", "path"), KNOBS)
def test_every_number_changes_the_machine(chip: str, path: str) -> None:
    spec = with_overrides(load_chip(chip), BASE.get(path, {}))
    values = {p: number.value for p, number in numbers(spec)}
    old = values[path]
    doubled = [2 * v for v in old] if isinstance(old, tuple) else 2 * old
    forced = {p: v for p, v in TOGETHER.get(path, {}).items() if p in values}
    changed = with_overrides(spec, {path: TO.get(path, {}).get(chip, doubled), **forced})
    before, after = fingerprint(resolve(spec)), fingerprint(resolve(changed))
    assert before != after
    if forced:  # and not only through what had to change with it
        others = {p: number.value for p, number in numbers(changed)}
        assert others[path] != old


def test_every_word_changes_the_machine_or_is_listed() -> None:
    others = {"dram.refresh.mode": "off", "placement.fill": "kv_first", "port.hold": "column"}
    others |= {"core.arrangement": "separate", "noc.topology": "mesh:4x4", "noc.speculation": "off"}
    others |= {"noc.vc_allocator": "separable_output_first", "noc.switch_allocator": "islip"}
    others |= {"noc.collectives": "multicast", "noc.pu.topology": "ring", "noc.pu.speculation": "off"}
    others |= {"noc.pu.vc_allocator": "separable_output_first", "noc.pu.switch_allocator": "islip"}
    others |= {"core.operands": "bf16"}
    for chip in ("snake", "stratum"):
        for path, _ in words(load_chip(chip)):
            if path.startswith("chip.") or path in NOT_IN_THE_INTEGERS:
                continue
            spec = with_overrides(load_chip(chip), LEVELS if path.startswith("noc.pu.") else {})
            changed = with_overrides(spec, {path: others[path]})
            assert fingerprint(resolve(changed)) != fingerprint(resolve(spec)), path


def test_every_field_of_the_machine_is_set_by_some_number() -> None:
    constant = {"run_ahead"}  # of the simulator
    moved: set[str] = set()
    for chip, path in KNOBS:
        spec = with_overrides(load_chip(chip), BASE.get(path, {}))
        values = {p: number.value for p, number in numbers(spec)}
        old = values[path]
        doubled = [2 * v for v in old] if isinstance(old, tuple) else 2 * old
        forced = {p: v for p, v in TOGETHER.get(path, {}).items() if p in values}
        one = resolve(spec)
        two = resolve(with_overrides(spec, {path: TO.get(path, {}).get(chip, doubled), **forced}))
        for part in ("core", "dram", "noc", "link"):
            a, b = getattr(one, part)._asdict(), getattr(two, part)._asdict()
            moved |= {f"{part}.{field}" for field in a if a[field] != b[field]}
    words_set = {f"noc.{name}" for name in ("dims", "speculative", "vc_allocator", "switch_allocator")}
    words_set |= {"noc.behind"}  # of the network between PUs only, which is no part of every machine
    words_set |= {"dram.refresh", "dram.port_hold", "core.kind", "core.separate", "core.groups"}
    machine = resolve(load_chip("snake"))
    fields = {f"{part}.{field}" for part in ("core", "dram", "noc", "link") for field in getattr(machine, part)._fields}
    assert fields - moved == {f"core.{field}" for field in constant} | words_set
