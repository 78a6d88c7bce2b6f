"""Chip files whose DRAM preset is written out, for tests that change single lines."""

from __future__ import annotations

import re

from nmpsim.spec.load import CHIP_FOLDER
from nmpsim.spec.standard.preset import PRESET_FOLDER


def chip_text(name: str) -> str:
    """Return the text of a shipped chip with every number of its DRAM preset in place of the preset's name."""
    text = (CHIP_FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    found = re.search(r'^preset = "(\w+)".*\n', text, re.MULTILINE)
    assert found
    preset = (PRESET_FOLDER / f"{found[1]}.toml").read_text(encoding="utf-8")
    sections = preset[preset.index("[dram]\n") + len("[dram]\n") :]
    return text[: found.start()] + sections + text[found.end() :]
