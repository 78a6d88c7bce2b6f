"""From blocks to a table: maps, times and simulates each block, and writes one TOML file with its provenance.

::

    PyRTL --verilog--> yosys, ABC --netlist--> timing (Liberty) --delays--> gates in Icarus --changes--> energy
"""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rtl_models.synthesis.activity import simulate
from rtl_models.synthesis.block import WARM_UP, Block
from rtl_models.synthesis.liberty import Library
from rtl_models.synthesis.libraries import UM_PER_SINK, Kit
from rtl_models.synthesis.mapping import EFFORTS, map_verilog, tool_version
from rtl_models.synthesis.power import Energy, energy_of
from rtl_models.synthesis.timing import Timing
from rtl_models.verilog import verilog

SLACK = 1.25
"""Clock period of the simulation over the critical path, so that every value settles."""


@dataclass(frozen=True)
class Result:
    """What synthesis says of a block."""

    block: Block
    sha256: str  # of its Verilog
    effort: str
    tried: dict[str, Timing]  # by effort
    timing: Timing
    energies: dict[str, tuple[Energy, ...]]  # by operation: as simulated, without glitches


def source_hash(block: Block) -> str:
    """Return the hash of the Verilog of a block: it changes if and only if the RTL does."""
    return hashlib.sha256(verilog(block.build(), block.name).encode()).hexdigest()


def synthesise(block: Block, kit: Kit, library: Library) -> Result:
    """Return what a block takes in the cells of a library.

    The efforts are tried from the smallest result on, until one holds the block's clock.  If none does, the one with
    the smallest product of area and path counts: at the clock that it holds it does most per area.

    Parameters
    ----------
    block : Block
    kit : Kit
    library : Library
        The cells of the kit.

    Raises
    ------
    FileNotFoundError
        If a tool is missing.
    RuntimeError
        If a tool fails.
    """
    text = verilog(block.build(), block.name)
    tried: dict[str, Timing] = {}
    for effort in EFFORTS[: block.efforts]:
        if effort[1] or kit.small or effort[0] not in tried:
            name = effort[0] + ("" if effort[1] or not kit.small else ", larger cells")
            tried[name] = Timing(map_verilog(text, block.name, kit, block.period_ps, effort), library, kit)
            if tried[name].path().ps <= block.period_ps:
                chosen = name
                break
    else:
        chosen = min(tried, key=lambda name: tried[name].area() * tried[name].path().ps)
    timing = tried[chosen]
    energies = {}
    for operation in block.operations:
        activity = simulate(timing, block.stimulus(operation), warm_up=WARM_UP, period_ps=SLACK * timing.path().ps)
        per_cycle = block.per_cycle.get(operation, 1.0)
        energies[operation] = tuple(
            energy_of(timing, seen).over(per_cycle) for seen in (activity, activity.without_glitches())
        )
    return Result(block, hashlib.sha256(text.encode()).hexdigest(), chosen, tried, timing, energies)


def run(
    kit: Kit,
    blocks: Iterable[Block],
    say: Callable[[str], None],
    kept: Mapping[str, str] | None = None,
    save: Callable[[Mapping[str, str]], None] | None = None,
) -> dict[str, str]:
    """Synthesise blocks, one line of progress each; return their entries of the table by name.

    Parameters
    ----------
    kit : Kit
    blocks : iterable of Block
    say : callable
        Takes a line.
    kept : mapping of str to str, optional
        Entries of a former table, by hash of the Verilog: such a block is not done again.
    save : callable, optional
        Given all entries that there are after each block that was synthesised.
    """
    library = Library(kit.files)
    every = {block.name: block for block in blocks}
    former = {name: (kept or {}).get(source_hash(block)) for name, block in every.items()}
    entries = {name: entry for name, entry in former.items() if entry is not None}
    for name, block in every.items():
        if name in entries:
            say(f"{name:20} unchanged")
            continue
        entries[name], words = entry_of(block, kit, library)
        say(words)
        if save is not None:
            save({other: entries[other] for other in every if other in entries})
    return {name: entries[name] for name in every}


def entry_of(block: Block, kit: Kit, library: Library) -> tuple[str, str]:
    """Return the entry of a block in the table, and a line about it.

    Parameters
    ----------
    block : Block
    kit : Kit
    library : Library
    """
    result = synthesise(block, kit, library)
    path, timing = result.timing.path(), result.timing
    energies = ", ".join(
        f"{name} {timed.total / 1e3:.3g} ({settled.total / 1e3:.3g}) pJ"
        for name, (timed, settled) in result.energies.items()
    )
    fits = "holds" if path.ps <= block.period_ps else "MISSES"
    words = (
        f"{block.name:20} {timing.area():9.1f} um2 {len(timing.netlist.instances):6} cells {path.ps:7.0f} ps "
        f"({fits} {block.period_ps:.0f}) {energies}"
    )
    return block_text(result), words


