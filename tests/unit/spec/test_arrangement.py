"""The arrangement of a core: unified in the shipped chips, separate by one switch, with rules of its own."""

from __future__ import annotations

import pytest

from nmpsim.errors import SpecError
from nmpsim.program.spaces import spaces_of
from nmpsim.spec import load_chip, resolve, with_overrides

SEPARATE = {"core.arrangement": "separate"}
CHIPS = ("snake", "stratum")


@pytest.mark.parametrize("chip", CHIPS)
def test_the_shipped_chips_are_unified_and_one_switch_separates_them(chip: str) -> None:
    spec = load_chip(chip)
    one, two = resolve(spec).core, resolve(with_overrides(spec, SEPARATE)).core
    assert (one.separate, one.operand_bytes, one.output_bytes) == (0, 0, 0)
    assert (two.separate, two.operand_bytes, two.output_bytes) == (1, 2**18, 2**18)
    assert two._replace(**{name: getattr(one, name) for name in one._fields[one._fields.index("separate") :]}) == one


def test_the_buffers_lie_one_behind_the_other() -> None:
    spec = load_chip("snake")
    assert len(set(spaces_of(resolve(spec).core))) == 1
    shared, operand, output = spaces_of(resolve(with_overrides(spec, SEPARATE)).core)
    assert (shared.start, shared.end) == (0, operand.start) == (0, 2**20)
    assert (operand.end, output.end) == (output.start, 2**20 + 2**19)


CASES = [
    ("snake", {"core.array_buffer": None}, "core.array_buffer", "one, as core.arrangement = 'separate'"),
    ("snake", {"core.array_buffer.operand_bytes": 1000}, "core.array_buffer.operand_bytes",
     "a multiple of operand_banks x bank_bytes = 16 x 64 = 1024"),
    ("snake", {"core.array_buffer.output_banks": 3}, "core.array_buffer.output_bytes",
     "a multiple of output_banks x bank_bytes = 3 x 64 = 192"),
    ("snake", {"core.array_buffer.copy_bytes": 1088}, "core.array_buffer.copy_bytes",
     "at most what all ports of the operand buffer give, 16 x 64 = 1024"),
    ("snake", {"core.array_buffer.output_banks": 8}, "core.array_buffer.copy_bytes",
     "at most what all ports of the output buffer give, 8 x 64 = 512"),
    ("snake", {"core.buffer.bank_bytes": 16, "core.vector.read_bytes": 512, "core.vector.write_bytes": 512},
     "core.array_buffer.copy_bytes", "at most what all ports of the buffer give, 32 x 16 = 512"),
    ("stratum", {"core.array_buffer.output_banks": 8, "core.array_buffer.copy_bytes": 512},
     "core.mac_tree.edge_bytes", "at most what all ports of the output buffer give, 8 x 64 = 512"),
]  # fmt: skip


@pytest.mark.parametrize(("chip", "changes", "where", "allowed"), CASES)
def test_impossible_buffers_are_refused(chip: str, changes: dict[str, object], where: str, allowed: str) -> None:
    with pytest.raises(SpecError) as caught:
        with_overrides(load_chip(chip), SEPARATE | changes)
    prefix = f"chips/{chip}.toml with overrides: "
    found = {(fault.where.removeprefix(prefix), fault.allowed) for fault in caught.value.faults}
    assert (where, allowed) in found
    assert all(fault.got and fault.todo for fault in caught.value.faults)


def test_a_unified_chip_may_leave_the_section_out() -> None:
    assert resolve(with_overrides(load_chip("snake"), {"core.array_buffer": None})).core.separate == 0


def test_there_is_no_third_arrangement() -> None:
    with pytest.raises(SpecError, match="unified"):
        with_overrides(load_chip("snake"), {"core.arrangement": "shared"})
