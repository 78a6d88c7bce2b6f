import pytest

from nmpsim.ablation.modes import points
from nmpsim.ablation.reading import flat, load_study, parse_study
from nmpsim.ablation.study import study_names
from nmpsim.ablation.trials import trials, workloads
from nmpsim.errors import SpecError

STUDY = """
title = "Two things"
question = "Which?"
designs = ["single", "ladder", "grid"]

[base]
chip = "snake"

[[workload]]
models = ["llama-3.1-8b"]
batches = [1]
contexts = [64]
layers = 1

[[factor]]
name = "buffer"
base = "1 MiB"
[[factor.level]]
name = "2 MiB"
overrides = { "core.buffer.bytes" = 2097152 }

[[factor]]
name = "width"
base = "128 B"
rung = "64 B"
[[factor.level]]
name = "64 B"
overrides = { "noc.flit_bytes" = 64 }
[[factor.level]]
name = "256 B"
overrides.noc.flit_bytes = 256
"""


def read(text=STUDY):
    return parse_study(text, "study.toml", "study")


def refused(text):
    """Faults of a study, with what its chips and steps add."""
    with pytest.raises(SpecError) as caught:
        trials(read(text))
    return {fault.where.removeprefix("study.toml: "): fault for fault in caught.value.faults}


ASKED = {
    "buffer", "dataflows", "granularity", "ladder", "mac-tree", "network", "placement", "ports", "precision",
    "prefetch", "refresh", "row-policy", "shape", "tiers", "unification",
}  # fmt: skip


def test_the_shipped_studies_are_those_that_the_page_lists(root):
    page = (root / "docs" / "ablation.md").read_text(encoding="utf-8")
    assert set(study_names()) >= ASKED
    assert [name for name in study_names() if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("name", study_names())
def test_every_shipped_study_loads_and_all_its_chips_resolve(name):
    study = load_study(name)
    found, works = trials(study), workloads(study)
    assert found[0].label == "base"
    assert len({trial.label for trial in found if trial.design != "ladder"}) == len(
        [trial for trial in found if trial.design != "ladder"]
    )
    settings = [tuple(point.text for work in works for point in points(work, trial.setup, "cycle")) for trial in found]
    base_again = {"grid"} if name == "unification" else set()  # what a unified core does not have changes nothing
    again = [trial.design for trial, own in zip(found[1:], settings[1:], strict=True) if own == settings[0]]
    assert set(again) <= base_again, "a level that changes nothing"


def test_overrides_may_be_nested_or_dotted():
    origin = {"value": 1, "source": "a paper"}
    assert flat({"a": {"b": 1, "c": {"d": [2]}}, "e.f": origin}) == {"a.b": 1, "a.c.d": [2], "e.f": origin}
    assert read().factors[1].levels[1].change == {"overrides": {"noc.flit_bytes": 256}}


def test_every_fault_of_the_file_is_told_at_once():
    wrong = (
        STUDY.replace('"single", ', '"singel", ')
        .replace("batches = [1]", "batches = [0]\nlayer = 3")
        .replace('rung = "64 B"\n', "")
        .replace("title = ", "titel = ")
        .replace('overrides = { "noc', 'seed = -1\noverides = { "noc')
    )  # fmt: skip
    faults = refused(wrong)
    assert set(faults) == {
        "designs", "titel", "title", "workload 1: layer", "workload 1: batches", "factor width: rung",
        "factor width: level 64 B: seed", "factor width: level 64 B: overides",
    }  # fmt: skip
    assert faults["titel"].todo == "did you mean title?"
    assert faults["designs"].todo == "did you mean single?"
    assert faults["factor width: level 64 B: overides"].todo == "did you mean overrides?"
    assert all(fault.got and fault.allowed and fault.todo for fault in faults.values())


def test_every_fault_of_every_chip_and_step_is_told_once():
    wrong = (
        STUDY.replace("2097152", "2097153")
        .replace('{ "noc.flit_bytes" = 64 }', '{ "noc.flit_byte" = 64 }\nweights = "fp7"')
        .replace('chip = "snake"', 'chip = "snake"\nfirst_tier = 9')
    )
    faults = refused(wrong)
    assert set(faults) == {
        "base: first tier",
        "factor buffer: level 2 MiB: chips/snake.toml with overrides: core.buffer.bytes",
        "factor width: level 64 B: override noc.flit_byte",
    }
    assert "flit_bytes" in faults["factor width: level 64 B: override noc.flit_byte"].todo
    for change, where in (('weights = "fp7"', "--weights"), ('routing = "zipf"', "routing")):
        assert set(refused(STUDY.replace("overrides.noc.flit_bytes = 256", change))) == {
            f"factor width: level 256 B: {where}"
        }
    assert set(refused(STUDY.replace("overrides.noc.flit_bytes = 256", "dataflows = ['XS']"))) == {
        "factor width: level 256 B: mode"
    }


@pytest.mark.parametrize("steps", ['models = ["llama-3.1-8b", "lama-3.1-8b"]', 'models = ["no/such/config.json"]'])
def test_a_model_that_is_not_there_is_told(steps):
    (where,) = refused(STUDY.replace('models = ["llama-3.1-8b"]', steps))
    assert where.startswith("workload 1: ")


def test_syntax_and_missing_files_are_told():
    with pytest.raises(SpecError, match=r"study\.toml.*line 2"):
        read("\ntitle = = 2")
    with pytest.raises(SpecError, match="did you mean buffer"):
        load_study("bufer")
    with pytest.raises(SpecError, match="No such file"):
        load_study("missing.toml")
