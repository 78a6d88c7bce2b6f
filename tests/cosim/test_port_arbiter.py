"""The arbiter of the ports three ways, cycle by cycle: requests and conflicts of a busy core = PyRTL = Verilog."""

from collections import Counter

import pyrtl
import pytest

from nmpsim.core import ports
from nmpsim.spec import load_chip, resolve
from rtl_models.core import bank_set, port_arbiter
from rtl_models.core.bank_set import Banks
from rtl_models.core.pins import show
from rtl_models.core.port_arbiter import ArbiterParams, arbiter_params
from tests.builders import SNAKE, STRATUM
from tests.cosim.arbiter_kernel import ASKERS, ArbiterBench
from tests.cosim.replay import PyrtlRun, Replay
from tests.cosim.verilog import run_verilog
from tests.unit.core.bench import core_params
from tests.unit.dram.bench import python_of
from tests.unit.dram.test_drawings import drawn

CYCLES = 420
mask = python_of(ports.bank_mask)
SEPARATE = {
    "separate": 1,
    "buffer_bytes": 2**14,
    "operand_bytes": 2**14,
    "operand_banks": 4,
    "output_bytes": 2**14,
    "output_banks": 8,
    "array_bank_bytes": 16,
    "copy_bytes": 64,
    "copy_latency": 2,
}
CORES = [
    (SNAKE, {}),
    (SNAKE, {"buffer_banks": 12, "bank_bytes": 8}),
    (SNAKE, SEPARATE),
    (SNAKE, SEPARATE | {"buffer_banks": 5, "output_banks": 3}),
    (STRATUM, {}),
]
"""Both arrangements; banks that are a power of two and such that are not."""


@pytest.fixture(scope="module")
def benches():
    return [ArbiterBench(core_params(kind, **changes), seed).record(CYCLES)
            for seed, (kind, changes) in enumerate(CORES)]  # fmt: skip


@pytest.fixture(scope="module")
def replays(benches):
    return [bench.replay(f"arbiter_{n}") for n, bench in enumerate(benches)]


RULES = (
    *(f"{name} {outcome}" for name in (*ASKERS, "load") for outcome in ("grant", "conflict")),
    *("compute: whole operand", "compute: stream of operands", "compute: results", "compute: sums", "compute: fold"),
    "compute: several folds at once",
    *("vector refused for its read alone", "vector refused for its write alone", "vector reads nothing"),
    *("vector writes nothing", "vector opens all banks", "all conflict, nothing granted"),
    *("copy out refused for sums alone", "copy out refused for the vector unit alone"),
    *("load passes one with a conflict", "load before the turn"),
    *("load not looked at", "no load granted of several", "turn wraps", "set wraps round the last bank"),
    *("five requests at once", "all read ports taken", "all write ports taken"),
)
"""What must have happened somewhere."""


def rules_met(bench: ArbiterBench, given: dict[str, int], shown: dict[str, int]) -> set[str]:
    """Which of the rules a cycle shows."""
    core = bench.params.core
    asks = [name.removesuffix("_valid") for name, value in given.items() if name.endswith("_valid") and value]
    loads = [name for name in asks if name.startswith("load")]
    granted = {name for name, value in shown.items() if name.endswith("_grant") and value}
    refused = {name for name, value in shown.items() if name.endswith("_conflict") and value}
    found = {f"{name} {what}" for name in ASKERS for what in ("grant", "conflict") if shown.get(f"{name}_{what}")}
    found |= {f"load {name.rsplit('_', 1)[1]}" for name in granted | refused if name.startswith("load")}
    found |= rules_of_compute(given, asks)
    found |= rules_of_loads(bench, shown, loads)
    if "vector" in asks:
        found |= rules_of_vector(bench, given, shown)
    if shown.get("copy_out_conflict"):
        results = mask(given["copy_out_source"] - core.buffer_bytes - core.operand_bytes, given["copy_out_bytes"],
                       core.output_banks, core.array_bank_bytes)  # fmt: skip
        target = mask(given["copy_out_address"], given["copy_out_bytes"], core.buffer_banks, core.bank_bytes)
        above = vector_sets(bench, given)[1] if shown["vector_grant"] else 0
        if results & shown["sum_banks"] and not target & above:
            found.add("copy out refused for sums alone")
        if not results & shown["sum_banks"]:
            found.add("copy out refused for the vector unit alone")
    everything = (1 << core.buffer_banks) - 1
    found |= {f"all {what} ports taken" for what in ("read", "write") if shown[f"{what}_banks"] == everything}
    if len(asks) >= 5:
        found.add("five requests at once")
    if refused and not granted:
        found.add("all conflict, nothing granted")
    return found


