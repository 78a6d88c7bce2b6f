import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nmpsim.errors import NmpsimError
from nmpsim.study import grid, run_study, write_study
from nmpsim.study.folder import held
from tests.architecture.sources import ROOT
from tests.unit.study.killed import TASK, points


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def lines(log):
    return Counter(Path(log).read_text(encoding="utf-8").split("\n")[:-1]) if Path(log).exists() else Counter()


def test_outcomes_come_in_the_order_of_the_points_and_a_repeated_point_is_run_once(tmp_path, threads):
    asked = points(str(tmp_path / "log"), 5, 0)
    seen = []
    found = run_study(
        [*asked, asked[0]], tmp_path / "kept", executor=threads, progress=lambda *told: seen.append(told[:2])
    )
    assert [one.figures["square"] for one in found] == [0, 1, 4, 9, 16, 0]
    assert set(lines(tmp_path / "log").values()) == {1}
    assert seen == [(n, 5) for n in range(1, 6)]


def test_finished_points_are_found_again_and_only_missing_ones_are_run(tmp_path, threads):
    log = str(tmp_path / "log")
    run_study(points(log, 3, 0), tmp_path / "kept", executor=threads)
    found = run_study(points(log, 5, 0), tmp_path / "kept", executor=threads)
    assert [one.found for one in found] == [True] * 3 + [False] * 2
    assert set(lines(log).values()) == {1}


def test_what_is_refused_is_kept_and_what_fails_is_tried_again_and_neither_hides_the_others(tmp_path, threads):
    log = str(tmp_path / "log")
    asked = grid(TASK, {"log": log, "refused": 1, "failing": 2}, {"number": range(4)})
    for turn in (1, 2):
        found = run_study(asked, tmp_path / "kept", executor=threads)
        assert [one.figures is None for one in found] == [False, True, True, False]
        assert "got 1; allowed: another; take it" in found[1].why
        assert found[2].error.startswith("RuntimeError: broken task")
        assert "trial.py" in found[2].error
        assert lines(log)["begin 1"] == 1
        assert lines(log)["begin 2"] == turn


def test_the_first_point_of_each_task_runs_alone(tmp_path, threads):
    """So that it compiles what the others load: nothing else begins before it ends."""
    log = str(tmp_path / "log")
    run_study(grid(TASK, {"log": log, "seconds": 0.05}, {"number": range(4)}), tmp_path / "kept", executor=threads)
    told = Path(log).read_text(encoding="utf-8").split("\n")
    assert told[:2] == ["begin 0", "end 0"]
    assert all(word.startswith("begin") for word in told[2:4])  # then two at a time


@pytest.mark.parametrize("wrong", ["", "{", "[]", '{"format": "nmpsim-point-1", "key": "x"}'])
def test_a_file_that_is_no_finished_point_is_replaced(tmp_path, threads, wrong):
    asked = points(str(tmp_path / "log"), 1, 0)
    (first,) = run_study(asked, tmp_path / "kept", executor=threads)
    (file,) = (tmp_path / "kept").glob("*/*.json")
    file.write_text(wrong)
    (again,) = run_study(asked, tmp_path / "kept", executor=threads)
    assert not again.found
    assert again.figures == first.figures
    assert json.loads(file.read_text())["figures"] == first.figures


def test_two_studies_do_not_write_into_one_folder(tmp_path):
    with held(tmp_path), pytest.raises(NmpsimError, match="another study"), held(tmp_path):
        pass
    with held(tmp_path):
        pass


def test_a_point_that_kills_its_process_fails_alone(tmp_path):
    asked = grid(TASK, {"log": str(tmp_path / "log"), "deadly": 2}, {"number": range(5)})
    found = run_study(asked, tmp_path / "kept", workers=2)
    assert [one.figures["square"] if one.figures else one.error for one in found] == [
        0, 1, "the process that computed it was killed: out of memory?", 9, 16
    ]  # fmt: skip


def alive(folder):
    """Processes whose command line or environment names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            told = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in told and int(path.name) != os.getpid():
            found.append(int(path.name))
    return found


def test_a_killed_study_goes_on_without_losing_or_repeating_a_finished_point(tmp_path):
    """Killed with SIGKILL again and again at other moments, with two workers; a finished point is begun just once."""
    folder, log, count = tmp_path / "kept", tmp_path / "log", 24
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STUDY_FOLDER": str(folder)}
    command = [sys.executable, "-m", "tests.unit.study.killed", str(folder), str(log), str(count), "0.02"]
    kills, finished, first_begun = 0, set(), {}
    for kill_after in (1, 4, 7, None):
        study = subprocess.Popen(command, cwd=ROOT, env=environment)
        before = len(finished)
        while kill_after is not None and study.poll() is None:
            now = len(list(folder.glob("*/*.json")))
            if now >= before + kill_after:
                study.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        study.wait(60)
        for _ in range(500):
            if not alive(folder):
                break
            time.sleep(0.01)
        assert alive(folder) == [], "workers outlive their study"
        kept = {json.loads(path.read_text())["settings"]["number"] for path in folder.glob("*/*.json")}
        assert finished <= kept, "a finished point was lost"
        begun = lines(log)
        for number in finished:
            assert begun[f"begin {number}"] == first_begun[number], "a finished point was repeated"
        finished, first_begun = kept, {number: begun[f"begin {number}"] for number in kept}
    assert kills == 3
    assert finished == set(range(count))
    assert list(folder.glob("*/.*.part")) == []


def test_results_are_written_as_json_and_parquet(tmp_path, threads):
    from pyarrow import parquet

    asked = grid(TASK, {"log": str(tmp_path / "log"), "refused": 1}, {"number": range(3)})
    write_study(run_study(asked, tmp_path / "kept", executor=threads), tmp_path / "result")
    told = json.loads((tmp_path / "result" / "study.json").read_text())
    assert [point["figures"] and point["figures"]["square"] for point in told["points"]] == [0, None, 4]
    table = parquet.read_table(tmp_path / "result" / "study.parquet").to_pylist()
    assert [row["figures.parts.half"] for row in table] == [0.0, None, 1.0]
    assert [row["settings.number"] for row in table] == [0, 1, 2]
    assert [bool(row["refused"]) for row in table] == [False, True, False]
    assert table[2]["figures.list"] == "[2]"
