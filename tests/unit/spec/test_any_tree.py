"""Whatever stands in a chip file: it resolves, or a SpecError says why.  Never anything else."""

from __future__ import annotations

import copy
import datetime as dt
import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.errors import SpecError
from nmpsim.spec import describe, resolve
from nmpsim.spec.load import _validated
from tests.chip_text import chip_text

TREES = {name: tomllib.loads(chip_text(name)) for name in ("snake", "stratum")}

SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, 2, 16, 62, 63, 2**31, 2**63, 10**30]),
    st.floats(),
    st.text(max_size=5),
    st.just(dt.date(2020, 1, 1)),
)
KEYS = st.sampled_from(["value", "source", "assumed", "why", "dram", "timing", "tRP_ns", "kind", "x", ""])
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=4)


def places(tree: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key path of a tree."""
    found = []
    for key, value in tree.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += places(value, (*prefix, key))
    return found


ANY_PLACE = st.sampled_from([(name, place) for name, tree in TREES.items() for place in places(tree)])


def changed(name: str, place: tuple[str, ...], key: str, value: object) -> dict[str, Any]:
    """Return a chip tree with ``value`` at ``key`` beside the last key of ``place``."""
    tree = copy.deepcopy(TREES[name])
    node = tree
    for step in place[:-1]:
        node = node[step]
    node[key] = value
    return tree


def resolves_or_says_why(tree: dict[str, Any]) -> None:
    try:
        spec = _validated(tree, "any.toml", "", {})
    except SpecError as error:
        faults = error.faults
    else:
        machine = resolve(spec)
        assert max(machine.latency.max(), *machine.core, *machine.dram, *machine.noc) < 2**62
        assert describe(spec)
        return
    assert faults
    for fault in faults:
        assert fault.where.startswith("any.toml: ")
        assert all((fault.got, fault.allowed, fault.todo))


@settings(max_examples=300, deadline=None)
@given(ANY_PLACE, VALUES)
def test_any_value_in_any_place(place: tuple[str, tuple[str, ...]], value: object) -> None:
    resolves_or_says_why(changed(*place, place[1][-1], value))


@settings(max_examples=200, deadline=None)
@given(ANY_PLACE.filter(lambda p: p[1][-1] == "value"), st.integers(0, 2**20) | st.floats(0, 1e6))
def test_any_number_in_any_number(place: tuple[str, tuple[str, ...]], value: float) -> None:
    resolves_or_says_why(changed(*place, "value", value))


@settings(max_examples=100, deadline=None)
@given(ANY_PLACE, st.text(max_size=8), VALUES)
def test_any_key_in_any_section(place: tuple[str, tuple[str, ...]], key: str, value: object) -> None:
    resolves_or_says_why(changed(*place, key, value))
