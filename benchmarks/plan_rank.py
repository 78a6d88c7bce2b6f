# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""Predicted against measured cycles over random legal plans of every class of operator: docs/schedule/rank.md.

Run: ``python benchmarks/plan_rank.py [--plans N] [--classes A,B] [--folder FOLDER] [--read] [--write]``.  One operator
of a one-layer step has a plan drawn from the whole space, all others the plain one; the step runs in cycle mode.
Ranked are the cycles of the step against the prediction of the operator and of the change of layout before it.  For the
ratio of two plans the rest of the step has to be taken off: the fastest step less the prediction of its operator.

A class is measured in several steps (models, chips, batches).  Plans of different steps are never compared as they
stand: each counts as a ratio to the median of its own step, predictions and measurements alike.

Measured plans are kept in the folder: who stops the study and asks for fewer plans gets those that have been measured.
``--write`` writes the page and the record beside this file; ``--read`` takes cycles from the record and predicts anew.
"""

from __future__ import annotations

import csv
import functools
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from nmpsim.api import prepare
from nmpsim.machine.simulate import Simulation
from nmpsim.program.encode import encode
from nmpsim.program.schedule import AttentionPlan, GemmPlan, PassPlan, Schedule
from nmpsim.schedule.plain import plain_schedule
from nmpsim.schedule.search import Search
from nmpsim.schedule.space import Space
from nmpsim.study import Outcome, Point, run_study
from nmpsim.workload import Model, OperatorKind, load_model

PAGE = Path(__file__).parents[1] / "docs" / "schedule" / "rank.md"
RECORD = Path(__file__).with_suffix(".csv")
TASK = "plan_rank:measured"
GEMM_NUMBERS = 8
"""Numbers of a plan of a GEMM in the record; one of attention has more."""
FAR = 1.2
"""Ratio of cycles from which on two plans count as different (issue: more than 20 %)."""
ENOUGH = 20
"""Plans that a step must have of a class for a rank correlation of its own to count."""

Plan = GemmPlan | AttentionPlan


class Step(NamedTuple):
    """A one-layer step in which a class of operators is replanned.

    Parameters
    ----------
    model, chip : str
    batch, context : int
    ffn, vocab : int
        To which width of the feed-forward network and vocabulary are cut, where they only take time; 0: not cut.
    hidden : int
        To which the model width is cut, and the heads in proportion; 0: not cut.
    chosen : int
        To which the experts of a token are cut, since encoding them takes time; 0: not cut.
    """

    model: str
    chip: str
    batch: int
    context: int
    ffn: int = 0
    vocab: int = 1024
    hidden: int = 0
    chosen: int = 0


ATTENDING = (
    Step("llama-3.1-8b", "snake", 16, 256, 2048, 8192),
    Step("llama-3.1-8b", "stratum", 4, 256, 2048, 8192),
    Step("qwen3-30b-a3b", "snake", 2, 512, 256, 8192, chosen=2),
    Step("qwen2.5-32b", "stratum", 8, 128, 2048, 8192),
)
FEEDING = (
    Step("llama-3.1-8b", "snake", 16, 256),
    Step("llama-3.1-8b", "stratum", 4, 256),
    Step("llama-3.1-8b", "snake", 4, 64),
    Step("llama-3.1-8b", "stratum", 16, 64),
)
UNGATED = (
    Step("opt-66b", "snake", 16, 64, 9216, hidden=2304),
    Step("opt-66b", "stratum", 4, 64, 9216, hidden=2304),
    Step("opt-66b", "snake", 4, 64, 9216, hidden=2304),
    Step("opt-66b", "stratum", 16, 64, 9216, hidden=2304),
)
EXPERTS = (
    Step("mixtral-8x7b", "snake", 16, 64, 3584),
    Step("olmoe-1b-7b", "stratum", 4, 64, chosen=2),
    Step("qwen3-30b-a3b", "snake", 2, 64, chosen=2),
    Step("mixtral-8x7b", "stratum", 8, 64, 3584),
)
ROUTERS = (
    Step("mixtral-8x7b", "snake", 4, 64, 256),
    Step("olmoe-1b-7b", "snake", 8, 64, 256, chosen=2),
    Step("qwen3-30b-a3b", "snake", 2, 64, 256, chosen=2),
    Step("mixtral-8x7b", "snake", 16, 64, 256),
    Step("olmoe-1b-7b", "snake", 2, 64, 256, chosen=2),
)
CLASSES = {
    "qkv": ATTENDING,
    "attention": ATTENDING,
    "attn_out": ATTENDING,
    "lm_head": ATTENDING,
    "gate_up": FEEDING,
    "down": FEEDING,
    "up": UNGATED,
    "expert gate_up": EXPERTS,
    "expert down": EXPERTS,
    "router": ROUTERS,
}
"""Steps of every class; a class has several, since one has not enough plans, or shows one size only."""

Measurements = dict[str, dict[Step, list[tuple[Plan, int]]]]
"""Plans of every class and step, with the cycles of the step."""


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


def cut(step: Step) -> Model:
    """Return the model of a step, cut where the step says so."""
    model = load_model(step.model)
    chosen = step.chosen or model.experts_per_token
    small = replace(model, vocab=step.vocab, ffn=step.ffn or model.ffn, experts_per_token=chosen)
    if not step.hidden:
        return small
    heads = model.heads * step.hidden // model.hidden
    return replace(small, hidden=step.hidden, heads=heads, kv_heads=model.kv_heads * heads // model.heads)


class Bench:
    """One step, of which one operator at a time is replanned."""

    def __init__(self, step: Step) -> None:
        self.job = prepare(cut(step), step.chip, batch=step.batch, context=step.context, layers=1)
        array = self.job.chip.core.array
        self.space = Space(self.job.graph, self.job.params, tuple(array.dataflows) if array is not None else ())
        self.search = Search(self.space)
        self.plain = plain_schedule(self.job.graph, self.job.params, self.space.dataflows)

    def cycles(self, schedule: Schedule) -> int:
        """Cycles of the step under a schedule."""
        tokens = (1,) * self.job.graph.batch
        simulation = Simulation(self.job.params, encode(schedule, self.job.params, tokens))
        simulation.run()
        return simulation.end // self.job.params.core_period

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
        if self.job.graph.operators[index].kind is not OperatorKind.DOWN:
            return list(every)
        over = self.plain.gemm[index].over
        return [p for p in every if p.over == over]  # else its input has another layout: the operator before changes

    def schedule(self, kind: str, plan: Plan) -> Schedule:
        """The plain schedule with another plan of one operator."""
        if isinstance(plan, AttentionPlan):
            return replace(self.plain, attention=plan)
        changed: dict[int, GemmPlan] = {**self.plain.gemm, self.index(kind): plan}
        return replace(self.plain, gemm=changed)

    def predicted(self, kind: str, plan: Plan) -> float | None:
        """Predicted cycles of a plan, with the change of layout before it; None if it is not possible."""
        if isinstance(plan, AttentionPlan):
            cost = self.search.attention_cost(plan)
            return None if cost is None else cost.total
        index = self.index(kind)
        cost = self.search.cost(index, plan)
        takes, _ = self.search.layouts(self.job.graph.operators[index], plan, plan.over)
        return None if cost is None else cost.total + self.search.change(index, takes)

    def drawn(self, kind: str, number: int, seed: int = 0) -> Iterator[Plan]:
        """Yield that many random plans of a class that fit beside the plain plans, or all there are."""
        dice = random.Random(seed)  # noqa: S311 - no secret
        every = self.plans(kind)
        dice.shuffle(every)
        for plan in every:
            if number and self.predicted(kind, plan) is not None and self.space.fits(self.schedule(kind, plan)):
                number -= 1
                yield plan


@functools.cache
def bench_of(step: Step) -> Bench:
    """Return the bench of a step, made once."""
    return Bench(step)


def measured(settings: dict[str, Any]) -> dict[str, Any]:
    """Task of the study: cycles of the step with one operator replanned."""
    bench = bench_of(Step(**{name: settings[name] for name in Step._fields}))
    return {"cycles": bench.cycles(bench.schedule(settings["kind"], read(settings["plan"])))}


def written(plan: Plan) -> list[int]:
    """Return a plan as numbers: how it is spread, then its shape or shapes; FP16."""

    def shape(one: PassPlan) -> list[int]:
        return [one.flow, one.group, one.split, one.contiguous]

    if isinstance(plan, AttentionPlan):
        return [plan.parts, plan.together, plan.turns, *shape(plan.score), *shape(plan.value)]
    return [plan.over, plan.chunks, plan.team, plan.working, *shape(plan.shape)]


def read(numbers: Sequence[int]) -> Plan:
    """Return the plan that `written` wrote; figures for the record are left out."""
    if len(numbers) == GEMM_NUMBERS:
        over, chunks, team, working, *shape = numbers
        return GemmPlan(over, PassPlan(*shape), 0, 0, chunks, team, working)
    parts, together, turns, *shapes = numbers
    return AttentionPlan(parts, PassPlan(*shapes[:4]), PassPlan(*shapes[4:]), together, turns)


def write_record(measurements: Measurements) -> None:
    """Write plans and cycles to the record, a line each."""
    with RECORD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("class", "step", "plan", "cycles"))
        for kind, steps in measurements.items():
            for step, found in steps.items():
                place = CLASSES[kind].index(step)
                writer.writerows((kind, place, " ".join(map(str, written(plan))), cycles) for plan, cycles in found)


def read_record() -> Measurements:
    """Return what the record holds."""
    found: Measurements = {}
    with RECORD.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = CLASSES[row["class"]][int(row["step"])]
            plan = read([int(number) for number in row["plan"].split()])
            found.setdefault(row["class"], {}).setdefault(step, []).append((plan, int(row["cycles"])))
    return found


class Ranked(NamedTuple):
    """Plans of a class in one step: predicted and measured cycles of the operator.

    Parameters
    ----------
    predicted, own : list of float
        ``own``: cycles of the step without its rest, which is the fastest step less the prediction of its operator.
    lost : float
        Cycles of the step that the plan with the least prediction needs more than the fastest.
    """

    predicted: list[float]
    own: list[float]
    lost: float


def ranked(found: list[tuple[float, float]]) -> Ranked:
    """Return what is ranked of the plans of one step.

    Parameters
    ----------
    found : list of (float, float)
        Predicted cycles of the operator, measured cycles of the step.
    """
    predicted, cycles = [p for p, _ in found], [c for _, c in found]
    least = min(cycles)
    own = [c - least + predicted[cycles.index(least)] for c in cycles]
    return Ranked(predicted, own, cycles[predicted.index(min(predicted))] - least)


def pooled(steps: list[Ranked]) -> float:
    """Return the rank correlation over the plans of several steps, each a ratio to the median of its own step."""
    x = [p / median(step.predicted) for step in steps for p in step.predicted]
    y = [c / median(step.own) for step in steps for c in step.own]
    return spearman(x, y)


def figures_of(steps: list[Ranked]) -> str:
    """Return cells of the table: plans, Spearman, plans 20 % over the best of their step, pairs 20 % apart."""
    pairs = [(a, b) for step in steps for i, a in enumerate(step.own) for b in step.own[:i]]
    far = sum(max(a, b) > FAR * min(a, b) for a, b in pairs)
    over = sum(c > FAR * min(step.own) for step in steps for c in step.own)
    plans = sum(len(step.own) for step in steps)
    return f"{plans} | {pooled(steps):.3f} | {over} | {far} of {len(pairs)} |"


def option(name: str, default: str) -> str:
    """Return what follows an option of the command line."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def points_of(number: int, classes: dict[str, tuple[Step, ...]]) -> dict[str, list[Point]]:
    """Return the points of every class: as many of each step in turn, until there are enough."""
    found = {}
    for kind, steps in classes.items():
        drawn = [
            [Point.of(TASK, {**step._asdict(), "kind": kind, "plan": written(plan)}) for plan in plans]
            for step in steps
            for plans in [bench_of(step).drawn(kind, number)]
        ]
        found[kind] = [point for row in zip_longest(*drawn) for point in row if point is not None][:number]
    return found


