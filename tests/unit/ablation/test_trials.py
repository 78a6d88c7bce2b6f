import pytest

from nmpsim.ablation.trials import merged, setup_of, trials, workloads
from tests.unit.ablation.test_reading import STUDY, read


def test_a_study_compares_the_base_every_level_every_rung_and_every_cell():
    found = trials(read())
    assert [(trial.design, trial.label) for trial in found] == [
        ("base", "base"),
        ("single", "buffer = 2 MiB"),
        ("single", "width = 64 B"),
        ("single", "width = 256 B"),
        ("ladder", "+ buffer = 2 MiB"),
        ("ladder", "+ width = 64 B"),
        ("grid", "width = 64 B"),
        ("grid", "width = 256 B"),
        ("grid", "buffer = 2 MiB"),
        ("grid", "buffer = 2 MiB, width = 64 B"),
        ("grid", "buffer = 2 MiB, width = 256 B"),
    ]
    both = found[5].setup.settings()
    assert both == {"chip": "snake", "overrides": {"core.buffer.bytes": 2097152, "noc.flit_bytes": 64}}


def test_overrides_add_up_until_another_chip_is_named():
    one = {"chip": "snake", "overrides": {"a": 1, "b": 2}, "weights": "fp8"}
    assert merged(one, {"overrides": {"b": 3}}) == {**one, "overrides": {"a": 1, "b": 3}}
    assert merged(one, {"chip": "stratum"}) == {"chip": "stratum", "weights": "fp8"}
    assert merged(one, {"chip": "stratum", "overrides": {"c": 4}})["overrides"] == {"c": 4}
    assert merged(one, {"chip": "snake", "kv": "fp8"}) == {**one, "kv": "fp8"}


@pytest.mark.parametrize(
    ("settings", "modes", "attending"),
    [
        ({}, (), ()),
        ({"dataflows": ["OS"]}, ("OS",), ()),
        ({"dataflows": ["OS"], "attention_dataflows": ["IS", "OS"]}, ("OS",), ("IS", "OS")),
    ],
)
def test_dataflows_are_modes(settings, modes, attending):
    found = setup_of("", {"chip": "snake", **settings})
    assert (found.modes, found.attention_modes) == (modes, attending)


def test_what_a_step_takes_goes_into_its_settings():
    found = setup_of("", {"chip": "snake", "weights": "fp8", "first_tier": 3, "overrides": {"noc.vcs": 4}})
    assert found.settings() == {"chip": "snake", "overrides": {"noc.vcs": 4}, "weights": "fp8", "first_tier": 3}


def test_a_workload_is_every_model_with_every_batch_and_context_sampled_unless_its_layers_are_told():
    text = STUDY.replace("batches = [1]", "batches = [1, 4]").replace("contexts = [64]", "contexts = [64, 128]")
    assert [(w.batch, w.context, w.layers, w.sampled) for w in workloads(read(text))] == [
        (1, 64, 1, (1,)), (4, 64, 1, (1,)), (1, 128, 1, (1,)), (4, 128, 1, (1,)),
    ]  # fmt: skip
    (all_of_them,) = workloads(read(STUDY.replace("layers = 1", "layers = 32")))
    assert (all_of_them.layers, all_of_them.sampled) == (32, (32,))
    (whole,) = workloads(read(STUDY.replace("layers = 1", "")))
    assert (whole.layers, whole.sampled) == (32, (1, 2))
