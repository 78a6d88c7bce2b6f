"""Ablation studies: what each property of a chip, or of a step, is worth.  What `nmpsim ablate` runs.

study.py     a study: its file, as types
reading.py   from a study file to those types, every fault at once
trials.py    the chips and steps that a study compares: one at a time, as a ladder, as a grid
modes.py     cycle or analytical: which task computes a point
effects.py   from runs to rows, and to the contribution of every level
tables.py    result.json, tables, plot, Parquet
run.py       `run_ablation`: all of it, into a folder
studies/     the shipped ones
"""
