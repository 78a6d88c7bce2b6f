"""Address mappers: bijections, the bits that Ramulator 2.1 takes, and orders that divide."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmpsim.dram.address import (
    PASS_THROUGH,
    PEER_MAPPERS,
    field_names,
    field_sizes,
    level_letters,
    make_mapper,
    map_addresses,
    mapper_names,
)
from nmpsim.errors import SpecError, WorkloadError
from nmpsim.spec.protocol import Protocol

STANDARD = ("Channel", "PseudoChannel", "Sid", "BankGroup", "Bank")
DIE = ("Die", "Channel", "Group", "Bank")


def memory(levels=STANDARD, sizes=(1, 2, 2, 4, 4), rows=64, columns=32, transaction_bytes=32):
    return Protocol("memory", levels, sizes, rows, columns, transaction_bytes, rows, 1000, 1, (), (), {}, 1)


def bits(value, *widths):
    """Cut a number into fields, the lowest first."""
    cut = []
    for width in widths:
        cut.append(value & ((1 << width) - 1))
        value >>= width
    return cut


@st.composite
def mapped_memories(draw):
    """A small memory and the name of a mapper for it."""
    levels = draw(st.sampled_from([STANDARD, DIE]))
    kind = draw(st.sampled_from(["peer", "order", "xor"]))
    power = st.sampled_from([1, 2, 4, 8])
    uneven = st.integers(1, 9)
    size = uneven if kind == "order" else power
    sizes = (1, *(draw(size) for _ in levels[1:]))
    rows = draw(st.sampled_from([4, 16])) if kind == "peer" else draw(st.integers(1, 21))
    columns = draw(st.sampled_from([4, 8, 16])) if kind == "peer" else draw(st.integers(1, 12))
    unit = draw(st.sampled_from([32, 64])) if kind == "peer" else draw(st.sampled_from([32, 96]))
    found = memory(levels, sizes, rows, columns, unit)
    if kind == "peer":
        return found, draw(st.sampled_from(PEER_MAPPERS))
    named = [name for name in field_names(found)[:-3] if draw(st.booleans())] + ["Bank", "Row", "Column"]
    order = "".join(level_letters(name) for name in draw(st.permutations(named)))
    return found, order + ("-xor" if kind == "xor" else "")


@settings(max_examples=200)
@given(mapped_memories())
def test_every_mapper_is_a_bijection_between_addresses_and_fields(case):
    found, name = case
    mapper = make_mapper(found, name)
    count = mapper.capacity // found.transaction_bytes
    assert count == np.prod(field_sizes(found))
    some = np.arange(count) if count <= 20000 else np.random.default_rng(count).integers(0, count, 2000)
    addr = some * found.transaction_bytes
    fields = mapper.fields(addr)
    assert (fields >= 0).all()
    assert (fields < field_sizes(found)).all()
    assert len(np.unique(fields, axis=0)) == len(np.unique(addr))
    assert np.array_equal(mapper.addresses(fields), addr)


@given(st.integers(0, 2**22 - 1))
def test_robaracoch_takes_column_levels_and_row_from_the_lowest_bit_up(number):
    found = memory()
    column, pseudo, sid, group, bank, row = bits(number % (found.banks * 64 * 32), 5, 1, 1, 2, 2, 6)
    [fields] = map_addresses(found, "RoBaRaCoCh", [number % (found.banks * 64 * 32) * 32])
    assert fields.tolist() == [0, pseudo, sid, group, bank, row, column]


@given(st.integers(0, 2**17 - 1))
def test_chrabaroco_takes_column_row_and_levels_from_the_lowest_bit_up(number):
    column, row, bank, group, sid, pseudo = bits(number, 5, 6, 2, 2, 1, 1)
    [fields] = map_addresses(memory(), "ChRaBaRoCo", [number * 32])
    assert fields.tolist() == [0, pseudo, sid, group, bank, row, column]


@given(st.integers(0, 2**17 - 1))
def test_mop4clxor_splits_the_column_and_xors_every_field_with_the_next_bits_of_it(number):
    low, pseudo, sid, group, bank, high, row = bits(number, 2, 1, 1, 2, 2, 3, 6)
    column = low + 4 * high
    pseudo ^= column & 1
    sid ^= (column >> 1) & 1
    group ^= (column >> 2) & 3
    bank ^= (column >> 4) & 3
    row ^= (column >> 6) & 63
    [fields] = map_addresses(memory(), "MOP4CLXOR", [number * 32])
    assert fields.tolist() == [0, pseudo, sid, group, bank, row, column]


def test_mop4clxor_skips_levels_of_one_child():
    """A field without bits takes none of the column's."""
    found = memory(sizes=(1, 2, 1, 4, 4))
    [fields] = map_addresses(found, "MOP4CLXOR", [0b11 * 32])
    assert fields.tolist() == [0, 1, 0, 1, 0, 0, 3]


