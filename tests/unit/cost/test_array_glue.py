import re

import pyrtl
import pytest

from nmpsim.cost.array_glue import array_glue
from nmpsim.spec import load_chip, resolve
from rtl_models.core.array import array
from rtl_models.core.array_control import array_control

SNAKE = resolve(load_chip("snake"))
NAMED = re.compile(r"stream_k|stream_blocks|next_set|oldest_set|moved")
"""Registers of the array's datapath that are no skew."""


def register_bits(block, counts=lambda _: True):
    return sum(len(register) for register in block.wirevector_subset(pyrtl.Register) if counts(register.name))


@pytest.mark.parametrize(
    ("strips", "rows", "columns", "latency", "groups"),
    [
        (1, 2, 4, 0, ()),
        (2, 2, 4, 0, ()),
        (4, 2, 8, 1, ()),
        (4, 4, 4, 0, ()),
        (4, 2, 4, 0, (4,)),
        (4, 2, 4, 1, (1,)),
        (4, 2, 4, 0, (2,)),
        (4, 2, 4, 0, (2, 4)),
    ],
)
def test_edge_and_line_registers_are_those_of_the_rtl(strips, rows, columns, latency, groups):
    core = SNAKE.core._replace(
        strips=strips,
        strip_rows=rows,
        columns=columns,
        macs_per_cycle=strips * rows * columns,
        pe_latency=latency,
        groups=sum(1 << size for size in groups),
    )
    datapath = register_bits(array(core, "int8"), lambda name: "_pe" not in name and not NAMED.fullmatch(name))
    stages = _unnamed_bits_of_pes(core)
    control = register_bits(array_control(core))
    glue = array_glue(core, 8)
    assert glue.edges + glue.loads + glue.lines == datapath - stages - control


def _unnamed_bits_of_pes(core):
    """Product registers of the PEs have no names of their own: 32 bits, valid, and a tag of three."""
    return core.macs_per_cycle * core.pe_latency * (32 + 1 + 3)


def test_strips_that_load_one_after_another_need_no_delay_of_their_group():
    glue, one = array_glue(SNAKE.core), array_glue(SNAKE.core._replace(strips=1, macs_per_cycle=1024))
    assert one.stairs == one.lines  # a single strip has no group
    assert glue.stairs == 16 * one.stairs
    assert glue.lines > 10 * glue.stairs


def test_links_grow_with_strips_and_vanish_without_neighbours():
    one = array_glue(SNAKE.core._replace(strips=1, macs_per_cycle=1024))
    four, sixteen = (array_glue(SNAKE.core._replace(strips=n, macs_per_cycle=1024 * n)).links for n in (4, 16))
    assert one.links == (1 + 2) * 128 * 32 + 8 * 32  # its sums alone
    assert sixteen > 4 * four > 16 * one.links
