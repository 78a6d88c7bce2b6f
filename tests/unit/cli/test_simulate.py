"""``nmpsim simulate``: the folder it writes, whole or not at all, and how it ends."""

import json
import os
import re
import signal

import pytest
from pyarrow import parquet

from nmpsim.cli.exits import exit_code
from nmpsim.errors import DeadlockError, InfeasibleError, InternalError, LimitReached, SpecError
from tests.unit.cli.bench import call, run, start
from tests.unit.report.small import config_text, write_inputs

FILES = ["operators.parquet", "report.txt", "result.json"]
TRACE = [
    "trace-accesses.parquet",
    "trace-banks.parquet",
    "trace-flows.parquet",
    "trace-instructions.parquet",
    "trace-intervals.parquet",
    "trace.json",
]


@pytest.fixture
def words(tmp_path):
    """``words(option=value)``: a simulate command of a small model."""
    model, chip = write_inputs(tmp_path)

    def of(**options):
        sound = {"model": model, "chip": chip, "batch": 2, "context": 16, "out": tmp_path / "out"}
        pairs = {**sound, **options}
        return ["simulate", *(str(w) for k, v in pairs.items() for w in (f"--{k.replace('_', '-')}", v))]

    return of


def contents(folder):
    """Bytes of every file of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def result(folder):
    return json.loads((folder / "result.json").read_text())


def test_a_run_writes_its_three_files_and_prints_the_report(tmp_path, words):
    done = call(*words())
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "small.toml", "tiny"]
    cycles = result(tmp_path / "out")["cycles"]
    assert f"{cycles:,} cycles of the core clock" in done.stdout
    assert done.stdout.endswith(f"written to {tmp_path / 'out'}\n")
    assert "Every operator" in (tmp_path / "out" / "report.txt").read_text()
    assert parquet.read_table(tmp_path / "out" / "operators.parquet").num_rows == len(
        result(tmp_path / "out")["operators"]
    )


def test_the_same_command_writes_the_same_bytes_apart_from_speed(tmp_path, words):
    assert call(*words(out=tmp_path / "here")).exit_code == 0
    code, _, err = run(*words(out=tmp_path / "there"))
    assert code == 0, err
    here, there = contents(tmp_path / "here"), contents(tmp_path / "there")
    assert here["operators.parquet"] == there["operators.parquet"]
    speed = re.compile(rb'^ "speed": \{.*?^ \}', re.MULTILINE | re.DOTALL)
    assert len(speed.findall(here["result.json"])) == 1
    assert speed.sub(b"", here["result.json"]) == speed.sub(b"", there["result.json"])


def test_both_modes_give_the_same_result(tmp_path, words):
    for mode in ("skip", "plain"):
        assert call(*words(mode=mode, out=tmp_path / mode)).exit_code == 0
    skip, plain = result(tmp_path / "skip"), result(tmp_path / "plain")
    assert (skip["provenance"].pop("mode"), plain["provenance"].pop("mode")) == ("skip", "plain")
    skip.pop("speed"), plain.pop("speed")
    assert skip == plain


def test_options_reach_the_result(tmp_path, words):
    model = tmp_path / "moe.json"
    model.write_text(config_text(num_hidden_layers=3))
    assert call(*words(model=model, layers=1, seed=5, first_tier=2, batch=3, context=20)).exit_code == 0
    assert result(tmp_path / "out")["provenance"]["options"] == {
        "batch": 3,
        "context": 20,
        "layers": 1,
        "seed": 5,
        "first_tier": 2,
        "routing": "",
    }


@pytest.mark.parametrize("trace", ["none", "coarse", "full"])
def test_the_trace_option_decides_on_the_trace(tmp_path, words, trace):
    assert call(*words(trace=trace)).exit_code == 0
    files = FILES if trace == "none" else FILES + TRACE
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files
    if trace != "none":
        banks = parquet.read_table(tmp_path / "out" / "trace-banks.parquet").num_rows
        assert (banks > 0) == (trace == "full")


def test_a_filter_of_the_trace_is_read_whole(words):
    done = call(*words(trace="coarse", trace_units="bank,arrow", **{"from": 9, "to": 4}))
    assert done.exit_code == 2
    for told in ("--trace-units: got 'arrow'", "--to: got 4"):
        assert told in done.stderr
    assert "for --trace full only" in call(*words(trace="coarse", trace_units="bank")).stderr
    assert "--trace: got 'none' with a filter" in call(*words(trace_units="array")).stderr


def test_a_former_result_is_replaced_as_a_whole(tmp_path, words):
    assert call(*words()).exit_code == 0
    assert call(*words(batch=1, trace="none")).exit_code == 0
    assert result(tmp_path / "out")["provenance"]["options"]["batch"] == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES


def test_a_reached_limit_exits_with_3_and_leaves_the_former_result(tmp_path, words):
    assert call(*words()).exit_code == 0
    before = contents(tmp_path / "out")
    done = call(*words(limit_cycles=10))
    assert done.exit_code == 3
    assert "limit of 10 core cycles" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(tmp_path / "out") == before
    assert not list(tmp_path.glob(".*"))


def test_each_kind_of_error_has_its_exit_code():
    codes = [exit_code(kind("x")) for kind in (SpecError, InfeasibleError, DeadlockError, LimitReached, InternalError)]
    assert codes == [2, 2, 3, 3, 4]


@pytest.fixture
def long_run(tmp_path, words):
    """Words of a run that takes seconds, started: (program, words of a short run into the same folder)."""
    model = tmp_path / "long.json"
    wide = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8}
    model.write_text(config_text(num_hidden_layers=16, **wide))
    with start(*words(model=model, batch=1, mode="plain")) as program:
        yield program
        program.kill()


def wait_for_progress(program):
    """Read stderr until the progress bar of the simulation is there."""
    seen = b""
    while b"simulating" not in seen:
        piece = os.read(program.stderr.fileno(), 4096)
        assert piece, f"ended before it showed progress: {seen!r}"
        seen += piece


@pytest.mark.parametrize("former", [True, False], ids=["over a former result", "into nothing"])
def test_a_killed_run_leaves_no_half_written_result(tmp_path, words, former, request):
    if former:
        assert call(*words()).exit_code == 0
    before = contents(tmp_path / "out") if former else None
    program = request.getfixturevalue("long_run")
    wait_for_progress(program)
    (staging,) = tmp_path.glob(".out.nmpsim-run-*")
    program.send_signal(signal.SIGKILL)
    assert program.wait(60) == -signal.SIGKILL
    assert staging.exists()
    assert (contents(tmp_path / "out") if (tmp_path / "out").exists() else None) == before
    assert call(*words(batch=1)).exit_code == 0
    assert not staging.exists()
    assert not list(tmp_path.glob(".*"))
    assert result(tmp_path / "out")["provenance"]["options"]["batch"] == 1


def test_ctrl_c_exits_with_130_and_one_line(tmp_path, long_run):
    wait_for_progress(long_run)
    long_run.send_signal(signal.SIGINT)
    out, err = long_run.communicate(timeout=60)
    assert long_run.returncode == 130
    assert not out
    assert [line for line in err.splitlines() if "nmpsim" in line] == ["nmpsim: interrupted"]
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))
