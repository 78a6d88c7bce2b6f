"""The documents: they name everything that the code has, what they name exists, and their example runs."""

import re
from pathlib import Path

import pytest

from nmpsim.core.state import REASONS as CORE_REASONS
from nmpsim.dram.native.state import REASONS as BANK_REASONS
from nmpsim.machine.simulate import Simulation
from nmpsim.noc.die.state import LINK_REASONS
from nmpsim.noc.router.state import CAUSES
from nmpsim.program.beats import Tile
from nmpsim.program.encode.emitter import Emitter
from nmpsim.program.encode.memory import strip_counts
from nmpsim.program.isa import (
    ARRAY,
    CHAIN,
    CROSS,
    FIELDS,
    FLOW_NAMES,
    MOVE,
    N_CONTIGUOUS,
    OS,
    PASS,
    SPLIT_NAMES,
    STREAM,
    TRAFFIC_NAMES,
    UNIT_NAMES,
    UNITS,
    VECTOR_NAMES,
    op_name,
)
from nmpsim.program.program import Program, ProgramOperator
from nmpsim.spec import chip_names, load_chip, resolve
from tests.builders import SNAKE, small_chip

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TIMING, PROGRAM, ARCHITECTURE = DOCS / "timing-model.md", DOCS / "program.md", DOCS / "architecture.md"
FOLDERS = "nmpsim|tests|docs|workloads|benchmarks|validation|rtl_models"


def text_of(page):
    return page.read_text(encoding="utf-8")


def section(page, heading):
    """Text below a heading, up to the next one of its rank or above."""
    rank = heading.index(" ")
    parts = re.split(rf"^(?=#{{1,{rank}}} )", text_of(page), flags=re.MULTILINE)
    (found,) = [part for part in parts if part.startswith(heading)]
    return found


def rows(text):
    """Cells of the rows of all tables, without rules."""
    lines = [line for line in text.splitlines() if line.startswith("|") and set(line) - set("|- :")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def coded(text):
    """Names in code type."""
    return set(re.findall(r"`([^`\n]+)`", text))


def named_reasons(text):
    """Reasons in the first column of the tables."""
    return {name for row in rows(text) for name in coded(row[0])}


def anchors(page):
    """Anchors that the headings of a page make."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_pages_are_found():
    assert {TIMING, PROGRAM, ARCHITECTURE, DOCS / "adding.md"} <= set(PAGES)
    assert any(page.parent.name == "decisions" for page in PAGES)


def unit_sections():
    whole = section(TIMING, "## Stall reasons")
    parts = re.split(r"^(?=### )", whole, flags=re.MULTILINE)[1:]
    return {part.split()[1]: part for part in parts}


def test_every_stall_reason_is_in_the_timing_model_and_no_other():
    parts = unit_sections()
    assert named_reasons(parts.pop("Bank")) == set(BANK_REASONS)
    assert named_reasons(parts.pop("Virtual")) == set(CAUSES)
    assert named_reasons(parts.pop("Link")) == set(LINK_REASONS)
    assert set.union(*(named_reasons(part) for part in parts.values())) == set(CORE_REASONS)


def test_functions_that_set_reasons_exist():
    source = "".join(path.read_text() for path in sorted((ROOT / "nmpsim" / "core").glob("*.py")))
    functions = {
        name for part in unit_sections().values() for row in rows(part) if len(row) == 3 for name in coded(row[2])
    }
    assert functions
    assert [name for name in sorted(functions) if f"def {name}(" not in source] == []


def test_every_field_and_operation_is_in_the_program_page():
    fields = coded(section(PROGRAM, "## Fields"))
    loops = {f"{name}{i}" for name in ("elements", "read", "write", "rate") for i in (1, 2)}
    waits = {f"{name}{i}" for name in ("wait", "count") for i in (1, 2)}  # in "wait0 ... wait3"
    assert {name for name, _ in FIELDS} - fields - loops - waits == set()
    text = text_of(PROGRAM)
    assert set(UNIT_NAMES) | set(TRAFFIC_NAMES) <= fields
    assert {row[0] for row in rows(section(PROGRAM, "## VECTOR"))} == {"operation", *VECTOR_NAMES}
    for name in (*(op_name(op).upper() for op in range(PASS, CROSS + 1)), *FLOW_NAMES, *SPLIT_NAMES):
        assert re.search(rf"\b{name}\b", text), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_lead_somewhere(page):
    faults = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        there = (page.parent / target).resolve() if target else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            faults.append(link)
    assert faults == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_paths_that_are_named_exist(page):
    paths = {name for name in coded(text_of(page)) if re.match(rf"({FOLDERS})/", name)}
    real = {name for name in paths if not re.search(r"[*<>]|NAME", name)}
    assert [name for name in sorted(real) if not (ROOT / name).exists()] == []


def test_every_folder_of_the_package_is_in_the_architecture():
    tree, layers = section(ARCHITECTURE, "## The folders are the die"), section(ARCHITECTURE, "## Layers")
    folders = {path.parent.name for path in (ROOT / "nmpsim").glob("*/__init__.py")}
    assert folders
    assert [name for name in sorted(folders) if f"  {name}/" not in tree or not re.search(rf"\b{name}\b", layers)] == []


def test_clock_table_is_that_of_the_chips():
    table = {row[0]: row[1:] for row in rows(section(TIMING, "## Time"))}
    for name in chip_names():
        params = resolve(load_chip(name))
        (cells,) = [cells for key, cells in table.items() if f"`{name}`" in key]
        assert [int(cell.split()[0]) for cell in cells] == [
            params.tick_ps,
            params.core_period,
            params.dram_period,
            params.noc_period,
            params.link.period,
        ]


def test_worked_example_runs_as_told():
    params = resolve(small_chip(SNAKE, pus=1))
    m, n, k, group = 2, 8, 6, params.core.strips
    out = Emitter(params)
    tile = Tile(OS, group, CHAIN, N_CONTIGUOUS, n, k, 0, ((0, n),))
    out.emit(0, MOVE, STREAM, row=0, table=out.table(strip_counts((tile,), params.core)), bytes=2 * n * k)
    shape = {"flow": OS, "group": group, "split": CHAIN, "contiguous": N_CONTIGUOUS, "m": m, "n": n, "k": k}
    out.emit(0, ARRAY, PASS, a=0, a_ld=2 * k, out=4096, out_ld=4 * n, planes=1, **shape)
    operators = (ProgramOperator("example", "gemm", 0, m * n * k, 2 * n * k, 0, 0, ""),)
    program = Program(params.name, out.streams([(0, 0)]), out.tables(), operators)

    told = [row for row in rows(section(TIMING, "## A worked example")) if row[0].isdigit()]
    found = [reasons_after(params, program, int(row[0])) for row in told]

    assert [row[2:5] for row in told] == found
    assert [int(row[1]) for row in told] == [int(row[0]) * params.core_period for row in told]
    simulation = Simulation(params, program)
    simulation.run()
    assert simulation.end == int(told[-1][1])


def reasons_after(params, program, cycle):
    """Reasons of sequencer, data mover and array once a core cycle was stepped, in plain mode."""
    simulation = Simulation(params, program, plain=True)
    simulation._advance(cycle * params.core_period + 1)
    cores = simulation.die.cores
    return [CORE_REASONS[int(unit.reason)] for unit in (cores.unit[0, UNITS], cores.unit[0, MOVE], cores.actor[0, 0])]
