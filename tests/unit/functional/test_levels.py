"""Whole decode steps on PUs with several cores: the reference's numbers, from the interpreter."""

import pytest

from tests.builders import SNAKE, STRATUM, small_model
from tests.unit.functional.test_families import steps


@pytest.mark.parametrize(("kind", "moe"), [(SNAKE, False), (STRATUM, True)])
@pytest.mark.parametrize("flit_bytes", [8, 16, 32])
def test_a_decode_step_of_four_pus_of_four_cores_computes_the_reference(kind, moe, flit_bytes):
    steps(small_model(moe=moe), kind, 4, 21, 2, chip__cores_per_pu=4, noc__pu__flit_bytes=flit_bytes)
