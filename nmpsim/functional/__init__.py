"""Which numbers a program computes, and whether they are right.

`run` executes a program on bytes.  Three checks of the outcome: `check_operators` (every executed instruction against
FP64 on the operands that it read), `check_delivery` (the B operand of every PASS against the tensor), `compare_step`
(results against `reference_step`, within `step_bounds`; `machine_step` collects them).  `first_difference` names the
instruction at which two orders of one program part.
"""

from nmpsim.functional.delivery_check import check_delivery
from nmpsim.functional.divergence import first_difference
from nmpsim.functional.image import build_dram, written_pieces
from nmpsim.functional.interpreter import FunctionalResult, pairs, run
from nmpsim.functional.narrow import check_cache, narrow_tensors
from nmpsim.functional.outcome import machine_step
from nmpsim.functional.propagation import compare_step, step_bounds
from nmpsim.functional.records import Execution
from nmpsim.functional.reference import reference_step, split_qkv
from nmpsim.functional.tensors import random_tensors, rope_table
from nmpsim.functional.tolerance import OperatorCheck, check_operators

__all__ = [
    "Execution",
    "FunctionalResult",
    "OperatorCheck",
    "build_dram",
    "check_cache",
    "check_delivery",
    "check_operators",
    "compare_step",
    "first_difference",
    "machine_step",
    "narrow_tensors",
    "pairs",
    "random_tensors",
    "reference_step",
    "rope_table",
    "run",
    "split_qkv",
    "step_bounds",
    "written_pieces",
]
