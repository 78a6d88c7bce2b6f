"""Comparisons with the recorded outputs of public simulators.

``case``
    One recorded DRAM case: protocol, settings, requests, and what the other simulator did.
``dram``
    Runs cases through the reference controller and tells where it differs.
"""
