"""Chip texts with one thing changed, and the faults they give."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from nmpsim.errors import Fault, SpecError
from nmpsim.spec import load_chip, parse_chip
from nmpsim.spec.schema import ChipSpec
from tests.chip_text import chip_text


@pytest.fixture(params=["snake", "stratum"])
def spec(request: pytest.FixtureRequest) -> ChipSpec:
    """Each shipped chip."""
    return load_chip(request.param)


@pytest.fixture
def text_of() -> Callable[..., str]:
    """``text_of(chip, {regex: replacement})``: the text of a shipped chip, each regex replaced where it matches first.

    Keys of [noc] are keys of [noc.pu] too, which comes after it; no other section repeats them.
    """

    def edited(chip: str, edits: dict[str, str]) -> str:
        text = chip_text(chip)
        for pattern, replacement in edits.items():
            found = len(re.findall(pattern, text, flags=re.MULTILINE))
            assert found == 1 or (found == 2 and text.index("[noc.pu]") > 0), f"{pattern} matches {found} times"
            text = re.sub(pattern, replacement.replace("\\", r"\\"), text, count=1, flags=re.MULTILINE)
        return text

    return edited


@pytest.fixture
def faults_of(text_of: Callable[..., str]) -> Callable[..., list[Fault]]:
    """``faults_of(chip, edits)``: every fault of an edited shipped chip."""

    def found(chip: str, edits: dict[str, str]) -> list[Fault]:
        with pytest.raises(SpecError) as caught:
            parse_chip(text_of(chip, edits), "my.toml")
        return list(caught.value.faults)

    return found
