"""Where two orders of one program part: the first instruction that read something else."""

from __future__ import annotations

import numpy as np

from nmpsim.errors import Fault
from nmpsim.functional.interpreter import FunctionalResult
from nmpsim.program.isa import op_name


def first_difference(one: FunctionalResult, other: FunctionalResult) -> Fault | None:
    """Find the cause of different results of two recorded runs of one program.

    Parameters
    ----------
    one, other : FunctionalResult
        Runs of the same program and tensors in different orders.

    Returns
    -------
    Fault or None
        The PASS or vector operation that, first in the order of `one`, read other operands in `other`: it lacks a wait,
        or one that writes there does.  None if all operands are the same.
    """
    others = {(e.pu, e.index): e for e in other.executions}
    for execution in one.executions:
        twin = others.get((execution.pu, execution.index))
        if twin is None:
            continue
        for name, values in execution.inputs.items():
            differs = np.asarray(values != twin.inputs[name])
            if differs.any():
                operators = one.program.operators
                ins = execution.ins
                part = f" of {operators[ins.operator].name}" if 0 <= ins.operator < len(operators) else ""
                where = f"PU {execution.pu}, instruction {execution.index} ({op_name(ins.op)}{part}), operand {name}"
                place = tuple(int(i) for i in np.argwhere(differs)[0])
                got = f"{values[place]} in one order and {twin.inputs[name][place]} in another, first at {place}"
                todo = "add the wait that it, or who writes there, lacks"
                return Fault(where, got, "the same in every order", todo)
    return None
