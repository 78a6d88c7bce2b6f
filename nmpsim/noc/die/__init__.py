"""The network of a die: cores, gateways and links to other stacks around routers with virtual channels.

Read in this order: topology.py, state.py, endpoint.py, gateway.py, sums.py, network.py, check.py; the contract is
docs/seams/network.md.
"""

from nmpsim.noc.die.check import check_conservation, check_drained, raise_faults
from nmpsim.noc.die.network import step_link, step_network
from nmpsim.noc.die.state import Fabric, NocState, build_fabric, make_ports

__all__ = [
    "Fabric",
    "NocState",
    "build_fabric",
    "check_conservation",
    "check_drained",
    "make_ports",
    "raise_faults",
    "step_link",
    "step_network",
]
