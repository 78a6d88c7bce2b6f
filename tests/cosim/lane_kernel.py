"""The kernel's vector unit under random operations: when it issues, what of, and when operations complete.

One core with PASSes beside the vector operations, so that ports conflict and issues come late.
"""

from __future__ import annotations

import numpy as np

from nmpsim.core.state import BUSY
from nmpsim.program.isa import EXP_RATE, OS, PLAIN_RATE, SPLIT_N, SQRT_RATE, V_COPY, VECTOR
from nmpsim.spec.params import CoreParams
from rtl_models.core.lane import EXP, RECIPROCAL, RSQRT, LaneParams, lane_group, lane_params
from tests.cosim.float_cases import is_less, maximum, product32, random_singles, sum32, to_half, to_single
from tests.cosim.replay import Replay
from tests.unit.core.bench import CoreBench, core_params, instruction, product

RATES = (PLAIN_RATE, EXP_RATE, SQRT_RATE)
PLAIN = (sum32, product32, maximum, is_less, lambda x, y: to_half(x), lambda x, y: to_single(x & np.uint64(0xFFFF)))
"""What the plain operations compute, by their codes."""


class Trace:
    """What the kernel's vector unit did, cycle by cycle.

    Parameters
    ----------
    core : CoreParams
    """

    def __init__(self, core: CoreParams) -> None:
        self.core = core
        self.issues: dict[int, int] = {}  # cycle -> rate
        self.busy: list[bool] = []  # whether the interval of an earlier issue runs
        self.completed: list[int] = []  # cycles
        self.conflicts = 0


def draw_operation(rng: np.random.Generator) -> np.void:
    """A vector operation of one to three loops."""
    fields = {}
    for phase in range(int(rng.integers(1, 4))):
        fields |= {
            f"elements{phase}": int(rng.integers(1, 60)),
            f"read{phase}": int(rng.choice([2, 4, 8])),
            f"write{phase}": int(rng.choice([0, 2, 4])),
            f"rate{phase}": int(rng.choice(RATES)),
        }
    waits = {"wait": (0, 1)} if rng.random() < 0.2 else {}
    return instruction(VECTOR, V_COPY, a=16 * int(rng.integers(40)), out=16 * int(rng.integers(40)), **fields, **waits)


def trace(seed: int, cycles: int, **changes: int) -> Trace:
    """Run the kernel for some cycles."""
    rng = np.random.default_rng([seed, 1])
    params = core_params(**changes)
    program = []
    for _ in range(12):
        program += [draw_operation(rng) for _ in range(int(rng.integers(1, 5)))]
        program.append(product(OS, int(rng.integers(1, 9)), 16, int(rng.integers(1, 12)), group=2, split=SPLIT_N))
    bench = CoreBench(params, program)
    seen = Trace(params.core)
    for cycle in range(cycles):
        vector = bench.die.cores.vector[0]
        before = int(vector.elements), int(vector.conflicts), int(bench.die.cores.signal[0, VECTOR])
        busy = bool(cycle < vector.next_at)
        loop = loop_at(bench, vector)
        bench.step()
        if int(vector.elements) > before[0]:
            seen.issues[cycle] = loop if loop is not None else first_loop(bench, vector, program)
            assert bench.die.cores.unit[0, VECTOR].reason == BUSY
        seen.busy.append(busy)
        seen.conflicts += int(vector.conflicts) - before[1]
        seen.completed += [cycle] * (int(bench.die.cores.signal[0, VECTOR]) - before[2])
    assert len(seen.completed) == len(set(seen.completed)), "two operations complete in one cycle"
    return seen


def loop_at(bench: CoreBench, vector) -> int | None:
    """Rate of the loop that the unit is in; None if it has no operation yet."""
    if vector.instruction < 0:
        return None
    return int(bench.records[int(vector.instruction)][f"rate{int(vector.phase)}"])


def first_loop(bench: CoreBench, vector, program) -> int:
    """Rate of the first loop of the operation that was taken and issued in the last cycle."""
    taken = int(bench.die.cores.unit[0, VECTOR].head) - 1
    return int([row for row in program if row["unit"] == VECTOR][taken]["rate0"])


def replay(seed: int, cycles: int, **changes: int) -> tuple[Replay, Trace]:
    """A group of lanes that is issued to when the kernel issues; results of plain operations by NumPy."""
    seen = trace(seed, cycles, **changes)
    shape: LaneParams = lane_params(seen.core)
    rng = np.random.default_rng([seed, 2])
    inputs, outputs = [], []
    due: dict[int, dict[str, int]] = {}
    for cycle in range(cycles):
        given = {"issue": int(cycle in seen.issues), "operation": int(rng.integers(len(PLAIN)))}
        x, y = random_singles(rng, 6 * shape.lanes)[: shape.lanes], random_singles(rng, 6 * shape.lanes)[: shape.lanes]
        rate = seen.issues.get(cycle, PLAIN_RATE)
        interval = {PLAIN_RATE: 1, EXP_RATE: shape.exp_interval, SQRT_RATE: shape.sqrt_interval}[rate]
        results = {}
        if rate != PLAIN_RATE:
            given["operation"] = EXP if rate == EXP_RATE else int(rng.choice([RECIPROCAL, RSQRT]))
        elif given["issue"]:
            results = {f"result{n}": int(v) for n, v in enumerate(PLAIN[given["operation"]](x, y))}
        if given["issue"]:
            due[cycle + interval - 1 + shape.latency] = results
        given |= {f"x{n}": int(v) for n, v in enumerate(x)} | {f"y{n}": int(v) for n, v in enumerate(y)}
        inputs.append(given)
        outputs.append({"ready": int(not seen.busy[cycle]), "valid": int(cycle in due)} | due.get(cycle, {}))
    for cycle in seen.completed:
        assert cycle in due, f"the kernel completes an operation in cycle {cycle}, no issue ends there"
    name = f"lanes_{shape.lanes}_{shape.latency}_{shape.exp_interval}_{shape.sqrt_interval}_{seed}"
    return Replay(name, lane_group(shape), inputs, outputs), seen
