"""The control of the array alone against the kernel: more shapes, and arrays too large to simulate every PE of."""

import pytest

from rtl_models.core.array_control import array_control
from tests.cosim.array_cases import BUILDS, EXTENT_BITS, Build, draw_cases, draw_few
from tests.cosim.array_kernel import KernelArray
from tests.cosim.array_replay import first_difference
from tests.cosim.replay import Replay

SIXTEEN_STRIPS = Build(32, 2, "int8")
SNAKE = Build(128, 8, "fp16", (("buffer_banks", 32), ("bank_bytes", 64), ("pe_latency", 3), ("reconfigure", 16)))
"""Strips, rows and columns of the chip `snake`; latency and reconfiguration are arbitrary."""


def join(build: Build, cases) -> Replay:
    """The decisions of all cases, one after the other."""
    configuration, inputs, outputs = (-1, 1, 0), [], []
    for case in cases:
        trace = KernelArray(case, configuration).record()
        configuration = trace.configuration
        inputs += trace.pins
        rows = zip(trace.outputs, trace.write_row, strict=True)
        outputs += [pins | ({"write_row": row} if row >= 0 else {}) for pins, row in rows]
    return Replay("control", array_control(build.core, EXTENT_BITS), inputs, outputs)


def test_sixteen_strips_decide_as_the_kernel_does():
    replay = join(SIXTEEN_STRIPS, draw_few(SIXTEEN_STRIPS, 12))
    assert len({pins["pass_group"] for pins in replay.inputs}) == 6  # 1, 2, 4, 8, 16, and none
    assert not first_difference(replay.block, replay)[1]


def test_a_decision_of_another_cycle_is_found():
    replay = join(BUILDS[0], draw_few(BUILDS[0], 12)[:4])
    for name in ("reason", "move", "pass_take", "pass_done", "writing", "pop1"):
        cycle = next(t for t, pins in enumerate(replay.outputs) if pins[name])
        right = replay.outputs[cycle]
        replay.outputs[cycle] = right | {name: right[name] ^ 1}
        assert f"cycle {cycle}: control {name}" in first_difference(replay.block, replay)[1]
        replay.outputs[cycle] = right


@pytest.mark.slow
@pytest.mark.parametrize("build", [*BUILDS, SIXTEEN_STRIPS], ids=lambda build: build.name)
def test_every_combination_decides_as_the_kernel_does(build):
    replay = join(build, draw_cases(build, 4, first=500))
    assert not first_difference(replay.block, replay)[1]


@pytest.mark.slow
def test_the_array_of_snake_decides_as_the_kernel_does():
    replay = join(SNAKE, draw_cases(SNAKE, 1, most=250))
    assert not first_difference(replay.block, replay)[1]
