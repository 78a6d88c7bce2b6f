"""Two results side by side, one in a few lines, and both from the command line."""

import copy
import json

import pytest

from nmpsim.errors import NmpsimError
from nmpsim.report.compare import brief, changed_inputs, compare, why
from nmpsim.report.page import page_of
from nmpsim.report.result import result_of, to_json
from nmpsim.report.stored import read_result
from tests.unit.cli.bench import call
from tests.unit.report.small import run_of


def result():
    return json.loads(to_json(result_of(run_of())))


def changed():
    other = copy.deepcopy(result())
    operator = next(o for o in other["operators"] if o["macs"])
    operator["cycles"] += 100
    operator["array_cycles"]["operand_late"] = operator["array_cycles"].get("operand_late", 0) + 77
    operator["read_bytes"] *= 2
    other["cycles"] += 100
    other["stalls"]["array"]["operand_late"] = other["stalls"]["array"].get("operand_late", 0) + 77
    other["provenance"]["options"]["batch"] += 1
    return other, operator["name"]


def test_the_same_result_has_no_difference():
    text = compare(result(), result())
    assert "Inputs and versions\n  the same" in text
    assert "all the same" in text


def test_a_change_is_named_with_its_reason():
    other, name = changed()
    text = compare(result(), other, ("old", "new"))
    assert text.startswith("old -> new\n")
    line = next(line for line in text.splitlines() if line.startswith(f"  {name} "))
    assert "+100" in line
    assert "bytes read +100.0 %" in line
    assert "array operand_late +77" in line
    assert "array operand_late: +77" in text
    assert any(line.startswith("options.batch: ") for line in changed_inputs(result(), other))


def test_operators_of_one_side_only_are_told():
    other = result()
    gone = other["operators"].pop()["name"]
    assert f"{gone}" in compare(result(), other)
    assert "only in A" in compare(result(), other)
    assert "only in B" in compare(other, result())
    assert why(result()["operators"][0], result()["operators"][0]) == "starts at another time"


def test_the_brief_text_has_cycles_bounds_and_reasons():
    text = brief(result())
    assert f"{result()['cycles']:,} core cycles" in text
    assert all(f"{name} bound" in text for name in result()["bounds"])
    assert "Compute units" in text


def test_the_command_line_compares_two_folders(tmp_path):
    other, name = changed()
    for folder, tree in (("a", result()), ("b", other)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "result.json").write_text(to_json(tree))
    done = call("diff", str(tmp_path / "a"), str(tmp_path / "b"))
    assert done.exit_code == 0, done.stderr
    assert name in done.stdout
    missing = call("diff", str(tmp_path / "a"), str(tmp_path / "c"))
    assert missing.exit_code == 2
    assert "what `nmpsim simulate --out` wrote" in missing.stderr


def test_text_in_a_result_cannot_break_out_of_the_page():
    tree = result()
    tree["provenance"]["model"]["name"] = "</script><b>{{js}}"
    page = page_of(tree)
    assert page.count("</script>") == 3
    assert "&lt;/script&gt;" in page


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "result.json").write_text("[]")
    with pytest.raises(NmpsimError, match="no result of this version"):
        read_result(tmp_path)
