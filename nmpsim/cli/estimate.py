"""``nmpsim estimate`` and ``nmpsim calibrate``: the analytical mode, and its coefficients."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.groups import option_groups
from nmpsim.cli.options import ChipOption, Numbers, SeedOption, StepOptions
from nmpsim.errors import Fault

_TIME = re.compile(r"([0-9]{1,6})(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


@option_groups
def estimate(
    options: StepOptions,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Where to write the estimate as JSON; nowhere by default."),
    ] = None,
    calibration: Annotated[
        str, typer.Option(metavar="shipped|none|PATH", help="Coefficients to use; none: the closed forms alone.")
    ] = "shipped",
) -> None:
    """Predict one decode step by closed forms, with 90 % intervals."""
    with exit_codes():
        from nmpsim.prediction import estimate_plan
        from nmpsim.report.estimate import estimate_text, estimate_tree, write_text
        from nmpsim.report.result import to_json

        numbers = Numbers()
        step = options.read(numbers)
        numbers.refuse()
        found = estimate_plan(step.plan(), calibration=calibration)
        if out is not None:
            write_text(Path(out), to_json(estimate_tree(found)))
        typer.echo(estimate_text(found))


def calibrate(
    chip: ChipOption,
    budget: Annotated[str, typer.Option(metavar="TIME", help="CPU time of the cycle runs: 90s, 30min, 2h.")],
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="The calibration; CHIP.calibration.json by default.")
    ] = None,
    seed: SeedOption = "8",
    cache: Annotated[
        str, typer.Option(metavar="DIR", help="Folder of finished runs; they are not run again.")
    ] = "out/study",
    workers: Annotated[str | None, typer.Option(metavar="N", help="Processes; one per core by default.")] = None,
) -> None:
    """Fit the coefficients of the analytical mode to cycle runs round a chip.

    A run that is stopped goes on where it was.
    """
    with exit_codes():
        from nmpsim.calibration.run import calibrate as fitted
        from nmpsim.calibration.run import observe
        from nmpsim.report.estimate import write_text
        from nmpsim.study import spawned_pool

        numbers = Numbers()
        match = _TIME.fullmatch(budget)
        if match is None:
            numbers.faults.append(Fault("--budget", repr(budget), "a number and s, min or h", "for example 30min"))
        count = None if workers is None else numbers.read("--workers", workers, 1, None, "give a number of processes")
        start = numbers.read("--seed", seed, 0, 2**63 - 1, "give another seed")
        numbers.refuse()
        assert match is not None
        seconds = float(int(match[1]) * _SECONDS[match[2]])

        def advance(spent: float, runs: int) -> None:
            typer.echo(f"{runs} runs, {spent:,.0f} of {seconds:,.0f} CPU seconds", file=sys.stderr)

        with spawned_pool(count) as pool:
            outcomes = observe(chip, start, seconds, Path(cache), pool, advance)
        made = fitted(chip, outcomes, start, seconds)
        target = Path(out or f"{made.chip}.calibration.json")
        write_text(target, made.text())
        held = made.provenance["held_out"]
        typer.echo(
            f"{made.chip}: {made.provenance['runs']} runs fitted, {made.provenance['held_out_runs']} held out\n"
            f"  steps off by {held['step_mean']:.2%} on average, operators by {held['mean']:.2%} "
            f"({held['time_mean']:.2%} of their time)\n  written to {target}"
        )
