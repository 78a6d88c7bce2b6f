"""Published claims as experiments with a verdict: what `nmpsim claims` runs.

claim.py       a claim: its file in validation/
workload.py    decode steps of whole models from runs of few layers
fit.py         the array that fits where MAC trees stand
power.py       a step within a limit of power
comparison.py  arrays against MAC trees: speed, energy, ceilings
roofline.py    which operators are compute-bound
ladder.py      from MAC trees to the unified array, step by step
judge.py       rules of verdicts
finding.py     result.json, table and plot
run.py         `run_claims`
"""
