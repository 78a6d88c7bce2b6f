"""Options of the network commands, and from their text to a network with every fault at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nmpsim.cli.groups import OptionGroup
from nmpsim.cli.options import LARGEST_SEED, Numbers
from nmpsim.errors import Fault, NmpsimError

if TYPE_CHECKING:
    from nmpsim.noc.router.settings import RouterSettings
    from nmpsim.noc.synthetic.patterns import Pattern
    from nmpsim.noc.synthetic.run import Sampling
    from nmpsim.noc.topology import Topology

MOST_CYCLES = 10**9
MOST_FLITS = 1 << 20
MOST_PERIODS = 10**6

TopologyOption = Annotated[
    str,
    typer.Option(
        "--topology",
        metavar="NAME|PATH",
        help="mesh:KxK, torus:KxK (any number of dimensions), ring:N, crossbar:N, or a network list.",
    ),
]
TrafficOption = Annotated[
    str,
    typer.Option(
        "--traffic",
        metavar="PATTERN",
        help="uniform, transpose, bitcomp, bitrev, shuffle, neighbor, tornado, 'hotspot({nodes},{weights})', "
        "'permutation({nodes})'.",
    ),
]
FlitsOption = Annotated[str, typer.Option("--packet-flits", metavar="N", help="Length of a packet.")]
VcsOption = Annotated[str, typer.Option("--vcs", metavar="N", help="Virtual channels of a port.")]
BufferOption = Annotated[str, typer.Option("--buffer-flits", metavar="N", help="Places of a virtual channel.")]
RoutingOption = Annotated[str, typer.Option("--routing-delay", metavar="CYCLES", help="0 is lookahead.")]
VcDelayOption = Annotated[str, typer.Option("--vc-alloc-delay", metavar="CYCLES", help="VC allocation.")]
SwDelayOption = Annotated[str, typer.Option("--sw-alloc-delay", metavar="CYCLES", help="Switch allocation.")]
SwitchOption = Annotated[str, typer.Option("--switch-delay", metavar="CYCLES", help="Switch traversal.")]
CreditOption = Annotated[str, typer.Option("--credit-delay", metavar="CYCLES", help="Until a credit can be used.")]
VcAllocatorOption = Annotated[
    str,
    typer.Option(
        "--vc-allocator",
        metavar="NAME",
        help="islip, islip(N), separable_input_first, separable_output_first.",
    ),
]
SwAllocatorOption = Annotated[str, typer.Option("--sw-allocator", metavar="NAME", help="As --vc-allocator.")]
SpeculativeOption = Annotated[
    bool, typer.Option("--speculative", help="Heads ask for the switch while they ask for a virtual channel.")
]
TailOption = Annotated[
    bool, typer.Option("--wait-for-tail-credit", help="An output channel is free when all its credits are back.")
]
HoldOption = Annotated[bool, typer.Option("--hold-switch", help="A packet keeps the switch until tail or bubble.")]
BatchedOption = Annotated[
    bool, typer.Option("--batched-stages", help="Routing and switch of 2 or more cycles are not pipelined.")
]
SeedOption = Annotated[str, typer.Option("--seed", metavar="N", help="Seed of the traffic.")]
PeriodOption = Annotated[str, typer.Option("--period", metavar="CYCLES", help="Cycles of a sample period.")]
WarmupOption = Annotated[str, typer.Option("--warmup-periods", metavar="N", help="Periods before measuring.")]
PeriodsOption = Annotated[str, typer.Option("--most-periods", metavar="N", help="Most periods in all.")]
LatencyOption = Annotated[
    str, typer.Option("--latency-limit", metavar="CYCLES", help="Mean latency above which a run is unstable.")
]
ThroughputOption = Annotated[
    bool, typer.Option("--throughput", help="No latency tests and no drain: the accepted rate only.")
]
PlainOption = Annotated[bool, typer.Option("--plain", help="Visit every cycle instead of skipping; same results.")]

_RATE = re.compile(r"\d{0,6}(\.\d{0,12})?")


@dataclass(frozen=True)
class RouterOptions(OptionGroup):
    """Texts of the options of a router; the names are those of `RouterSettings`."""

    vcs: VcsOption = "4"
    buffer_flits: BufferOption = "8"
    routing_delay: RoutingOption = "1"
    vc_alloc_delay: VcDelayOption = "1"
    sw_alloc_delay: SwDelayOption = "1"
    switch_delay: SwitchOption = "1"
    credit_delay: CreditOption = "1"
    vc_allocator: VcAllocatorOption = "islip"
    sw_allocator: SwAllocatorOption = "islip"
    speculative: SpeculativeOption = False

    def read(self, numbers: Numbers) -> dict[str, int | str | bool]:
        """Return the fields of the router; faults are noted in `numbers`.

        Parameters
        ----------
        numbers : Numbers
            Collects faults.
        """
        words = {"vc_allocator", "sw_allocator"}
        found: dict[str, int | str | bool] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and field.name not in words:
                option = "--" + field.name.replace("_", "-")
                value = numbers.read(option, value, 0, MOST_FLITS, "give another number")
            found[field.name] = value
        return found


@dataclass(frozen=True)
class EveryRouterOption(RouterOptions):
    """The same with what only traffic without collectives allows."""

    wait_for_tail_credit: TailOption = False
    hold_switch_for_packet: HoldOption = False
    batched_stages: BatchedOption = False


@dataclass(frozen=True)
class SamplingOptions(OptionGroup):
    """Texts of the options that say how long random traffic is measured."""

    seed: SeedOption = "0"
    period: PeriodOption = "1000"
    warmup_periods: WarmupOption = "3"
    most_periods: PeriodsOption = "10"
    latency_limit: LatencyOption = "500"
    throughput: ThroughputOption = False

    def read(self, numbers: Numbers) -> tuple[int, Sampling]:
        """Return the seed, and how long is measured; faults are noted in `numbers`.

        Parameters
        ----------
        numbers : Numbers
            Collects faults.
        """
        from nmpsim.noc.synthetic.run import Sampling

        again = "give another number"
        warmup = numbers.read("--warmup-periods", self.warmup_periods, 0, MOST_PERIODS, again)
        return numbers.read("--seed", self.seed, 0, LARGEST_SEED, "give another seed"), Sampling(
            period=numbers.read("--period", self.period, 1, MOST_CYCLES, again),
            warmup_periods=warmup,
            most_periods=numbers.read(
                "--most-periods", self.most_periods, warmup + 1, MOST_PERIODS, "give more than warm up"
            ),
            latency_limit=float(numbers.read("--latency-limit", self.latency_limit, 1, MOST_CYCLES, again)),
            throughput_only=self.throughput,
        )


class NetworkChoice:
    """What the options say.

    Parameters
    ----------
    topology, traffic, packet_flits : str
    router : RouterOptions

    Raises
    ------
    NmpsimError
        With every fault of them.
    """

    def __init__(self, topology: str, traffic: str, packet_flits: str, router: RouterOptions) -> None:
        from nmpsim.noc.router.settings import RouterSettings
        from nmpsim.noc.synthetic.patterns import make_pattern
        from nmpsim.noc.topology import named_topology

        numbers = Numbers()
        read = router.read(numbers)
        self.flits = numbers.read("--packet-flits", packet_flits, 1, MOST_FLITS, "give another length")
        faults = list(numbers.faults)
        self.topology: Topology | None = None
        self.pattern: Pattern | None = None
        self.settings: RouterSettings | None = None
        try:
            self.settings = RouterSettings(**read)  # type: ignore[arg-type]
        except NmpsimError as error:
            faults += error.faults if not numbers.faults else ()
        try:
            self.topology = named_topology(topology)
            self.pattern = make_pattern(traffic, self.topology.nodes, self.topology.radix)
        except NmpsimError as error:
            faults += error.faults
        if faults:
            raise NmpsimError("an option is wrong", faults)


def read_rates(text: str, option: str) -> list[float]:
    """Return the rates of a list.

    Parameters
    ----------
    text : str
        Numbers, with commas between.
    option : str
        For messages.

    Raises
    ------
    NmpsimError
        If one of them is none.
    """
    words = [word.strip() for word in text.split(",")]
    wrong = [word for word in words if not _RATE.fullmatch(word) or not any(map(str.isdigit, word)) or not float(word)]
    if wrong:
        fault = Fault(option, repr(wrong[0][:40]), "numbers above 0, flits per node and cycle", "give another rate")
        raise NmpsimError("an option is wrong", [fault])
    return [float(word) for word in words]


def write_file(path: str, content: bytes) -> None:
    """Write a file, as a whole or not at all, and say so.

    Parameters
    ----------
    path : str
    content : bytes
    """
    from nmpsim.dram.trace.writing import whole_file

    with whole_file(Path(path)) as target:
        target.write(content)
    typer.echo(f"written to {path}")
