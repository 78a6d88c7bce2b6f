"""Folds, steps and beats of a pass: what the compute unit takes is what the placement stores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.core import geometry
from nmpsim.core.state import ACTOR, STRIP
from nmpsim.program.beats import Tile, beats_of
from nmpsim.program.isa import IS, K_CONTIGUOUS, OS
from nmpsim.spec import resolve
from tests.property.strategies import drawn_by, random_chip, random_shape
from tests.unit.core.bench import product

shape_pass, shape_fold, share, ceil_div, clamp = (
    getattr(function, "py_func", function)
    for function in (geometry.shape_pass, geometry.shape_fold, geometry.share, geometry.ceil_div, geometry.clamp)
)


def taken(core, ins, index):
    """(step or load order, beats, elements that are no padding) that a strip takes fold by fold."""
    actor, strip = ACTOR.zeros(1)[0], STRIP.zeros(1)[0]
    shape_pass(actor, ins, core, index)
    for outer in range(actor.outers):
        for inner in range(actor.inners):
            shape_fold(strip, ins, core, index, outer, inner)
            beats = int(strip.limit)
            if ins.flow in (OS, IS):  # strips of a group take turns
                beats = sum(step < strip.limit and step % ins.group == index % ins.group for step in range(actor.steps))
            yield beats, int(strip.valid)


def as_record(row):
    return np.array([row], np.dtype((np.record, row.dtype))).view(np.recarray)[0]


@settings(max_examples=300)
@given(st.data(), st.integers(1, 90), st.integers(1, 60), st.integers(1, 5))
def test_a_strip_takes_the_beats_that_its_bank_stores_and_all_elements_once(data, n, k, m):
    choose = drawn_by(data.draw)
    core = resolve(random_chip(choose)).core
    shape = random_shape(choose, core)
    ins = as_record(product(shape.flow, m, n, k, group=shape.group, split=shape.split, contiguous=shape.contiguous))
    tile = Tile(shape.flow, shape.group, shape.split, shape.contiguous, n, k, 0, ((0, n),))
    elements = 0
    for strip in range(core.strips):
        stored = beats_of(tile, core, strip)
        folds = list(taken(core, ins, strip))
        assert sum(beats for beats, _ in folds) == len(stored)
        elements += sum(beats * valid for beats, valid in folds)
        extent = k if shape.contiguous == K_CONTIGUOUS else n
        blocks = np.repeat([valid for _, valid in folds], [beats for beats, _ in folds])
        assert blocks.tolist() == [min(core.columns, extent - int(block) * core.columns) for _, block in stored]
    assert elements == n * k


@given(st.integers(0, 200), st.integers(1, 20))
def test_shares_are_those_of_interleaved_indices(total, groups):
    assert [share(total, groups, g) for g in range(groups)] == [len(range(g, total, groups)) for g in range(groups)]


@pytest.mark.parametrize(("a", "b", "up"), [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2)])
def test_ceil_div(a, b, up):
    assert ceil_div(a, b) == up


def test_clamp():
    assert [clamp(x, 0, 5) for x in (-1, 0, 3, 5, 9)] == [0, 0, 3, 5, 5]
