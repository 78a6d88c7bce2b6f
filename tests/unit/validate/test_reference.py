"""The table of a suite: written, read, stale; and what it says is what the cycle mode does."""

import dataclasses
import json

import pytest

from nmpsim.errors import NmpsimError
from nmpsim.study.operators import operators
from nmpsim.validate.outcome import PAGE, PLOT, RESULT, ROWS, text_of, write_outcome
from nmpsim.validate.predict import predictions
from nmpsim.validate.reference import read_reference, stale, table_file, write_reference
from nmpsim.validate.score import score, sequence
from nmpsim.validate.suite import load_suite
from tests.unit.validate.bench import gemm, operator, reference


@pytest.fixture(scope="module")
def standard():
    return read_reference(table_file("standard"))[0]


def test_a_table_is_read_as_it_was_written(tmp_path):
    told = reference([(gemm(1, 2, 3), 100, 32.0), (operator("n", "norm", m=1, n=8), 5, 1.0)], [(gemm(4, 5, 6), 7, 1.0)])
    write_reference(told, tmp_path / "t.parquet", 12.34)
    found, seconds = read_reference(tmp_path / "t.parquet")
    assert (found.suite, found.title, found.origin, seconds) == (told.suite, told.title, told.origin, 12.3)
    assert [case.settings for case in found.cases] == [case.settings for case in told.cases]
    assert [dataclasses.replace(row, case=told.cases[0]) for row in found.rows] == [
        dataclasses.replace(row, case=told.cases[0]) for row in told.rows
    ]
    assert [row.case.settings["batch"] for row in found.rows] == [1, 1, 2]


def test_what_is_no_table_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    for content in (b"", b"PAR1", b"no table"):
        path.write_bytes(content)
        with pytest.raises(NmpsimError, match="cannot read the table"):
            read_reference(path)


def test_a_table_in_no_folder_is_refused(tmp_path):
    with pytest.raises(NmpsimError, match="cannot write the table"):
        write_reference(reference([(gemm(1, 2, 3), 1, 1.0)]), tmp_path / "no" / "t.parquet", 0)


def test_a_table_is_stale_if_what_it_hangs_on_changed(standard):
    suite = load_suite("standard")
    fresh = dataclasses.replace(standard, origin=json.loads(json.dumps(_now(suite))))
    assert stale(fresh, suite) == ""
    changed = dataclasses.replace(fresh, origin={**fresh.origin, "timing_sha256": "0"})
    assert stale(changed, suite) == "the sources of the cycle mode"


def _now(suite):
    from nmpsim.validate.reference import origin_of

    return origin_of(suite)


def test_the_shipped_table_is_that_of_the_shipped_suite(standard):
    suite = load_suite("standard")
    assert [case.settings for case in standard.cases] == [point.settings for point in suite.points]
    assert standard.origin["suite_sha256"] == suite.sha256
    ran = [case for case in standard.cases if not case.refused]
    assert sum(case.cycles for case in ran) == sum(row.cycles for row in standard.rows)


@pytest.mark.slow
def test_the_shipped_table_holds_what_the_cycle_mode_does_now(standard):
    """Some steps are run again.  If this fails, run `nmpsim validate --rerun --table` on the table."""
    for name in (
        "llama-3.1-8b snake batch=4 context=512 layers=1",
        "olmoe-1b-7b stratum batch=1 context=1024 layers=1",
    ):
        (case,) = [one for one in standard.cases if one.name == name]
        rows = [row for row in standard.rows if row.case == case]
        found = operators(case.settings)["operators"]
        assert [(row.operator.name, row.cycles) for row in rows] == [(one["name"], one["cycles"]) for one in found]


def test_the_shipped_models_are_judged_and_written(standard, tmp_path):
    scores = sequence([score(predictions(name, standard), standard) for name in ("scale_sim", "roofline")])
    write_outcome(scores, standard, "", tmp_path)
    result = json.loads((tmp_path / RESULT).read_text())
    assert [one["model"] for one in result["models"]] == ["roofline", "scale_sim"]
    assert result["suite"]["operators"] == len(standard.rows)
    assert {path.name for path in tmp_path.iterdir()} == {RESULT, ROWS, PAGE, PLOT}
    assert len((tmp_path / ROWS).read_text().splitlines()) == 2 * len(standard.rows) + 1
    page = (tmp_path / PAGE).read_text()
    assert "http" not in page.replace("data:image/png;base64,", "")
    text = text_of(scores, standard, "", 3)
    assert "roofline, by bottleneck" in text
    assert text.count("of the step;") == 6
