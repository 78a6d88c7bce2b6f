import pytest

from rtl_models.synthesis.activity import simulate
from rtl_models.synthesis.liberty import parse_group, verilog_of
from rtl_models.synthesis.libraries import find_kit
from rtl_models.synthesis.mapping import Netlist
from rtl_models.synthesis.power import energy_of
from rtl_models.synthesis.timing import Timing
from tests.unit.synthesis.toy import KIT, instance, library, toggle


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("(!((A B)+C))", "~((A & B) | C)"),
        ("A'", "~A"),
        ("(A * !B) + (!A * B)", "((A & ~B) | (~A & B))"),
        ("A ^ B C", "(A ^ (B & C))"),
        ("(A+B)'", "~(A | B)"),
        ("1", "1'b1"),
    ],
)
def test_functions_of_a_library_become_verilog(function, expected):
    assert verilog_of(function) == expected


def test_a_function_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="cannot read"):
        verilog_of("A )")


def test_attributes_may_end_with_their_line_and_remarks_are_skipped():
    group = parse_group(
        'cell (X) {\n  area : 3.5\n  /* pin (Q) {} */ pin (A) { direction : "input"; } values ("1, 2", \\\n "3"); }'
    )
    assert group.simple == {"area": "3.5"}
    assert group.complex == {"values": ("1, 2", "3")}
    assert [g.names for g in group.of_kind("pin")] == [("A",)]


def test_cells_are_read_in_our_units(tmp_path):
    cells = library(tmp_path)
    inverter, flop = cells.cell("INV"), cells.cell("DFF")
    assert (inverter.area, inverter.leakage, cells.cell("NAND").leakage) == (1.5, 2.0, 3.0)  # nW
    assert flop.is_flop
    assert not inverter.is_flop
    table = inverter.pins["Y"].arcs[0].tables["cell_rise"]
    assert table.at({"slew": 50.0, "load": 5.0}) == pytest.approx(25.0)
    assert table.at({"slew": 0.0, "load": 20.0}) == pytest.approx(50.0)  # beyond the last point
    assert cells.corner == "2 V, 25 C"
    assert "XOR" not in cells


def test_the_path_is_clock_to_output_gates_and_set_up(tmp_path):
    timing = Timing(toggle(), library(tmp_path), KIT, wires=False)
    # q has 5 fF of the output and 1 fF of the NAND: 20 + 6 x 2 = 32 rise, 34 fall; D has 2 fF
    assert timing.load[4] == pytest.approx(6.0)
    assert timing.arrival[4] == pytest.approx([32.0, 34.0])
    # NAND from q: 5 + 4; from en, an input that a flip-flop drives (1 fF): 22 or 24, and 7 + 4
    assert timing.arrival[5] == pytest.approx([34 + 9, 32 + 9])
    path = timing.path()
    assert path.ps == pytest.approx(41 + 9)  # the fall has the longer set-up
    assert path.cells == ("DFF", "NAND")
    assert (path.start, path.end) == ("ff", "ff")
    assert timing.area() == 6.0
    assert timing.leakage() == pytest.approx(4.0)


def test_wires_add_to_loads(tmp_path):
    wired = Timing(toggle(), library(tmp_path), KIT)
    assert wired.wire_fF == pytest.approx(0.25 * 4 * 3.0**0.5)  # mean cell of 3 um2
    assert wired.load[4] == pytest.approx(6.0 + wired.wire_fF)


def test_a_loop_without_a_flip_flop_is_refused(tmp_path):
    loop = Netlist("loop", {"clk": (1,)}, {"y": (2,)}, (instance("g", "INV", A=3, Y=2), instance("h", "INV", A=2, Y=3)))
    with pytest.raises(ValueError, match="2 gates lie in loops"):
        Timing(loop, library(tmp_path), KIT)


