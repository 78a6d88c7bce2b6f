"""``nmpsim show``: chips, models, DRAM protocols, schedules and programs as text."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.groups import option_groups
from nmpsim.cli.options import (
    LARGEST_SEED,
    BatchOption,
    DecodeStepOption,
    LayersOption,
    LocalityOption,
    ModelOption,
    Numbers,
    PlacementOption,
    RoutingOption,
    SeedOption,
    SkewOption,
    StepOptions,
    read_router,
)

show = typer.Typer(
    help="Print a chip, a model, a DRAM protocol, a schedule or a program.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Names = Annotated[list[str], typer.Argument(metavar="NAME|PATH...", help="What to show.")]


@show.command("chip")
def show_chip(names: Names) -> None:
    """Print every value of a chip with its origin, and what follows from them."""
    with exit_codes():
        from nmpsim.spec import describe, load_chip

        typer.echo("\n\n".join(describe(load_chip(name)) for name in names))


@show.command("model")
def show_model(names: Names) -> None:
    """Print the dimensions and weights of a model."""
    with exit_codes():
        from nmpsim.workload import describe, load_model

        typer.echo("\n\n".join(describe(load_model(name)) for name in names))


@show.command("routing")
def show_routing(
    model: ModelOption,
    batch: BatchOption = "1",
    layers: LayersOption = None,
    seed: SeedOption = "0",
    routing: RoutingOption = None,
    stacks: Annotated[str, typer.Option("--stacks", metavar="N", help="Stacks that share the experts.")] = "1",
    placement: PlacementOption = "blocks",
    skew: SkewOption = None,
    locality: LocalityOption = None,
    decode_step: DecodeStepOption = None,
) -> None:
    """Print how many distinct experts every layer reads, and how evenly they fall on stacks."""
    with exit_codes():
        from nmpsim.workload import describe_routing, load_model, load_routing

        numbers = Numbers()
        size = numbers.read("--batch", batch, 1, None, "give the number of sequences decoded together")
        depth = None if layers is None else numbers.read("--layers", layers, 1, None, "give a number of layers")
        start = numbers.read("--seed", seed, 0, LARGEST_SEED, "give another seed")
        count = numbers.read("--stacks", stacks, 1, None, "give a number of stacks")
        router = read_router(numbers, skew, locality, decode_step)
        numbers.refuse()
        loaded = load_model(model)
        if router.given or routing is None or routing in ("uniform", "zipf"):
            chosen = router.routing(loaded, size, depth, routing or "uniform", start)
        else:
            chosen = load_routing(routing, loaded, size, depth)
        typer.echo(describe_routing(loaded, chosen, count, placement))


@show.command("dram")
def show_dram(
    names: Annotated[list[str], typer.Argument(metavar="PRESET|PATH...", help="Standards or native presets to show.")],
    organisation: Annotated[
        str | None,
        typer.Option("--organisation", metavar="NAME", help="Device of a standard; its default if not given."),
    ] = None,
    timing: Annotated[
        str | None, typer.Option("--timing", metavar="NAME", help="Speed bin of a standard; its default if not given.")
    ] = None,
    peer_exact: Annotated[
        bool, typer.Option("--peer-exact", help="Leave out the rules that Ramulator 2.1 does not have.")
    ] = False,
) -> None:
    """Print the commands, the timing and every rule of a DRAM protocol."""
    with exit_codes():
        from nmpsim.spec import standard

        typer.echo(standard.show_dram(names, organisation, timing, peer_exact=peer_exact))


@show.command("schedule")
@option_groups
def show_schedule(
    options: StepOptions,
    why: Annotated[
        bool, typer.Option("--why", help="Alternatives of every operator and their predicted cycles.")
    ] = False,
) -> None:
    """Print the plan of every operator that has a choice; with --why, its alternatives and what they would cost."""
    with exit_codes():
        numbers = Numbers()
        step = options.read(numbers)
        numbers.refuse()
        job = step.prepare()
        typer.echo("\n".join(job.schedule.lines()))
        if why:
            from nmpsim.schedule.search import Search
            from nmpsim.schedule.space import Space
            from nmpsim.schedule.why import explain

            array = job.chip.core.array
            dataflows = tuple(array.dataflows) if array is not None else ()
            space = Space(job.graph, job.params, dataflows, job.schedule.first_row)
            typer.echo("\n".join(["", *explain(Search(space), job.schedule)]))


@show.command("stacks")
@option_groups
def show_stacks(options: StepOptions) -> None:
    """Print what every stack keeps, reads, computes and sends in a step."""
    with exit_codes():
        numbers = Numbers()
        step = options.read(numbers)
        numbers.refuse()
        from nmpsim.schedule.stacks import representative, shard_table

        plan = step.plan()
        if len(plan.graphs) == 1:
            typer.echo(f"{plan.model.name} fits into 1 stack of {plan.params.name}; for more, add --stacks")
            return
        programs = plan.stack_programs()
        typer.echo("\n".join(shard_table(programs)))
        chosen = representative(programs, plan.compared)
        typer.echo(f"simulated: stack {chosen.stack}; {chosen.reason}; imbalance {chosen.imbalance:.3f}")


@show.command("program")
@option_groups
def show_program(
    options: StepOptions,
    core: Annotated[str, typer.Option("--core", metavar="N", help="Core whose instructions to print.")] = "0",
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="N", help="Instructions to print; all by default.")
    ] = None,
) -> None:
    """Print the instructions of one core."""
    with exit_codes():
        numbers = Numbers()
        step = options.read(numbers)
        index = numbers.read("--core", core, 0, None, "give the number of a core of the chip")
        most = None if limit is None else numbers.read("--limit", limit, 1, None, "give a number of instructions")
        numbers.refuse()
        program = step.prepare().program
        numbers.read("--core", core, 0, len(program.streams) - 1, "choose a core of the chip")
        numbers.refuse()
        total = len(program.streams[index])
        lines = list(islice(program.lines(index), most))
        typer.echo(f"core {index} of {len(program.streams)}: {total} instructions, sha256 of all {program.sha256}")
        typer.echo("\n".join(lines))
        if len(lines) < total:
            typer.echo(f"... {total - len(lines)} more; raise --limit")
