"""Options of the network commands, and from their text to a network with every fault at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from nmpsim.cli.options import Numbers
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

SETTINGS = {
    "vcs": "--vcs",
    "buffer_flits": "--buffer-flits",
    "routing_delay": "--routing-delay",
    "vc_alloc_delay": "--vc-alloc-delay",
    "sw_alloc_delay": "--sw-alloc-delay",
    "switch_delay": "--switch-delay",
    "credit_delay": "--credit-delay",
}
"""Whole numbers of a router and their options."""

_RATE = re.compile(r"\d{0,6}(\.\d{0,12})?")


class NetworkChoice:
    """What the options say.

    Parameters
    ----------
    topology, traffic, packet_flits : str
    counts : dict of str to str
        Whole numbers of the router, by field.
    words : dict of str to str or bool
        Its other fields.
    """

    def __init__(
        self, topology: str, traffic: str, packet_flits: str, counts: dict[str, str], words: dict[str, str | bool]
    ) -> None:
        from nmpsim.noc.router.settings import RouterSettings
        from nmpsim.noc.synthetic.patterns import make_pattern
        from nmpsim.noc.topology import named_topology

        numbers = Numbers()
        read = {
            name: numbers.read(option, counts[name], 0, MOST_FLITS, "give another number")
            for name, option in SETTINGS.items()
        }
        self.flits = numbers.read("--packet-flits", packet_flits, 1, MOST_FLITS, "give another length")
        faults = list(numbers.faults)
        self.topology: Topology | None = None
        self.pattern: Pattern | None = None
        self.settings: RouterSettings | None = None
        try:
            self.settings = RouterSettings(**read, **words)  # type: ignore[arg-type]
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


def read_sampling(period: str, warmup: str, most: str, limit: str, *, throughput: bool) -> Sampling:
    """Return how long random traffic is measured.

    Parameters
    ----------
    period, warmup, most, limit : str
        Texts of the options.
    throughput : bool

    Raises
    ------
    NmpsimError
        With every option that is wrong.
    """
    from nmpsim.noc.synthetic.run import Sampling

    numbers = Numbers()
    periods = numbers.read("--warmup-periods", warmup, 0, MOST_PERIODS, "give another number")
    sampling = Sampling(
        period=numbers.read("--period", period, 1, MOST_CYCLES, "give another number"),
        warmup_periods=periods,
        most_periods=numbers.read("--most-periods", most, periods + 1, MOST_PERIODS, "give more than warm up"),
        latency_limit=float(numbers.read("--latency-limit", limit, 1, MOST_CYCLES, "give another number")),
        throughput_only=throughput,
    )
    numbers.refuse()
    return sampling
