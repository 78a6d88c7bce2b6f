"""The inter-PU ring: routers, links, virtual channels, credits.

Read in this order: state.py, ring.py, check.py, endpoint.py, traffic.py; the contract is docs/seams/network.md.
"""

from nmpsim.noc.check import check_conservation, check_drained, raise_faults
from nmpsim.noc.ring import settle_links, step_router
from nmpsim.noc.state import REASONS, NocState, make_state

__all__ = [
    "REASONS",
    "NocState",
    "check_conservation",
    "check_drained",
    "make_state",
    "raise_faults",
    "settle_links",
    "step_router",
]
