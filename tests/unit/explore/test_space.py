"""Spaces of chips: axes, draws, and what can be wrong with a study file."""

import pytest

from nmpsim.errors import NmpsimError
from nmpsim.explore.space import load_space

STEP = 'model = "llama-3.1-8b"\nchip = "snake"\nlayers = 1\n'
VARY = '[vary]\n"clock.core_GHz" = [0.4, 0.8]\n"noc.flit_bytes" = [32, 64, 128]\n'


@pytest.fixture
def space(tmp_path):
    def load(text):
        path = tmp_path / "study.toml"
        path.write_text(text)
        return load_space(path)

    return load


def test_axes_are_multiplied_the_last_one_fastest(space):
    together = (
        '[[together]]\nvalues = [{ "core.array.rows" = 64, "core.array.granularity" = 4 },'
        ' { "core.array.rows" = 128, "core.array.granularity" = 8 }]\n'
    )
    found = space(STEP + VARY + together)
    assert found.size == 12
    first = {"clock.core_GHz": 0.4, "noc.flit_bytes": 32, "core.array.rows": 64, "core.array.granularity": 4}
    assert found.overrides(0) == first
    assert found.overrides(1)["core.array.rows"] == 128
    assert found.overrides(11)["clock.core_GHz"] == 0.8
    assert len({str(found.overrides(place)) for place in range(12)}) == 12


def test_all_chips_are_explored_or_so_many_drawn_without_a_double(space):
    assert space(STEP + VARY).places().tolist() == list(range(6))
    drawn = space("number = 4\n" + STEP + VARY).places().tolist()
    assert len(set(drawn)) == 4
    assert drawn == space("number = 4\n" + STEP + VARY).places().tolist()
    assert drawn == sorted(drawn)


def test_settings_and_limits_are_read(space):
    limits = "[limits]\narea_mm2 = 100\n"
    found = space('draw_seed = 3\ngap_chips = 2\nminimise = ["seconds", "watts"]\n' + STEP + VARY + limits)
    assert (found.draw_seed, found.gap_chips, found.minimise) == (3, 2, ("seconds", "watts"))
    assert found.limits == {"area_mm2": 100.0}
    assert found.step == {"model": "llama-3.1-8b", "chip": "snake", "layers": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VARY, "(?s)model: got None.*chip: got None"),
        (STEP, "no axis"),
        ("batches = 3\n" + STEP + VARY, "batches: got no key of a study"),
        ('batch = "four"\n' + STEP + VARY, "batch: got 'four'; allowed: an integer"),
        ("batch = true\n" + STEP + VARY, "allowed: an integer"),
        ("batch = 0\n" + STEP + VARY, "batch"),
        ('model = "llama"\nchip = "snake"\n' + VARY, "llama"),
        ("number = 0\n" + STEP + VARY, "number: got 0"),
        ("gap_chips = -1\n" + STEP + VARY, "gap_chips: got -1"),
        ('minimise = ["seconds"]\n' + STEP + VARY, "minimise"),
        ('minimise = ["seconds", "money"]\n' + STEP + VARY, "minimise"),
        (STEP + "vary = 3", "vary, together"),
        (STEP + '[vary]\n"clock.core_GHz" = 0.4', "a list of values"),
        (STEP + '[vary]\n"clock.core_GHz" = []', "a list of values"),
        (STEP + '[vary]\n"clock.cores" = [1]', "a path that no chip has"),
        (STEP + "[[together]]\nvalues = []", "together 1"),
        (STEP + '[[together]]\nvalues = [{ "noc.vcs" = 2 }, { "noc.buffer_flits" = 2 }]', "the same paths"),
        (STEP + VARY + '[[together]]\nvalues = [{ "noc.flit_bytes" = 2 }]', "two axes"),
        (STEP + VARY + "[limits]\narea = 3", "limits area"),
        (STEP + VARY + "[limits]\narea_mm2 = 0", "limits area_mm2"),
        (STEP + VARY + "[limits]\narea_mm2 = nan", "limits area_mm2"),
        ("[[vary", "cannot read the study"),
    ],
)
def test_a_wrong_study_is_refused(space, text, message):
    with pytest.raises(NmpsimError, match=message):
        space(text)


def test_all_faults_of_a_study_are_told_at_once(space):
    with pytest.raises(NmpsimError) as caught:
        space("number = 0\nbatches = 3\n" + STEP + '[vary]\n"clock.cores" = [1]\n[limits]\narea = 3')
    assert len(caught.value.faults) == 4


def test_more_chips_than_can_be_numbered_are_refused(space):
    fields = ("tRP_ns", "tBL_ns", "tRTP_ns", "tCL_ns", "tCWL_ns", "tWR_ns", "tCCD_ns")
    axes = "".join(f'"dram.timing.{name}" = {list(range(1, 1001))}\n' for name in fields)
    with pytest.raises(NmpsimError, match="e\\+21 chips"):
        space(STEP + "[vary]\n" + axes)


def test_a_draw_from_very_many_chips_takes_no_memory_for_all(space):
    fields = ("tRP_ns", "tBL_ns", "tRTP_ns", "tCL_ns")
    axes = "".join(f'"dram.timing.{name}" = {list(range(1, 1001))}\n' for name in fields)
    found = space("number = 1000\n" + STEP + "[vary]\n" + axes)
    assert found.size == 10**12
    assert len(set(found.places().tolist())) == 1000


def test_a_missing_study_is_refused(tmp_path):
    with pytest.raises(NmpsimError, match="cannot read the study"):
        load_space(tmp_path / "none.toml")
