"""The sequencer three ways, cycle by cycle: kernel = PyRTL = Verilog, with units of random pace and in a busy core."""

from collections import Counter

import pyrtl
import pytest

from nmpsim.core.state import REASONS as KERNEL_REASONS
from nmpsim.core.state import missing_units
from nmpsim.program import isa
from nmpsim.spec import load_chip, resolve
from rtl_models.core import sequencer as module
from rtl_models.core.sequencer import SequencerParams, sequencer, sequencer_params
from tests.cosim.replay import PyrtlRun, Replay
from tests.cosim.sequencer_coverage import RULES, rules_met
from tests.cosim.sequencer_kernel import REASON, STATE, BusySequencer, RandomUnits, draw_params
from tests.cosim.test_port_arbiter import SEPARATE
from tests.cosim.verilog import run_verilog
from tests.unit.core.bench import core_params
from tests.unit.dram.test_drawings import drawn

SEEDS, CYCLES = 6, 300
PLAIN = 0
"""A recording with several units."""
CORES = [{}, SEPARATE | {"queue_depth": 2}]


@pytest.fixture(scope="module")
def recordings():
    units = [RandomUnits(draw_params(seed), seed).record(CYCLES) for seed in range(SEEDS)]
    return units + [BusySequencer(core_params(**core), seed).record(CYCLES) for seed, core in enumerate(CORES)]


@pytest.fixture(scope="module")
def replays(recordings):
    return [recording.replay(f"sequencer_{n}") for n, recording in enumerate(recordings)]


def test_pyrtl_does_what_the_kernel_does_in_every_state_and_by_every_rule(recordings, replays):
    met: Counter[str] = Counter()
    for recording, replay in zip(recordings, replays, strict=True):
        assert not PyrtlRun(replay).first_difference(), recording.params
        met.update(rules_met(recording.params, recording.inputs, recording.outputs))
    print("\n".join(f"{met[rule]:6}  {rule}" for rule in RULES))
    assert not set(met) - set(RULES)
    assert not [rule for rule in RULES if not met[rule]]


def test_verilog_does_what_the_kernel_does(replays, tmp_path):
    assert run_verilog(replays, tmp_path)["cycles"] == CYCLES


def test_reasons_and_states_have_the_names_of_the_kernel():
    assert {KERNEL_REASONS[code]: index for code, index in REASON.items()} == {
        name: index for index, name in enumerate(module.REASONS)
    }
    assert {KERNEL_REASONS[code]: index for code, index in STATE.items()} == {
        name: index for index, name in enumerate(module.STATES[:2])
    }
    assert module.WAITS == isa.WAITS


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": lambda depth: depth + 1},
        {"depth": lambda depth: depth - 1},
        {"count_bits": lambda bits: bits - 2},
        {"program_bits": lambda bits: bits - 3},
        {"semaphores": lambda count: count - 1},
    ],
)
def test_a_wrong_parameter_is_found(recordings, changes):
    for recording in recordings[:SEEDS]:
        wrong = {name: change(getattr(recording.params, name)) for name, change in changes.items()}
        possible = wrong.get("depth") != 0 and wrong.get("semaphores", 99) > recording.params.units
        if possible and PyrtlRun(recording.replay("wrong", **wrong)).first_difference():
            return
    raise AssertionError(f"no recording betrays {list(changes)}")


@pytest.mark.parametrize(
    "pin", ["wait0_count", "wait3_valid", "wait2_semaphore", "take0", "complete0", "instruction_unit"]
)
def test_a_wrong_input_is_found(replays, pin):
    recorded = replays[PLAIN].inputs
    more = {"wait0_count": 8, "take0": -1, "wait3_valid": -1, "wait2_semaphore": -1, "instruction_unit": -1}.get(pin, 1)
    inputs = [given | {pin: given[pin] + more} if given.get(pin) else given for given in recorded]
    assert PyrtlRun(Replay("wrong", replays[PLAIN].block, inputs, replays[PLAIN].outputs)).first_difference()


