# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""The unified core against one whose compute unit has buffers of its own: the table of docs/core/arrangement.md.

Run: ``python benchmarks/arrangement.py [--write]``; with ``--write`` the table in the document is replaced.

Two pieces of a decode step of Llama 3.1 8B (batch 16, context 4096, one layer), each as a program of its own on all 16
PUs of `snake`, with its operands in the buffers at tick 0:

* GEMM + SwiGLU: gather of the activations, gate and up projection, activation of every chunk as it comes
* attention: scores, softmax, values and output of all sequences and heads, K and V from DRAM

and the whole layer with embedding and LM head.  The separate core is run with copy engines of three widths.

Area and energy are those of the buffers alone, from the memory model of `nmpsim.cost`: everything else that is counted
(MACs, lanes, DRAM, network) is the same work in both arrangements.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from nmpsim.api import Job, prepare
from nmpsim.cost.sram import sram_mm2, sram_pJ_per_byte
from nmpsim.cost.work import count_work
from nmpsim.machine.simulate import Simulation
from nmpsim.program.encode.spread import Sliced
from nmpsim.program.encode.step import StepEncoder
from nmpsim.program.isa import CROSS
from nmpsim.program.program import Program, ProgramOperator
from nmpsim.spec import ChipSpec, load_chip, with_overrides
from nmpsim.workload import Model, OperatorKind

WIDTHS = (1024, 512, 128)
"""Bytes per cycle of each copy engine of the separate core."""

PARTS = ("GEMM + SwiGLU", "attention", "layer, LM head")

COLUMNS = (
    "work", "core", "cycles", "against unified", "port conflicts", "copy conflicts", "copies", "copied KiB",
    "buffer KiB", "buffer mm2", "buffer uJ",
)  # fmt: skip


