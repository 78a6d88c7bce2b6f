"""RTL of a group of vector lanes: FP32 arithmetic in every lane, special functions in units that several lanes share.

    issue, operation, x[l], y[l]
        |
        +--> lane l: [ + | x | max | < | FP32 to FP16 | FP16 to FP32 ] - latency registers -----------> result[l]
        |
        +--> [x of lanes 0 .. I-1, one by one] -> [exp] - latency registers -> [I-1 results wait] --> result[l]
        +--> [the same, with the interval of roots] -> [1/x, 1/sqrt] ---------------------------------^

A unit of special functions serves as many lanes as its interval has cycles, and is pipelined: its lane i enters in
cycle i after the issue.  So an issue takes the group for `interval` cycles, and its results stand together after
interval - 1 + latency cycles, as in nmpsim/core/vector.py.  ``ready`` says that operands may be issued; issuing without
it is not allowed.  Results leave in the order of issue and are not held: whoever issues knows when they come.

First cycles, latency 4, intervals 4: an exponential, then two sums::

    cycle      0    1    2    3    4    5    6    7    8    9
    ready      1                   1    1    1    1    1    1
    issue      exp                 +    +
    valid                                         exp  +    +
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import pyrtl

from nmpsim.spec import MachineParams
from nmpsim.spec.params import CoreParams
from rtl_models.core.floats import Wire, chosen, delayed, held
from rtl_models.core.fp16 import fp16_to_fp32, fp32_to_fp16
from rtl_models.core.fp32 import fp32_add, fp32_less, fp32_max, fp32_multiply
from rtl_models.core.special import special_exp, special_root
from rtl_models.verilog import export

(ADD, MULTIPLY, MAXIMUM, LESS, TO_FP16, FROM_FP16, EXP, RECIPROCAL, RSQRT) = range(9)
"""Codes of the input ``operation``: x + y, x y, max(x, y), x < y (1 or 0), conversions of x, functions of x."""
OPERATION_BITS = 4


class LaneParams(NamedTuple):
    """What a group of lanes is built from."""

    lanes: int  # lanes of the group, a multiple of both intervals
    latency: int  # operands to result, >= 1; cycles
    exp_interval: int  # lanes that share an exponential unit = cycles that an issue takes
    sqrt_interval: int  # the same of reciprocals and reciprocal square roots


def lane_params(core: CoreParams) -> LaneParams:
    """Return the smallest group of lanes of a core: one that fills its special units."""
    lanes = max(core.exp_interval, core.sqrt_interval)
    while lanes % core.exp_interval or lanes % core.sqrt_interval:
        lanes += 1
    return LaneParams(lanes, core.vector_latency, core.exp_interval, core.sqrt_interval)


def lane_group(params: LaneParams) -> pyrtl.Block:
    """Return a group of lanes.

    Inputs are `issue`, `operation`, `x0`, `y0`, `x1` ...; outputs `ready`, `valid`, `result0`, `result1` ...

    Parameters
    ----------
    params : LaneParams

    Raises
    ------
    ValueError
        If a number is below 1, or if an interval does not divide the number of lanes.
    """
    if min(params) < 1:
        raise ValueError(f"lanes: got {tuple(params)}; allowed: numbers from 1 on; change the vector unit")
    for name in ("exp_interval", "sqrt_interval"):
        interval = getattr(params, name)
        if params.lanes % interval:
            allowed = f"a divisor of the {params.lanes} lanes"
            raise ValueError(f"lanes: got {name} {interval}; allowed: {allowed}; change the group or the interval")
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        _LaneGroup(params).connect()
    return block


class _LaneGroup:
    """Ports of a group, its plain lanes, its shared units."""

    def __init__(self, params: LaneParams) -> None:
        self.params = params
        self.issue = pyrtl.Input(1, "issue")
        self.operation = pyrtl.Input(OPERATION_BITS, "operation")
        self.x = [pyrtl.Input(32, f"x{n}") for n in range(params.lanes)]
        self.y = [pyrtl.Input(32, f"y{n}") for n in range(params.lanes)]

    def connect(self) -> None:
        """Connect everything."""
        params, issue, operation = self.params, self.issue, self.operation
        is_exp = operation == EXP
        is_root = (operation == RECIPROCAL) | (operation == RSQRT)
        is_rsqrt = operation == RSQRT
        plain = [self.plain(x, y) for x, y in zip(self.x, self.y, strict=True)]
        plain_valid = delayed(issue & ~is_exp & ~is_root, params.latency)
        exp_busy, exp_valid, exps = self.shared(issue & is_exp, params.exp_interval, None)
        root_busy, root_valid, roots = self.shared(issue & is_root, params.sqrt_interval, is_rsqrt)
        outputs = {"ready": ~exp_busy & ~root_busy, "valid": plain_valid | exp_valid | root_valid}
        for n in range(params.lanes):
            outputs[f"result{n}"] = chosen((exp_valid, exps[n]), (root_valid, roots[n]), otherwise=plain[n])
        for name, wire in outputs.items():
            port = pyrtl.Output(len(wire), name)
            port <<= wire

    def plain(self, x: Wire, y: Wire) -> Wire:
        """Return the result register of one lane's plain operations."""
        before = self.params.latency - 1
        operation = delayed(self.operation, before)
        results = {
            MULTIPLY: fp32_multiply(x, y, stages=before),
            MAXIMUM: delayed(fp32_max(x, y), before),
            LESS: delayed(fp32_less(x, y).zero_extended(32), before),
            TO_FP16: delayed(fp32_to_fp16(x).zero_extended(32), before),
            FROM_FP16: delayed(fp16_to_fp32(x[:16]), before),
        }
        cases = [(operation == code, wire) for code, wire in results.items()]
        return held(chosen(*cases, otherwise=fp32_add(x, y, stages=before)))

    def shared(self, starts: Wire, interval: int, is_rsqrt: Wire | None) -> tuple[Wire, Wire, list[Wire]]:
        """Return (busy, valid, result of each lane) of the units that `interval` lanes share each."""
        turn = pyrtl.Register((interval - 1).bit_length(), "") if interval > 1 else None
        busy = turn != 0 if turn is not None else pyrtl.Const(0, 1)
        if turn is not None:
            one, none = pyrtl.Const(1, len(turn)), pyrtl.Const(0, len(turn))
            onward = chosen((~busy, none), (turn == interval - 1, none), otherwise=(turn + 1).truncate(len(turn)))
            turn.next <<= pyrtl.select(starts, one, onward)
        if is_rsqrt is not None and interval > 1:
            is_rsqrt = pyrtl.select(starts, is_rsqrt, held(is_rsqrt, starts))
        results: list[Wire] = []
        for first in range(0, len(self.x), interval):
            x = self.one_by_one(self.x[first : first + interval], starts)
            stages = self.params.latency - 1
            out = held(special_exp(x, stages=stages) if is_rsqrt is None else special_root(x, is_rsqrt, stages=stages))
            newest_first = [out]
            for _ in range(interval - 1):
                newest_first.append(held(newest_first[-1]))
            results += reversed(newest_first)
        return busy, delayed(starts, interval - 1 + self.params.latency), results

    @staticmethod
    def one_by_one(x: list[Wire], starts: Wire) -> Wire:
        """Return the operand that a unit takes: the first lane's at once, the others' in the cycles after it."""
        follows: Wire = pyrtl.Const(0, len(x[0]))
        for operand in reversed(x[1:]):
            follows = held(pyrtl.select(starts, operand, follows))
        return pyrtl.select(starts, x[0], follows)


def for_chip(machine: MachineParams) -> pyrtl.Block:
    """Return a group of lanes of a chip."""
    return lane_group(lane_params(machine.core))


if __name__ == "__main__":
    sys.exit(export("lane_group", for_chip))
