"""What waits for what across the levels: cores, networks inside PUs, that of the die, gateways, links between stacks.

    core --> gateway --> link channel k --> ... --> link channel 0 --> network of the die --> core

A message to another stack goes to the gateway of its own node first, which it reaches without any link of the die, and
uses the network of the die where it arrives.  The other way about, messages that have come in would wait behind those
that want out.

    core --> inside its PU, outward --> gateway --> network between PUs --> gateway --> inside a PU, inward --> core

Outward and inward are virtual channels of the same links, so that the chain does not close.
"""

from __future__ import annotations

from nmpsim.errors import Fault, SpecError
from nmpsim.noc.topology.dependence import find_cycle

CORE, NETWORK, GATE, CHANNEL, OUTWARD, INWARD, GATE_OUT, GATE_IN = range(8)
NAMES = (
    "injection of a core",
    "network of the die",
    "gateway",
    "link channel",
    "channel inside a PU, outward",
    "channel inside a PU, inward",
    "gateway out of a PU",
    "gateway into a PU",
)

Level = tuple[int, int]
"""Kind of resource and, for a channel of a link, its number."""


def level_waits(hops: int, *, across_the_die: bool = False) -> dict[Level, set[Level]]:
    """Return what a message that holds a resource may wait for.

    Parameters
    ----------
    hops : int
        Most links between stacks that a message crosses.
    across_the_die : bool
        Whether messages to other stacks use the network of their own die first; they do not.
    """
    waits: dict[Level, set[Level]] = {(CORE, 0): {(NETWORK, 0), (GATE, 0)}, (GATE, 0): set(), (NETWORK, 0): set()}
    for k in range(hops):
        waits[GATE, 0].add((CHANNEL, k))
        waits[CHANNEL, k] = {(CHANNEL, k - 1)} if k else {(NETWORK, 0)}
    if across_the_die:
        waits[NETWORK, 0].add((GATE, 0))
    return waits


def pu_waits(*, shared: bool) -> dict[Level, set[Level]]:
    """Return what a message that holds a resource may wait for, where PUs have networks inside.

    Parameters
    ----------
    shared : bool
        Whether messages out of a PU and others can take the same virtual channel of a link, see
        `groups.shares_channels`.
    """
    inward = OUTWARD if shared else INWARD
    waits: dict[Level, set[Level]] = {(OUTWARD, 0): set(), (inward, 0): set()}
    waits[OUTWARD, 0] |= {(GATE_OUT, 0)}
    waits[CORE, 0] = {(OUTWARD, 0), (inward, 0)}
    waits[GATE_OUT, 0] = {(NETWORK, 0)}
    waits[NETWORK, 0] = {(GATE_IN, 0)}
    waits[GATE_IN, 0] = {(inward, 0)}
    return waits


def check_levels(waits: dict[Level, set[Level]]) -> None:
    """Refuse levels in which messages can wait for each other in a circle.

    Parameters
    ----------
    waits : dict of tuple to set of tuple
        From `level_waits` or `pu_waits`.

    Raises
    ------
    SpecError
        With the cycle.
    """
    circle = find_cycle(waits)
    if circle:
        names = [NAMES[kind] + (f" {number}" if kind == CHANNEL else "") for kind, number in [*circle, circle[0]]]
        fault = Fault(
            "levels", " -> ".join(names), "levels that wait for each other in one direction", "route otherwise"
        )
        raise SpecError("messages between levels could wait for each other for ever", [fault])