def test_a_flip_flop_that_toggles_changes_every_net_once_a_cycle(tmp_path):
    timing = Timing(toggle(), library(tmp_path), KIT, wires=False)
    seen = simulate(timing, [{"en": 1}] * 20, warm_up=4, period_ps=200.0)
    assert seen.cycles == 16
    assert seen.toggles[4] == seen.toggles[5] == 16
    assert seen.settled == {**seen.toggles, 1: 0, 3: 0, 2: 0}
    still = simulate(timing, [{"en": 0}] * 20, warm_up=4, period_ps=200.0)
    assert still.toggles[4] == still.toggles[5] == 0


def test_energy_by_hand(tmp_path):
    timing = Timing(toggle(), library(tmp_path), KIT, wires=False)
    energy = energy_of(timing, simulate(timing, [{"en": 1}] * 20, warm_up=4, period_ps=200.0))
    assert energy.switching == pytest.approx(0.5 * 4.0 * (6.0 + 2.0))  # 2 V; loads of q and of D
    assert energy.internal == pytest.approx((5 + 7) / 2)
    # clock: its rise is that of the output, its fall (1 + 3) / 2, and a rise and a fall of 0.5 fF
    assert energy.clock == pytest.approx(2.0 + 4.0 * 0.5)
    idle = energy_of(timing, simulate(timing, [{"en": 0}] * 20, warm_up=4, period_ps=200.0))
    assert (idle.switching, idle.internal) == (0.0, 0.0)
    assert idle.clock == pytest.approx((2 + 4) / 2 + 2.0 + 4.0 * 0.5)
    assert energy.over(4).total == pytest.approx(energy.total / 4)


def test_glitches_are_counted_apart(tmp_path):
    """NAND(q, not q): its inputs differ in time by the delay of the inverter, so that it pulses after a rise of q."""
    pulse = Netlist(
        "pulse",
        {"clk": (1,), "d": (2,)},
        {"y": (5,)},
        (
            instance("ff", "DFF", C=1, D=2, Q=3),
            *(instance(f"i{n}", "INV", A=a, Y=y) for n, (a, y) in enumerate(((3, 6), (6, 7), (7, 8), (8, 9), (9, 4)))),
            instance("g", "NAND", A=3, B=4, Y=5),
        ),
    )
    timing = Timing(pulse, library(tmp_path), KIT, wires=False)
    seen = simulate(timing, [{"d": cycle % 2} for cycle in range(24)], warm_up=4, period_ps=600.0)
    assert seen.toggles[5] == 20  # two changes after every other edge
    assert seen.settled[5] == 0
    assert energy_of(timing, seen).switching > energy_of(timing, seen.without_glitches()).switching


def test_a_stimulus_that_does_not_fit_is_refused(tmp_path):
    timing = Timing(toggle(), library(tmp_path), KIT, wires=False)
    with pytest.raises(ValueError, match="does not fit into 1 bits"):
        simulate(timing, [{"en": 2}] * 4, warm_up=1, period_ps=100.0)
    with pytest.raises(ValueError, match="no such inputs: nn"):
        simulate(timing, [{"nn": 1}] * 4, warm_up=1, period_ps=100.0)


def test_a_missing_library_is_reported_with_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="AO_RVT_TT"):
        find_kit(str(tmp_path))
    monkeypatch.setattr("rtl_models.synthesis.libraries.OSU018", tmp_path / "none.lib")
    with pytest.raises(FileNotFoundError, match="apt-get install qflow-tech-osu018"):
        find_kit(None)


def test_a_missing_tool_is_reported_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    timing = Timing(toggle(), library(tmp_path), KIT, wires=False)
    with pytest.raises(FileNotFoundError, match="apt-get install iverilog"):
        simulate(timing, [{"en": 1}] * 4, warm_up=1, period_ps=100.0)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    from rtl_models.synthesis.mapping import tool_version

    with pytest.raises(FileNotFoundError, match=r"pip install nmpsim\[synth\]"):
        tool_version()
