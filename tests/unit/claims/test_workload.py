import pytest

from nmpsim.claims.claim import load_claim
from nmpsim.claims.comparison import ceilings, points, sampling_errors, variant
from nmpsim.claims.workload import Step, Variant, Workload, listed, step_of, workload
from nmpsim.study import Outcome
from nmpsim.study.folder import Record
from nmpsim.workload import footprint_bytes, load_model

STACK = 16 * 16 * 32_768 * 4096


def test_a_model_that_fits_is_whole_and_a_larger_one_is_cut_to_the_layers_that_fit():
    small = workload("llama-3.1-8b", 16, 4096, 0, "stratum")
    assert (small.layers, small.whole) == (32, True)
    large = workload("mixtral-8x7b", 16, 4096, 0, "stratum")
    mixtral = load_model("mixtral-8x7b")
    assert not large.whole
    assert footprint_bytes(mixtral, 16, 4096, large.layers, 0) <= STACK
    assert footprint_bytes(mixtral, 16, 4096, large.layers + 1, 0) > STACK


def test_the_sample_lies_in_the_middle_of_the_step():
    """Tiers of 4.29 GB: the middle of what the step takes less half of the sample, rounded down to a tier."""
    for name in ("llama-3.1-8b", "mixtral-8x7b", "opt-66b"):
        work = workload(name, 1, 1024, 0, "stratum")
        model = load_model(name)
        whole, sample = (footprint_bytes(model, 1, 1024, layers, 0) for layers in (work.layers, 2))
        assert work.first_tier == (whole - sample) // 2 * 8 // STACK


def test_every_batch_meets_every_context_once():
    entries = [{"model": "llama-3.1-8b", "batches": [1, 2], "contexts": [64, 128]}] * 2
    assert [(one.batch, one.context) for one in listed(entries, "stratum")] == [(1, 64), (2, 64), (1, 128), (2, 128)]


def outcome(point, figures, refused=""):
    return Outcome(point, "key", Record("key", point.task, point.settings, figures, refused, 0.0))


def figures(seconds, macs):
    return {
        "seconds": seconds, "clock_GHz": 1.0, "bounds": {"compute": 1e9 * seconds, "dram": 2e9 * seconds},
        "peaks": {"macs_per_cycle": 4.0},
        "energy_J": {"mac": macs, "static": 1.0}, "counts": {"macs": macs}, "array_cycles": {"busy": 8},
        "static_W": 2.0, "area_mm2": {"logic": 3.0, "compute": 1.0},
    }  # fmt: skip


def test_further_layers_take_what_the_second_one_takes():
    """Head 3 s and layer 1 s: 4 and 5 s sampled, 13 s for 10 layers."""
    work, chip = Workload("m", 1, 64, 0, 10, True, 0), Variant("c", "c")
    one, two = work.points(chip)
    assert (one.settings["layers"], two.settings["layers"]) == (1, 2)
    step = step_of(work, chip, {one: outcome(one, figures(4.0, 40)), two: outcome(two, figures(5.0, 42))})
    assert step.seconds == pytest.approx(13.0)
    assert step.macs == 58
    assert step.energy == {"mac": 58, "static": 1.0}
    assert step.bounds["compute"] == pytest.approx(13.0)
    assert step.peak_macs == 4e9


def test_a_refused_run_says_why():
    work, chip = Workload("m", 1, 64, 0, 2, True, 0), Variant("c", "c", (("x", 1),), ("OS",))
    (point,) = work.points(chip)
    assert point.settings["overrides"] == {"x": 1}
    assert point.settings["modes"] == ["OS"]
    assert step_of(work, chip, {point: outcome(point, None, "too large")}) == "too large"


def plain_step(bounds, energy, peak, macs=100.0):
    return Step(1.0, bounds, energy, {}, macs, peak, 2.0, 1.0, 1.0)


def test_ceilings_by_hand():
    trees = plain_step({"compute": 4.3, "dram": 2.0}, {"mac": 300.0, "dram_RD": 50.0, "dram_REF": 5.0}, 10.0)
    array = plain_step({"compute": 1.0, "dram": 2.0}, {"mac": 1.0, "fifo": 4.0, "vector_exp": 6.0}, 32.0)
    found = ceilings(trees, array, mac_J=1.0)
    assert found["speed_ceiling"] == pytest.approx(2.15)  # the DRAM, below the ratio of peaks
    assert found["compute_energy_ceiling"] == pytest.approx(300 / 100)
    assert found["energy_ceiling"] == pytest.approx(355 / (50 + 100 + 4 + 6 + 2.0 * 2.0))
    bound = plain_step({"compute": 1.0, "dram": 2.0}, {"mac": 300.0}, 10.0)
    assert ceilings(bound, array, 1.0)["speed_ceiling"] == 1.0  # trees that wait for the DRAM already
    wide = plain_step({"compute": 40.0, "dram": 2.0}, {"mac": 300.0}, 10.0)
    assert ceilings(wide, array, 1.0)["speed_ceiling"] == pytest.approx(3.2)
    small = plain_step({"compute": 1.0, "dram": 2.0}, {"mac": 1.0}, 8.0)
    assert ceilings(wide, small, 1.0)["speed_ceiling"] == pytest.approx(0.8)
    assert ceilings(bound, small, 1.0)["speed_ceiling"] == 1.0  # the DRAM hides the lower peak


def test_the_fitted_chip_is_named_by_its_overrides():
    chip = variant("snake-fit")
    assert chip.chip == "snake"
    assert {path for path, _ in chip.overrides} == {"core.array.rows", "core.array.granularity"}
    assert variant("stratum").settings() == {"chip": "stratum"}


def test_what_sampling_is_worth_is_told_for_every_chip(tmp_path):
    """Sampled: 4 s and 1 s more for each of 31 layers; whole: 30 s.  Energies: 41 + 31 * 2 against 101 + 1."""
    (tmp_path / "claim.toml").write_text(
        'kind = "comparison"\ntitle = "t"\nstatement = "s"\nsource = "s"\nrule = "r"\nbase = "stratum"\n'
        'arrays = ["snake"]\nworkload = []\n[[check]]\nmodel = "llama-3.1-8b"\nbatches = [1]\ncontexts = [64]\n'
    )
    claim = load_claim(tmp_path)
    asked = points(claim)
    taken = {1: figures(4.0, 40), 2: figures(5.0, 42), 32: figures(30.0, 101)}
    found = sampling_errors(claim, {point: outcome(point, taken[point.settings["layers"]]) for point in asked})
    assert len(asked) == 6
    assert set(found) == {"llama-3.1-8b b1 c64 stratum", "llama-3.1-8b b1 c64 snake"}
    for error in found.values():
        assert error["seconds"] == pytest.approx(35 / 30 - 1)
        assert error["dram_bound"] == pytest.approx(35 / 30 - 1)
        assert error["energy"] == pytest.approx(103 / 102 - 1)
