import datetime as dt
import hashlib
import json
import shutil
import tomllib

import pytest

from nmpsim.errors import WorkloadError
from nmpsim.workload import LLAMA, MIXTRAL, catalog, describe, load_model, model_names
from tests.unit.workload.configs import LLAMA_CONFIG, MIXTRAL_CONFIG, changed, model_of

NAMES = (
    "deepseek-v3",
    "llama-3.1-405b",
    "llama-3.1-70b",
    "llama-3.1-8b",
    "mixtral-8x7b",
    "olmoe-1b-7b",
    "opt-66b",
    "qwen2.5-32b",
    "qwen3-30b-a3b",
)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A catalogue that a test may damage."""
    folder = tmp_path / "workloads"
    shutil.copytree(catalog.catalog_folder(), folder)
    monkeypatch.setattr(catalog, "catalog_folder", lambda: folder)
    return folder


def fault_of(name):
    with pytest.raises(WorkloadError) as caught:
        load_model(name)
    (fault,) = caught.value.faults
    return fault


def test_these_models_are_shipped():
    assert model_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_file_is_the_one_of_its_provenance(name):
    folder = catalog.catalog_folder() / name
    provenance = tomllib.loads((folder / "provenance.toml").read_text(encoding="utf-8"))
    assert provenance["sha256"] == hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    assert provenance["date"] == dt.date(2026, 11, 21)
    assert provenance["model"] in load_model(name).source
    assert provenance["licence"] in load_model(name).source


# Published shapes: The Llama 3 Herd of Models, arXiv 2407.21783, Table 3 (model width, layers, feed-forward width,
# query heads, key/value heads); Mixtral of Experts, arXiv 2401.04088, Table 1.
@pytest.mark.parametrize(
    ("name", "family", "shape", "vocab", "experts", "positions"),
    [
        ("llama-3.1-8b", LLAMA, (4096, 32, 14336, 32, 8, 128), 128256, (0, 0), 131072),
        ("llama-3.1-70b", LLAMA, (8192, 80, 28672, 64, 8, 128), 128256, (0, 0), 131072),
        ("mixtral-8x7b", MIXTRAL, (4096, 32, 14336, 32, 8, 128), 32000, (8, 2), 32768),
    ],
)
def test_shapes_are_the_published_ones(name, family, shape, vocab, experts, positions):
    model = load_model(name)
    assert (model.name, model.family) == (name, family)
    assert (model.hidden, model.layers, model.ffn, model.heads, model.kv_heads, model.head_dim) == shape
    assert (model.vocab, model.max_positions) == (vocab, positions)
    assert (model.experts, model.experts_per_token) == experts


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("llama-3.1-8b", 8_030_261_248), ("llama-3.1-70b", 70_553_706_496), ("mixtral-8x7b", 46_702_792_704)],
)
def test_parameters_are_the_published_ones(name, parameters):
    """Parameter counts that the checkpoints of the three models state."""
    assert load_model(name).parameters == parameters


@pytest.mark.parametrize(
    ("name", "meant"),
    [("llama-3.1-8", "llama-3.1-8b"), ("Mixtral-8x7B", "mixtral-8x7b"), ("llama3.1-70b", "llama-3.1-70b")],
)
def test_misspelt_name_is_answered_with_the_nearest(name, meant):
    fault = fault_of(name)
    assert (fault.where, fault.got, fault.todo) == ("model", repr(name), f"did you mean {meant!r}?")
    assert fault.allowed == f"{', '.join(NAMES)}, or a path to a config.json"


@pytest.mark.parametrize("name", ["gpt", "", "no/such/config.json", "x" * 5000, "nul\0"])
def test_unknown_name_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkloadError):
        load_model(name)


def test_a_file_loads_under_its_own_name(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(LLAMA_CONFIG))
    model = load_model(path)
    assert (model.name, model.source) == ("tiny", f"file {path}")
    assert load_model(str(path)) == model


def test_a_folder_loads_its_config_under_the_name_of_the_folder(tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(MIXTRAL_CONFIG))
    assert load_model(tmp_path / "tiny").name == "tiny"
    assert load_model(tmp_path / "tiny" / "config.json") == load_model(tmp_path / "tiny")


def test_a_folder_without_config_is_refused(tmp_path):
    assert fault_of(tmp_path).got == repr(str(tmp_path))


def test_an_unreadable_file_is_refused(tmp_path):
    (tmp_path / "config.json").mkdir()
    assert fault_of(tmp_path).got == "Is a directory"


def test_a_changed_shipped_file_is_refused(copied):
    path = copied / "llama-3.1-8b" / "config.json"
    path.write_bytes(path.read_bytes().replace(b"14336", b"14337"))
    fault = fault_of("llama-3.1-8b")
    assert fault.where == str(path)
    assert fault.allowed == "sha256 398adf8b93f20e64932517492099d4e471e36a1723b5bf4e1311638f6a13f909"
    assert load_model(path).ffn == 14337


@pytest.mark.parametrize("text", ["model = ", 'model = "a model"'])
def test_a_broken_provenance_is_refused(copied, text):
    path = copied / "mixtral-8x7b" / "provenance.toml"
    path.write_text(text)
    with pytest.raises(WorkloadError) as caught:
        load_model("mixtral-8x7b")
    assert all(fault.where.startswith(str(path)) for fault in caught.value.faults)


def test_a_lost_provenance_is_refused(copied):
    (copied / "mixtral-8x7b" / "provenance.toml").unlink()
    assert fault_of("mixtral-8x7b").got == "No such file or directory"


def test_the_catalogue_of_an_installed_package_wins(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "nmpsim")
    (tmp_path / "workloads" / "beside").mkdir(parents=True)
    (tmp_path / "workloads" / "beside" / "config.json").touch()
    assert model_names() == ("beside",)
    (tmp_path / "nmpsim" / "_workloads" / "inside").mkdir(parents=True)
    (tmp_path / "nmpsim" / "_workloads" / "inside" / "config.json").touch()
    assert model_names() == ("inside",)


def test_a_missing_catalogue_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "nmpsim")
    with pytest.raises(WorkloadError, match="reinstall nmpsim, or name a file"):
        model_names()


def test_description_of_a_dense_model():
    text = describe(load_model("llama-3.1-8b"))
    for line in [
        "  parameters            8,030,261,248 (8.03e9)",
        "  key/value heads G     8 (4 query heads each)",
        "  weights, FP16         16,060,522,496 B (16.061 GB)",
        "  KV cache per token    131,072 B (4,096 B in each layer)",
        "  qkv           4096 x 6144       1   50,331,648",
        "  one layer                          436,224,000",
    ]:
        assert line in text.splitlines()
    assert "experts" not in text
    assert "Source: meta-llama/Meta-Llama-3.1-8B (Llama 3.1 Community License), copied 2026-11-21 from " in text


def test_description_of_a_mixture_of_experts():
    lines = describe(load_model("mixtral-8x7b")).splitlines()
    assert "  experts                             8, 2 per token" in lines
    assert "  gate_up      4096 x 28672       8  1,879,048,192" in lines


def test_description_tells_a_tied_head():
    text = describe(model_of(changed(LLAMA_CONFIG, tie_word_embeddings=True)))
    assert "1,000 (LM head = embedding table)" in text
    assert "lm_head" not in text