def rules_of_compute(given: dict[str, int], asks: list[str]) -> set[str]:
    """Points about the compute unit."""
    found = set()
    if "operand" in asks:
        found.add("compute: stream of operands" if given["operand_stream"] else "compute: whole operand")
    if "result" in asks:
        found |= {"compute: results"} | ({"compute: sums"} if given["result_adds"] else set())
    folds = sum(name.startswith("fold") for name in asks)
    return (
        found | ({"compute: fold"} if folds else set()) | ({"compute: several folds at once"} if folds > 1 else set())
    )


def vector_sets(bench: ArbiterBench, given: dict[str, int]) -> list[int]:
    """Banks that the vector unit wants to read and to write."""
    core = bench.params.core
    return [
        mask(given[f"vector_{what}_address"], given[f"vector_{what}_bytes"], core.buffer_banks, core.bank_bytes)
        for what in ("read", "write")
    ]


def rules_of_vector(bench: ArbiterBench, given: dict[str, int], shown: dict[str, int]) -> set[str]:
    """Points about the vector unit."""
    core, found, sets = bench.params.core, set(), vector_sets(bench, given)
    found |= {f"vector {what}s nothing" for what, banks in zip(("read", "write"), sets, strict=True) if not banks}
    everything = (1 << core.buffer_banks) - 1
    if everything in sets:
        found.add("vector opens all banks")
    if any(banks & 1 and banks >> core.buffer_banks - 1 and banks != everything for banks in sets):
        found.add("set wraps round the last bank")
    if shown["vector_conflict"]:
        free = [not banks & shown[f"{what}_banks"] for what, banks in zip(("read", "write"), sets, strict=True)]
        if free == [False, True]:
            found.add("vector refused for its read alone")
        if free == [True, False]:
            found.add("vector refused for its write alone")
    return found


def rules_of_loads(bench: ArbiterBench, shown: dict[str, int], loads: list[str]) -> set[str]:
    """Points about the loads."""
    found, strips, turn = set(), bench.params.core.strips, shown["turn"]
    granted = [s for s in range(strips) if shown[f"load{s}_grant"]]
    refused = [s for s in range(strips) if shown[f"load{s}_conflict"]]
    if granted and refused:
        found.add("load passes one with a conflict")
    if granted and granted[0] < turn:
        found.add("load before the turn")
    if granted and len(loads) > 1 + len(refused):
        found.add("load not looked at")
    if len(refused) > 1 and not granted:
        found.add("no load granted of several")
    if granted == [strips - 1]:
        found.add("turn wraps")
    return found


def test_pyrtl_grants_and_refuses_what_the_kernel_does_by_every_rule(benches, replays):
    met: Counter[str] = Counter()
    for bench, replay in zip(benches, replays, strict=True):
        assert not PyrtlRun(replay).first_difference()
        for given, shown in zip(bench.inputs, bench.outputs, strict=True):
            met.update(rules_met(bench, given, shown))
    print("\n".join(f"{met[rule]:6}  {rule}" for rule in RULES))
    assert not set(met) - set(RULES)
    assert not [rule for rule in RULES if not met[rule]]


def test_verilog_grants_and_refuses_what_the_kernel_does(replays, tmp_path):
    assert run_verilog(replays, tmp_path)["cycles"] == CYCLES


@pytest.mark.parametrize(
    ("core", "changes"),
    [
        (0, {"buffer_banks": 7}),
        (0, {"bank_bytes": 32}),
        (1, {"buffer_banks": 11}),
        (2, {"output_banks": 7}),
        (2, {"array_bank_bytes": 8}),
        (2, {"operand_bytes": 2**14 + 16}),
    ],
)
def test_a_wrong_size_is_found(benches, core, changes):
    assert PyrtlRun(benches[core].replay("wrong", **changes)).first_difference()


def test_an_arbiter_of_the_other_arrangement_is_found(benches):
    separate = benches[2]
    outputs = [{k: v for k, v in shown.items() if not k.startswith(("copy", "sum"))} for shown in separate.outputs]
    block = separate.replay("unified", separate=0).block
    pins = [wire.name for wire in block.wirevector_subset(pyrtl.Input)]
    inputs = [dict.fromkeys(pins, 0) | given for given in separate.inputs]
    assert PyrtlRun(Replay("unified", block, inputs, outputs)).first_difference()


