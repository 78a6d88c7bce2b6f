# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""Predicted against measured cycles over random legal plans of every class of operator: docs/schedule/rank.md.

Run: ``python benchmarks/plan_rank.py [--plans N] [--folder FOLDER] [--write]``.  One operator of a one-layer step has a
plan drawn from the whole space, all others the plain one; the step runs in cycle mode.  Ranked are the cycles of
the step against the prediction of the operator and of the change of layout before it.  For the ratio of two plans the
rest of the step has to be taken off: it is the fastest step less the prediction of its operator.

Measured plans are kept in the folder: who stops the study and asks for fewer plans gets those that have been measured.
"""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from nmpsim.api import Job, prepare, run_job
from nmpsim.program.encode import encode
from nmpsim.program.schedule import AttentionPlan, GemmPlan, PassPlan, Schedule
from nmpsim.schedule.plain import plain_schedule
from nmpsim.schedule.search import Search
from nmpsim.schedule.space import Space
from nmpsim.study import Outcome, Point, run_study
from nmpsim.workload import load_model

PAGE = Path(__file__).parents[1] / "docs" / "schedule" / "rank.md"
TASK = "plan_rank:measured"
FAR = 1.2
"""Ratio of cycles from which on two plans count as different (issue: more than 20 %)."""
DENSE = ("qkv", "attention", "attn_out", "gate_up", "down", "lm_head")
CASES = (
    ("llama-3.1-8b", "snake", 16, 256, DENSE),
    ("llama-3.1-8b", "stratum", 16, 256, DENSE),
    ("olmoe-1b-7b", "snake", 8, 64, ("router", "expert gate_up")),
)


def ranks(values: list[float]) -> list[float]:
    """Return the rank of every value; equal values share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for i in order[start:end]:
            found[i] = (start + end - 1) / 2
        start = end
    return found


def spearman(a: list[float], b: list[float]) -> float:
    """Return Spearman's rank correlation; nan if one of the two does not vary."""
    x, y = ranks(a), ranks(b)
    mean = (len(x) - 1) / 2
    top = sum((p - mean) * (q - mean) for p, q in zip(x, y, strict=True))
    scale = (sum((p - mean) ** 2 for p in x) * sum((q - mean) ** 2 for q in y)) ** 0.5
    return top / scale if scale else float("nan")


class Bench:
    """One step, of which one operator at a time is replanned."""

    def __init__(self, model: str, chip: str, batch: int, context: int) -> None:
        small = replace(load_model(model), vocab=8192)  # the LM head has its own class: elsewhere it only takes time
        self.job = prepare(small, chip, batch=batch, context=context, layers=1)
        array = self.job.chip.core.array
        self.space = Space(self.job.graph, self.job.params, tuple(array.dataflows) if array is not None else ())
        self.search = Search(self.space)
        self.plain = plain_schedule(self.job.graph, self.job.params, self.space.dataflows)

    def cycles(self, schedule: Schedule) -> int:
        """Cycles of the step under a schedule."""
        tokens = (1,) * self.job.graph.batch
        job: Job = replace(self.job, schedule=schedule, program=encode(schedule, self.job.params, tokens))
        return run_job(job).cycles

    def index(self, kind: str) -> int:
        """The operator that is replanned, by index into the graph; -1: attention."""
        name = kind.removeprefix("expert ")
        gemms = self.space.gemms.items()
        same = [i for i, o in gemms if o.kind == name and (kind == name or ".expert" in o.name)]
        return -1 if kind == "attention" else same[0]

    def plans(self, kind: str) -> list[GemmPlan] | list[AttentionPlan]:
        """Every plan of a class."""
        if kind == "attention":
            return list(self.space.attention)
        index = self.index(kind)
        every = self.space.plans(self.job.graph.operators[index])
        if kind != "down":
            return list(every)
        over = self.plain.gemm[index].over
        return [p for p in every if p.over == over]  # else its input has another layout: the operator before changes

    def schedule(self, kind: str, plan: GemmPlan | AttentionPlan) -> Schedule:
        """The plain schedule with another plan of one operator."""
        if isinstance(plan, AttentionPlan):
            return replace(self.plain, attention=plan)
        changed: dict[int, GemmPlan] = {**self.plain.gemm, self.index(kind): plan}
        return replace(self.plain, gemm=changed)

    def predicted(self, kind: str, plan: GemmPlan | AttentionPlan) -> float | None:
        """Predicted cycles of a plan, with the change of layout before it; None if it is not possible."""
        if isinstance(plan, AttentionPlan):
            cost = self.search.attention_cost(plan)
            return None if cost is None else cost.total
        index = self.index(kind)
        cost = self.search.cost(index, plan)
        takes, _ = self.search.layouts(self.job.graph.operators[index], plan, plan.over)
        return None if cost is None else cost.total + self.search.change(index, takes)

    def drawn(self, kind: str, number: int, seed: int = 0) -> Iterator[GemmPlan | AttentionPlan]:
        """Yield that many random plans of a class that fit beside the plain plans, or all there are."""
        dice = random.Random(seed)  # noqa: S311 - no secret
        every = self.plans(kind)
        dice.shuffle(every)
        for plan in every:
            if number and self.predicted(kind, plan) is not None and self.space.fits(self.schedule(kind, plan)):
                number -= 1
                yield plan


