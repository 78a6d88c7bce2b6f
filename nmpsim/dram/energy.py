"""Energy of DRAM commands: counts times the energy of one, nothing else.

The energy of an ACT covers the PRE that ends it, and the energy of a column covers the way of its data to the bank's
port.  What the network, the buffers and the compute units take is counted where they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from nmpsim.spec.protocol import Protocol


def command_energy(protocol: Protocol, counts: Mapping[str, int]) -> dict[str, float]:
    """Return the energy of the commands of a run, by command; pJ.

    Parameters
    ----------
    protocol : Protocol
        Says what one command takes, with the sources in its table.
    counts : mapping of str to int
        Commands by name.

    Raises
    ------
    KeyError
        If the protocol knows no energy of a command.
    """
    return {name: count * protocol.command_pJ[name] for name, count in counts.items()}
