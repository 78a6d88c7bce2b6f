"""Modes of a compute unit that a schedule may use: for studies that take some of them away.

A mode is a dataflow in every shape, ``OS``, or in one, ``OS/16``: groups of 16 strips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nmpsim.errors import Fault, SpecError
from nmpsim.program.beats import legal
from nmpsim.program.isa import CHAIN, IS, K_CONTIGUOUS, N_CONTIGUOUS, OS, SPLIT_K, SPLIT_N, TREE, WS
from nmpsim.program.schedule import PassPlan
from nmpsim.spec.params import MAC_TREE, CoreParams
from nmpsim.workload import HEAD_KINDS, Operator, Precision

FLOWS = {"OS": OS, "WS": WS, "IS": IS}


def split_mode(mode: str) -> tuple[str, int]:
    """Return dataflow and strips per group of a sound mode; 0 strips: every shape.

    Parameters
    ----------
    mode : str
    """
    flow, _, group = mode.partition("/")
    return flow, int(group or 0)


@dataclass(frozen=True)
class Modes:
    """Which modes a schedule may use.

    Parameters
    ----------
    gemm : tuple of str
        For GEMMs; all of the chip if there is none.
    attention : tuple of str
        For scores and values; those of GEMMs if there is none.
    """

    gemm: tuple[str, ...] = ()
    attention: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"GEMMs {', '.join(self.gemm) or 'any'}; attention {', '.join(self.attention) or 'as GEMMs'}"

    def checked(self, chip: str, dataflows: Sequence[str], groups: Sequence[int]) -> Modes:
        """Return these modes.

        Parameters
        ----------
        chip : str
            Its name.
        dataflows : sequence of str
            Of the chip; none for MAC trees.
        groups : sequence of int
            Strips that a group of its array may have.

        Raises
        ------
        SpecError
            If the chip has one of them not.
        """
        legal = [*dataflows, *(f"{flow}/{group}" for flow in dataflows for group in groups)]
        allowed = ", ".join(legal) if legal else "none: MAC trees have no modes"
        asked = dict.fromkeys((*self.gemm, *self.attention))
        wrong = [Fault("mode", repr(m), allowed, "choose another, or leave it out") for m in asked if m not in legal]
        if wrong:
            raise SpecError(f"{chip} has no such mode", wrong)
        return self


def shapes(core: CoreParams, dataflows: tuple[str, ...]) -> Iterator[PassPlan]:
    """Yield every shape, dataflow and relation of the groups that the compute unit can be put into.

    Parameters
    ----------
    core : CoreParams
    dataflows : tuple of str
        Dataflows of the chip, or modes; ignored for a MAC tree.
    """
    if core.kind == MAC_TREE:
        for contiguous in (N_CONTIGUOUS, K_CONTIGUOUS):
            for split in (SPLIT_K, SPLIT_N):
                if legal(TREE, split, contiguous):
                    yield PassPlan(TREE, 1, split, contiguous)
        return
    for name, only in map(split_mode, dataflows):
        for group in (g for g in core.group_sizes() if only in {0, g}):
            for split in (CHAIN, SPLIT_K, SPLIT_N):
                for contiguous in (N_CONTIGUOUS, K_CONTIGUOUS):
                    if legal(FLOWS[name], split, contiguous):
                        yield PassPlan(FLOWS[name], group, split, contiguous)


def forms(operator: Operator, core: CoreParams, dataflows: tuple[str, ...], precision: Precision) -> list[PassPlan]:
    """Return shapes for the weights of an operator; narrow ones only where groups of k and beats along k divide.

    Parameters
    ----------
    operator : Operator
        A GEMM.
    core : CoreParams
    dataflows : tuple of str
    precision : Precision
        Of the step.
    """
    every = list(shapes(core, dataflows))
    if not precision.narrows(operator.kind):
        return every
    k_group = precision.group
    within, longer = sorted((k_group, core.columns))
    aligned = longer % within == 0 and (operator.kind not in HEAD_KINDS or operator.k % within == 0)
    return [replace(s, precision=precision) for s in every if aligned or s.contiguous == N_CONTIGUOUS]
