"""Which banks an access takes, against a list of bytes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.core import ports
from nmpsim.core.state import CORE, PORT_USE

bank_mask, line_mask, open_cycle, use_ports = (
    getattr(function, "py_func", function)
    for function in (ports.bank_mask, ports.line_mask, ports.open_cycle, ports.use_ports)
)

BANKS, WIDTHS = st.integers(1, 62), st.sampled_from([4, 16, 64])


def banks_of(addresses, banks, width) -> int:
    return sum(1 << bank for bank in {address // width % banks for address in addresses})


@given(st.integers(0, 10_000), st.integers(-3, 3000), BANKS, WIDTHS)
def test_an_access_takes_the_banks_of_its_bytes(address, length, banks, width):
    assert bank_mask(address, length, banks, width) == banks_of(range(address, address + length), banks, width)


@given(st.integers(0, 2000), st.integers(0, 300), st.integers(0, 40), BANKS, WIDTHS)
def test_a_stream_opens_a_bank_when_a_word_begins(address, per_step, step, banks, width):
    begin = address + step * per_step
    words = [a for a in range(begin, begin + per_step) if a % width == 0]
    assert line_mask(address, per_step, step, banks, width) == banks_of(words, banks, width)


def test_a_line_register_reads_every_word_of_a_stream_once():
    words = [line_mask(0, 10, step, 8, 64) for step in range(32)]
    assert sum(word.bit_count() for word in words) == 320 // 64
    assert [step for step, word in enumerate(words) if word] == [0, 6, 12, 19, 25]


def test_the_history_keeps_each_cycle_until_it_comes():
    history, core = PORT_USE.zeros(4), CORE.zeros(1)[0]
    history.at = -1
    core.mask_at = -1
    use_ports(history, 10, 5, 0b01, 0b10)
    use_ports(history, 10, 5, 0b100, 0)
    use_ports(history, 15, 5, 0b1000, 0)
    seen = []
    for now in (5, 10, 15, 20):
        open_cycle(core, history, now, 5)
        seen.append((int(core.read_mask), int(core.write_mask)))
    assert seen == [(0, 0), (0b101, 0b10), (0b1000, 0), (0, 0)]
    core.read_mask = 7
    open_cycle(core, history, 20, 5)  # a second look in the same cycle forgets nothing
    assert core.read_mask == 7
    assert np.array_equal(history.at, [-1, -1, 10, 15])
