"""The drawings of first cycles in the docstrings of the array's RTL, and of its contract, are what PyRTL simulates."""

from pathlib import Path

import pyrtl
import pytest

from nmpsim.core.state import REASONS
from nmpsim.program.isa import CHAIN, IS, OS, WS
from rtl_models.core import array as array_module
from rtl_models.core import array_control, skew, strip, strip_control, write_queue
from rtl_models.core.pass_shape import geometry
from rtl_models.core.pe import PeParams, Tag
from tests.cosim.array_cases import EXTENT_BITS, Build
from tests.unit.dram.test_drawings import drawn

PAGE = Path(__file__).parents[2] / "docs" / "core" / "array.md"
SHORT = {"load_stationary": "load", "pipeline_drain": "drain"}


def small(strips: int, strip_rows: int, columns: int, port_bytes: int = 16):
    """Integers of an array as small as a drawing."""
    core = Build(8, 2, "int8").core
    changes = {"buffer_banks": 1, "bank_bytes": port_bytes, "pe_latency": 0}
    return core._replace(strips=strips, strip_rows=strip_rows, columns=columns, **changes)


def words(values: list) -> list[tuple[int, str]]:
    """A line of a drawing that has a value at every cycle."""
    return [(cycle, str(value)) for cycle, value in enumerate(values)]


def ones(values: list[int]) -> list[tuple[int, str]]:
    """A line of a drawing with a 1 in the cycles in which a bit is 1."""
    return [(cycle, "1") for cycle, value in enumerate(values) if value]


def simulate(block: pyrtl.Block, cycles: int, names, **pins: int) -> dict[str, list[int]]:
    """Run an array with beats always there and one PASS that is valid until it is taken."""
    simulation = pyrtl.FastSimulation(block=block, tracer=None)
    idle = {wire.name: 0 for wire in block.wirevector_subset(pyrtl.Input)}
    idle |= {name: 1 for name in idle if name.startswith("beat_valid")} | pins
    seen: dict[str, list[int]] = {name: [] for name in names}
    taken = 0
    for _ in range(cycles):
        simulation.step(idle | {"pass_valid": int(not taken)})
        taken |= simulation.inspect("pass_take")
        for name in names:
            seen[name].append(simulation.inspect(name))
    return seen


def asked(flow: int, m: int, n: int, k: int, group: int = 1, split: int = CHAIN) -> dict[str, int]:
    """Pins of a PASS."""
    fields = {"flow": flow, "group": group, "split": split, "m": m, "n": n, "k": k}
    return {f"pass_{name}": value for name, value in fields.items()}


def test_the_drawing_of_the_control():
    block = array_control.array_control(small(1, 2, 8, 128), EXTENT_BITS)
    seen = simulate(block, 7, ("pass_take", "pop0", "reason", "move"), **asked(WS, 2, 8, 4))
    text = array_control.__doc__
    assert ones(seen["pass_take"]) == drawn(text, "take")
    assert ones(seen["pop0"]) == drawn(text, "pop")
    assert ones(seen["move"]) == drawn(text, "move")
    names = [REASONS[reason] for reason in seen["reason"]]
    assert words([SHORT.get(name, name) for name in names]) == drawn(text, "reason")


