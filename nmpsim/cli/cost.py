"""``nmpsim cost``: area and power of a chip by block, and what fits."""

from __future__ import annotations

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import ChipOption


def cost(chip: ChipOption) -> None:
    """Print area and power of a chip's logic die by block, what fits, and where every number comes from."""
    with exit_codes():
        from nmpsim.cost.text import cost_text
        from nmpsim.spec import load_chip, resolve

        typer.echo(cost_text(resolve(load_chip(chip))))
