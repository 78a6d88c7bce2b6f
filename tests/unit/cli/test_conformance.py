"""``nmpsim conformance dram``: what it prints, and its exit codes."""

import gzip
import json
import shutil

import pytest

from tests.unit.cli.bench import call

NAME = "r21_bankchannel_stream_mix"


@pytest.fixture
def case(root, tmp_path):
    """A copy of a recorded case, two folders down."""
    folder = tmp_path / "set" / NAME
    shutil.copytree(root / "tests" / "golden" / "dram" / NAME, folder)
    return folder


def change(folder, section, **values):
    """Change keys of a section of the configuration."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config[section].update(values)
    path.write_text(json.dumps(config))


def rewrite(path, number, line):
    """Replace a line of a compressed file; 0 is the header."""
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    lines[number] = line
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


@pytest.mark.parametrize("mode", [(), ("--plain",)])
def test_equal_cases_are_counted(case, mode):
    result = call("conformance", "dram", case.parent, *mode)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{NAME}: commands 3160/3160, completions 3000/3000",
        "1 cases: 1 compared, 0 failed",
    ]


def test_the_first_difference_is_shown(case):
    rewrite(case / "commands.csv.gz", 2, "13,RD,0,0,0,0,0,0,0")
    result = call("conformance", "dram", case)
    assert result.exit_code == 1
    assert "commands 3159/3160" in result.stdout
    assert "first difference: command 1: got 12 RD 0 0 0 0 0 0 0, expected 13 RD 0 0 0 0 0 0 0" in result.stdout


def test_a_missing_command_is_a_difference(case):
    path = case / "commands.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(gzip.compress("\n".join(lines[:-1]).encode()))
    result = call("conformance", "dram", case)
    assert result.exit_code == 1
    assert "commands 3159/3159" in result.stdout
    assert "expected nothing" in result.stdout


def test_a_second_opinion_is_listed_and_does_not_fail(case):
    case.rename(case.with_name("d3_anything"))
    result = call("conformance", "dram", case.parent)
    assert result.exit_code == 0
    assert "d3_anything: not compared: DRAMsim3, a second opinion" in result.stdout


@pytest.mark.parametrize(
    "setting", [{"scheduler": "FCFS"}, {"row_policy": "Timeout"}, {"address_mapper": "Unheard"}, {"refresh": "Other"}]
)
def test_a_case_of_something_unknown_is_listed_and_fails(case, setting):
    change(case, "controller", **setting)
    if "address_mapper" in setting:
        path = case / "requests.csv.gz"
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        path.write_bytes(gzip.compress("\n".join(",".join(line.split(",")[:4]) for line in lines).encode()))
    result = call("conformance", "dram", case.parent)
    assert result.exit_code == 1
    assert f"{NAME}: not compared: " in result.stdout
    assert next(iter(setting.values())) in result.stdout
    assert "1 cases: 0 compared, 1 failed" in result.stdout


def test_a_path_without_cases_is_refused(tmp_path):
    result = call("conformance", "dram", tmp_path, tmp_path / "none")
    assert result.exit_code == 2
    assert "got no case; allowed: a folder with config.json, requests.csv.gz" in result.stderr
    assert "got no such folder" in result.stderr


def test_a_folder_with_some_files_only_is_refused(case):
    (case / "completions.csv.gz").unlink()
    result = call("conformance", "dram", case.parent)
    assert result.exit_code == 2
    assert "got no completions.csv.gz" in result.stderr


def test_all_faults_of_a_case_are_told_at_once(case):
    change(case, "controller", depth=3, read_queue="many")
    change(case, "driver", total_ticks=None)
    result = call("conformance", "dram", case.parent)
    assert result.exit_code == 2
    assert "config.json: controller: depth: got an unknown key" in result.stderr
    assert "config.json: controller: read_queue: got 'many'; allowed: an integer" in result.stderr
    assert "config.json: driver: total_ticks: got None; allowed: an integer" in result.stderr


@pytest.mark.parametrize(
    ("name", "number", "line", "said"),
    [
        ("requests.csv.gz", 0, "id,at,op", "requests.csv.gz:1: got 'id,at,op'; allowed: id,at,op,addr[,Channel"),
        ("requests.csv.gz", 3, "2,0,X,256,0,0,0,0,0,2", "requests.csv.gz:4: op: got 'X'; allowed: R, W"),
        ("requests.csv.gz", 3, "2,0,R,256,0,0,0,0,99999,2", "request 2: row: got 99999; allowed: 0 to 4095"),
        ("commands.csv.gz", 2, "1x,RD,0,0,0,0,0,0,0", "commands.csv.gz:3: clock: got '1x'; allowed: an integer"),
        ("commands.csv.gz", 2, "12,RD", "commands.csv.gz:3: got 2 fields; allowed: 9 fields"),
        ("completions.csv.gz", 1, "7,0,21", "one for each of the 3000 requests"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(case, name, number, line, said):
    rewrite(case / name, number, line)
    result = call("conformance", "dram", case.parent)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"id,at,op,addr")[:-9]], ids=["plain text", "cut off"])
def test_a_file_that_is_not_compressed_is_told(case, content):
    (case / "requests.csv.gz").write_bytes(content)
    result = call("conformance", "dram", case.parent)
    assert result.exit_code == 2
    assert "allowed: a CSV file, compressed by gzip" in result.stderr


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_configuration_that_is_no_object_is_told(case, text):
    (case / "config.json").write_text(text)
    result = call("conformance", "dram", case.parent)
    assert result.exit_code == 2
    assert "config.json" in result.stderr
