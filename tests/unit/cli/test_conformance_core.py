"""``nmpsim conformance core``: what it prints, and its exit codes."""

import pytest

from tests.unit.cli.bench import call

HEADER = "M,N,K,array_rows,array_cols,dataflow,compute_cycles"


@pytest.fixture
def table(tmp_path):
    """Write a table and return its path."""

    def write(*lines, name="rows.csv", header=HEADER):
        path = tmp_path / name
        path.write_text("\n".join([header, *lines]) + "\n")
        return path

    return write


def test_equal_rows_are_counted(table):
    path = table("2,4,3,2,2,os,9", "1,4,3,2,2,ws,19")
    result = call("conformance", "core", path)
    assert result.exit_code == 0
    first = "mapping 100 %, utilisation 66.6667 %, busy 60 %: equal"
    second = "mapping 75 %, utilisation 15.7895 %, busy 15 %: equal"
    assert result.stdout.splitlines() == [
        f"{path}:2: os 2x4x3 on 2x2: PE level 9, wavefront 9, file 9; {first}",
        f"{path}:3: ws 1x4x3 on 2x2: PE level 19, wavefront 19, file 19; {second}",
        "2 rows: 0 failed; 120 PE-cycles stepped",
    ]


def test_a_difference_is_shown_and_the_other_rows_are_run(table):
    result = call("conformance", "core", table("2,4,3,2,2,os,10", "2,4,3,2,2,os,9"))
    assert result.exit_code == 1
    first, second, last = result.stdout.splitlines()
    assert "DIFFERENT: PE level has 9 cycles, the file 10; wavefront has 9 cycles, the file 10" in first
    assert second.endswith(": equal")
    assert last.startswith("2 rows: 1 failed")


@pytest.mark.parametrize("column", ["mapping_eff_pct", "overall_util_pct", "compute_util_pct"])
def test_a_wrong_utilisation_is_a_difference(table, column):
    right = {"mapping_eff_pct": "100.0", "overall_util_pct": "66.666667", "compute_util_pct": "60.0"}[column]
    header = f"{HEADER},{column}"
    assert call("conformance", "core", table(f"2,4,3,2,2,os,9,{right}", header=header)).exit_code == 0
    result = call("conformance", "core", table("2,4,3,2,2,os,9,66.6667", header=header))
    assert result.exit_code == 1
    assert "the file 66.6667 %" in result.stdout


def test_columns_may_stand_in_any_order_among_others(table):
    header = "label,dataflow,compute_cycles,array_cols,array_rows,K,N,M"
    assert call("conformance", "core", table('"a, b",is,11,2,2,1,4,1', header=header)).exit_code == 1
    assert call("conformance", "core", table('"a, b",is,7,2,2,1,4,1', header=header)).exit_code == 0


def test_an_unfinished_row_is_compared_with_the_closed_form_of_its_file(table):
    header = f"{HEADER},status,closed_form_cycles"
    result = call("conformance", "core", table("2,4,3,2,2,os,,timeout,9", header=header))
    assert result.exit_code == 0
    assert "closed form in the file" in result.stdout
    result = call("conformance", "core", table("2,4,3,2,2,os,,timeout", header=f"{HEADER},status"))
    assert result.exit_code == 2
    assert "2: status: got 'timeout'" in result.stderr


def test_every_fault_of_every_file_is_named_before_anything_is_run(table):
    bad = table("2,4,3,2,2,os,9", "2,0,3,2,2,tree,9", "2,4,x,2,2,os", "2,4,-3,2,2,os,1.5", name="bad.csv")
    empty = table(name="empty.csv")
    headless = table("1", name="headless.csv", header="M")
    percent = table("2,4,3,2,2,os,9,nan", name="percent.csv", header=f"{HEADER},mapping_eff_pct")
    huge = table("1048576,1048576,1,8,8,os,9", "1,1,1,4096,4096,os,9", name="huge.csv")
    missing = bad.parent / "missing.csv"
    result = call("conformance", "core", bad, empty, headless, percent, huge, missing)
    assert result.exit_code == 2
    assert not result.stdout
    for expected in (
        f"{bad}:3: dataflow: got 'tree'; allowed: os, ws, is",
        f"{bad}:3: N: got '0'; allowed: a whole number from 1 to 1048576",
        f"{bad}:4: got 6 fields; allowed: 7 fields",
        f"{bad}:5: K: got '-3'",
        f"{bad}:5: compute_cycles: got '1.5'",
        f"{empty}: got no row",
        f"{headless}:1: got no N, K, array_rows, array_cols, dataflow, compute_cycles",
        f"{percent}:2: mapping_eff_pct: got 'nan'; allowed: a number",
        f"{huge}:2: M, N, K: got",
        f"{huge}:3: array_rows, array_cols: got 16777216 PEs",
        f"{missing}: got",
    ):
        assert expected in result.stderr, expected
    assert "Traceback" not in result.stderr


def test_no_file_is_a_fault():
    result = call("conformance", "core")
    assert result.exit_code == 2
    assert "FILE.csv: got none" in result.stderr


def test_the_differences_from_the_native_timing_are_named(table):
    names = call("conformance", "core", "--explain")
    assert names.exit_code == 0
    assert "  drain: native writes results" in names.stdout
    result = call("conformance", "core", "--explain", table("2,4,3,2,2,os,9"))
    assert result.exit_code == 0
    assert result.stdout.startswith(names.stdout)
    assert "  native 11 = 9 + 1 last cycle + 2 edge register + 4 drain - 5 overlap of folds" in result.stdout
