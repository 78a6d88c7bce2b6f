"""``nmpsim core sweep``: what it prints and writes, and what it refuses."""

import csv

import pyarrow.parquet as pq
import pytest

from nmpsim.sweep.tables import COLUMNS
from tests.chip_text import chip_text
from tests.unit.cli.bench import call

SIZES = ("--m", "1,4", "--n", "300", "--k", "40")


def sweep(*words):
    return call("core", "sweep", "--chip", *words)


def test_the_best_of_each_dataflow_is_printed():
    lines = sweep("snake", *SIZES).stdout.splitlines()
    assert lines[0] == "one core of snake, operands always there: best mapping of each dataflow (* fastest)"
    assert [line.split()[1] for line in lines[2:]] == ["1", "1", "1", "4", "4", "4"]
    assert sum("*" in line.split("x128")[0].split("product")[1][:28] for line in lines[2:]) >= 2
    assert len(sweep("snake", *SIZES, "--all").stdout.splitlines()) == 2 + 2 * 39
    assert len(sweep("stratum", *SIZES, "--all").stdout.splitlines()) == 2 + 2 * 3


def test_files_are_whole_and_the_same_rows(tmp_path):
    folder = tmp_path / "new" / "sweep"
    result = sweep("stratum", *SIZES, "--out", folder)
    assert result.stdout.splitlines()[-1] == f"6 rows written to {folder}"
    assert sorted(path.name for path in folder.iterdir()) == ["sweep.csv", "sweep.parquet", "utilisation.png"]
    with (folder / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(folder / "sweep.parquet").to_pylist()
    assert list(rows[0]) == list(table[0]) == list(COLUMNS)
    assert [int(row["cycles"]) for row in rows] == [row["cycles"] for row in table]
    assert all(int(row["macs"]) == int(row["m"]) * 300 * 40 for row in rows)
    assert (folder / "utilisation.png").read_bytes().startswith(b"\x89PNG")
    assert sweep("stratum", "--m", "1", "--n", "8", "--k", "8", "--out", folder).exit_code == 0  # replaced
    assert len((folder / "sweep.csv").read_text().splitlines()) == 1 + 3


def test_a_model_gives_its_decode_products():
    result = sweep("stratum", "--model", "mixtral-8x7b", "--batch", "1,2", "--context", "64")
    names = {line.split()[1] for line in result.stdout.splitlines()[2:]}
    assert names == {"qkv", "score", "value", "attn_out", "router", "gate_up", "down", "lm_head"}


def test_a_slow_bank_takes_longer():
    fast, slow = (
        min(int(line.split()[-8].replace(",", "")) for line in sweep("stratum", *SIZES, *more).stdout.splitlines()[2:])
        for more in ((), ("--fifo-rate", "12.5"))
    )
    assert slow > fast


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        (("snake",), ["--m, --n, --k: got nothing"]),
        (("snake", "--m", "1"), ["--n, --k: got nothing"]),
        (("snake", "--m", "0", "--n", "8-4", "--k", "1:2"), ["--m: got '0'", "--n: got '8-4'", "--k: got '1:2'"]),
        (("snake", "--m", "4-8:0", "--n", "", "--k", "2000000"), ["--m: got", "--n: got ''", "--k: got '2000000'"]),
        (("snake", "--m", "1-70", "--n", "1-70", "--k", "1"), ["got 4900 products"]),
        (("snake", "--m", "1", "--n", "1000000", "--k", "1000000"), ["elements of B"]),
        (("nochip", *SIZES), ["got 'nochip'"]),
        (("snake", *SIZES, "--batch", "2", "--context", "3"), ["--batch: got '2'", "--context: got '3'"]),
        (("snake", *SIZES, "--fifo-rate", "0"), ["--fifo-rate: got '0'; allowed: a number above 0, at most 256"]),
        (("snake", *SIZES, "--out", ""), ["--out: got ''"]),
        (
            ("nochip", "--m", "x", "--model", "nomodel", "--batch", "0", "--context", "1,2", "--fifo-rate", "much"),
            ["'nochip'", "--m: got 'x'", "--model: got", "'nomodel'", "--batch: got '0'", "--context: got", "'much'"],
        ),
        (("snake", "--model", "llama-3.1-8b", "--context", "200000"), ["got 200000"]),
    ],
)
def test_every_fault_is_named_and_the_exit_code_is_2(words, faults):
    result = sweep(*words)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    for fault in faults:
        assert fault in result.stderr


def test_a_file_in_place_of_the_folder_is_refused_before_the_sweep(tmp_path):
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        result = sweep("snake", *SIZES, "--out", target)
        assert result.exit_code == 2
        assert "allowed: a folder, there or to be made" in result.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_nothing_is_left_where_nothing_can_be_written(tmp_path):
    (tmp_path / "sweep.parquet").mkdir()  # cannot be replaced by a file
    (tmp_path / "sweep.parquet" / "mine").write_text("mine")
    result = sweep("stratum", *SIZES, "--out", tmp_path)
    assert result.exit_code == 2
    assert "cannot write the sweep" in result.stderr
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_separate_core_is_refused(tmp_path):
    path = tmp_path / "separate.toml"
    path.write_text(chip_text("snake").replace('arrangement = "unified"', 'arrangement = "separate"'))
    result = sweep(path, *SIZES)
    assert result.exit_code == 2
    assert "copies are no part of a sweep" in result.stderr
