"""Rules of the network inside a PU."""

from dataclasses import replace

import numpy as np
import pytest

from nmpsim.errors import SpecError
from nmpsim.spec import load_chip, resolve, with_overrides

FOUR = {"chip.pus": 4, "chip.cores_per_pu": 4}


@pytest.mark.parametrize(
    ("change", "where", "word"),
    [
        ({"noc.pu": None}, "noc.pu", "no such section"),
        ({"noc.collectives": "multicast"}, "noc.collectives", "'messages', as chip.cores_per_pu = 4"),
        ({"noc.pu.flit_bytes": 48}, "noc.pu.flit_bytes", "a divisor or a multiple of noc.flit_bytes = 128"),
        ({"noc.pu.topology": "mesh:3x3"}, "noc.pu.topology", "of chip.cores_per_pu = 4 nodes"),
        ({"noc.pu.topology": "ring", "noc.pu.vcs": 3}, "noc.pu.vcs", "at least 4"),
        ({"noc.pu.topology": "mesh:2x2", "noc.pu.vcs": 1}, "noc.pu.vcs", "at least 2"),
        ({"noc.pu.vc_alloc_cycles": 2}, "noc.pu.vc_alloc_cycles", "at most noc.pu.switch_alloc_cycles = 1"),
        ({"chip.cores_per_pu": 32}, "noc.pu.topology", "62 ports of a router at most"),
        ({"noc.pu.clock_GHz": 1.0000001}, "clock", "noc.pu.clock_GHz = 1.0000001"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_and_named(change, where, word):
    with pytest.raises(SpecError) as caught:
        with_overrides(load_chip("snake"), FOUR | change)
    assert any(fault.where.endswith(where) and word in str(fault) for fault in caught.value.faults), caught.value


def test_without_several_cores_the_section_may_say_anything_or_be_left_out():
    plain = resolve(load_chip("snake"))
    for change in ({"noc.pu": None}, {"noc.pu.flit_bytes": 48, "noc.pu.topology": "mesh:3x3"}):
        other = resolve(with_overrides(load_chip("snake"), change))
        assert np.array_equal(plain.latency, other.latency)
        assert replace(plain, latency=None) == replace(other, latency=None)


def test_the_gateways_have_the_clock_of_the_narrower_flits():
    for inner, period in ((64, 2), (128, 4), (256, 4)):
        change = FOUR | {"noc.pu.flit_bytes": inner, "noc.pu.clock_GHz": 2.0}
        made = resolve(with_overrides(load_chip("snake"), change))
        assert (made.noc_period, made.outer_period, made.link.period) == (2, 4, period)
        assert made.between == (made.outer, 4)
        assert (made.cores, made.pus, made.noc.nodes, made.outer.nodes) == (16, 4, 16, 4)
