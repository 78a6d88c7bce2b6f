"""The drawings of first cycles in the docstrings of the router's RTL are what PyRTL simulates."""

import pyrtl
import pytest

from rtl_models.noc import allocator, router
from rtl_models.noc.router import RouterParams
from tests.unit.dram.test_drawings import drawn

PARAMS = RouterParams(ports=2, vcs=2, buffer_flits=3, destinations=2, payload_bits=2)
LETTERS = {"h": 0b0010, "t": 0b0111, "s": 0b1011}
"""Flits to destination 1: head, tail, single flit; the payload tells them apart."""
REGISTERS = {"count": "in0_vc0_count", "wants": "in0_vc0_wants", "active": "in0_vc0_active"}


def lines_of(params: RouterParams, flits: dict[int, str], returned: set[int], cycles: int):
    """The lines of a drawing: (cycle, word) of each."""
    simulation = pyrtl.FastSimulation(block=router.router(params), tracer=None)
    idle = {wire.name: 0 for wire in simulation.block.wirevector_subset(pyrtl.Input)}
    idle |= {"route_port0": 0, "route_vcs0": 3, "route_port1": 1, "route_vcs1": 3}
    letters = {word: letter for letter, word in LETTERS.items()}
    lines = {name: [] for name in ("flit", *REGISTERS, "back", "out", "out_vc", "credit", *router.CAUSES)}
    for cycle in range(cycles):
        pins = {"flit_valid0": int(cycle in flits), "flit0": LETTERS[flits.get(cycle, "h")]}
        simulation.step(idle | pins | {"credit_valid1": int(cycle in returned)})
        see = simulation.inspect
        lines["flit"] += [(cycle, flits[cycle])] if cycle in flits else []
        lines["credit"] += [(cycle, "1")] if cycle in returned else []
        for name in (*router.CAUSES, *REGISTERS):
            count = see(REGISTERS.get(name, name))
            lines[name] += [(cycle, str(count))] if count else []
        if see("back_valid0"):
            assert see("back_vc0") == 0
            lines["back"].append((cycle, "0"))
        if see("out_valid1"):
            lines["out"].append((cycle, letters[see("out_flit1")]))
            lines["out_vc"].append((cycle, str(see("out_vc1"))))
        assert not see("out_valid0")
        assert not see("back_valid1")
    return lines


@pytest.mark.parametrize(
    ("number", "places", "flits", "returned"), [(0, 3, {0: "h", 1: "t", 2: "s"}, set()), (1, 1, {0: "h", 3: "t"}, {5})]
)
def test_the_drawings_of_the_router(number, places, flits, returned):
    lines = lines_of(PARAMS._replace(buffer_flits=places), flits, returned, 8)
    for name, line in lines.items():
        assert line == (drawn(router.__doc__, name, number) if name in shown_in(number) else []), name


def shown_in(number: int) -> set[str]:
    """Lines that a drawing has."""
    drawing = router.__doc__.split("    cycle ")[number + 1].split("\n\n")[0]
    return {line.split()[0] for line in drawing.splitlines()[1:] if line.startswith("    ")}


def test_the_drawing_of_the_allocator():
    with pyrtl.set_working_block(pyrtl.Block()):
        matches = allocator.islip([pyrtl.Const(3, 2), pyrtl.Const(3, 2)], "drawn")
        for row, match in enumerate(matches):
            shown = pyrtl.Output(2, f"row{row}")
            shown <<= match
        simulation = pyrtl.FastSimulation(tracer=None)
        lines = {"row 0": [], "row 1": []}
        for cycle in range(4):
            simulation.step({})
            for row in range(2):
                if match := simulation.inspect(f"row{row}"):
                    lines[f"row {row}"].append((cycle, str(match.bit_length() - 1)))
    assert {name: drawn(allocator.__doc__, name) for name in lines} == lines
