"""Whole studies on the small model and the small chip."""

import contextlib
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyarrow import parquet

from nmpsim.ablation.reading import load_study
from nmpsim.ablation.run import run_ablation
from nmpsim.ablation.tables import EFFECTS, KIND, PAGE, RESULT, ROWS
from nmpsim.study.tasks import step
from tests.unit.cli.bench import call, start
from tests.unit.report.small import write_inputs

STUDY = """
title = "Small"
question = "Does it run?"
designs = ["single", "grid"]
notes = ["a small one"]

[base]
chip = "{chip}"

[[workload]]
models = ["{model}"]
batches = [1, 2]
contexts = [16]
layers = 1

[[factor]]
name = "width"
base = "128 B"
[[factor.level]]
name = "32 B"
overrides.noc.flit_bytes = 32

[[factor]]
name = "buffer"
base = "1 MiB"
[[factor.level]]
name = "too small"
overrides = {{ "core.buffer.bytes" = 2048, "core.buffer.banks" = 16 }}
"""


@pytest.fixture
def study_file(tmp_path):
    model, chip = write_inputs(tmp_path)
    path = tmp_path / "small.toml.study.toml"
    path.write_text(STUDY.format(model=model, chip=chip))
    return path


def test_a_small_study_runs_whole(tmp_path, study_file):
    with ThreadPoolExecutor(1) as threads:
        found = run_ablation(
            load_study(str(study_file)), "cycle", tmp_path / "kept", tmp_path / "out", executor=threads
        )
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(KIND.files)
    told = json.loads((tmp_path / "out" / RESULT).read_text())
    assert told["format"] == "nmpsim-ablation-1"
    assert told["provenance"]["points"] == 8  # 4 chips, 2 batches; the cells of the grid that stand alone are the same
    by_name = {(row["design"], row["change"], row["workload"].split(" b")[1]): row for row in told["rows"]}
    settings = {"model": str(tmp_path / "tiny" / "config.json"), "chip": str(tmp_path / "small.toml"), "batch": 2,
                "context": 16, "layers": 1, "first_tier": 0}  # fmt: skip
    base, narrow = (step({**settings, **more}) for more in ({}, {"overrides": {"noc.flit_bytes": 32}}))
    row = by_name["single", "width = 32 B", "2 c16"]
    assert row["ms"] == pytest.approx(1e3 * narrow["seconds"], rel=1e-5)
    assert row["speed"] == pytest.approx(base["seconds"] / narrow["seconds"], rel=1e-5)
    assert row["energy"] == pytest.approx(sum(base["energy_J"].values()) / sum(narrow["energy_J"].values()), rel=1e-5)
    assert by_name["single", "buffer = too small", "2 c16"]["refused"]
    assert {one.refused for one in found.contributions if one.factor == "buffer"} == {2, 4}
    assert parquet.read_table(tmp_path / "out" / ROWS).num_rows == len(told["rows"]) == 12
    assert parquet.read_table(tmp_path / "out" / EFFECTS).to_pylist()[0]["level"] == "32 B"
    page = (tmp_path / "out" / PAGE).read_text()
    assert "a small one" in page
    assert "too small" in page


def test_the_shipped_ladder_of_one_model_in_analytical_mode(tmp_path):
    with ThreadPoolExecutor(1) as threads:
        found = run_ablation(load_study("ladder"), "analytical", tmp_path / "kept", tmp_path / "out", executor=threads)
    speeds = {one.factor: one.speed for one in found.contributions}
    assert speeds["array"] < 1 < speeds["shape"]  # a square that does one dataflow is worse than trees, see the claim
    assert any("estimates" in note for note in found.study.notes)


def kept(folder):
    """Finished points: file number and time by name; a point that is computed again is a new file."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*/*.json")}


def test_a_killed_study_goes_on_without_losing_or_repeating_a_point(tmp_path, study_file):
    """Killed with SIGKILL after the third of eight points."""
    folder, out = tmp_path / "kept", tmp_path / "out"
    words = ("ablate", study_file, "--cache", folder, "--out", out, "--workers", "1")
    with start(*words, cwd=tmp_path) as program:
        while len(kept(folder)) < 3:
            assert program.poll() is None, "ended before it was killed"
            time.sleep(0.005)
        program.send_signal(signal.SIGKILL)
        program.wait(60)
    for _ in range(1000):  # its worker ends with it
        if not _at_work(folder):
            break
        time.sleep(0.01)
    before = kept(folder)
    assert 3 <= len(before) < 8
    assert not out.exists(), "a result before the study was whole"
    with start(*words, cwd=tmp_path) as program:
        told, errors = program.communicate(timeout=600)
    assert program.returncode == 0, errors
    assert "32 B" in told
    assert before.items() <= kept(folder).items(), "a finished point was lost or repeated"
    assert len(kept(folder)) == 8
    assert json.loads((out / RESULT).read_text())["provenance"]["points"] == 8


def _at_work(folder):
    """Whether another process has the folder's lock open."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            found.append(link.readlink())
    return folder / "lock" in found


def test_the_command_line_tells_every_fault_and_the_modes(tmp_path, study_file):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(study_file.read_text().replace("flit_bytes", "flit_byte").replace("[1, 2]", "[1, 0]"))
    told = call("ablate", wrong, "--out", tmp_path / "out")
    assert told.exit_code == 2
    assert "workload 1: batches" in told.output
    told = call("ablate", study_file, "--batch", "x,1", "--workers", "0", "--layers", "-1")
    assert told.exit_code == 2
    assert all(option in told.output for option in ("--batch", "--workers", "--layers"))
    told = call("ablate", study_file, "--mode", "anlytical", "--out", tmp_path / "out", "--cache", tmp_path / "kept")
    assert told.exit_code == 2
    assert "allowed: cycle or analytical" in told.output
    told = call("ablate")
    assert told.exit_code == 2
    assert "--list" in told.output
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    told = call("ablate", study_file, "--out", tmp_path / "other", "--cache", tmp_path / "kept")
    assert told.exit_code == 2
    assert "mine.txt" in told.output
    assert not (tmp_path / "kept").exists(), "something was run"


def test_steps_and_the_base_chip_can_be_chosen(tmp_path, study_file):
    told = call("ablate", study_file, "--model", "no-such-model")
    assert told.exit_code == 2
    told = call("ablate", study_file, "--chip", "stratum", "--context", "9999999")
    assert told.exit_code == 2
    assert "context" in told.output


def test_the_shipped_studies_are_listed():
    told = call("ablate", "--list")
    assert told.exit_code == 0
    assert any(line.startswith("ladder ") for line in told.output.splitlines())
