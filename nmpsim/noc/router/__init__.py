"""Networks of input-queued virtual-channel routers, cycle by cycle.

Read in this order: settings.py, state.py, network.py, events.py, vc_allocation.py, switch.py, sources.py; the contract
is docs/noc/router.md.
"""