def test_the_offset_within_a_transaction_is_dropped():
    assert map_addresses(memory(), "RoBaRaCoCh", [64 + 31]).tolist() == [[0, 0, 0, 0, 0, 0, 2]]


def test_a_level_that_is_not_named_counts_with_the_next_named_one_below_it():
    found = memory(DIE, (1, 4, 3, 2), rows=5, columns=7)
    channel, group, bank, row, column = 3, 2, 1, 4, 6
    together = ((row * 4 + channel) * 6 + group * 2 + bank) * 7 + column
    assert make_mapper(found, "RoBaCo").addresses([[0, channel, group, bank, row, column]]) == together * 32
    apart = ((row * 6 + group * 2 + bank) * 4 + channel) * 7 + column
    assert make_mapper(found, "RoBaChCo").addresses([[0, channel, group, bank, row, column]]) == apart * 32


def test_xor_swizzles_banks_with_the_lowest_bits_of_the_row_and_groups_with_the_next():
    found = memory()
    mapper = make_mapper(found, "RoBaCo-xor")
    row = 0b1101
    [fields] = mapper.fields(make_mapper(found, "RoBaCo").addresses([[0, 1, 1, 2, 3, row, 9]]))
    assert fields.tolist() == [0, 1, 1, 2 ^ 0b11, 3 ^ 0b01, row, 9]


def test_1364_rows_of_124_columns_in_3_banks_are_all_reached_once():
    found = memory(DIE, (1, 2, 3, 1), rows=1364, columns=124)
    mapper = make_mapper(found, "RoBaChCo")
    addr = np.arange(mapper.capacity // 32) * 32
    assert np.array_equal(mapper.addresses(mapper.fields(addr)), addr)
    assert mapper.fields(addr).max(axis=0).tolist() == [0, 1, 2, 0, 1363, 123]


@pytest.mark.parametrize(
    "name", ["", "nothing", "RoBa", "RoCo", "BaCo", "RoBaBaCo", "RoBaXxCo", "-xor", "robaco", "RoBaCo-"]
)
def test_an_order_that_is_none_is_refused_with_the_names(name):
    with pytest.raises(SpecError, match="RoBaRaCoCh, ChRaBaRoCo, MOP4CLXOR, PassThrough"):
        make_mapper(memory(), name)


@pytest.mark.parametrize("name", [*PEER_MAPPERS, "RoBaCo-xor"])
def test_sizes_that_are_no_powers_of_two_are_refused_where_bits_are_taken(name):
    with pytest.raises(SpecError, match="got 3; allowed: a power of two; use a named order"):
        make_mapper(memory(DIE, (1, 2, 3, 1)), name)


def test_every_uneven_size_is_named_at_once():
    with pytest.raises(SpecError) as refused:
        make_mapper(memory(DIE, (1, 2, 3, 1), rows=5, columns=7, transaction_bytes=96), "MOP4CLXOR")
    assert [fault.got for fault in refused.value.faults] == ["3", "5", "7", "96"]


def test_mop4clxor_refuses_rows_of_fewer_than_four_columns():
    with pytest.raises(SpecError, match="columns of a row: got 2; allowed: at least 4"):
        make_mapper(memory(columns=2), "MOP4CLXOR")


@pytest.mark.parametrize("addr", [-1, 2 * 2 * 4 * 4 * 64 * 32 * 32])
def test_an_address_outside_the_memory_is_refused(addr):
    with pytest.raises(WorkloadError, match=f"address 1: got {addr}; allowed: 0 to 4194303"):
        map_addresses(memory(), "RoBaCo", [0, addr])


def test_fields_outside_the_memory_are_refused():
    with pytest.raises(WorkloadError, match="request 1: Bank: got 4; allowed: 0 to 3"):
        make_mapper(memory(), "RoBaCo").addresses([[0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 4, 0, 0]])


@pytest.mark.parametrize("name", [PASS_THROUGH, "PassThroughAddrMapper"])
def test_pass_through_maps_nothing(name):
    mapper = make_mapper(memory(), name)
    for maps in (mapper.fields, mapper.addresses):
        with pytest.raises(SpecError, match="give every request its fields"):
            maps([0])


def test_a_memory_beyond_64_bits_is_refused():
    with pytest.raises(SpecError, match="too large"):
        make_mapper(dataclasses.replace(memory(), rows=2**55), "RoBaCo")


def test_all_names_are_mappers():
    assert [make_mapper(memory(), name).name for name in mapper_names()] == list(mapper_names())
