"""``nmpsim ablate``: ablation studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import Numbers
from nmpsim.cli.study_bar import study_bar
from nmpsim.errors import Fault


def _integers(numbers: Numbers, option: str, text: str | None) -> tuple[int, ...]:
    """Return the integers of a list with commas; faults go to `numbers`."""
    if text is None:
        return ()
    return tuple(numbers.read(option, word.strip(), 1, None, "give integers with commas") for word in text.split(","))


def ablate(
    study: Annotated[str | None, typer.Argument(metavar="NAME|STUDY.toml", help="A shipped study, or a file.")] = None,
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="Folder of the result; out/ablate/NAME by default.")
    ] = None,
    mode: Annotated[str, typer.Option(metavar="cycle|analytical", help="How steps are timed.")] = "cycle",
    chip: Annotated[str, typer.Option("--chip", metavar="NAME|PATH", help="Base chip, instead of the study's.")] = "",
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME,...", help="Models, instead of the study's.")
    ] = None,
    batch: Annotated[str | None, typer.Option("--batch", metavar="N,...", help="Batches, likewise.")] = None,
    context: Annotated[str | None, typer.Option("--context", metavar="TOKENS,...", help="Contexts, likewise.")] = None,
    layers: Annotated[
        str | None, typer.Option("--layers", metavar="N", help="Layers, and the LM head; 0: the whole step, sampled.")
    ] = None,
    cache: Annotated[
        str, typer.Option(metavar="DIR", help="Folder of finished runs; they are not run again.")
    ] = "out/study",
    workers: Annotated[str | None, typer.Option(metavar="N", help="Processes; one per core by default.")] = None,
    shipped: Annotated[bool, typer.Option("--list", help="List the shipped studies.")] = False,
) -> None:
    """Compare chips that differ in few properties, and say what each is worth.

    Writes DIR/result.json, result.md, result.png, rows.parquet and contributions.parquet, all of them or none.
    A study that is stopped goes on where it was.
    """
    with exit_codes():
        if shipped:
            typer.echo(_listed(), nl=False)
            return
        from nmpsim.ablation.reading import load_study
        from nmpsim.ablation.run import asked, run_ablation
        from nmpsim.ablation.tables import terminal_text

        numbers = Numbers()
        batches, contexts = _integers(numbers, "--batch", batch), _integers(numbers, "--context", context)
        depth = None if layers is None else numbers.read("--layers", layers, 0, None, "give a number of layers")
        count = None if workers is None else numbers.read("--workers", workers, 1, None, "give a number of processes")
        if study is None:
            todo = "name one; nmpsim ablate --list shows them"
            numbers.faults.append(Fault("study", "nothing", "a shipped study, or the path of a .toml file", todo))
        numbers.refuse()
        chosen = load_study(study or "")
        models = tuple(word.strip() for word in model.split(",")) if model else ()
        chosen = asked(chosen, chip=chip, models=models, batches=batches, contexts=contexts, layers=depth)
        target = Path(out) if out else Path("out") / "ablate" / chosen.name
        with study_bar() as advance:
            found = run_ablation(chosen, mode, Path(cache), target, workers=count, progress=advance)
        typer.echo(f"{terminal_text(found)}written to {target}")


def _listed() -> str:
    """Return the shipped studies, a line each."""
    from nmpsim.ablation.reading import load_study
    from nmpsim.ablation.study import study_names

    names = study_names()
    width = max(map(len, names))
    return "".join(f"{name:{width}}  {load_study(name).question}\n" for name in names)
