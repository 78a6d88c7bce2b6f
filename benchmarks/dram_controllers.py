# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""Speed of the DRAM controllers: requests, columns and ticks per CPU second, on streams and on random traffic.

Run: ``python benchmarks/dram_controllers.py [--against FILE] [--trains FILE]``.

The native controller: 16 channels of 16 banks of the preset mono3d stream whole rows (tier 0, refresh on, 64 rows per
bank), every command logged.  TRAINS is a Python file with a controller that issues trains of columns:
``channel(timing)`` and ``run(channels, bank, row, arrival, length, columns, queue, skip)``.

The reference controller:

The traffic is saturated: 200,000 reads (or a third writes) offered at once, queues of 32, refresh on, HBM2-2000 timings
(Ramulator 2.1, c5b1c3a), once with 2 pseudo channels and once with 1, that is 16 banks.  FILE is a Python file with
another controller to compare with: ``channel(timing)`` and ``run(channels, bank, row, arrival, queue, skip)`` on 16
banks with one command bus, reads only; its runs alternate with ours.  CPU time, best of 7; the first, compiling run is
not counted.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from nmpsim.conformance.case import CONFIG, protocol_of, read_config
from nmpsim.dram.native.stream import stream_requests
from nmpsim.dram.native.traffic import run_requests
from nmpsim.dram.reference import ControllerSettings, make_requests
from nmpsim.dram.reference.build import build
from nmpsim.dram.reference.controller import run
from nmpsim.dram.reference.state import FINISHED, make_state
from nmpsim.kernel import NEVER
from nmpsim.spec.protocol import Protocol
from nmpsim.spec.standard import preset_machine

CASE = Path(__file__).parents[1] / "tests" / "golden" / "dram" / "r21_hbm2_stream"
REQUESTS, ROUNDS, ROWS = 200_000, 7, 64
OTHER_TIMING = (14, 14, 14, 34, 4, 15, 2, 5, 350, 3900)
"""nRCD, nRP, nCL, nRAS, nRRD, nFAW, nCCD, nRTP, nRFC, nREFI of the same preset."""


def traffic(protocol: Protocol, kind: str) -> Any:
    """Return requests: a walk over channels, groups, banks, columns and rows, or random ones."""
    count = np.arange(REQUESTS)
    rng = np.random.default_rng(1)
    fields = np.zeros((REQUESTS, len(protocol.levels) + 2), np.int64)
    sizes = (*protocol.sizes, protocol.columns, protocol.rows)
    for place, size in enumerate(sizes):
        if kind == "stream":
            count, fields[:, place] = np.divmod(count, size)
        else:
            fields[:, place] = rng.integers(0, size, REQUESTS)
    is_write = rng.random(REQUESTS) < 1 / 3 if kind == "random mix" else np.zeros(REQUESTS, bool)
    return make_requests(protocol, np.zeros(REQUESTS), is_write, fields[:, :-2], fields[:, -1], fields[:, -2])


def own(protocol: Protocol, requests: Any, plain: bool) -> tuple[float, int]:
    """Return CPU seconds and ticks of one run, with the command log on."""
    limits, table = build(protocol, ControllerSettings())
    state = make_state(limits, table, len(requests), 4 * len(requests))
    start = time.process_time()
    status = run(requests, 2, 0, int(NEVER), int(plain), limits, table, state)
    seconds = time.process_time() - start
    assert status == FINISHED
    return seconds, int(state.channel["clock"][0])


def other(module: Any, requests: Any) -> tuple[float, int]:
    """Return CPU seconds and cycles of the other controller."""
    channel = module.channel(OTHER_TIMING)
    columns = [np.ascontiguousarray(requests[name]) for name in ("bank", "row", "at")]
    start = time.process_time()
    module.run(channel, *columns, 32, True)
    return time.process_time() - start, int(channel["now"][0])


def rates(runs: list[tuple[float, int]]) -> tuple[float, float]:
    """Return requests and ticks per CPU second of the best run."""
    seconds, ticks = min(runs)
    return REQUESTS / seconds, ticks / seconds


def native(machine: Any) -> tuple[float, int, int]:
    """Return CPU seconds, columns and logged commands of one run of the native controller."""
    requests = [stream_requests(machine.dram, 0, ROWS)] * machine.cores
    start = time.process_time()
    run = run_requests(machine.dram, machine.latency, requests, per_cycle=machine.dram.banks)
    seconds = time.process_time() - start
    return seconds, int(run.state.counter["RD"].sum()), len(run.commands)


def trains(module: Any) -> tuple[float, int]:
    """Return CPU seconds and columns of a controller of one channel that streams rows of 16 columns."""
    rows = ROWS * 16 * 16
    channel = module.channel(OTHER_TIMING)
    bank = np.arange(rows, dtype=np.int64) % 16
    row = np.arange(rows, dtype=np.int64) // 16
    start = time.process_time()
    module.run(channel, bank, row, np.zeros(rows, np.int64), np.full(rows, 16), 16 * rows, 32, True)
    return time.process_time() - start, 16 * rows


def compare_native(path: str | None) -> None:
    """Print the speed of the native controller, with and against the other one if there is one."""
    machine = preset_machine("mono3d")
    module = load_module(path) if path else None
    native(machine)
    if module is not None:
        trains(module)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(native(machine))
        if module is not None:
            theirs.append(trains(module))
    seconds, columns, logged = min(ours)
    line = f"native, {machine.cores * machine.dram.banks} banks, stream: {columns / seconds / 1e6:.2f} M columns/s"
    line += f", {logged} commands logged and sorted"
    if theirs:
        best, moved = min(theirs)
        line += f"; the other one: {moved / best / 1e6:.2f} M columns/s on one channel"
    print(line)


def load_module(path: str) -> Any:
    """Return the module in a file."""
    spec = importlib.util.spec_from_file_location("other_controller", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Print one line per case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--against", metavar="FILE", help="Python file with another controller")
    parser.add_argument("--trains", metavar="FILE", help="Python file with a controller that issues trains of columns")
    arguments = parser.parse_args()
    compare_native(arguments.trains)
    module = load_module(arguments.against) if arguments.against else None
    two = protocol_of(read_config(CASE / CONFIG))
    one = replace(two, sizes=(1, 1, *two.sizes[2:]))
    own(one, traffic(one, "random")[:100], plain=False)
    if module is not None:
        other(module, traffic(one, "random"))
    for name, protocol in (("1 pseudo channel, 16 banks", one), ("2 pseudo channels, 32 banks", two)):
        for kind in ("stream", "random", "random mix"):
            requests = traffic(protocol, kind)
            yardstick = traffic(one, kind.removesuffix(" mix"))
            skip, plain, theirs = [], [], []
            for _ in range(ROUNDS):
                skip.append(own(protocol, requests, plain=False))
                plain.append(own(protocol, requests, plain=True))
                if module is not None:
                    theirs.append(other(module, yardstick))
            (done, ticks), (_, plain_ticks) = rates(skip), rates(plain)
            line = f"{name}, {kind}: {done / 1e6:.2f} M requests/s, {ticks / 1e6:.1f} M ticks/s"
            line += f" (plain {plain_ticks / 1e6:.1f})"
            if theirs:
                factors = done / rates(theirs)[0], ticks / rates(theirs)[1]
                line += "; against reads of the other one: {:.2f} and {:.2f}".format(*factors)
            print(line)


if __name__ == "__main__":
    main()
