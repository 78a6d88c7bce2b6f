"""The first-cycles tables of docs/core/array.md, read and compared with the PE-level mode."""

from __future__ import annotations

import numpy as np
import pytest

from nmpsim.core.pe.control import run_cycles
from nmpsim.core.pe.run import make_array
from nmpsim.core.pe.state import ACTIVE, P_VALID, TRACE, VALID
from nmpsim.program.isa import CHAIN, IS, OS, WS
from tests.architecture.sources import ROOT
from tests.unit.core.bench import core_params
from tests.unit.core.pe_bench import job

PAGE = ROOT / "docs" / "core" / "array.md"


def tables():
    """Rows (advance, pop, active, edge) of each table of the section, one table after the other."""
    section = PAGE.read_text().split("## First cycles")[1].split("\n## ")[0]
    found = []
    for line in section.splitlines():
        if line.startswith("| cycle"):
            found.append([])
        elif line.startswith("| ") and not line.startswith("| -"):
            cycle, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            assert int(cycle) == len(found[-1])
            found[-1].append(tuple(" ".join(sorted(cell.split())) for cell in cells))
    return found


def words(items):
    return " ".join(sorted(items))


def cycle_by_cycle(strips, strip_rows, one, ready=None):
    """The same rows from the PE-level mode."""
    core = core_params(strips=strips, strip_rows=strip_rows, columns=2, buffer_banks=1, bank_bytes=16).core
    state, sizes = make_array(core, [one], ready)
    control, grid = state.control, state.grid
    rows = one.group * strip_rows
    groups = strips // one.group
    done, sums, seen = {}, {}, []
    trace, heads = TRACE.zeros(1), np.zeros((1, strips), np.int64)
    while not control.done[0]:
        before, head, marks = int(control.advances[0]), state.head.copy(), grid.product_mark[0].copy()
        run_cycles(state, sizes, trace, heads)
        moved = int(trace.move[0])
        popped = [f"strip {s}" for s in range(strips) if state.head[s] > head[s]]
        active, edge = [], []
        for row, column in zip(*np.nonzero(grid.product_mark[0] & ACTIVE), strict=True) if moved else ():
            place = (int(row) // rows, int(row) % rows, int(column))
            step = done[place] = done.get(place, -1) + 1
            name = f"{place[1]}.{place[2]}/{step}"
            active.append(f"{place[0]}:{name}" if groups > 1 else name)
        if one.flow == OS and control.writing[0]:
            edge = ["row", str((control.cycle[0] - 1 - control.write_begin[0]) // state.passes.row_cycles[0])]
        elif one.flow != OS:
            valid = marks[-1] & P_VALID if one.flow == WS else marks[:, -1] & VALID
            for place in np.flatnonzero(valid):
                step = sums[place] = sums.get(place, -1) + 1
                edge.append(f"{place}/{step}")
        seen.append((str(before) if moved else "-", words(popped and popped[0].split()), words(active), words(edge)))
    return seen[:-1]  # in the last cycle the pass is complete


PASSES = [
    (1, 2, OS, 2, 2, 3),
    (1, 2, WS, 2, 2, 2),
    (1, 2, IS, 2, 2, 2),
    (2, 1, OS, 1, 4, 2),
]


@pytest.mark.parametrize("number", range(4), ids=["OS", "WS", "IS", "chain"])
def test_the_page_draws_what_happens(number):
    drawn = tables()
    assert len(drawn) == len(PASSES)
    strips, strip_rows, flow, m, n, k = PASSES[number]
    assert cycle_by_cycle(strips, strip_rows, job(1, flow, 1, CHAIN, m, n, k)) == drawn[number]


def test_a_late_beat_holds_everything_for_its_cycle():
    one = job(1, OS, 1, CHAIN, 2, 2, 3)
    drawn = tables()[0]
    late = cycle_by_cycle(1, 2, one, [[0, 2, 2]])
    assert late[0] == drawn[0]
    assert late[1] == ("-", "", "", "")
    assert late[2:] == drawn[1:]


def test_a_beat_that_is_just_in_time_holds_nothing():
    assert cycle_by_cycle(1, 2, job(1, OS, 1, CHAIN, 2, 2, 3), [[0, 1, 2]]) == tables()[0]
