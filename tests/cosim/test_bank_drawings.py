"""The drawings of first cycles in the RTL's docstrings are what PyRTL simulates."""

import numpy as np
import pyrtl

from nmpsim.spec.params import ACT, COMMANDS, RD, WR
from rtl_models.dram import bank_sequencer, refresh, timers
from tests.unit.dram.chips import SMALL, latency_table
from tests.unit.dram.test_drawings import drawn

SHOWN = ("command", "row", "column", "take_run", "pop_write", "credits")


def words(values: list[int]) -> list[tuple[int, str]]:
    """A line of a drawing that has a value at every cycle."""
    return [(cycle, str(value)) for cycle, value in enumerate(values)]


def test_the_drawing_of_the_bank_sequencer():
    table = latency_table(*[{"nRCD": 3, "nRAS": 6, "nRTP": 2, "nRP": 2, "nCCD": 1, "nRTW": 3, "nWTP": 2}] * 2)
    block = bank_sequencer.bank_sequencer(SMALL._replace(row_hits=2, fifo_columns=4), table)
    simulation = pyrtl.FastSimulation(block=block, tracer=None)
    read = {"first_row": 4, "rows": 2, "row_stride": 1, "first_column": 0, "columns": 2, "is_write": 0}
    write = {"first_row": 5, "rows": 1, "row_stride": 0, "first_column": 2, "columns": 1, "is_write": 1}
    runs = [read, write]
    lines = {name: [] for name in SHOWN}
    for cycle in range(19):
        head = runs[0] if runs else dict.fromkeys(read, 0)
        pins = {f"run_{name}": value for name, value in head.items()} | {"run_valid": int(bool(runs))}
        simulation.step(pins | {"write_valid": int(cycle >= 16), "act_grant": 1, "credit_return": 0})
        seen = {name: simulation.inspect(name) for name in (*SHOWN, "command_valid")}
        command = seen["command"] if seen["command_valid"] else -1
        lines["row"].append((cycle, str(seen["row"])))
        lines["credits"].append((cycle, str(seen["credits"])))
        if command >= 0:
            lines["command"].append((cycle, COMMANDS[command]))
        if command in {ACT, RD, WR}:
            lines["column"].append((cycle, str(seen["column"])))
        lines["take_run"] += [(cycle, "1")] * seen["take_run"]
        lines["pop_write"] += [(cycle, "1")] * seen["pop_write"]
        runs = runs[seen["take_run"] :]
    assert {name: drawn(bank_sequencer.__doc__, name) for name in SHOWN} == lines


def test_the_drawing_of_the_timers():
    with pyrtl.set_working_block(pyrtl.Block()):
        act = pyrtl.Input(1, "act")
        unit = timers.Timers(latency_table({"nRCD": 3}))
        ready = pyrtl.Output(1, "ready")
        ready <<= unit.ready(RD)
        unit.drive({ACT: act}, {ACT: None})
        simulation = pyrtl.FastSimulation(tracer=None)
        seen = []
        for cycle in range(6):
            simulation.step({"act": int(cycle == 1)})
            seen.append((simulation.inspect("timer_RD"), simulation.inspect("ready")))
    assert drawn(timers.__doc__, "command") == [(1, "ACT")]
    assert drawn(timers.__doc__, "timer") == words([timer for timer, _ in seen])
    assert drawn(timers.__doc__, "RD ready") == words([ready for _, ready in seen])


def test_the_drawing_of_the_refresh_clock():
    table = np.full((1, len(COMMANDS), len(COMMANDS)), -1, np.int64)
    params = SMALL._replace(tiers=1, rows_per_tier=16, nREFI=4, refresh=1, pull_in=1)
    block = bank_sequencer.bank_sequencer(params, table, cycle_bits=8)
    simulation = pyrtl.FastSimulation(block=block, tracer=None)
    idle = {wire.name: 0 for wire in block.wirevector_subset(pyrtl.Input)}
    commands, due_at = [], []
    for cycle in range(10):
        simulation.step(idle | {"cycle": cycle})
        if simulation.inspect("command_valid"):
            commands.append((cycle, COMMANDS[simulation.inspect("command")]))
        due_at.append(simulation.inspect("due_at"))
    early = [int(cycle >= due - 4) for cycle, due in enumerate(due_at)]
    assert commands == drawn(refresh.__doc__, "command")
    assert words(due_at) == drawn(refresh.__doc__, "due at")
    assert words(early) == drawn(refresh.__doc__, "early")