def test_the_drawing_of_the_write_queue():
    with pyrtl.set_working_block(pyrtl.Block()):
        sizes = geometry(small(1, 1, 2), EXTENT_BITS)
        queue = write_queue.WriteQueue(sizes)
        push, move = pyrtl.Input(1, "push"), pyrtl.Input(1, "move")
        widths = [len(register) for register in queue.entries[0]]
        fold = write_queue.Fold(*(pyrtl.Const(v, b) for v, b in zip((2, 3, 1, 1, 1), widths, strict=True)))
        queue.drive(move, push, fold)
        for name, wire in {"writing": queue.writing, "finish": queue.finish, "row": queue.row}.items():
            port = pyrtl.Output(len(wire), f"shown_{name}")
            port <<= wire
        simulation = pyrtl.FastSimulation(tracer=None)
    lines: dict[str, list[int]] = {name: [] for name in ("left", "writing", "finish")}
    for cycle in range(8):
        simulation.step({"push": int(cycle == 0), "move": int(cycle != 2)})
        lines["left"].append(simulation.inspect("fold0_left"))
        for name in ("writing", "finish"):
            lines[name].append(simulation.inspect(f"shown_{name}"))
    assert drawn(write_queue.__doc__, "push") == [(0, "1")]
    assert drawn(write_queue.__doc__, "move") == ones([cycle != 2 for cycle in range(8)])
    assert drawn(write_queue.__doc__, "left") == words(lines["left"])[1:]
    assert drawn(write_queue.__doc__, "writing") == ones(lines["writing"])
    assert drawn(write_queue.__doc__, "finish") == ones(lines["finish"])


def test_the_drawing_of_the_strips():
    block = array_control.array_control(small(2, 1, 2), EXTENT_BITS)
    names = [f"strip{s}_step" for s in (0, 1)] + ["pop0", "pop1"]
    seen = simulate(block, 6, names, **asked(OS, 1, 8, 2))
    for s in (0, 1):
        line = [(cycle, f"s{seen[f'strip{s}_step'][cycle]}") for cycle in range(6) if seen[f"pop{s}"][cycle]]
        assert line == drawn(strip_control.__doc__, f"strip {s}")


def test_the_drawing_of_the_skew():
    with pyrtl.set_working_block(pyrtl.Block()):
        cycle, move = pyrtl.Input(4, "cycle"), pyrtl.Input(1, "move")
        for delay, wire in enumerate(skew.staircase([(cycle, 2), (cycle, 1)], move)):
            port = pyrtl.Output(4, f"delay{2 - delay}")
            port <<= wire
        simulation = pyrtl.FastSimulation(tracer=None)
    lines: dict[int, list[int]] = {1: [], 2: []}
    for now in range(5):
        simulation.step({"cycle": now, "move": int(now != 2)})
        for delay, line in lines.items():
            line.append(simulation.inspect(f"delay{delay}"))
    assert drawn(skew.__doc__, "delay 1") == words(lines[1])[1:]
    assert drawn(skew.__doc__, "delay 2") == words(lines[2])[2:]


def test_a_line_that_is_cleared_holds_nothing_but_what_comes_in():
    with pyrtl.set_working_block(pyrtl.Block()):
        pins = {name: pyrtl.Input(1, name) for name in ("wire", "move", "clear")}
        for delay, wire in enumerate(skew.line(pins["wire"], pins["move"], 3, pins["clear"])):
            port = pyrtl.Output(1, f"delay{delay}")
            port <<= wire
        simulation = pyrtl.FastSimulation(tracer=None)
    for _ in range(4):
        simulation.step({"wire": 1, "move": 1, "clear": 0})
    assert [simulation.inspect(f"delay{d}") for d in range(4)] == [1, 1, 1, 1]
    simulation.step({"wire": 1, "move": 1, "clear": 1})
    assert [simulation.inspect(f"delay{d}") for d in range(4)] == [1, 0, 0, 0]
    simulation.step({"wire": 0, "move": 0, "clear": 0})
    assert [simulation.inspect(f"delay{d}") for d in range(4)] == [0, 1, 0, 0]