@functools.cache
def bench_of(model: str, chip: str, batch: int, context: int) -> Bench:
    """Return the bench of a step, made once."""
    return Bench(model, chip, batch, context)


def measured(settings: dict[str, Any]) -> dict[str, Any]:
    """Task of the study: cycles of the step with one operator replanned."""
    bench = bench_of(*(settings[name] for name in ("model", "chip", "batch", "context")))
    return {"cycles": bench.cycles(bench.schedule(settings["kind"], read(settings["plan"])))}


def written(plan: GemmPlan | AttentionPlan) -> dict[str, Any]:
    """Return a plan as JSON knows it; FP16."""

    def shape(one: PassPlan) -> list[int]:
        return [one.flow, one.group, one.split, one.contiguous]

    if isinstance(plan, AttentionPlan):
        together = {"parts": plan.parts, "together": plan.together, "turns": plan.turns}
        return {**together, "score": shape(plan.score), "value": shape(plan.value)}
    spread = {"over": plan.over, "chunks": plan.chunks, "team": plan.team, "working": plan.working}
    return {**spread, "shape": shape(plan.shape)}


def read(text: dict[str, Any]) -> GemmPlan | AttentionPlan:
    """Return the plan that `written` wrote; figures for the record are left out."""
    shapes = {name: PassPlan(*text[name]) for name in ("score", "value", "shape") if name in text}
    rest = {name: text[name] for name in text if name not in shapes}
    return (
        GemmPlan(array_cycles=0, network_bytes=0, **shapes, **rest)
        if "shape" in text
        else AttentionPlan(**shapes, **rest)
    )


def line(kind: str, plans: int, found: list[tuple[float, float]]) -> str:
    """Return a line of the table.

    Parameters
    ----------
    kind : str
        Class.
    plans : int
        In the space.
    found : list of (float, float)
        Predicted and measured cycles.
    """
    predicted, cycles = [p for p, _ in found], [c for _, c in found]
    least = min(cycles)
    own = [m - least + predicted[cycles.index(least)] for m in cycles]
    pairs = [(a, b) for i, a in enumerate(own) for b in own[:i]]
    far = sum(max(a, b) > FAR * min(a, b) for a, b in pairs)
    apart = sum(o > FAR * min(own) for o in own)
    best = cycles[predicted.index(min(predicted))] - least
    rho = spearman(predicted, cycles)
    return f"| {kind} | {plans} | {len(own)} | {rho:.3f} | {apart} | {far} of {len(pairs)} | {best:.0f} |"


def option(name: str, default: str) -> str:
    """Return what follows an option of the command line."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def main() -> None:
    """Measure all classes in turn, print the table, and write it to the page if asked to."""
    number, folder = int(option("--plans", "200")), Path(option("--folder", "out/plan_rank"))
    classes = [(case[:4], kind) for case in CASES for kind in case[4]]
    points: dict[tuple[tuple[str, str, int, int], str], list[Point]] = {}
    for step, kind in classes:
        fixed = dict(zip(("model", "chip", "batch", "context"), step, strict=True))
        plans = bench_of(*step).drawn(kind, number)
        points[step, kind] = [Point.of(TASK, {**fixed, "kind": kind, "plan": written(plan)}) for plan in plans]
    order = [point for row in zip_longest(*points.values()) for point in row if point is not None]

    def told(done: int, of: int, outcome: Outcome) -> None:
        print(done, of, outcome.point.settings["chip"], outcome.point.settings["kind"], outcome.figures, flush=True)

    figures = {o.point: o.figures for o in run_study(order, folder, workers=1, progress=told)}
    lines: list[str] = []
    for model, chip, batch, context, kinds in CASES:
        lines += ["", f"### {model} on {chip}, batch {batch}, context {context}", ""]
        lines.append(
            "| class | plans in the space | measured | Spearman | 20 % over the best | pairs 20 % apart | cycles lost |"
        )
        lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        step = model, chip, batch, context
        bench = bench_of(*step)
        for kind in kinds:
            found = []
            for point in points[step, kind]:
                predicted, run = bench.predicted(kind, read(point.settings["plan"])), figures[point]
                if predicted is not None and run is not None:
                    found.append((predicted, float(run["cycles"])))
            lines.append(line(kind, len(bench.plans(kind)), found))
            print(lines[-1], flush=True)
    if "--write" in sys.argv:
        text = PAGE.read_text(encoding="utf-8")
        before, rest = text.split("<!-- table -->")
        after = rest.split("<!-- end table -->")[1]
        PAGE.write_text(
            before + "<!-- table -->\n" + "\n".join(lines) + "\n\n<!-- end table -->" + after, encoding="utf-8"
        )


if __name__ == "__main__":
    main()
