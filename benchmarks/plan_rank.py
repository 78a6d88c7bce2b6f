# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""Predicted against measured cycles over random legal plans of every class of operator: docs/schedule/rank.md.

Run: ``python benchmarks/plan_rank.py [--plans N] [--write]``.  One operator of a one-layer step gets a plan drawn from
the whole space, all others keep the plain one; the step runs in cycle mode.  Ranked are the cycles of the step against
the prediction of the operator and of the change of layout before it.  For the ratio of two plans the rest of the step
has to be taken off: it is the fastest step less the prediction of its operator.
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

from nmpsim.api import Job, prepare, run_job
from nmpsim.errors import InfeasibleError
from nmpsim.program.encode import encode
from nmpsim.program.schedule import GemmPlan, Schedule
from nmpsim.schedule.plain import plain_schedule
from nmpsim.schedule.search import Search
from nmpsim.schedule.space import Space
from nmpsim.workload import load_model

PAGE = Path(__file__).parents[1] / "docs" / "schedule" / "rank.md"
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

    def plans(self, kind: str) -> list[tuple[Schedule, float]]:
        """Every schedule that differs in one operator alone, and its prediction."""
        if kind == "attention":
            found = []
            for plan in self.space.attention:
                cost = self.search.attention_cost(plan)
                if cost is not None:
                    found.append((replace(self.plain, attention=plan), cost.total))
            return found
        name = kind.removeprefix("expert ")
        same = [i for i, o in self.space.gemms.items() if o.kind == name and (kind == name or ".expert" in o.name)]
        down = next(self.plain.gemm[i].over for i, o in self.space.gemms.items() if o.kind == "down")
        found = []
        for plan, cost in self.search.costs(same[0]):
            if kind == "down" and plan.over != down:
                continue  # its input would have another layout: the operator before it changes too
            takes, _ = self.search.layouts(self.job.graph.operators[same[0]], plan, down)
            layout = self.search.change(same[0], takes)
            changed: dict[int, GemmPlan] = {**self.plain.gemm, same[0]: plan}
            found.append((replace(self.plain, gemm=changed), cost.total + layout))
        return found


def row(bench: Bench, kind: str, number: int, seed: int = 0) -> str:
    """Draw plans of a class, measure them, and return a line of the table.

    Parameters
    ----------
    bench : Bench
    kind : str
    number : int
        Plans to draw.
    seed : int
    """
    dice = random.Random(seed)  # noqa: S311 - no secret
    every = bench.plans(kind)
    dice.shuffle(every)
    predicted: list[float] = []
    measured: list[float] = []
    for schedule, cost in every:
        if len(measured) == number:
            break
        try:
            if bench.space.fits(schedule):
                measured.append(float(bench.cycles(schedule)))
                predicted.append(cost)
        except InfeasibleError:
            continue
    least = min(measured)
    own = [m - least + predicted[measured.index(least)] for m in measured]
    pairs = [(a, b) for i, a in enumerate(own) for b in own[:i]]
    far = sum(max(a, b) > FAR * min(a, b) for a, b in pairs)
    apart = sum(o > FAR * min(own) for o in own)
    best = measured[predicted.index(min(predicted))] - least
    rho = spearman(predicted, measured)
    return f"| {kind} | {len(every)} | {len(own)} | {rho:.3f} | {apart} | {far} of {len(pairs)} | {best:.0f} |"


def main() -> None:
    """Measure all classes, print the table, and write it to the page if asked to."""
    number = int(sys.argv[sys.argv.index("--plans") + 1]) if "--plans" in sys.argv else 200
    lines: list[str] = []
    for model, chip, batch, context, kinds in CASES:
        lines += ["", f"### {model} on {chip}, batch {batch}, context {context}", ""]
        lines.append(
            "| class | plans in the space | measured | Spearman | 20 % over the best | pairs 20 % apart | cycles lost |"
        )
        lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        bench = Bench(model, chip, batch, context)
        for kind in kinds:
            lines.append(row(bench, kind, number))
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
