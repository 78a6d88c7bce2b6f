"""`nmpsim claims` on a small claim of each kind."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from nmpsim.claims.claim import VALIDATION, claims
from nmpsim.claims.run import run_claims
from nmpsim.cli import app
from nmpsim.errors import NmpsimError

SMALL = {
    "snake-against-stratum": ("comparison", 'model = "llama-3.1-8b"\nbatches = [1]\ncontexts = [64]\n'),
    "ablation-ladder": ("ladder", 'model = "llama-3.1-8b"\nbatches = [1]\ncontexts = [64]\n'),
    "compute-bound": ("roofline", ""),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The shipped claims with one small workload each, and finished runs beside them."""
    root = tmp_path_factory.mktemp("validation")
    for name, (_, work) in SMALL.items():
        text = (VALIDATION / name / "claim.toml").read_text(encoding="utf-8")
        head = text.split("[[workload]]")[0].replace('arrays = ["snake", "snake-fit"]', 'arrays = ["snake"]')
        head = head.replace('models = ["llama-3.1-8b", "mixtral-8x7b"]', 'models = ["llama-3.1-8b"]')
        head = head.replace("batches = [1, 2, 4, 8, 16, 32]", "batches = [1]").replace("context = 4096", "context = 64")
        head = head.replace("\nbatch = 16", "\nbatch = 1")
        (root / name).mkdir()
        (root / name / "claim.toml").write_text(f"{head}\n[[workload]]\n{work}" if work else head)
    return root


@pytest.fixture(scope="module")
def found(folder, tmp_path_factory):
    with ThreadPoolExecutor(1) as executor:
        return run_claims(claims(folder), tmp_path_factory.getbasetemp() / "kept", executor=executor)


def test_every_kind_gives_a_verdict_a_table_and_a_plot(folder, found):
    assert set(found) == set(SMALL)
    for name, finding in found.items():
        told = json.loads((folder / name / "result.json").read_text(encoding="utf-8"))
        assert told["verdict"] == finding.verdict
        assert told["provenance"]["without_figures"] == {}
        assert (folder / name / "result.png").stat().st_size > 5000
        page = (folder / name / "result.md").read_text(encoding="utf-8")
        assert page.count("\n| ") >= len(finding.rows) + 1
    assert found["compute-bound"].verdict == "not reproduced"  # nothing is compute-bound at batch 1
    ladder = found["ablation-ladder"].figures["snake"]
    assert list(ladder) == ["tree", "fixed", "shape", "dataflow", "unification", "spatial", "spatio-temporal"]
    assert ladder["tree"]["speed"] == 1.0
    assert ladder["fixed"]["speed"] < ladder["shape"]["speed"] <= 1.01 * ladder["dataflow"]["speed"]
    assert ladder["unification"]["logic_mm2"] < ladder["dataflow"]["logic_mm2"]
    assert ladder["fixed"]["logic_mm2"] < ladder["shape"]["logic_mm2"]


def test_the_command_takes_finished_runs_and_gives_the_same_bytes(folder, found, tmp_path, tmp_path_factory):
    again = tmp_path / "validation"
    shutil.copytree(folder / "compute-bound", again / "compute-bound")
    before = (again / "compute-bound" / "result.json").read_bytes()
    (again / "compute-bound" / "result.json").unlink()
    cache = tmp_path_factory.getbasetemp() / "kept"
    done = CliRunner().invoke(app, ["claims", "run", "--validation", str(again), "--cache", str(cache)])
    assert done.exit_code == 0, done.output
    assert "compute-bound: not reproduced" in done.stdout
    assert (again / "compute-bound" / "result.json").read_bytes() == before


def test_list_and_show(folder, found):
    done = CliRunner().invoke(app, ["claims", "list", "--validation", str(folder)])
    assert [line.split()[0] for line in done.stdout.splitlines()] == sorted(SMALL)
    assert "not reproduced" in done.stdout
    done = CliRunner().invoke(app, ["claims", "show", "compute-bound", "--validation", str(folder)])
    assert "**Verdict: not reproduced.**" in done.stdout
    assert "| llama-3.1-8b | stratum | 1 | qkv |" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "no-such"], "'no-such'; allowed: ablation-ladder, compute-bound, snake-against-stratum"),
        (["show", "no-such"], "'no-such'; allowed"),
        (["run", "--workers", "0"], "--workers"),
        (["list", "--validation", "nowhere"], "no claims"),
    ],
)
def test_wrong_input_is_told(words, message):
    done = CliRunner().invoke(app, ["claims", *words])
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_claim_file_that_is_wrong_is_told(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "claim.toml").write_text('kind = "comparison"\ntitle = 3\n')
    with pytest.raises(NmpsimError) as caught:
        claims(tmp_path)
    assert all(f"claim.toml: {key}" in str(caught.value) for key in ("title", "statement", "source", "rule"))
    (tmp_path / "one" / "claim.toml").write_text(
        'kind = "guess"\n' + "".join(f'{key} = "x"\n' for key in ("title", "statement", "source", "rule"))
    )
    with pytest.raises(NmpsimError, match="comparison, roofline, ladder"):
        run_claims(claims(tmp_path), tmp_path / "kept")
    (tmp_path / "one" / "claim.toml").write_text("kind = [")
    with pytest.raises(NmpsimError, match="claim file"):
        claims(tmp_path)
