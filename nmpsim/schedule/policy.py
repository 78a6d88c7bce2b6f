"""Policies: named ways to choose a schedule out of the plan space.

==================  ==================================================================================================
plain               fewest array cycles for every operator; no prediction (`nmpsim.schedule.plain`)
searched            fewest predicted cycles for the whole step (`nmpsim.schedule.search`)
stratum             the mapping of Stratum: gate and up over N, down over K, the longer side over the slices of a core;
                    sequences split within groups of PUs that have two KV heads each
temporal-only       spread fixed (N, heads); shape, dataflow and depth in time by prediction
array-only          spread fixed, in as few pieces as fit; shape and dataflow by prediction
spatial             spread, shape and dataflow by prediction, in as few pieces as fit
spatial-only        spread by prediction; one shape and dataflow for all GEMMs, nothing reduced under other work
operator-agnostic   one spread, shape and dataflow for all GEMMs
random-legal        any legal plan for every operator, drawn with the seed
==================  ==================================================================================================

A policy narrows the space to what it allows, and the search takes the cheapest schedule of what is left that fits into
the buffer; *plain* and *random-legal* choose by themselves.  Where a rule leaves an operator no plan, it
keeps all of its plans: a policy never makes a step impossible.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace

from nmpsim.errors import Fault, InfeasibleError, SpecError
from nmpsim.program.isa import SPLIT_K, SPLIT_N
from nmpsim.program.schedule import OVER_K, OVER_N, AttentionPlan, GemmPlan, Schedule
from nmpsim.schedule.chain import IMPOSSIBLE
from nmpsim.schedule.plain import plain_schedule
from nmpsim.schedule.search import Search
from nmpsim.schedule.space import Key, Shared, Space, key_of
from nmpsim.workload import Operator, OperatorKind

PLAIN = "plain"
TRIES = 200
"""Draws of a whole random schedule until one fits; then with growing number of chunks."""

Allows = Callable[[Operator, GemmPlan], bool]
Attends = Callable[[AttentionPlan], bool]


@dataclass(frozen=True)
class Narrowed(Space):
    """A space of which only a part is allowed.

    Parameters
    ----------
    graph, params, dataflows, first_row, modes, attending, shared
        As for `Space`.
    allows : callable, optional
        Whether a plan of a GEMM is allowed.
    attends : callable, optional
        Whether a plan of attention is allowed.
    """

    allows: Allows | None = None
    attends: Attends | None = None

    def plans(self, operator: Operator) -> tuple[GemmPlan, ...]:
        """Return every allowed plan of a GEMM; all of them if the rule leaves none.

        Parameters
        ----------
        operator : Operator
        """
        every = super().plans(operator)
        allows = self.allows
        return every if allows is None else tuple(p for p in every if allows(operator, p)) or every

    @property
    def attention(self) -> tuple[AttentionPlan, ...]:
        """Every allowed plan of attention; all of them if the rule leaves none."""
        every = super().attention
        return every if self.attends is None else tuple(filter(self.attends, every)) or every


def _narrow(space: Space, allows: Allows | None, attends: Attends, base: Search | None = None) -> Search:
    same = {field.name: getattr(space, field.name) for field in fields(Space)}
    same["shared"] = Shared(space.shared.plans, space.shared.single)  # a rule has its own comparison
    return Search(Narrowed(**same, allows=allows, attends=attends), base)


def plain(space: Space) -> Schedule:
    """Return the plain schedule.

    Parameters
    ----------
    space : Space
    """
    return plain_schedule(space.graph, space.params, space.dataflows, first_row=space.first_row, modes=space.modes)


def searched(space: Space) -> Schedule:
    """Return the cheapest schedule of the whole space; the plain one if the search cannot tell that it is better.

    Parameters
    ----------
    space : Space
    """
    search = Search(space)
    found = search.best().schedule
    return _overlapped(search, search.ahead(_simpler(search, found)))


def _simpler(search: Search, found: Schedule) -> Schedule:
    """Return the plain schedule if it fits and the search cannot tell that the one it found is better."""
    try:
        simple = plain(search.space)
    except InfeasibleError:
        return found
    cycles, least = search.predicted(simple), search.predicted(found)
    if cycles is None or least is None or not search.space.fits(simple):
        return found
    return simple if cycles - least <= search.doubt(simple, found) else found


def _overlapped(search: Search, taken: Schedule) -> Schedule:
    """Return the schedule, or the cheapest over N if experts overlap and it is not told to be slower.

    Over N nothing is added up between PUs while experts overlap: that is the simpler one then.
    """
    try:
        other = temporal_only(search.space) if taken.ahead else taken
    except InfeasibleError:
        return taken
    least, cycles = search.predicted(taken), search.predicted(other)
    if not other.ahead or least is None or cycles is None:
        return taken
    return other if cycles - least <= search.doubt(other, taken) else taken


def stratum(space: Space) -> Schedule:
    """Return Stratum's mapping; projections of attention, which the paper leaves to the GPU, as its up projections.

    Source: Stratum, arXiv 2510.05245, "operator mapping": W1 and W2 by columns, W3 by rows over the PUs; in a PU the
    longer dimension of the weights over the PEs; heads over groups of PUs with at least two heads each, the sequence
    split within a group.

    Parameters
    ----------
    space : Space
    """
    model, pus = space.graph.model, space.params.cores
    groups = max(1, min(pus, model.kv_heads // 2))
    parts = min(-(-pus // groups), space.graph.most_tokens)

    def allows(operator: Operator, plan: GemmPlan) -> bool:
        over = OVER_K if operator.kind in {OperatorKind.DOWN, OperatorKind.ROUTER} else OVER_N
        if plan.over != over or plan.team > 1:
            return False
        shares = space.shares(operator)
        n, k = (shares.columns, operator.k) if over == OVER_N else (operator.n, shares.depth)
        return plan.shape.split == (SPLIT_K if k >= n else SPLIT_N)

    return _narrow(space, allows, lambda plan: plan.parts == parts).best().schedule


def temporal_only(space: Space) -> Schedule:
    """Return the cheapest schedule with one fixed spread: N of GEMMs, heads and sequences of attention.

    Parameters
    ----------
    space : Space
    """
    search = _narrow(space, lambda _, plan: plan.over == OVER_N and plan.team == 1, lambda plan: plan.parts == 1)
    return search.ahead(search.best().schedule)


def spatial_only(space: Space) -> Schedule:
    """Return the cheapest schedule in which all GEMMs have one shape and every reduction comes after its GEMM.

    Parameters
    ----------
    space : Space
    """
    return _one_shape(space, None)


def array_only(space: Space) -> Schedule:
    """Return the cheapest schedule of one spread, by columns and whole sequences, in few pieces: its shapes are chosen.

    Parameters
    ----------
    space : Space
    """
    return _few_pieces(space, lambda plan: plan.over == OVER_N and plan.team == 1, lambda plan: plan.parts == 1)


def spatial(space: Space) -> Schedule:
    """Return the cheapest schedule over every spread and shape, in few pieces: nothing overlaps that need not.

    Parameters
    ----------
    space : Space
    """
    return _few_pieces(space, lambda _: True, lambda _: True)


def _few_pieces(
    space: Space, spreads: Callable[[GemmPlan], bool], attends: Callable[[AttentionPlan], bool]
) -> Schedule:
    numbers, fewest = _numbers(space), min(plan.together for plan in space.attention)
    return (
        _narrow(
            space,
            lambda operator, plan: spreads(plan) and _coarse(space, operator, plan, numbers),
            lambda plan: attends(plan) and plan.together == fewest,
        )
        .best()
        .schedule
    )


def operator_agnostic(space: Space) -> Schedule:
    """Return the cheapest schedule in which all GEMMs have one spread, shape and dataflow.

    Parameters
    ----------
    space : Space
    """
    return _one_shape(space, OVER_N)


def _one_shape(space: Space, over: int | None) -> Schedule:
    """Return the cheapest of the best schedules for every single shape; for one spread, if given."""
    shapes = dict.fromkeys(plan.shape for operator in space.gemms.values() for plan in space.plans(operator))
    every = {key_of(o): o for o in space.gemms.values()}.values()
    usable = [s for s in shapes if all(any(p.shape == s for p in space.plans(o)) for o in every)]

    def attends(plan: AttentionPlan) -> bool:
        return plan.turns == 1

    numbers = _numbers(space)
    base = _narrow(space, None, attends)
    best: tuple[int, Schedule] | None = None
    failed: InfeasibleError | None = None
    for shape in usable or list(shapes):

        def allows(operator: Operator, plan: GemmPlan, only: object = shape) -> bool:
            spread = over is None or (plan.over == over and plan.team == 1)
            return plan.shape == only and spread and _coarse(space, operator, plan, numbers)

        try:
            found = _narrow(space, allows, attends, base).best(best[0] if best is not None else IMPOSSIBLE)
        except InfeasibleError as error:
            failed = error
            continue
        if best is None or found.cycles < best[0]:
            best = found.cycles, found.schedule
    if best is None:
        assert failed is not None  # there is at least one shape
        raise failed
    return best[1]


def _numbers(space: Space) -> dict[Key, set[int]]:
    """Return the numbers of chunks that reductions may have, by sizes of an operator."""
    return {key_of(o): {p.chunks for p in space.plans(o) if p.reduces} for o in space.gemms.values()}


def _coarse(space: Space, operator: Operator, plan: GemmPlan, numbers: dict[Key, set[int]]) -> bool:
    """Whether a reduction has as few chunks as can be, or as many where few do not fit."""
    possible = numbers[key_of(operator)]
    return not space.reduces(operator, plan) or plan.chunks in {min(possible), max(possible)}


def random_legal(space: Space, seed: int) -> Schedule:
    """Return a schedule of plans that are drawn, one for all operators of the same sizes.

    Parameters
    ----------
    space : Space
    seed : int

    Raises
    ------
    InfeasibleError
        If none of many draws fits into the buffer.
    """
    dice = random.Random(seed)  # noqa: S311 - no secret
    keys = {key_of(o): o for o in space.gemms.values()}
    downs = [o for o in keys.values() if o.kind is OperatorKind.DOWN]
    spreads = [over for over in (OVER_N, OVER_K) if all(any(p.over == over for p in space.plans(o)) for o in downs)]
    possible = spreads and all(map(space.plans, keys.values()))
    for number in range(TRIES if possible else 0):
        down = dice.choice(spreads)
        drawn = {}
        for key, operator in keys.items():
            plans = [p for p in space.plans(operator) if operator.kind is not OperatorKind.DOWN or p.over == down]
            if number >= TRIES // 2:  # most draws take too much room: draw among those that take less
                plans = _small(space, operator, plans)
            drawn[key] = _drawn(dice, plans)
        attention = dice.choice(space.attention)
        schedule = space.schedule({i: drawn[key_of(o)] for i, o in space.gemms.items()}, attention)
        if space.fits(schedule):
            early = replace(schedule, ahead=space.overlaps_experts and dice.choice((False, True)))
            return early if space.fits(early) else schedule
    fault = Fault("seed", str(seed), f"one of {TRIES} draws fits into the buffer", "another seed, or a smaller batch")
    raise InfeasibleError("no random schedule fits into the buffer", [fault])


def _drawn(dice: random.Random, plans: list[GemmPlan]) -> GemmPlan:
    """Draw how a GEMM is spread, N, K or teams, then one of the plans: most of all plans are on teams."""
    ways = list(dict.fromkeys((p.over, p.team > 1) for p in plans))
    way = dice.choice(ways)
    return dice.choice([p for p in plans if (p.over, p.team > 1) == way])


def _small(space: Space, operator: Operator, plans: Iterable[GemmPlan]) -> list[GemmPlan]:
    """The half of plans that need the smaller regions of partial sums, with the most chunks."""
    ranked = sorted(plans, key=lambda p: (space.partial_bytes(operator, p), -p.chunks))
    return ranked[: max(1, len(ranked) // 2)]


Policy = Callable[[Space, int], Schedule]


def _unseeded(choose: Callable[[Space], Schedule]) -> Policy:
    return lambda space, _seed: choose(space)


POLICIES: dict[str, Policy] = {
    PLAIN: _unseeded(plain),
    "searched": _unseeded(searched),
    "stratum": _unseeded(stratum),
    "temporal-only": _unseeded(temporal_only),
    "array-only": _unseeded(array_only),
    "spatial": _unseeded(spatial),
    "spatial-only": _unseeded(spatial_only),
    "operator-agnostic": _unseeded(operator_agnostic),
    "random-legal": random_legal,
}
"""By name; what a new one must be: a function of space and seed to a schedule that fits."""

DEFAULT = PLAIN


def checked(name: str) -> str:
    """Return the name of a policy.

    Parameters
    ----------
    name : str

    Raises
    ------
    SpecError
        If there is no such policy.
    """
    if name not in POLICIES:
        fault = Fault("policy", repr(name[:60]), ", ".join(POLICIES), "choose one of them")
        raise SpecError("no such policy", [fault])
    return name


def make_schedule(name: str, space: Space, seed: int = 0) -> Schedule:
    """Return the schedule of a named policy.

    Parameters
    ----------
    name : str
    space : Space
    seed : int
        For policies that draw.

    Raises
    ------
    SpecError
        If there is no such policy.
    InfeasibleError
        If none of its schedules fits.
    """
    return POLICIES[checked(name)](space, seed)