def former_entries(path: Path) -> dict[str, str]:
    """Return the entries of a table by the hash of the Verilog; empty if there is none.

    Parameters
    ----------
    path : Path
    """
    if not path.exists():
        return {}
    parts = re.split(r"^\[blocks\.\w+\]\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {found[1]: part.strip() for part in parts if (found := re.search(r'^sha256 = "(\w+)"$', part, re.MULTILINE))}


def table_text(kit: Kit, entries: Mapping[str, str], command: str) -> str:
    """Return the table as TOML.

    Parameters
    ----------
    kit : Kit
    entries : mapping of str to str
        Of the blocks, by name.
    command : str
        What was run.
    """
    library = Library(kit.files)
    lines = [
        "# Written by `make synth`; do not edit.  Units: um2 of cell area, ps, pJ per operation, nW of leakage.",
        "",
        "[provenance]",
        *_entries(
            library=kit.name,
            library_files=list(library.names),
            library_sha256=[hashlib.sha256(path.read_bytes()).hexdigest() for path in kit.files],
            corner=library.corner,
            tool=tool_version(),
            simulator=_icarus_version(),
            python=platform.python_version(),
            command=command,
            density=kit.density,
            density_source=kit.density_source,
            wire_fF_per_um=kit.wire_fF_per_um,
            wire_source=kit.wire_source,
            wire_per_sink=f"{UM_PER_SINK:g} sides of a mean cell (assumed; no placement)",
            operands="FP16 and FP32 normally distributed (0, 1), INT8 normally distributed (0, 32)",
            method=_METHOD,
            limits=_LIMITS,
        ),
    ]
    for name, entry in entries.items():
        lines += ["", f"[blocks.{name}]", entry]
    return "\n".join(lines) + "\n"


_METHOD = (
    "yosys synth -flatten, dfflibmap, ABC: the first effort that holds the clock, else the least area x path; "
    "path: NLDM tables, flip-flop to flip-flop with set-up, inputs and outputs registered outside; "
    "energy: internal and load energy of the Liberty tables times changes of nets in a gate simulation with delays; "
    "energy_settled: one change per net and cycle at most, no glitches"
)
_LIMITS = (
    "predictive library; no placement, so wires are estimated; no clock tree but the clock pins of flip-flops; "
    "ideal clock; one typical corner at 25 C: leakage at operating temperature is higher"
)


_ENERGIES = (
    ("energy_pJ", 0, "total"),
    ("energy_switching_pJ", 0, "switching"),
    ("energy_internal_pJ", 0, "internal"),
    ("energy_clock_pJ", 0, "clock"),
    ("energy_settled_pJ", 1, "total"),
)


def block_text(result: Result) -> str:
    """Return the entry of a block in the table."""
    block, timing, path = result.block, result.timing, result.timing.path()
    lines = _entries(
        what=block.what,
        sha256=result.sha256,
        date=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        family=block.family,
        stages=block.stages,
        clock_GHz=block.GHz,
        cycles=block.cycles,
        effort=result.effort,
        area_um2=round(timing.area(), 3),
        cells=len(timing.netlist.instances),
        flops=timing.flops(),
        path_ps=round(path.ps, 1),
        holds_clock=path.ps <= block.period_ps,
        path_from=path.start,
        path_to=path.end,
        path_cells=len(path.cells),
        leakage_nW=round(timing.leakage(), 2),
    )
    for key, index, part in _ENERGIES:
        values = ", ".join(f"{name} = {getattr(e[index], part) / 1e3:.5g}" for name, e in result.energies.items())
        lines.append(f"{key} = {{ {values} }}")
    others = [f'"{name}" = [{t.area():.1f}, {t.path().ps:.0f}]' for name, t in result.tried.items()]
    lines.append(f"tried_um2_ps = {{ {', '.join(others)} }}")
    counts = ", ".join(f"{kind} = {count}" for kind, count in timing.netlist.counts.items())
    lines.append(f"kinds = {{ {counts} }}")
    return "\n".join(lines)


def _entries(**values: object) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in values.items()]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        text = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    return repr(value)


def _icarus_version() -> str:
    text = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    return text.splitlines()[0].split("(")[0].strip()


def write_table(path: Path, text: str) -> None:
    """Write a table under a temporary name, then rename it.

    Parameters
    ----------
    path : Path
    text : str
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
