import numpy as np
import pytest

from nmpsim.cost.lane_work import lane_work
from nmpsim.cost.units import LANE_WORK
from nmpsim.cost.work import count_work
from nmpsim.program.beats import Tile, beats_of, legal
from nmpsim.program.isa import (
    CHAIN,
    F_ALL,
    FLOW_NAMES,
    INSTRUCTION,
    IS,
    K_CONTIGUOUS,
    LOAD,
    MOVE,
    N_CONTIGUOUS,
    OS,
    PASS,
    SEND,
    SPLIT_K,
    SPLIT_N,
    STORE,
    TREE,
    V_SOFTMAX,
    V_SWIGLU,
    VECTOR,
    VECTOR_BASE,
    VECTOR_NAMES,
    WS,
)
from nmpsim.program.program import Program
from nmpsim.program.vector import loops
from nmpsim.spec import load_chip, resolve

SNAKE, STRATUM = (resolve(load_chip(name)) for name in ("snake", "stratum"))


def instruction(**fields):
    one = np.zeros(1, INSTRUCTION)
    for name, value in fields.items():
        one[name] = value
    return one


def program(*instructions):
    return Program("test", (np.concatenate(instructions),), np.zeros(0, np.int64), ())


def vector(op, m, n, planes=1, modifiers=0, imm=0):
    fields = {"unit": VECTOR, "op": op, "m": m, "n": n, "planes": planes, "modifiers": modifiers, "imm": imm}
    for phase, loop in enumerate(loops(op, m, n, planes, modifiers, imm)):
        fields |= {
            f"{name}{phase}": value for name, value in zip(("elements", "read", "write", "rate"), loop, strict=True)
        }
    return instruction(**fields)


def naive_pass(params, flow, group, split, contiguous, m, n, k):
    """Bytes of A read and of sums written and read, from the beats that every strip takes, one by one."""
    core = params.core
    tile = Tile(flow, group, split, contiguous, n, k, 0, ((0, n),))
    reread = 0
    seen_a, seen_sum = set(), set()
    for strip in range(core.strips):
        g = strip // group
        for index, block in beats_of(tile, core, strip).tolist():
            span = range(block * core.columns, min((block + 1) * core.columns, k if contiguous == K_CONTIGUOUS else n))
            if flow == OS:  # a column of A for a block; groups that do neighbouring blocks at once share it
                outer = block if split == SPLIT_K else block // (core.strips // group)
                seen_a.add((index, outer))
                seen_sum |= {(g if split == SPLIT_K else 0, j) for j in span}
            elif flow == WS:
                own = index // (core.strips // group) if split == SPLIT_K else index
                outer = block if split == SPLIT_K else block // (core.strips // group)
                seen_a.add((index, outer))
                fold = own // (group * core.strip_rows)
                seen_sum |= {(g if split == SPLIT_K else 0, j, fold) for j in span}
            else:
                seen_a |= {(j, 0) for j in span}
                turn = block if split == SPLIT_N else block // (core.strips // group)
                seen_sum.add((g if split == SPLIT_K else 0, index, turn))
    read = len(seen_a) * m * 2
    written = len(seen_sum) * m * 4
    if flow in (WS, IS):
        firsts = {key[:2] for key in seen_sum}
        reread = (len(seen_sum) - len(firsts)) * m * 4
    return read + reread, written


@pytest.mark.parametrize("flow", [OS, WS, IS], ids=FLOW_NAMES[:3])
@pytest.mark.parametrize("split", [CHAIN, SPLIT_K, SPLIT_N])
@pytest.mark.parametrize("group", [1, 4, 16])
def test_bytes_of_a_pass_are_those_of_its_beats(flow, split, group):
    contiguous = K_CONTIGUOUS if flow == IS else N_CONTIGUOUS
    assert legal(flow, split, contiguous)
    wide = 128 * 16 * 2  # every group of a fission over k has some
    for m, n, k in ((3, 128, wide), (1, 40, wide)) if flow == IS else ((3, 2048, 128), (1, 512, 1024)):
        fields = {"flow": flow, "group": group, "split": split, "contiguous": contiguous, "m": m, "n": n, "k": k}
        work = count_work(program(instruction(op=PASS, **fields)), SNAKE)
        read, written = naive_pass(SNAKE, *fields.values())
        assert work.macs == {FLOW_NAMES[flow]: m * n * k}
        assert (work.read["buffer"], work.written["buffer"]) == (read, written)


def test_a_mac_tree_keeps_sums_in_its_own_memory_and_writes_them_to_the_buffer_once():
    fields = {"flow": TREE, "group": 1, "split": SPLIT_N, "contiguous": K_CONTIGUOUS, "m": 2, "n": 512, "k": 384}
    work = count_work(program(instruction(op=PASS, **fields)), STRATUM)
    assert work.macs == {"TREE": 2 * 512 * 384}
    assert work.written == {"psum": 2 * 512 * 3 * 4, "buffer": 2 * 512 * 4}  # 384 = 3 beats of 128
    assert work.read == {"psum": 2 * 512 * 3 * 4, "buffer": 2 * 2 * 384 * 2}  # 32 columns a slice: twice 16 registers


def test_moves_and_messages_cross_the_ports_of_the_buffer():
    work = count_work(
        program(
            instruction(unit=MOVE, op=LOAD, beats=3),
            instruction(unit=MOVE, op=STORE, beats=2),
            instruction(op=SEND, m=4, bytes=100),
        ),
        SNAKE,
    )
    assert work.written["buffer"] == 3 * 256 + 400
    assert work.read["buffer"] == 2 * 256 + 400


def test_a_softmax_does_what_its_loops_say():
    work = count_work(program(vector(V_SOFTMAX, 2, 10), vector(V_SOFTMAX, 2, 10)), SNAKE)
    assert work.lane["softmax"] == {"multiply": 80, "max": 40, "add": 80, "exp": 40, "convert": 40}
    assert work.read["buffer"] == 2 * (20 * 4 + 20 * 4)
    assert work.written["buffer"] == 2 * 20 * 2


def test_every_vector_operation_has_lane_operations_for_each_of_its_loops():
    for op in range(VECTOR_BASE, VECTOR_BASE + len(VECTOR_NAMES)):
        for modifiers in (0, F_ALL):
            work = lane_work(op, 2, modifiers)
            assert len(work) == len(loops(op, 2, 3, 2, modifiers, 1)), VECTOR_NAMES[op - VECTOR_BASE]
            assert set().union(*work) <= set(LANE_WORK)


def test_a_loop_of_exponentials_or_roots_has_one_of_them_per_element():
    for op, phase, name in ((V_SOFTMAX, 1, "exp"), (V_SWIGLU, 0, "exp"), (V_SWIGLU, 1, "reciprocal")):
        assert lane_work(op, 1, 0)[phase][name] == 1