def test_the_drawing_of_the_strip():
    params = PeParams("int8", row_bits=2)
    with pyrtl.set_working_block(pyrtl.Block()):
        step = pyrtl.Input(1, "step")
        zero, byte, none = pyrtl.Const(0, 1), pyrtl.Const(0, 8), pyrtl.Const(0, 32)
        above = pyrtl.Register(1), pyrtl.Register(1)  # b is skewed as a is
        above[0].next <<= step
        above[1].next <<= above[0]
        shared = strip.Selection(pyrtl.Const(1, 1), pyrtl.Const(OS, 2), [pyrtl.Const(0, 2)], zero, zero)
        left = [strip.Left(byte, Tag(step, step, zero), none)]
        top = [strip.Top(byte, valid, none, zero, byte, pyrtl.Const(0, 2), zero) for valid in (step, *above)]
        outputs = strip.strip(params, shared, left, top, [[strip.Weight(byte, zero)] * 3], "strip0")
        port = pyrtl.Output(3, "active")
        port <<= outputs.active
        simulation = pyrtl.FastSimulation(tracer=None)
    line = []
    for cycle in range(3):
        simulation.step({"step": int(cycle == 0)})
        line += [(cycle, f"0.{j}") for j in range(3) if simulation.inspect("active") >> j & 1]
    assert line == drawn(strip.__doc__, "active")


def test_the_drawing_of_the_array():
    block = array_module.array(small(1, 2, 2), "int8", EXTENT_BITS)
    names = ("pop0", "take_left0", "move", "active0", "writing", "write_row", "pass_done")
    seen = simulate(block, 9, names, **asked(OS, 2, 2, 3))
    text = array_module.__doc__
    assert ones(seen["pop0"]) == drawn(text, "pop")
    assert ones(seen["take_left0"]) == drawn(text, "take_left")
    assert ones(seen["move"]) == drawn(text, "move")
    assert [(c, w) for c, w in words(seen["active0"]) if w != "0"] == drawn(text, "active")
    assert [(c, w) for c, w in words(seen["write_row"]) if seen["writing"][c]] == drawn(text, "write_row")
    assert ones(seen["pass_done"]) == drawn(text, "done")


def table(number: int) -> list[dict[str, str]]:
    """One of the tables of first cycles in docs/core/array.md."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index("| cycle | advance | pop | active | edge |") :].splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith("| cycle | advance | pop")]
    at = heads[number]
    names = [cell.strip() for cell in lines[at].strip("|").split("|")]
    rows = []
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(names, (cell.strip() for cell in line.strip("|").split("|")), strict=True)))
    return rows


@pytest.mark.parametrize(
    ("number", "strips", "rows", "shape", "flow"),
    [(0, 1, 2, (2, 2, 3), OS), (1, 1, 2, (2, 2, 2), WS), (2, 1, 2, (2, 2, 2), IS), (3, 2, 1, (1, 4, 2), OS)],
)
def test_the_tables_of_the_contract(number, strips, rows, shape, flow):
    drawing = table(number)
    block = array_module.array(small(strips, rows, 2), "int8", EXTENT_BITS)
    ports = [f"{name}{s}" for s in range(strips) for name in ("pop", "active", "bottom_valid", "right_valid")]
    seen = simulate(block, len(drawing), ["move", "writing", "write_row", *ports], **asked(flow, *shape))
    advance = 0
    for cycle, row in enumerate(drawing):
        assert int(row["cycle"]) == cycle
        assert row["advance"] == (str(advance) if seen["move"][cycle] else "-")
        advance += seen["move"][cycle]
        popped = [f"strip {s}" for s in range(strips) if seen[f"pop{s}"][cycle]]
        assert row["pop"].split(", ") == (popped or [""])
        group = "{}:" if strips > 1 else ""
        active = {
            f"{group.format(s)}{bit // 2}.{bit % 2}"
            for s in range(strips)
            for bit in range(2 * rows)
            if seen[f"active{s}"][cycle] >> bit & 1
        }
        assert {word.split("/")[0] for word in row["active"].split()} == active
        edge = f"row {seen['write_row'][cycle]}" if seen["writing"][cycle] else ""
        if flow == OS:
            assert row["edge"] == edge
        else:
            name = "bottom_valid0" if flow == WS else "right_valid0"
            valid = {str(i) for i in range(2) if seen[name][cycle] >> i & 1}
            assert {word.split("/")[0] for word in row["edge"].split()} == valid