class Fragment(StepEncoder):
    """Encodes pieces of a decode step as programs of their own.

    Parameters
    ----------
    job : Job
        Whose schedule and chip.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job.schedule, job.params, (0,) * job.graph.batch)

    def gated(self) -> Program:
        """Gate and up projection of layer 0 with the activation behind it."""
        standing = Sliced(self.y, self.y_ld, self.hidden, [[] for _ in range(self.pus)])
        index = self.index["layer0.gate_up"]
        self.spread.run(
            index,
            self.schedule.gemm[index],
            "layers.0.gate_up",
            self.m,
            standing,
            self.segments(OperatorKind.GATE_UP),
            self.swiglu(self.index["layer0.activation"], self.m, [[]] * self.pus),
            paired=True,
        )
        return self._program()

    def attend(self) -> Program:
        """Attention of layer 0."""
        numbers = {name: self.index[f"layer0.{name}"] for name in ("kv_append", "score", "softmax", "value")}
        self.attention.encode_layer(0, numbers, [[] for _ in range(self.pus)])
        return self._program()

    def _program(self) -> Program:
        offsets, images = self.banks.settle(self.schedule.fill, self.schedule.first_row)
        operators = tuple(ProgramOperator(o.name, str(o.kind), o.layer, 0, 0, 0, 0, "") for o in self.graph.operators)
        streams, tables = self.out.streams(offsets), self.out.tables()
        return Program(self.schedule.chip, streams, tables, operators, tuple(images))


@dataclass(frozen=True)
class Outcome:
    """What one program took on one core.

    Parameters
    ----------
    cycles : int
        Core cycles.
    conflicts : int
        Cycles of all units but the copy engines, of all cores, lost because a port was taken.
    copy_conflicts : int
        The same of the copy engines.
    copies, copied_bytes : int
        Copies between the buffers, and their bytes; of all cores.
    buffer_bytes : int
        Buffers of one core.
    buffer_mm2 : float
        Their area; mm2.
    buffer_uJ : float
        Energy of all reads and writes of the buffers of all cores; uJ.
    """

    cycles: int
    conflicts: int
    copy_conflicts: int
    copies: int
    copied_bytes: int
    buffer_bytes: int
    buffer_mm2: float
    buffer_uJ: float


def measure(job: Job, program: Program) -> Outcome:
    """Run a program and count.

    Parameters
    ----------
    job : Job
        Whose chip.
    program : Program

    Raises
    ------
    AssertionError
        If the engine has copied other bytes than the program asks for.
    """
    simulation = Simulation(job.params, program)
    simulation.run()
    counts, core = simulation.counts(), job.params.core
    copied = counts.get("copied_in_bytes", 0) + counts.get("copied_out_bytes", 0)
    asked = [stream[stream["op"] == CROSS] for stream in program.streams]
    assert copied == sum(int((c["m"] * c["bytes"] * c["planes"]).sum()) for c in asked)
    sizes = {"buffer": core.buffer_bytes, "operand_buffer": core.operand_bytes, "output_buffer": core.output_bytes}
    work = count_work(program, job.params)
    picojoules = sum(
        (work.read[name] + work.written[name]) * sram_pJ_per_byte(size, two_ports=True) for name, size in sizes.items()
    )
    return Outcome(
        cycles=simulation.end // job.params.core_period,
        conflicts=sum(counts[f"{unit}_port_conflicts"] for unit in ("vector", "move", "send", "receive")),
        copy_conflicts=counts.get("copy_port_conflicts", 0),
        copies=counts.get("copies", 0),
        copied_bytes=copied,
        buffer_bytes=sum(sizes.values()),
        buffer_mm2=sum(sram_mm2(size, two_ports=True) for size in sizes.values()),
        buffer_uJ=picojoules * 1e-6,
    )


def cores(chip: ChipSpec, widths: tuple[int, ...] = WIDTHS) -> dict[str, ChipSpec]:
    """Return the chip with a unified core and with separate ones, by name.

    Parameters
    ----------
    chip : ChipSpec
        With a section core.array_buffer.
    widths : tuple of int
        Bytes per cycle of the copy engines.
    """
    found = {"unified": with_overrides(chip, {"core.arrangement": "unified"})}
    for width in widths:
        settings = {"core.arrangement": "separate", "core.array_buffer.copy_bytes": width}
        found[f"separate, {width} B copies"] = with_overrides(chip, settings)
    return found


def study(
    model: str | Model, specs: dict[str, ChipSpec], batch: int, context: int, parts: tuple[str, ...] = PARTS
) -> dict[tuple[str, str], Outcome]:
    """Run parts on all cores.

    Parameters
    ----------
    model : str or Model
    specs : dict of str to ChipSpec
        Chips by the name of their core.
    batch, context : int
        As for `nmpsim.api.prepare`.
    parts : tuple of str
        Which of `PARTS`.

    Returns
    -------
    dict of (part, core) to Outcome
    """
    jobs = {name: prepare(model, spec, batch=batch, context=context, layers=1) for name, spec in specs.items()}
    found = {}
    for part in parts:
        for name, job in jobs.items():
            program = {
                PARTS[0]: lambda job=job: Fragment(job).gated(),
                PARTS[1]: lambda job=job: Fragment(job).attend(),
                PARTS[2]: lambda job=job: job.program,
            }[part]()
            found[part, name] = measure(job, program)
    return found


def table(found: dict[tuple[str, str], Outcome]) -> list[str]:
    """Return the lines of a Markdown table; the first core of every part is what the others are compared with.

    Parameters
    ----------
    found : dict of (part, core) to Outcome
        From `study`.
    """
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- | --- " + "| ---: " * (len(COLUMNS) - 2) + "|"]
    base: dict[str, int] = {}
    for (part, name), one in found.items():
        base.setdefault(part, one.cycles)
        change = f"{100 * (one.cycles / base[part] - 1):+.2f} %"
        cells = (
            part, name, f"{one.cycles:,}", change, f"{one.conflicts:,}", f"{one.copy_conflicts:,}", f"{one.copies:,}",
            f"{one.copied_bytes // 1024:,}", f"{one.buffer_bytes // 1024:,}", f"{one.buffer_mm2:.3f}",
            f"{one.buffer_uJ:.2f}",
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def replaced(text: str, lines: list[str]) -> str:
    """Return the text of the document with another table.

    Parameters
    ----------
    text : str
    lines : list of str
        From `table`.
    """
    before, rest = text.split(f"| {COLUMNS[0]} |", 1)
    after = rest.split("\n\n", 1)[1]
    return before + "\n".join(lines) + "\n\n" + after


if __name__ == "__main__":
    made = table(study("llama-3.1-8b", cores(load_chip("snake")), batch=16, context=4096))
    print("\n".join(made))
    if "--write" in sys.argv:
        document = Path(__file__).parents[1] / "docs" / "core" / "arrangement.md"
        document.write_text(replaced(document.read_text(encoding="utf-8"), made), encoding="utf-8")
