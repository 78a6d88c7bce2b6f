"""The drawings of first cycles in docstrings and in the seam's page are what the channel does."""

import re
from pathlib import Path

import pytest

from nmpsim.dram.native import REASONS, account, bank, port
from tests.unit.dram.bench import DramUnderTest
from tests.unit.dram.chips import SMALL, latency_table

PAGE = Path(__file__).parents[3] / "docs" / "seams" / "memory-port.md"

pytestmark = pytest.mark.parametrize("plain", [True, False], ids=["plain", "skip"])


def drawn(module_doc, label, number=0):
    """(cycle, word) of one line of a drawing, by the columns of its line `cycle`."""
    lines = module_doc.splitlines()
    rulers = [n for n, line in enumerate(lines) if line.startswith("    cycle ")]
    lines = lines[rulers[number] :]
    cycles = {match.start(): int(match.group()) for match in re.finditer(r"\d+", lines[0])}
    line = next(line for line in lines if line.startswith(f"    {label} "))
    words = re.finditer(r"\S+", line[len(label) + 4 :])
    return [(cycles[match.start() + len(label) + 4], match.group()) for match in words]


def reasons_by_cycle(dut, cycles):
    """The reason of each cycle, from tables settled one cycle after the other."""
    names, before = [], {}
    for cycle in range(1, cycles + 1):
        after = dut.run_until(cycle).stalls()
        names += [name for name in REASONS if after.get(name, 0) > before.get(name, 0)]
        before = after
    return names


def test_the_drawings_of_the_bank(plain):
    table = latency_table(*[{"nRCD": 3, "nRTP": 2, "nRAS": 6, "nRP": 2}] * 2)
    closed = DramUnderTest(SMALL._replace(nCL=2, nPORT=1), table, plain=plain, eats=False)
    closed.issue(rows=2, columns=2)
    closed.run_until(20)
    assert closed.commands() == drawn(bank.__doc__, "command")
    stamps = closed.state.slot[0, 0].ready_at[:4].tolist()
    assert list(zip(stamps, ("b0", "b1", "b2", "b3"), strict=True)) == drawn(bank.__doc__, "ready_at")
    capped = DramUnderTest(SMALL._replace(nCL=2, nPORT=1, row_hits=2), table, plain=plain, eats=False)
    capped.issue(rows=2, columns=2, row_stride=0)
    capped.run_until(20)
    assert capped.commands() == drawn(bank.__doc__, "command", 1)


def test_the_drawing_of_the_shared_port(plain):
    table = latency_table(*[{"nRCD": 3, "nRTP": 2, "nRAS": 6, "nRP": 2}] * 2)
    dut = DramUnderTest(SMALL._replace(banks=3, port_banks=3, nBL=1), table, plain=plain)
    for b in range(3):
        dut.issue(b, columns=2)
    dut.run_until(20)
    for b in range(3):
        assert [c for c in dut.commands(b) if c[0] < 10] == drawn(port.__doc__, f"bank {b}")


def test_the_drawing_of_the_accounts(plain):
    dut = DramUnderTest(SMALL, latency_table(*[{"nRCD": 3, "nCCD": 1, "nRTP": 3, "nRP": 2}] * 2), plain=plain)
    dut.issue(rows=2, columns=4)
    names = reasons_by_cycle(dut, 14)
    assert dut.commands() == drawn(account.__doc__, "command")
    changes = [(c, name) for c, name in enumerate(names) if c == 0 or names[c - 1] != name]
    assert changes == drawn(account.__doc__, "reason")


def test_the_table_of_the_page(plain):
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| \d", line)
    ]
    table = latency_table(*[{"nRCD": 3, "nRTP": 2, "nRAS": 6, "nRP": 2, "nCCD": 1}] * 2)
    params = SMALL._replace(nCL=2, nPORT=1, nCREDIT=1, fifo_columns=2)
    dut = DramUnderTest(params, table, plain=plain)
    dut.issue(rows=2, columns=2)
    taken = []
    names = []
    before = {}
    for cycle in range(len(rows)):
        fifo, slots = dut.state.fifo[0, 0], dut.state.slot[0, 0]
        head = int(fifo.head)
        after = dut.run_until(cycle + 1).stalls()
        names += [name for name in REASONS if after.get(name, 0) > before.get(name, 0)]
        before = after
        taken += [(cycle, f"b{n}", int(slots[n % 2].free_at)) for n in range(head, int(fifo.head))]
    assert [int(row[0]) for row in rows] == list(range(len(rows)))
    assert [(int(row[0]), row[1]) for row in rows if row[1]] == dut.commands()
    assert [(int(row[0]), row[2], int(row[3])) for row in rows if row[2]] == taken
    assert [row[4] for row in rows] == names
