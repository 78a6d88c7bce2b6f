"""The table of docs/core/arrangement.md is what the simulator gives."""

from __future__ import annotations

from pathlib import Path

from benchmarks.arrangement import COLUMNS, PARTS, WIDTHS, cores, study, table
from nmpsim.spec import load_chip
from tests.builders import SEPARATE, small_chip, small_model

DOCUMENT = Path(__file__).parents[2] / "docs" / "core" / "arrangement.md"


def told() -> list[str]:
    """Lines of the table in the document."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {COLUMNS[0]} |"))
    return lines[start : start + 2 + len(PARTS) * (1 + len(WIDTHS))]


def test_the_table_is_what_the_simulator_gives():
    assert table(study("llama-3.1-8b", cores(load_chip("snake")), batch=16, context=4096)) == told()


def test_narrower_copies_take_longer_on_a_small_chip():
    chip = small_chip(pus=2, **{k: v for k, v in SEPARATE.items() if not k.endswith("copy_bytes")},
                      core__array_buffer__copy_bytes=64)  # fmt: skip
    found = study(small_model(), cores(chip, (64, 4)), batch=2, context=21)
    for part in PARTS:
        unified, wide, narrow = (found[part, name] for name in cores(chip, (64, 4)))
        assert unified.copies == unified.copied_bytes == unified.copy_conflicts == 0
        assert wide.copied_bytes == narrow.copied_bytes > 0
        assert wide.cycles < narrow.cycles
        assert unified.buffer_bytes < wide.buffer_bytes
