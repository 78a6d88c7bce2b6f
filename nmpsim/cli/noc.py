"""``nmpsim noc``: synthetic traffic on a network of its own."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmpsim.cli.exits import exit_codes
from nmpsim.cli.groups import option_groups
from nmpsim.cli.noc_collective import collective
from nmpsim.cli.noc_options import (
    EveryRouterOption,
    FlitsOption,
    NetworkChoice,
    PlainOption,
    SamplingOptions,
    TopologyOption,
    TrafficOption,
    read_rates,
    write_file,
)
from nmpsim.cli.options import LARGEST_SEED, Numbers
from nmpsim.errors import Fault, LimitReached, NmpsimError

if TYPE_CHECKING:
    from nmpsim.noc.router.build import Fabric
    from nmpsim.noc.synthetic.run import Measured, Sampling

MOST_PACKETS = 10**7
DEFAULT_RATES = ",".join(f"{n / 20:.2f}" for n in range(1, 21))

noc = typer.Typer(
    help="Run synthetic traffic on a network of virtual-channel routers.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


noc.command("collective")(collective)


@noc.callback()
def group() -> None:
    """Run synthetic traffic on a network of virtual-channel routers."""


def _measure(choice: NetworkChoice, rate: float, seed: int, sampling: Sampling, *, plain: bool) -> Measured:
    """Run random traffic on a new network."""
    from nmpsim.noc.router.build import build_network
    from nmpsim.noc.synthetic.run import measure
    from nmpsim.noc.synthetic.traffic import bernoulli

    assert choice.topology is not None
    assert choice.settings is not None
    assert choice.pattern is not None
    fabric = build_network(choice.topology, choice.settings)
    traffic = bernoulli(fabric, choice.pattern, rate, choice.flits, seed)
    return measure(fabric, traffic, rate, sampling, plain=plain)


def _check_rates(choice: NetworkChoice, rates: list[float], option: str) -> None:
    """Refuse rates of more than one packet a cycle."""
    high = [rate for rate in rates if rate > choice.flits]
    if high:
        allowed = f"at most {choice.flits}, one packet a cycle"
        raise NmpsimError("an option is wrong", [Fault(option, f"{high[0]:g}", allowed, "give a lower rate")])


@noc.command("run")
@option_groups
def run_once(
    topology: TopologyOption,
    router: EveryRouterOption,
    measuring: SamplingOptions,
    traffic: TrafficOption = "uniform",
    packet_flits: FlitsOption = "1",
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="FLITS", help="Offered by random sources, per node and cycle.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="PACKETS", help="Instead: so many of each node, back to back.")
    ] = None,
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="FILE", help="Instead: a CSV file at,source,destination,flits.")
    ] = None,
    limit_cycles: Annotated[
        str, typer.Option("--limit-cycles", metavar="N", help="Batch and trace; cycles after which to give up.")
    ] = "100000000",
    plain: PlainOption = False,
) -> None:
    """Run random traffic, a batch or a trace, and print what the network did.

    An unstable run tells the rate accepted so far, and how fast the queues of the sources grow.
    """
    with exit_codes():
        from nmpsim.noc.synthetic.figures import finished_text, measured_text

        given = [text is not None for text in (rate, batch, trace)]
        if sum(given) != 1:
            fault = Fault("--rate, --batch, --trace", f"{sum(given)} of them", "exactly one", "choose one")
            raise NmpsimError("an option is wrong", [fault])
        choice = NetworkChoice(topology, traffic, packet_flits, router)
        numbers = Numbers()
        seed, sampling = measuring.read(numbers)
        limit = numbers.read("--limit-cycles", limit_cycles, 1, LARGEST_SEED >> 2, "give another number")
        packets = numbers.read("--batch", batch or "0", 0, MOST_PACKETS, "give another number of packets")
        numbers.refuse()
        assert choice.topology is not None
        what = traffic if trace is None else trace
        start = time.process_time()
        if rate is not None:
            offered = read_rates(rate, "--rate")
            if len(offered) > 1:
                raise NmpsimError("an option is wrong", [Fault("--rate", rate, "one number", "use nmpsim noc sweep")])
            _check_rates(choice, offered, "--rate")
            measured = _measure(choice, offered[0], seed, sampling, plain=plain)
            text, cycles = measured_text(offered[0], measured), measured.cycles
        else:
            fabric = _finish(choice, packets, trace, seed, limit, plain=plain)
            text, cycles = finished_text(fabric), int(fabric.state.totals[0].now)
        seconds = max(time.process_time() - start, 1e-9)
        typer.echo(f"{choice.topology.name}, {what}, packets of {'given' if trace else choice.flits} flits")
        typer.echo(text)
        typer.echo(f"CPU time    {seconds:.3f} s, {cycles / seconds:,.0f} cycles per CPU second, compiling included")


def _finish(choice: NetworkChoice, packets: int, trace: str | None, seed: int, limit: int, *, plain: bool) -> Fabric:
    """Run a batch, or a trace, on a new network."""
    from nmpsim.noc.router.build import build_network
    from nmpsim.noc.synthetic import traffic as offered
    from nmpsim.noc.synthetic.run import finish
    from nmpsim.noc.synthetic.trace_file import read_messages

    assert choice.topology is not None
    assert choice.settings is not None
    assert choice.pattern is not None
    messages = read_messages(Path(trace)) if trace is not None else []
    fabric = build_network(choice.topology, choice.settings)
    if trace is not None:
        made = offered.trace(fabric, messages, seed)
    else:
        made = offered.batch(fabric, choice.pattern, packets, choice.flits, seed)
    if not finish(fabric, made, limit, plain=plain):
        left = int(fabric.state.totals[0].in_flight) + int(fabric.state.totals[0].remaining)
        raise LimitReached(f"{choice.topology.name}: {left} packets have not arrived after {limit} cycles")
    return fabric


@noc.command("sweep")
@option_groups
def sweep(
    topology: TopologyOption,
    router: EveryRouterOption,
    measuring: SamplingOptions,
    traffic: TrafficOption = "uniform",
    packet_flits: FlitsOption = "1",
    rates: Annotated[
        str, typer.Option("--rates", metavar="LIST", help="Offered rates, flits per node and cycle.")
    ] = DEFAULT_RATES,
    table: Annotated[str | None, typer.Option("--csv", metavar="FILE", help="Write the table there.")] = None,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Draw latency and accepted rate: .png, .svg or .pdf.")
    ] = None,
    plain: PlainOption = False,
) -> None:
    """Run random traffic at several rates: a curve of latency and throughput.

    Rates are run in ascending order.  Unstable ones have no latency: their accepted rate and the growth of the queues
    are those at the end.
    """
    with exit_codes():
        from nmpsim.noc.synthetic.figures import COLUMNS, row_of

        choice = NetworkChoice(topology, traffic, packet_flits, router)
        numbers = Numbers()
        seed, sampling = measuring.read(numbers)
        numbers.refuse()
        offered = sorted(set(read_rates(rates, "--rates")))
        _check_rates(choice, offered, "--rates")
        if plot is not None and Path(plot).suffix not in {".png", ".svg", ".pdf"}:
            raise NmpsimError("an option is wrong", [Fault("--plot", plot, ".png, .svg or .pdf", "name it so")])
        assert choice.topology is not None
        typer.echo(f"{choice.topology.name}, {traffic}, packets of {choice.flits} flits")
        typer.echo(f"{'rate':>8} {'status':>9} {'latency':>9} {'network':>9} {'hops':>7} {'accepted':>9} {'growth':>9}")
        found = []
        for rate in offered:
            measured = _measure(choice, rate, seed, sampling, plain=plain)
            found.append((rate, measured))
            typer.echo(_sweep_line(rate, measured))
        if table is not None:
            text = io.StringIO()
            writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(row_of(rate, measured) for rate, measured in found)
            write_file(table, text.getvalue().encode())
        if plot is not None:
            _draw(plot, f"{choice.topology.name}, {traffic}", found)


def _sweep_line(rate: float, measured: Measured) -> str:
    """Return one line of the printed table."""
    figures = (f"{measured.latency[0]:.2f}", f"{measured.network_latency[0]:.2f}", f"{measured.hops:.3f}")
    latency, network, hops = figures if measured.stable else ("-",) * 3
    status = "stable" if measured.stable else "unstable"
    rates = f"{measured.accepted[0]:9.4f} {measured.backlog_growth:9.4f}"
    return f"{rate:8.4f} {status:>9} {latency:>9} {network:>9} {hops:>7} {rates}"


def _draw(path: str, title: str, found: list[tuple[float, Measured]]) -> None:
    """Draw a sweep."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    latency, accepted = figure.subplots(1, 2)
    stable = [(rate, measured) for rate, measured in found if measured.stable]
    latency.plot(
        [rate for rate, _ in stable], [measured.latency[0] for _, measured in stable], marker="o", label="packet"
    )
    latency.plot(
        [rate for rate, _ in stable],
        [measured.network_latency[0] for _, measured in stable],
        marker=".",
        label="network",
    )
    latency.set(xlabel="offered, flits per node and cycle", ylabel="mean latency, cycles", title=title)
    latency.legend()
    rates = [rate for rate, _ in found]
    accepted.plot(rates, [measured.accepted[0] for _, measured in found], marker="o", label="accepted")
    accepted.plot(rates, rates, linestyle=":", label="offered")
    accepted.set(xlabel="offered, flits per node and cycle", ylabel="accepted, flits per node and cycle")
    accepted.legend()
    content = io.BytesIO()
    figure.savefig(content, format=Path(path).suffix[1:])
    write_file(path, content.getvalue())