def measure(number: int, folder: Path, classes: dict[str, tuple[Step, ...]]) -> Measurements:
    """Measure so many plans of each class, all classes in turn."""
    points = points_of(number, classes)
    order = [point for row in zip_longest(*points.values()) for point in row if point is not None]

    def told(done: int, of: int, outcome: Outcome) -> None:
        print(done, of, outcome.point.settings["chip"], outcome.point.settings["kind"], outcome.figures, flush=True)

    figures = {o.point: o.figures for o in run_study(order, folder, workers=1, progress=told)}
    found: Measurements = {}
    for kind, own in points.items():
        for point in own:
            step, run = Step(**{name: point.settings[name] for name in Step._fields}), figures[point]
            if run is not None:
                found.setdefault(kind, {}).setdefault(step, []).append((read(point.settings["plan"]), run["cycles"]))
    return found


def ranks_of(kind: str, steps: dict[Step, list[tuple[Plan, int]]]) -> dict[Step, Ranked]:
    """Predict the measured plans of a class, and return what is ranked in each step."""
    found = {}
    for step, plans in steps.items():
        predicted = [(bench_of(step).predicted(kind, plan), float(cycles)) for plan, cycles in plans]
        found[step] = ranked([(p, cycles) for p, cycles in predicted if p is not None])
    return found


