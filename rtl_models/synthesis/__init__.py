"""Synthesis of the RTL: area, critical path, energy of an operation and leakage of blocks, mapped to a cell library.

``python -m rtl_models.synthesis`` (or ``make synth``) writes the tables that `nmpsim.cost` reads.
"""
