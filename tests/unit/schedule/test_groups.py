"""An array that can form groups of some sizes only."""

import pytest

from nmpsim.errors import SpecError
from nmpsim.schedule.modes import Modes, shapes
from nmpsim.spec import load_chip, resolve, with_overrides

FLOWS = ("OS", "WS", "IS")


def chip(*sizes):
    return resolve(with_overrides(load_chip("snake"), {"core.array.groups": list(sizes)}))


def test_it_has_the_shapes_of_these_groups_alone():
    whole = resolve(load_chip("snake"))
    assert {plan.group for plan in shapes(whole.core, FLOWS)} == {1, 2, 4, 8, 16}
    assert {plan.group for plan in shapes(chip(2, 16).core, FLOWS)} == {2, 16}


def test_a_mode_of_another_shape_is_refused():
    with pytest.raises(SpecError, match="OS/8"):
        Modes(("OS/8",)).checked("snake", FLOWS, chip(2, 16).core.group_sizes())


@pytest.mark.parametrize(
    ("sizes", "allowed"), [([3], "divisors of the 16 strips"), ([4, 4], "each once"), ([32], "divisors")]
)
def test_groups_that_do_not_fill_the_array_are_refused(sizes, allowed):
    with pytest.raises(SpecError, match=allowed):
        chip(*sizes)
