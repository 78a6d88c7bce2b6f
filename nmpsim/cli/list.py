"""``nmpsim list``: the chips and models that ship with the package."""

from __future__ import annotations

import typer

from nmpsim.cli.exits import exit_codes


def list_shipped() -> None:
    """List the shipped chips and models."""
    with exit_codes():
        from nmpsim.spec import chip_names, load_chip
        from nmpsim.workload import load_model, model_names

        chips = {name: load_chip(name).chip.description for name in chip_names()}
        models = {}
        for name in model_names():
            model = load_model(name)
            experts = f", {model.experts} experts" if model.is_moe else ""
            models[name] = f"{model.parameters / 1e9:.2f}e9 parameters, {model.layers} layers{experts}"
        width = max(map(len, (*chips, *models)))
        for title, entries in (("chips", chips), ("models", models)):
            typer.echo(title)
            for name, told in entries.items():
                typer.echo(f"  {name:{width}}  {told}")
