"""Collective operations on a network of routers, with trees in the network or by messages alone.

Read in this order: steps.py, plan.py, software.py, phases.py, timetable.py, values.py; the contract is
docs/noc/collectives.md.
"""
