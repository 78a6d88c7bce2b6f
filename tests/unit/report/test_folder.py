"""A result folder is there as a whole or not at all."""

import fcntl
import json
import os
import subprocess
import sys

import pytest

from nmpsim.errors import NmpsimError
from nmpsim.report import folder
from nmpsim.report.folder import FILES, check_target, result_folder
from nmpsim.report.result import FORMAT
from tests.architecture.sources import ROOT


def write(path, word):
    """Write all files of a result."""
    for name in FILES:
        (path / name).write_text(json.dumps({"format": FORMAT, "word": word}))


def word(path):
    """Word of the result in a folder; all its files must tell the same."""
    (found,) = {json.loads((path / name).read_text())["word"] for name in FILES}
    return found


def names(path):
    return sorted(entry.name for entry in path.iterdir())


class Killed(BaseException):
    """What a kill would do: no code of ours runs after it."""


@pytest.fixture(params=["exchange", "two renames"])
def system(request, monkeypatch):
    """A system that exchanges folders in one step, and one that does not."""
    if request.param == "two renames":
        monkeypatch.setattr(folder, "_exchange", lambda one, other: False)


def test_a_new_folder_appears_with_its_parents(tmp_path):
    with result_folder(tmp_path / "a" / "b") as staging:
        write(staging, "first")
        assert names(tmp_path / "a") == [staging.name]
    assert word(tmp_path / "a" / "b") == "first"
    assert names(tmp_path / "a") == ["b"]


def test_a_former_result_is_replaced_only_at_the_end(tmp_path, system):
    for text in ("first", "second"):
        with result_folder(tmp_path / "out") as staging:
            write(staging, text)
            assert text == "first" or word(tmp_path / "out") == "first"
    assert word(tmp_path / "out") == "second"
    assert names(tmp_path) == ["out"]


def test_files_of_a_former_result_do_not_stay_behind(tmp_path, system):
    with result_folder(tmp_path / "out") as staging:
        write(staging, "first")
    with result_folder(tmp_path / "out") as staging:
        (staging / "result.json").write_text(json.dumps({"format": FORMAT}))
    assert names(tmp_path / "out") == ["result.json"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    with result_folder(tmp_path / "out") as staging:
        write(staging, "first")
    assert word(tmp_path / "out") == "first"


def test_the_folder_behind_a_link_is_replaced_not_the_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    with result_folder(tmp_path / "out") as staging:
        write(staging, "first")
    assert (tmp_path / "out").is_symlink()
    assert word(tmp_path / "disk") == "first"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_former_result(tmp_path, error):
    with result_folder(tmp_path / "out") as staging:
        write(staging, "first")
    with pytest.raises(error), result_folder(tmp_path / "out") as staging:  # noqa: PT012 -- the block is what is tested
        write(staging, "second")
        raise error
    assert word(tmp_path / "out") == "first"
    assert names(tmp_path) == ["out"]


def test_a_full_disk_is_told_as_an_error_of_the_input(tmp_path):
    with pytest.raises(NmpsimError, match="No space left"), result_folder(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


def foreign_file(path):
    path.mkdir()
    (path / "thesis.tex").write_text("x")


def no_result(path):
    path.mkdir()
    (path / "report.txt").write_text("mine")


def other_json(path):
    path.mkdir()
    (path / "result.json").write_text("[1]")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (foreign_file, "files of others: thesis.tex"),
        (no_result, "without a result.json of nmpsim"),
        (other_json, "without a result.json of nmpsim"),
        (lambda path: path.write_text("x"), "got a file"),
        (lambda path: path.symlink_to("nowhere"), "got a file"),
    ],
)
def test_a_folder_of_others_is_refused_and_left_alone(tmp_path, make, complaint):
    make(tmp_path / "out")
    before = names(tmp_path / "out") if (tmp_path / "out").is_dir() else None
    with pytest.raises(NmpsimError, match=complaint) as caught:
        check_target(tmp_path / "out")
    assert "allowed: a new folder, an empty one, or the result of a former run" in str(caught.value)
    assert before is None or names(tmp_path / "out") == before


def test_a_mount_point_is_refused():
    with pytest.raises(NmpsimError, match="a mount point"):
        check_target(folder.Path("/"))


def test_a_folder_that_others_use_meanwhile_is_not_replaced(tmp_path):
    with result_folder(tmp_path / "out") as staging:
        write(staging, "first")
    with pytest.raises(NmpsimError, match="files of others"), result_folder(tmp_path / "out") as staging:  # noqa: PT012
        write(staging, "second")
        (tmp_path / "out" / "notes.txt").write_text("mine")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_a_stale_temporary_folder_is_removed_and_a_used_one_kept(tmp_path):
    stale, used, foreign = (tmp_path / f".out.nmpsim-run-{tail}" for tail in ("aa", "bb", "cc"))
    stale.mkdir()
    write(stale, "stale")
    used.mkdir()
    foreign.write_text("a file, not a folder")
    lock = os.open(used, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with result_folder(tmp_path / "out") as staging:
            write(staging, "first")
            assert not stale.exists()
            assert names(tmp_path) == sorted([used.name, foreign.name, staging.name])
    finally:
        os.close(lock)
    assert names(tmp_path) == sorted([used.name, foreign.name, "out"])


def test_two_runs_to_one_folder_do_not_disturb_each_other(tmp_path):
    with result_folder(tmp_path / "out") as one:
        with result_folder(tmp_path / "out") as other:
            write(one, "one")
            write(other, "other")
        assert word(tmp_path / "out") == "other"
    assert word(tmp_path / "out") == "one"
    assert names(tmp_path) == ["out"]


def test_a_kill_between_two_renames_is_mended_by_the_next_run(tmp_path, monkeypatch):
    with result_folder(tmp_path / "out") as staging:
        write(staging, "first")
    (tmp_path / "out").rename(tmp_path / ".out.nmpsim-former")  # as a kill leaves it on a system without exchange
    monkeypatch.setattr(folder, "_exchange", lambda one, other: False)
    with pytest.raises(Killed), result_folder(tmp_path / "out"):  # noqa: PT012 -- as above
        assert word(tmp_path / "out") == "first"
        raise Killed
    assert names(tmp_path) == ["out"]


def test_linux_exchanges_two_folders_in_one_step(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if sys.platform == "linux" and folder._exchange(tmp_path / "one", tmp_path / "other"):
        assert names(tmp_path / "one") == ["other"]
        assert names(tmp_path / "other") == ["one"]
    else:
        assert names(tmp_path / "one") == ["one"]


KILLED_WHILE_PUBLISHING = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from nmpsim.report.folder import result_folder
from tests.unit.report.test_folder import write
n = 0
while True:
    with result_folder(Path({out!r})) as staging:
        write(staging, str(n))
    n += 1
    if n == 3:
        print("ready", flush=True)
"""


@pytest.mark.parametrize("delay_ms", [0, 1, 3, 7, 13])
def test_a_kill_at_any_time_leaves_a_whole_result(tmp_path, delay_ms):
    """A program that does nothing but publish results is killed; where exchange exists, there is always a whole one."""
    code = KILLED_WHILE_PUBLISHING.format(root=str(ROOT), out=str(tmp_path / "out"))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
        assert program.stdout.readline() == "ready\n"
        try:
            program.wait(delay_ms / 1000)
        except subprocess.TimeoutExpired:
            program.kill()
    assert program.returncode == -9
    with result_folder(tmp_path / "out"):
        found = tmp_path / "out"
        assert int(word(found)) >= 2
        assert len([name for name in names(tmp_path) if name.startswith(".out.nmpsim-")]) == 1
