"""The report as text: what it says, and that its tables add up."""

import dataclasses
import re

import pytest

from nmpsim.errors import InternalError
from nmpsim.report.text import report_text
from tests.unit.report.small import run_of


def section(text, start):
    """Lines of the part of a report that starts with some words."""
    (part,) = (part for part in text.split("\n\n") if part.startswith(start))
    return part.splitlines()


def cells(line):
    """Cells of a line of a table: parted by at least two blanks."""
    return re.split(r"\s{2,}", line.strip())


def table(lines):
    """Body rows and foot row of a table of operators."""
    rules = [i for i, line in enumerate(lines) if line and set(line) == {"-"}]
    return [cells(line) for line in lines[rules[0] + 1 : rules[1]]], cells(lines[rules[1] + 1])


def number(text):
    return int(text.replace(",", ""))


@pytest.fixture(params=["snake", "stratum"])
def run(request):
    """A run of each kind of core."""
    return run_of(request.param)


def test_the_header_names_what_was_simulated_and_how_long_it_takes(run):
    lines = section(report_text(run), "model")
    assert lines[0].endswith("tiny, batch 2, context 16, layers 2")
    assert lines[1].endswith(run.provenance["chip"]["name"])
    assert f"{run.cycles:,} cycles of the core clock, {run.clock_GHz:g} GHz" in lines[2]
    assert f"{run.seconds * 1e6:.4g} us" in lines[3]
    assert f"{2 / run.seconds:,.1f}" in lines[4]


def test_the_run_is_shown_as_a_multiple_of_its_largest_bound(run):
    lines = section(report_text(run), "Lower bounds")
    top = max(run.bounds, key=lambda name: run.bounds[name])
    assert [cells(line)[0] for line in lines[3:7]] == ["compute", "vector", "dram", "noc"]
    assert lines[-1] == f"The run takes {run.cycles / run.bounds[top]:.3f} x its largest bound, {top}."


def test_the_cycles_of_all_kinds_add_up_to_the_run(run):
    rows, foot = table(section(report_text(run), "Operators, all layers"))
    assert sum(number(row[2]) for row in rows) == number(foot[2]) == run.cycles
    assert round(sum(float(row[3]) for row in rows), 1) == float(foot[3]) == 100.0
    assert sum(int(row[1]) for row in rows) == int(foot[1]) == len(run.operators)
    assert [row[0] for row in rows][:3] == ["embedding", "norm", "qkv"]


def test_the_full_listing_has_every_operator_and_the_same_sum(run):
    rows, foot = table(section(report_text(run), "Every operator"))
    assert [row[0] for row in rows] == [operator.name for operator in run.operators]
    assert sum(number(row[1]) for row in rows) == number(foot[1]) == run.cycles
    assert round(sum(float(row[2]) for row in rows), 1) == float(foot[2]) == 100.0
    assert [row[3] for row in rows] == [operator.bound_by for operator in run.operators]


def test_the_printed_report_leaves_only_the_listing_out(run):
    full, short = report_text(run), report_text(run, full=False)
    assert "Every operator" not in short
    assert [p for p in full.split("\n\n") if not p.startswith("Every operator")] == short.split("\n\n")


def test_the_reasons_of_each_unit_add_up_to_all_its_cycles(run):
    rows = [cells(line) for line in section(report_text(run), "What each kind")[3:] if set(line) != {"-"}]
    units = {row[0] for row in rows}
    assert units == set(run.stalls)
    assert {"array", "vector", "move", "bank", "link"} <= units
    for unit in units:
        *reasons, whole = [row for row in rows if row[0] == unit]
        assert whole[1] == "all"
        assert sum(number(row[2]) for row in reasons) == number(whole[2]) == sum(run.stalls[unit].values())
        assert round(sum(float(row[3]) for row in reasons), 1) == float(whole[3]) == 100.0
        assert "other" not in {row[1] for row in reasons}


def test_denominators_counts_roundings_and_speed_are_told(run):
    text = report_text(run)
    assert f"MACs / (PEs x cycles), {run.peaks['macs_per_cycle']:,.0f} PEs" in text
    assert "bytes / (peak of the fastest tier x cycles), 7.59 TB/s" in text
    for name, count in run.counts.items():
        assert re.search(rf"^{name} +{count:,}$", text, re.MULTILINE), name
    assert all(f"  {note}\n" in text for note in run.notes)
    assert re.search(r"^Simulation: .* CPU seconds, .* die cycles/s, .* unit steps/s$", text, re.MULTILINE)


def test_a_report_is_plain_text_that_any_terminal_can_show(run):
    text = report_text(run)
    assert text.isascii()
    assert "\x1b" not in text
    assert not re.search(r"[ \t]$", text, re.MULTILINE)
    assert text.endswith("s\n")


def test_no_report_is_made_of_a_run_that_does_not_add_up(run):
    with pytest.raises(InternalError, match="core cycles"):
        report_text(dataclasses.replace(run, cycles=run.cycles - 1))


def test_a_mixture_of_experts_tells_its_routing_and_its_experts():
    text = report_text(run_of(moe=True))
    assert "layers 2, routing uniform" in text
    assert "layer0.expert" in text