@pytest.mark.parametrize("output", ["fetch", "retired", "finished", "reason", "unit1_state", "unit2_queued"])
def test_a_wrong_recording_is_found_in_its_cycle(replays, output):
    outputs = list(replays[0].outputs)
    outputs[37] = outputs[37] | {output: outputs[37][output] ^ 1}
    wrong = Replay("wrong", replays[0].block, replays[0].inputs, outputs)
    assert PyrtlRun(wrong).first_difference().startswith(f"cycle 37: wrong {output}: RTL")


def test_the_drawing_of_the_sequencer():
    params = SequencerParams(units=2, depth=2, semaphores=2, completions=(1, 1), count_bits=4, program_bits=4)
    simulation = pyrtl.FastSimulation(block=sequencer(params), tracer=None)
    idle = {wire.name: 0 for wire in simulation.block.wirevector_subset(pyrtl.Input)}
    program = [
        {"instruction_unit": 1},
        {"instruction_unit": 0, "wait0_valid": 1, "wait0_semaphore": 1, "wait0_count": 1},
    ]
    short = {"queue_empty": "empty", "wait_semaphore": "wait", "ready": "ready"}
    lines = {name: [] for name in ("reason", "unit0", "unit1", "complete0", "complete1", "retired", "finished")}
    working = [0, 0]
    for cycle in range(5):
        given = idle | (program[cycle] if cycle < len(program) else {}) | {"program_end": 2, "take0": 1, "take1": 1}
        simulation.step(given | {f"complete{u}": working[u] for u in range(2)})
        for u in range(2):
            lines[f"complete{u}"] += [(cycle, "1")] * working[u]
            state = module.STATES[simulation.inspect(f"unit{u}_state")]
            lines[f"unit{u}"].append((cycle, short[state]))
            working[u] = int(state == "ready")
        lines["reason"].append((cycle, module.REASONS[simulation.inspect("reason")]))
        lines["retired"].append((cycle, str(simulation.inspect("retired"))))
        lines["finished"] += [(cycle, "1")] * simulation.inspect("finished")
    assert {name: drawn(module.__doc__, name) for name in lines} == lines


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"semaphores": 2}, "semaphores: got 2; allowed: at least 3, one per unit"),
        ({"completions": (1, 1)}, r"got completions \(1, 1\), depth 2; allowed: 3 counts"),
        ({"completions": (1, 0, 1)}, r"got completions \(1, 0, 1\), depth 2; allowed"),
        ({"depth": 0}, "depth 0; allowed: .* a depth from 1 on"),
    ],
)
def test_what_cannot_be_built_is_refused(changes, message):
    params = SequencerParams(3, 2, 5, (1, 1, 1))
    assert sequencer(params)
    with pytest.raises(ValueError, match=message):
        sequencer(params._replace(**changes))


def test_the_sequencer_of_a_shipped_chip_is_made():
    machine = resolve(load_chip("snake"))
    units = isa.UNITS - len(missing_units(machine))
    block = sequencer(sequencer_params(machine.core, isa.semaphores(machine.cores), (1,) * units))
    assert len(block.wirevector_by_name["instruction_unit"]) == 3
    assert len(block.wirevector_by_name["wait0_semaphore"]) == 6
    assert "unit4_place7_wait3_count" in block.wirevector_by_name


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 140, 10))
def test_many_programs_for_a_long_time(first, tmp_path):
    recordings = [RandomUnits(draw_params(seed), seed, 400).record(2000) for seed in range(first, first + 10)]
    recordings += [BusySequencer(core_params(**core), first + n).record(2000) for n, core in enumerate(CORES)]
    replays = [recording.replay(f"sequencer_{n}") for n, recording in enumerate(recordings)]
    for replay in replays:
        assert not PyrtlRun(replay).first_difference()
    assert run_verilog(replays, tmp_path)["cycles"] == 2000
