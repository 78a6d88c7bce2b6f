"""``nmpsim noc collective``: a collective on a network of its own, beside its bound."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.groups import option_groups
from nmpsim.cli.noc_options import NetworkChoice, PlainOption, RouterOptions, TopologyOption, write_file
from nmpsim.cli.options import Numbers
from nmpsim.errors import Fault, LimitReached

if TYPE_CHECKING:
    from nmpsim.analytic.collective import Links
    from nmpsim.noc.collective.plan import Hardware
    from nmpsim.noc.router.settings import RouterSettings
    from nmpsim.noc.topology import Topology

SWEEP = tuple(1 << n for n in range(0, 13, 2))
"""Flits of a sweep."""

LIMIT = 10**8
FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Outcome:
    """One run of a collective; cycles.

    Parameters
    ----------
    flits : int
    support : str
        "network" or "messages".
    algorithm : str
    cycles : int
        Until it is done.
    latency, bandwidth : int
        Lower bounds.
    ratio : float
        Cycles by the greater bound.
    head : int
        Until the first flit of the result had crossed an empty network: the part of the gap that no size changes.
    no_credit, busy, conflict, adder, table : int
        Cycles of the routers' channels without a credit; without a virtual channel; that lost the switch; of flits
        before an adder that others had not reached; of sums that waited for an entry of the table.
    """

    flits: int
    support: str
    algorithm: str
    cycles: int
    latency: int
    bandwidth: int
    ratio: float
    head: int
    no_credit: int
    busy: int
    conflict: int
    adder: int
    table: int


COLUMNS = tuple(Outcome.__dataclass_fields__)


def links_of(topology: Topology, settings: RouterSettings) -> Links:
    """Return a network as the bounds see it.

    Parameters
    ----------
    topology : Topology
    settings : RouterSettings
    """
    from nmpsim.analytic.collective import Links

    allocation = settings.sw_alloc_delay + (0 if settings.speculative else settings.vc_alloc_delay)
    stages = settings.routing_delay + allocation + settings.switch_delay
    neighbours: dict[int, list[int]] = {r: [] for r in range(topology.routers)}
    for channel in topology.channels:
        neighbours[channel.source].append(channel.sink)
    return Links(
        neighbours={r: tuple(ends) for r, ends in neighbours.items()},
        at=tuple(terminal.router for terminal in topology.terminals),
        hop_cycles=stages + min((c.cycles for c in topology.channels), default=0),
        end_cycles=1 + stages + 2 * min(terminal.cycles for terminal in topology.terminals),
    )


def run_collective(
    kind: str,
    topology: Topology,
    settings: RouterSettings,
    flits: int,
    *,
    software: bool = False,
    algorithm: str | None = None,
    root: int | None = None,
    hardware: Hardware | None = None,
    plain: bool = False,
) -> Outcome:
    """Run a collective on an empty network.

    Parameters
    ----------
    kind : str
        As for `nmpsim.noc.collective.plan.plan`, like all that is not explained here.
    topology : Topology
    settings : RouterSettings
    flits : int
    software : bool
    algorithm : str or None
    root : int or None
    hardware : Hardware or None
    plain : bool
        Step every cycle; the same result.

    Raises
    ------
    LimitReached
        If it does not end.
    """
    from nmpsim.analytic.collective import bound
    from nmpsim.noc.collective.plan import Hardware, plan
    from nmpsim.noc.collective.steps import launch
    from nmpsim.noc.router.check import causes
    from nmpsim.noc.router.state import CAUSES
    from nmpsim.noc.synthetic.run import finish

    built, links = hardware or Hardware(), links_of(topology, settings)
    chosen = plan(
        kind, topology, flits, software=software, algorithm=algorithm, root=root, hardware=built,
        hop_cycles=links.hop_cycles + links.end_cycles, settings=settings,
    )  # fmt: skip
    launched = launch(topology, settings, chosen.trees, chosen.steps)
    if not finish(launched.fabric, launched.traffic, LIMIT, plain=plain):
        raise LimitReached(f"{topology.name}: the {kind} has not ended after {LIMIT} cycles")
    cycles, state = chosen.end(launched), launched.fabric.state
    limits = bound(
        kind, links, flits, root=chosen.root, add_cycles=built.costs.add if software else built.add_delay,
        in_network=not software and chosen.algorithm == "tree",
    )  # fmt: skip
    spent = dict(zip(CAUSES, causes(launched.fabric).sum(axis=0).tolist(), strict=True))
    return Outcome(
        flits=flits,
        support="messages" if software else "network",
        algorithm=chosen.algorithm,
        cycles=cycles,
        latency=limits.latency,
        bandwidth=limits.bandwidth,
        ratio=cycles / limits.cycles,
        head=limits.latency - (flits - 1 if limits.latency >= flits else 0),
        no_credit=spent["no_credit"],
        busy=spent["vc_busy"] + spent["vc_conflict"],
        conflict=spent["switch_conflict"],
        adder=int(state.adder.waiting.sum()),
        table=int(state.tree_totals[0].table_full),
    )


def table_line(outcome: Outcome) -> str:
    """Return one line of the printed table.

    Parameters
    ----------
    outcome : Outcome
    """
    o = outcome
    gap = f"{o.head:6} {o.no_credit:9,} {o.busy:9,} {o.conflict:9,} {o.adder:9,} {o.table:9,}"
    bounds = f"{o.latency:9,} {o.bandwidth:9,} {o.ratio:7.3f}"
    return f"{o.flits:7} {o.support:>8} {o.algorithm:>9} {o.cycles:9,} {bounds} {gap}"


HEADER = (
    f"{'flits':>7} {'by':>8} {'way':>9} {'cycles':>9} {'latency':>9} {'bandwidth':>9} {'ratio':>7} "
    f"{'head':>6} {'no credit':>9} {'vc busy':>9} {'conflict':>9} {'adder':>9} {'table':>9}"
)


@option_groups
def collective(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="broadcast, reduce, all-reduce, all-gather, reduce-scatter, all-to-all; or several, by commas.",
        ),
    ],
    topology: TopologyOption,
    router: RouterOptions,
    flits: Annotated[
        str | None,
        typer.Option("--flits", metavar="N", help="Broadcast, reduce, all-reduce: of the vector; else: of one share."),
    ] = None,
    size_bytes: Annotated[str | None, typer.Option("--bytes", metavar="N", help="Instead of --flits.")] = None,
    flit_bytes: Annotated[str, typer.Option("--flit-bytes", metavar="N", help="For --bytes.")] = "128",
    root: Annotated[
        str | None, typer.Option("--root", metavar="NODE", help="Of broadcast, reduce, all-reduce.")
    ] = None,
    software: Annotated[bool, typer.Option("--software", help="By messages alone.")] = False,
    both: Annotated[bool, typer.Option("--both", help="With and without support of the routers.")] = False,
    algorithm: Annotated[
        str | None, typer.Option("--algorithm", metavar="NAME", help="Instead of the one chosen by kind and size.")
    ] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Sizes from 1 to 4096 flits instead of one.")] = False,
    entries: Annotated[str, typer.Option("--entries", metavar="N", help="Sums that a router's table holds.")] = "4",
    add_delay: Annotated[str, typer.Option("--add-delay", metavar="CYCLES", help="Of a router's adder.")] = "2",
    add_interval: Annotated[
        str, typer.Option("--add-interval", metavar="CYCLES", help="Between two sums of it.")
    ] = "1",
    node_add: Annotated[
        str, typer.Option("--node-add", metavar="CYCLES", help="Of a node, behind the last flit.")
    ] = "8",
    table: Annotated[str | None, typer.Option("--csv", metavar="FILE", help="Write the table there.")] = None,
    plot: Annotated[str | None, typer.Option("--plot", metavar="FILE", help="Draw it: .png, .svg or .pdf.")] = None,
    plain: PlainOption = False,
) -> None:
    """Run collectives on an empty network: cycles, lower bounds, and where the rest goes."""
    with exit_codes():
        from nmpsim.noc.collective.plan import Hardware
        from nmpsim.noc.collective.software import NodeCosts

        choice = NetworkChoice(topology, "uniform", "1", router)
        assert choice.topology is not None
        assert choice.settings is not None
        numbers = Numbers()
        again = "give another number"
        hardware = Hardware(
            entries=numbers.read("--entries", entries, 1, 62, again),
            add_delay=numbers.read("--add-delay", add_delay, 0, 1024, again),
            add_interval=numbers.read("--add-interval", add_interval, 1, 1024, again),
            costs=NodeCosts(add=numbers.read("--node-add", node_add, 0, 10**6, again)),
        )
        at = None if root is None else numbers.read("--root", root, 0, choice.topology.nodes - 1, "name a node")
        sizes = _sizes(numbers, flits, size_bytes, flit_bytes, sweep=sweep)
        for option, path in (("--plot", plot),):
            if path is not None and Path(path).suffix not in FORMATS:
                numbers.faults.append(Fault(option, path, ", ".join(FORMATS), "name it so"))
        if both and (software or algorithm is not None):
            numbers.faults.append(Fault("--both", "with --software or --algorithm", "alone", "leave one out"))
        numbers.refuse()
        found: list[tuple[str, Outcome]] = []
        for one in kind.split(","):
            typer.echo(f"{one} on {choice.topology.name}")
            typer.echo(HEADER)
            for size in sizes:
                for by_messages in (False, True) if both else (software,):
                    outcome = run_collective(
                        one, choice.topology, choice.settings, size, software=by_messages, algorithm=algorithm,
                        root=at, hardware=hardware, plain=plain,
                    )  # fmt: skip
                    found.append((one, outcome))
                    typer.echo(table_line(outcome))
        if table is not None:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerows([("kind", *COLUMNS), *((one, *astuple(outcome)) for one, outcome in found)])
            write_file(table, text.getvalue().encode())
        if plot is not None:
            write_file(plot, drawing(choice.topology.name, found, Path(plot).suffix[1:]))


def _sizes(
    numbers: Numbers, flits: str | None, size_bytes: str | None, flit_bytes: str, *, sweep: bool
) -> tuple[int, ...]:
    """Return the sizes to run; flits."""
    given = [
        option for option, value in (("--flits", flits), ("--bytes", size_bytes), ("--sweep", sweep or None)) if value
    ]
    if len(given) != 1:
        got = ", ".join(given) or "none"
        numbers.faults.append(Fault("size", got, "one of --flits, --bytes, --sweep", "give one of these"))
        return ()
    if sweep:
        return SWEEP
    most = (1 << 20) - 1
    if flits is not None:
        return (numbers.read("--flits", flits, 1, most, "give another length"),)
    width = numbers.read("--flit-bytes", flit_bytes, 1, 1 << 16, "give another width")
    assert size_bytes is not None
    return (-(-numbers.read("--bytes", size_bytes, 1, most * width, "give another size") // width),)


def drawing(name: str, found: list[tuple[str, Outcome]], suffix: str) -> bytes:
    """Return a picture: for each kind cycles by size, and the bound.

    Parameters
    ----------
    name : str
        Of the network.
    found : list of (str, Outcome)
        Kinds and their runs.
    suffix : str
        png, svg or pdf.
    """
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(kind for kind, _ in found))
    figure = Figure(figsize=(4.2 * len(kinds), 3.6), layout="constrained")
    axes = figure.subplots(1, len(kinds), squeeze=False)[0]
    for axis, kind in zip(axes, kinds, strict=True):
        lines: dict[str, list[Outcome]] = {}
        for one, outcome in found:
            if one == kind:
                lines.setdefault(outcome.support, []).append(outcome)
        for support, outcomes in lines.items():
            sizes = [o.flits for o in outcomes]
            (drawn,) = axis.plot(sizes, [o.cycles for o in outcomes], marker="o", markersize=3, label=f"by {support}")
            least = [max(o.latency, o.bandwidth) for o in outcomes]
            axis.plot(sizes, least, linestyle=":", color=drawn.get_color(), label=f"bound, {support}")
        axis.set(xscale="log", yscale="log", xlabel="flits", ylabel="cycles", title=f"{kind}, {name}")
        axis.legend(fontsize="small")
    content = io.BytesIO()
    figure.savefig(content, format=suffix, dpi=110)
    return content.getvalue()