def tables(measurements: Measurements) -> list[str]:
    """Return the lines of both tables: classes, and their steps."""
    head = "measured | Spearman | 20 % over the best | pairs 20 % apart |"
    lines = ["", f"| class | steps | {head} least of a step |", "| --- " + "| ---: " * 6 + "|"]
    each = ["", f"| class | step | plans in the space | {head} cycles lost |", "| --- " * 2 + "| ---: " * 6 + "|"]
    for kind, steps in measurements.items():
        of_steps = ranks_of(kind, steps)
        for step, one in of_steps.items():
            name = f"{step.model}, {step.chip}, batch {step.batch}, context {step.context}"
            cells = figures_of([one])
            each.append(f"| {kind} | {name} | {len(bench_of(step).plans(kind))} | {cells} {one.lost:.0f} |")
        least = min((spearman(*one[:2]) for one in of_steps.values() if len(one.own) >= ENOUGH), default=float("nan"))
        lines.append(f"| {kind} | {len(of_steps)} | {figures_of(list(of_steps.values()))} {least:.3f} |")
    return [*lines, *each]


def main() -> None:
    """Measure, or read what has been measured; print the tables, and write them to the page if asked to."""
    if "--read" in sys.argv:
        measurements = read_record()
    else:
        classes = {kind: CLASSES[kind] for kind in option("--classes", ",".join(CLASSES)).split(",")}
        measurements = measure(int(option("--plans", "200")), Path(option("--folder", "out/plan_rank")), classes)
    table = "\n".join(tables(measurements))
    print(table)
    if "--write" in sys.argv:
        write_record(measurements)
        text = PAGE.read_text(encoding="utf-8")
        before, rest = text.split("<!-- table -->")
        after = rest.split("<!-- end table -->")[1]
        PAGE.write_text(f"{before}<!-- table -->\n{table}\n\n<!-- end table -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
