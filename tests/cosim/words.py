"""Values of wires packed into one word per cycle."""

from __future__ import annotations


def pack(values: dict[str, int], fields: dict[str, tuple[int, int]]) -> int:
    """Values as one word; too wide ones are cut to the width of their wire."""
    word = 0
    for name, value in values.items():
        low, bits = fields[name]
        word |= (value & (1 << bits) - 1) << low
    return word


def differences(got: int, expected: int, relevant: int, fields: dict[str, tuple[int, int]]) -> str:
    """Outputs that differ, as text; empty if none."""
    if not (got ^ expected) & relevant:
        return ""
    found = []
    for name, (low, bits) in fields.items():
        mask = (1 << bits) - 1
        values = [word >> low & mask for word in (got, expected)]
        if relevant >> low & mask and values[0] != values[1]:
            found.append(f"{name}: RTL {values[0]}, kernel {values[1]}")
    return ", ".join(found)