@pytest.mark.parametrize("output", ["vector_grant", "load2_conflict", "turn", "read_banks", "write_banks"])
def test_a_wrong_recording_is_found_in_its_cycle(benches, replays, output):
    cycle = 57
    outputs = list(benches[0].outputs)
    outputs[cycle] = outputs[cycle] | {output: outputs[cycle][output] ^ 1}
    wrong = Replay("wrong", replays[0].block, replays[0].inputs, outputs)
    assert PyrtlRun(wrong).first_difference().startswith(f"cycle {cycle}: wrong {output}: RTL")


def test_the_drawing_of_the_arbiter():
    core = core_params().core._replace(strips=2, buffer_banks=4, bank_bytes=16, vector_read_bytes=32)
    simulation = pyrtl.FastSimulation(block=port_arbiter.port_arbiter(ArbiterParams(core, 16, 16)), tracer=None)
    idle = {wire.name: 0 for wire in simulation.block.wirevector_subset(pyrtl.Input)}
    vector = {"vector_read_address": 16, "vector_read_bytes": 32, "vector_write_bytes": 16}
    waiting = {"load0": 2, "load1": 1, "vector": 1}
    names = ("vector_conflict", "vector_grant", "load0_grant", "load0_conflict", "load1_grant")
    lines = {name: [] for name in ("compute", *names, "turn", "read_banks", "write_banks")}
    for cycle in range(6):
        given = dict(idle)
        if cycle < 3:
            given |= {"operand_valid": 1, "operand_stream": 1, "operand_address": 16 * cycle, "operand_bytes": 16}
            lines["compute"].append((cycle, f"{1 << cycle:04b}"))
        given |= {f"{name}_valid": int(cycle > 0 and left > 0) for name, left in waiting.items()}
        simulation.step(given | vector | {"load1_address": 32})
        lines["turn"].append((cycle, str(simulation.inspect("turn"))))
        for name in ("read_banks", "write_banks"):
            if banks := simulation.inspect(name):
                lines[name].append((cycle, f"{banks:04b}"))
        for name in names:
            lines[name] += [(cycle, "1")] * simulation.inspect(name)
        waiting = {name: left - simulation.inspect(f"{name}_grant") for name, left in waiting.items()}
    assert not any(waiting.values())
    assert {name: drawn(port_arbiter.__doc__, name) for name in lines} == lines


def test_the_drawing_of_the_sets_of_banks():
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        show("set", Banks(4, 16).of(pyrtl.Input(8, "address"), pyrtl.Input(8, "bytes"), pyrtl.Input(1, "stream")))
    simulation = pyrtl.FastSimulation(block=block, tracer=None)
    given = {name: drawn(bank_set.__doc__, name) for name in ("address", "bytes", "stream")}
    seen = []
    for cycle in range(6):
        simulation.step({name: int(words[cycle][1]) for name, words in given.items()})
        seen.append((cycle, f"{simulation.inspect('set'):04b}"))
    assert drawn(bank_set.__doc__, "set") == seen


def test_a_bank_whose_width_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="bank_bytes: got 24; allowed: powers of two"):
        port_arbiter.port_arbiter(arbiter_params(core_params(bank_bytes=24)))


@pytest.mark.parametrize("chip", [SNAKE, STRATUM])
def test_the_arbiter_of_a_shipped_chip_is_made(chip):
    block = port_arbiter.for_chip(resolve(load_chip(chip)))
    strips, banks = {SNAKE: (16, 32), STRATUM: (16, 40)}[chip]
    assert f"load{strips - 1}_grant" in block.wirevector_by_name
    assert len(block.wirevector_by_name["read_banks"]) == banks


@pytest.mark.slow
@pytest.mark.parametrize("core", range(len(CORES)))
def test_many_programs_for_a_long_time(core, tmp_path):
    kind, changes = CORES[core]
    benches = [ArbiterBench(core_params(kind, **changes), 100 + seed).record(2500) for seed in range(8)]
    replays = [bench.replay(f"arbiter_{n}") for n, bench in enumerate(benches)]
    for replay in replays:
        assert not PyrtlRun(replay).first_difference()
    assert run_verilog(replays, tmp_path)["cycles"] == 2500
