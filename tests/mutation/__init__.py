"""Mutants of the core: of its netlists and of its kernels, drawn by a seed; what kills them, and what survives.

``python -m tests.mutation --netlist 200 --code 200 --seed 1`` draws, runs and reports; docs/core/mutation.md says how.
"""
