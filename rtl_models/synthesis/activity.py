"""How often every net of a mapped block changes: a timed simulation of its gates with Icarus Verilog.

Method: each cell is its Liberty function behind a delay (mean of rise and fall at its load and slew, inertial), so
that glitches are counted as far as they outlive a gate's delay.  Inputs change shortly after the clock edge, as if
flip-flops drove them.  The first cycles are not counted.  Limits: one delay per cell instead of one per edge and pin.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtl_models.synthesis.liberty import verilog_of
from rtl_models.synthesis.mapping import Instance
from rtl_models.synthesis.timing import Timing

Stimulus = Sequence[Mapping[str, int]]
"""Values of the inputs in each cycle; what a cycle does not name is 0."""


@dataclass(frozen=True)
class Activity:
    """Changes of nets.

    Parameters
    ----------
    cycles : int
        Cycles counted.
    toggles : mapping of int to int
        Changes of each net in them.
    settled : mapping of int to int
        Cycles at whose end each net differs from the end of the cycle before: its changes without glitches.
    """

    cycles: int
    toggles: Mapping[int, int]
    settled: Mapping[int, int]

    def without_glitches(self) -> Activity:
        """Return the activity of nets that change once in a cycle at most; an even number of changes counts as none."""
        return Activity(self.cycles, self.settled, self.settled)


def simulate(timing: Timing, stimulus: Stimulus, *, warm_up: int, period_ps: float) -> Activity:
    """Return how often the nets of a block change.

    Parameters
    ----------
    timing : Timing
        The block with its delays.
    stimulus : sequence of mapping of str to int
        Inputs by cycle, `rst` included.
    warm_up : int
        Cycles at the start that are not counted.
    period_ps : float
        Clock period; long enough for every path, so that the values are right.

    Raises
    ------
    FileNotFoundError
        If Icarus Verilog is not installed.
    RuntimeError
        If it fails.
    """
    for program in ("iverilog", "vvp"):
        if not shutil.which(program):
            raise FileNotFoundError(
                f"synthesis: got no program {program}; allowed: Icarus Verilog; run `apt-get install iverilog`"
            )
    with tempfile.TemporaryDirectory(prefix="nmpsim-activity-") as folder:
        work = Path(folder)
        inputs = {name: bits for name, bits in timing.netlist.inputs.items() if name != "clk"}
        words = [_word(cycle, inputs) for cycle in stimulus]
        (work / "stimulus.txt").write_text("\n".join(words) + "\n", encoding="ascii")
        (work / "bench.v").write_text(_bench(timing, inputs, len(words), warm_up, period_ps), encoding="ascii")
        for command in (["iverilog", "-g2005", "-o", "bench.vvp", "bench.v"], ["vvp", "-n", "bench.vvp"]):
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode:
                raise RuntimeError(f"{command[0]} failed on {timing.netlist.name}:\n{done.stderr[-2000:]}")
        clock = timing.netlist.inputs["clk"][0]
        toggles, settled = _toggles((work / "bench.vcd").read_text(encoding="ascii"), int(clock))
    return Activity(len(words) - warm_up, toggles, settled)


def _word(cycle: Mapping[str, int], inputs: Mapping[str, tuple[int | str, ...]]) -> str:
    """Return the inputs of one cycle as bits, the last input first."""
    parts = []
    for name, bits in reversed(list(inputs.items())):
        value = cycle.get(name, 0)
        if not 0 <= value < 1 << len(bits):
            raise ValueError(f"stimulus of {name}: {value} does not fit into {len(bits)} bits")
        parts.append(f"{value:0{len(bits)}b}")
    unknown = sorted(set(cycle) - set(inputs))
    if unknown:
        raise ValueError(f"stimulus: no such inputs: {', '.join(unknown)}")
    return "".join(parts)


def _bench(
    timing: Timing, inputs: Mapping[str, tuple[int | str, ...]], cycles: int, warm_up: int, period_ps: float
) -> str:
    """Return the gates with their delays, and the bench that drives them, as one module."""
    netlist = timing.netlist
    width = sum(len(bits) for bits in inputs.values())
    half = max(round(period_ps / 2), 1)
    clock = netlist.inputs["clk"][0]
    nets = {net for i in netlist.instances for net in i.nets.values() if isinstance(net, int)}
    flops = {n for i in netlist.instances if timing.cells[i.kind].is_flop for n in _outputs(timing, i)}
    driven = {net for bits in inputs.values() for net in bits if isinstance(net, int)}
    lines = ["`timescale 1ps/1ps", "module bench;", f"  reg [{width - 1}:0] word, words [0:{cycles - 1}];"]
    lines += ["  integer cycle;", f"  reg n{clock};"]
    lines += [f"  {'reg' if net in flops else 'wire'} n{net};" for net in sorted((nets | driven) - {clock})]
    position = 0
    for bits in inputs.values():
        lines += [f"  assign n{net} = word[{position + i}];" for i, net in enumerate(bits) if isinstance(net, int)]
        position += len(bits)
    for instance in netlist.instances:
        lines += _gate(timing, instance, half)
    lines += [
        "  initial begin",
        '    $readmemb("stimulus.txt", words);',
        *(f"    n{net} = 0;" for net in sorted(flops)),
        f"    n{clock} = 0; word = words[0];",
        f"    for (cycle = 0; cycle < {cycles}; cycle = cycle + 1) begin",
        f'      if (cycle == {warm_up}) begin $dumpfile("bench.vcd"); $dumpvars(1, bench); end',
        f"      #1 word = words[cycle]; #{half - 1} n{clock} = 0; #{half} n{clock} = 1;",
        "    end",
        "    $finish;",
        "  end",
        "endmodule",
        "",
    ]
    return "\n".join(lines)


def _outputs(timing: Timing, instance: Instance) -> list[int]:
    pins = timing.cells[instance.kind].pins.values()
    return [net for p in pins if p.is_output and isinstance(net := instance.nets.get(p.name), int)]


def _gate(timing: Timing, instance: Instance, half: int) -> list[str]:
    """Return the statements of one cell."""
    cell = timing.cells[instance.kind]
    delay = min(max(round(timing.delay.get(instance.name, 0.0)), 0), half - 2)
    wires = {pin: f"n{net}" if isinstance(net, int) else f"1'b{net}" for pin, net in instance.nets.items()}

    def put(function: str) -> str:
        return re.sub(r"(?<!')\b[A-Za-z_]\w*", lambda found: wires[found[0]], verilog_of(function))

    lines = []
    for pin in cell.pins.values():
        if not pin.is_output or pin.name not in wires:
            continue
        if cell.is_flop:
            turned = "~" if pin.function.strip("()") == cell.inverse else ""
            clock = wires[cell.clocked_on]
            lines.append(f"  always @(posedge {clock}) {wires[pin.name]} <= #{delay} {turned}({put(cell.next_state)});")
        else:
            lines.append(f"  assign #{delay} {wires[pin.name]} = {put(pin.function)};")
    return lines


_VARIABLE = re.compile(r"\$var \w+ 1 (\S+) n(\d+) \$end")


def _toggles(text: str, clock: int) -> tuple[dict[int, int], dict[int, int]]:
    """Count the changes of one-bit nets in a value change dump, and the cycles that changed them.

    Its first values are no changes; a cycle ends with the rising edge of the clock.
    """
    head, _, body = text.partition("$dumpvars")
    names = {code: int(net) for code, net in _VARIABLE.findall(head)}
    _, _, body = body.partition("$end")
    edge = "1" + next(code for code, net in names.items() if net == clock)
    changes: Counter[str] = Counter()
    settled: Counter[str] = Counter()
    for cycle in re.split(rf"^{re.escape(edge)}$", body, flags=re.MULTILINE):
        seen = Counter(line[1:] for line in cycle.splitlines() if line[:1] in {"0", "1"})
        changes += seen
        settled.update(code for code, count in seen.items() if count % 2)
    changes[edge[1:]] *= 2  # the rising edges were taken as cuts
    del settled[edge[1:]]
    every, without = ({net: count[code] for code, net in names.items()} for count in (changes, settled))
    return every, without
