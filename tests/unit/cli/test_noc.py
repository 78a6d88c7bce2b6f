"""``nmpsim noc`` and ``nmpsim conformance noc``: what they print and write, and their exit codes."""

import csv

import pytest

from tests.architecture.sources import ROOT
from tests.unit.cli.bench import call

GOLDEN = ROOT / "tests" / "golden" / "noc"


def test_random_traffic_is_run():
    result = call("noc", "run", "--topology", "mesh:2x2", "--rate", "0.2", "--period", "500")
    assert result.exit_code == 0, result.stderr
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines()[1:])
    assert lines["offered"] == "0.2000 flits per node and cycle"
    assert set(lines) == {"offered", "accepted", "latency", "network", "hops", "causes", "simulated", "CPU"}


def test_an_unstable_run_tells_accepted_rate_and_growth():
    words = ("--traffic", "hotspot({0})", "--rate", "0.5", "--period", "2000")
    result = call("noc", "run", "--topology", "crossbar:8", *words)
    assert result.exit_code == 0
    assert "accepted    0.124" in result.stdout
    assert "growing by 0.3" in result.stdout


def test_a_batch_ends_in_the_cycle_that_is_recorded():
    result = call(
        "noc", "run", "--topology", "mesh:8x8", "--traffic", "bitcomp", "--batch", "100", "--packet-flits", "4"
    )
    assert "completed   after 2679 cycles" in result.stdout


def test_a_trace_is_run(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("at,source,destination,flits\n0,0,2,3\n5,1,2,2\n")
    listed = tmp_path / "line.anynet"
    listed.write_text("router 0 node 0 router 1\nrouter 1 node 1 router 2\nrouter 2 node 2\n")
    result = call("noc", "run", "--topology", listed, "--trace", path)
    assert result.exit_code == 0, result.stderr
    assert "packets     2 arrived, 5 flits" in result.stdout
    assert "completed   after 22 cycles" in result.stdout


def test_a_batch_that_does_not_end_in_time_is_given_up():
    result = call("noc", "run", "--topology", "mesh:2x2", "--batch", "100", "--limit-cycles", "50")
    assert result.exit_code == 3
    assert "packets have not arrived after 50 cycles" in result.stderr


def test_a_sweep_writes_table_and_plot(tmp_path):
    table, plot = tmp_path / "curve.csv", tmp_path / "curve.svg"
    words = ("--rates", "0.9,0.1", "--period", "500", "--latency-limit", "60", "--csv", table, "--plot", plot)
    result = call("noc", "sweep", "--topology", "ring:8", *words)
    assert result.exit_code == 0, result.stderr
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["rate"], row["status"]) for row in rows] == [("0.1", "stable"), ("0.9", "unstable")]
    assert 17 < float(rows[0]["latency"]) < 20
    assert float(rows[1]["backlog_growth"]) > 0.2
    assert plot.read_text().startswith("<?xml")
    assert "  0.1000    stable" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--topology", "mesh:4x5", "--rate", "0.1"), "equal dimensions"),
        (("--topology", "mesh:4x4"), "exactly one"),
        (("--topology", "mesh:4x4", "--rate", "0.1", "--batch", "3"), "exactly one"),
        (("--topology", "mesh:4x4", "--rate", "none"), "numbers above 0"),
        (("--topology", "mesh:4x4", "--rate", "1.5"), "one packet a cycle"),
        (("--topology", "mesh:4x4", "--rate", "0.1", "--vcs", "x", "--traffic", "foo"), "--vcs"),
        (("--topology", "mesh:4x4", "--rate", "0.1", "--vcs", "99"), "1 to 62"),
        (("--topology", "torus:4x4", "--rate", "0.1", "--vcs", "1"), "2 or more"),
        (("--topology", "mesh:4x4", "--trace", "no.csv"), "no.csv"),
    ],
)
def test_wrong_options_end_with_code_2(words, told):
    result = call("noc", "run", *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_recorded_batches_are_compared_and_listed(tmp_path):
    folder = tmp_path / "batch"
    (folder / "configs").mkdir(parents=True)
    lines = (GOLDEN / "batch" / "batch_completion.csv").read_text().splitlines()
    kept = [lines[0], lines[1], next(line for line in lines if line.startswith("fly16"))]
    (folder / "batch_completion.csv").write_text("\n".join(kept) + "\n")
    for path in (GOLDEN / "batch" / "configs").glob("*__A_base__p1.cfg"):
        (folder / "configs" / path.name).write_text(path.read_text())
    result = call("conformance", "noc", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "batch mesh4x4 neighbor A_base p1: values 2/2",
        "batch fly16 bitcomp A_base p1: not compared: topology fly of 2 stages",
        "2 cases: 1 compared, 0 failed",
    ]
    wrong = kept[1].split(",")
    wrong[6] = str(int(wrong[6]) + 1)
    (folder / "batch_completion.csv").write_text("\n".join([kept[0], ",".join(wrong)]) + "\n")
    result = call("conformance", "noc", tmp_path)
    assert result.exit_code == 1
    assert "first difference: cycles to complete: got 146, expected 147" in result.stdout


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    result = call("conformance", "noc", tmp_path, tmp_path / "none")
    assert result.exit_code == 2
    assert "no recorded network" in result.stderr
    assert "no such file or folder" in result.stderr
    (tmp_path / "pair.csv").write_text("src,dst,network_latency_zero_load\n0,1,7\n")
    result = call("conformance", "noc", tmp_path / "pair.csv")
    assert result.exit_code == 2
    assert "no configuration" in result.stderr
    (tmp_path / "pair.cfg").write_text("topology = mesh\nk = x;\n")
    result = call("conformance", "noc", tmp_path / "pair.csv")
    assert result.exit_code == 2
    assert "key = value;" in result.stderr
    assert "a whole number" in result.stderr
