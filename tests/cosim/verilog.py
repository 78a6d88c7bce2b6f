"""Verilog under Icarus Verilog and cocotb: many blocks in one simulation, each replaying its own recording.

    stimulus [ block 0 | block 1 | ... ] --> all blocks, one clock --> response [ block 0 | block 1 | ... ]

One write and one read per cycle drive them all, since in cocotb most time goes to single ports.  A missing simulator
is a failure, never a skip.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pyrtl
from cocotb_tools.runner import get_runner

from rtl_models.verilog import verilog
from tests.cosim.replay import Replay

TOP = "bench"
ROOT = Path(__file__).parents[2]


def ports_of(replay: Replay, fields: dict[str, tuple[int, int]], bus: str, base: int) -> list[str]:
    """Connections of one block to a bus, from bit `base` on."""
    assert {pyrtl.Input, pyrtl.Output} & {type(replay.block.wirevector_by_name[name]) for name in fields}
    return [f".{name}({bus}[{base + low + bits - 1}:{base + low}])" for name, (low, bits) in fields.items()]


def total_bits(fields: dict[str, tuple[int, int]]) -> int:
    """Width of a word."""
    return sum(bits for _, bits in fields.values())


def top_module(replays: list[Replay]) -> str:
    """The module that holds all blocks."""
    instances = []
    in_base = out_base = 0
    for replay in replays:
        ports = [".clk(clk)", ".rst(rst)"]
        ports += ports_of(replay, replay.input_fields, "stimulus", in_base)
        ports += ports_of(replay, replay.output_fields, "response", out_base)
        instances.append(f"    {replay.name} {replay.name}_instance({', '.join(ports)});")
        in_base += total_bits(replay.input_fields)
        out_base += total_bits(replay.output_fields)
    ports = f"input clk, input rst, input [{in_base - 1}:0] stimulus, output [{out_base - 1}:0] response"
    return "\n".join([f"module {TOP}({ports});", *instances, "endmodule", ""])


def write_bench(replays: list[Replay], folder: Path) -> tuple[Path, Path]:
    """Write the Verilog of the blocks and their recordings; return both files."""
    sources, recordings = folder / "bench.v", folder / "replays.json"
    modules = [verilog(replay.block, replay.name) for replay in replays]
    sources.write_text("\n".join([*modules, top_module(replays)]), encoding="utf-8")
    parts = [
        {
            "name": replay.name,
            "input_bits": total_bits(replay.input_fields),
            "output_bits": total_bits(replay.output_fields),
            "output_fields": replay.output_fields,
            "stimulus": [f"{word:x}" for word in replay.stimulus()],
            "expected": [f"{word:x}" for word in replay.expected()],
            "relevant": [f"{word:x}" for word in replay.relevant()],
        }
        for replay in replays
    ]
    recordings.write_text(json.dumps(parts), encoding="utf-8")
    return sources, recordings


def run_verilog(replays: list[Replay], folder: Path) -> dict[str, float]:
    """Replay all recordings in Icarus Verilog.

    Parameters
    ----------
    replays : list of Replay
        Of equal length.
    folder : Path
        For sources, logs and results.

    Returns
    -------
    dict
        ``cycles`` compared and the ``seconds`` of CPU that they took, start-up left out.

    Raises
    ------
    AssertionError
        If the simulator is missing, or with the first difference or whatever else went wrong.
    """
    missing = [program for program in ("iverilog", "vvp") if shutil.which(program) is None]
    assert not missing, f"got no {' and no '.join(missing)}; allowed: Icarus Verilog on PATH; `make tools` installs it"
    sources, recordings = write_bench(replays, folder)
    summary, results, log = folder / "summary.json", folder / "results.xml", folder / "simulation.log"
    summary.unlink(missing_ok=True)
    runner = get_runner("icarus")
    try:
        runner.build(sources=[sources], hdl_toplevel=TOP, build_dir=folder, always=True, log_file=folder / "build.log")
        runner.test(
            hdl_toplevel=TOP,
            test_module="tests.cosim.replay_in_verilog",
            build_dir=folder,
            results_xml=str(results.resolve()),
            log_file=log,
            extra_env={"NMPSIM_REPLAYS": str(recordings), "NMPSIM_SUMMARY": str(summary), "PYTHONPATH": str(ROOT)},
        )
    except (SystemExit, RuntimeError) as stop:
        raise AssertionError(f"{failure_in(results)}\n{stop!r}; logs in {folder}") from None
    assert results.exists(), f"the simulation left no results; its log:\n{log.read_text(errors='replace')}"
    failure = failure_in(results)
    assert not failure, failure
    return json.loads(summary.read_text(encoding="utf-8"))


def failure_in(results: Path) -> str:
    """Message of the failed test in cocotb's results; empty if there is none."""
    if not results.exists():
        return "no results"
    suites = ET.parse(results).getroot()  # noqa: S314 (the simulation's own file)
    assert len(list(suites.iter("testcase"))) == 1
    return "".join(f.get("message") or f.get("error_msg") or "failed" for f in suites.iter("failure")) + "".join(
        e.get("message") or "error" for e in suites.iter("error")
    )
