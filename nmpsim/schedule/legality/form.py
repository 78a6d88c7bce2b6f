"""Every instruction fits its unit and the chip."""

from __future__ import annotations

import numpy as np

from nmpsim.program.beats import legal
from nmpsim.program.isa import (
    ARRAY,
    B_FP8,
    B_INT8,
    CONTIGUOUS_NAMES,
    COPY_IN,
    COPY_OUT,
    CROSS,
    EXPANSION,
    F_SUM,
    FLOW_NAMES,
    FROM,
    IS,
    LOAD,
    MOVE,
    N_CONTIGUOUS,
    OS,
    PASS,
    PHASES,
    SEND,
    SEND_0,
    SEND_1,
    SPLIT_K,
    SPLIT_NAMES,
    STORE,
    STREAM,
    TRAFFIC_NAMES,
    TREE,
    V_GROUP_LIMIT,
    V_HEAD_NORM,
    V_LAYER_NORM,
    V_NORM,
    V_PICK,
    V_QUANTISE,
    V_ROPE,
    V_ROUTE,
    V_SOFTMAX,
    VECTOR,
    VECTOR_BASE,
    VECTOR_NAMES,
    WAITS,
    semaphores,
    shared,
)
from nmpsim.program.vector import loops
from nmpsim.schedule.legality.listing import Indices, Instruction, Listing
from nmpsim.schedule.legality.sum_form import check_sums
from nmpsim.spec.params import MAC_TREE


def check_form(listing: Listing) -> None:
    """Note every instruction that is not well formed (changes `listing`)."""
    _units(listing)
    _waits(listing)
    _passes(listing)
    _moves(listing)
    _sends(listing)
    _some(listing, CROSS, ("m", "rows"), ("bytes", "bytes a row"), ("planes", "planes"))
    _vectors(listing)


def _units(listing: Listing) -> None:
    op, unit = listing.field("op"), listing.field("unit")
    vector = (op >= VECTOR_BASE) & (op < VECTOR_BASE + len(VECTOR_NAMES))
    fits = vector & (unit == VECTOR)
    fits |= (op == PASS) & (unit == ARRAY)
    fits |= ((op == STREAM) | (op == LOAD) | (op == STORE)) & (unit == MOVE)
    fits |= (op == SEND) & ((unit == SEND_0) | (unit == SEND_1))
    if listing.params.core.separate:
        fits |= (op == CROSS) & ((unit == COPY_IN) | (unit == COPY_OUT))
    listing.refuse(
        np.flatnonzero(~fits),
        lambda ins: f"operation {ins['op']} on unit {ins['unit']}",
        "an operation of the unit, and a unit of this chip",
        "correct op or unit",
    )
    operators = len(listing.program.operators)
    operator = listing.field("operator")
    listing.refuse(
        np.flatnonzero((operator < 0) | (operator >= operators)),
        lambda ins: f"operator {ins['operator']}",
        f"0..{operators - 1}",
        "correct the operator",
    )


def _waits(listing: Listing) -> None:
    most = semaphores(listing.params.cores)
    for i in range(WAITS):
        semaphore, count = listing.field(f"wait{i}"), listing.field(f"count{i}")
        wrong = (semaphore < -1) | (semaphore >= most) | ((semaphore >= 0) & (count < 1))
        listing.refuse(
            np.flatnonzero(wrong),
            lambda ins, i=i: f"a wait for count {ins[f'count{i}']} of semaphore {ins[f'wait{i}']}",  # type: ignore[misc]
            f"semaphores 0..{most - 1}, counts from 1 on",
            "correct the wait",
        )


def _some(listing: Listing, op: int, *conditions: tuple[str, str]) -> None:
    """Refuse instructions of an operation with a field that is not positive."""
    indices = listing.of_op(op)
    for name, what in conditions:
        listing.refuse(
            indices[listing.field(name)[indices] < 1],
            lambda ins, name=name, what=what: f"{ins[name]} {what}",  # type: ignore[misc]
            "1 or more",
            f"correct {name}",
        )


def _passes(listing: Listing) -> None:
    core = listing.params.core
    _some(listing, PASS, ("m", "rows"), ("n", "columns"), ("k", "inner elements"))
    indices = listing.of_op(PASS)
    names = ("flow", "group", "split", "contiguous", "m", "planes")
    flow, group, split, contiguous, m, planes = (listing.field(name)[indices] for name in names)
    known = (flow >= 0) & (flow < len(FLOW_NAMES)) & (split >= 0) & (split < len(SPLIT_NAMES))
    known &= (contiguous >= 0) & (contiguous < len(CONTIGUOUS_NAMES)) & ((flow == TREE) == (core.kind == MAC_TREE))
    shapes = {tuple(int(x) for x in row) for row in np.stack([flow, split, contiguous], 1)[known]}
    illegal = np.zeros(len(indices), bool)
    for shape in shapes:
        if not legal(*shape):
            illegal |= (flow == shape[0]) & (split == shape[1]) & (contiguous == shape[2])
    listing.refuse(
        indices[~known | illegal],
        lambda ins: f"flow {ins['flow']}, split {ins['split']}, contiguous {ins['contiguous']}",
        "a flow of this chip with a relation that nmpsim.program.beats.legal allows",
        "correct flow, split or contiguous",
    )
    dividing = np.isin(group, core.group_sizes()) & ((flow != TREE) | (group == 1))
    listing.refuse(
        indices[~dividing],
        lambda ins: f"groups of {ins['group']} strips",
        "1 slice" if core.kind == MAC_TREE else f"one of {core.group_sizes()}",
        "correct group",
    )
    code, run = listing.field("imm")[indices], listing.field("beats")[indices]
    uneven = (contiguous != N_CONTIGUOUS) & (run > 0) & (core.columns % np.maximum(run, 1) != 0)
    listing.refuse(
        indices[(code < 0) | (code >= len(EXPANSION)) | (run < 0) | ((code == 0) & (run > 0)) | uneven],
        lambda ins: f"format {ins['imm']} of B, scales for {ins['beats']} beats",
        f"a format in 0..{len(EXPANSION) - 1}, scales of narrow formats, for whole groups of k",
        "correct imm or beats",
    )
    stepped = indices[listing.field("table")[indices] != -1]
    _tables(listing, stepped, np.ones(len(stepped), np.int64))
    rows = group * core.strip_rows
    tall = ((flow == OS) | (flow == IS)) & (m > rows)
    listing.refuse(
        indices[tall],
        lambda ins: f"m = {ins['m']}",
        f"at most the rows of a group, group x {core.strip_rows}",
        "use taller groups or more passes",
    )
    sums = np.where(contiguous == N_CONTIGUOUS, core.columns, core.register_beats)
    room = core.psum_bytes // core.fold_sets
    listing.refuse(
        indices[(flow == TREE) & (m * sums * 4 > room)],
        lambda ins: f"m = {ins['m']}",
        f"partial sums within {room} bytes of a slice",
        "use more passes",
    )
    wanted = np.where((split == SPLIT_K) & (flow != TREE), core.strips // np.maximum(group, 1), 1)
    listing.refuse(
        indices[dividing & (planes != wanted)],
        lambda ins: f"{ins['planes']} planes",
        "one per group with fission-K of an array, else 1",
        "correct planes",
    )


def _moves(listing: Listing) -> None:
    params = listing.params
    for op in (STREAM, LOAD, STORE):
        _some(listing, op, ("bytes", "bytes"))
        indices = listing.of_op(op)
        traffic = listing.field("traffic")[indices]
        listing.refuse(
            indices[(traffic < 0) | (traffic >= len(TRAFFIC_NAMES))],
            lambda ins: f"traffic {ins['traffic']}",
            f"0..{len(TRAFFIC_NAMES) - 1}",
            "correct traffic",
        )
    for op in (LOAD, STORE):
        _some(listing, op, ("beats", "beats"))
        indices = listing.of_op(op)
        most = listing.field("beats")[indices] * params.dram.column_bytes
        listing.refuse(
            indices[listing.field("bytes")[indices] > most],
            lambda ins: f"{ins['bytes']} bytes in {ins['beats']} beats",
            f"at most {params.dram.column_bytes} bytes a beat",
            "correct bytes or beats",
        )
    _tables(listing, listing.of_op(STREAM), np.full(len(listing.of_op(STREAM)), params.core.strips))


def _tables(listing: Listing, indices: Indices, length: Indices) -> None:
    """Refuse instructions whose `length` integers do not all lie in the table."""
    table, have = listing.field("table")[indices], len(listing.program.tables)
    listing.refuse(
        indices[(table < 0) | (table + length > have)],
        lambda ins: f"table offset {ins['table']}",
        f"an offset whose integers lie in 0..{have - 1}",
        "correct table",
    )


def _sends(listing: Listing) -> None:
    pus = listing.params.cores
    _some(listing, SEND, ("m", "rows"), ("bytes", "bytes a row"))
    indices = listing.of_op(SEND)
    names = ("bank", "imm", "unit", "signal", "stack", "n", "modifiers")
    to, way, unit, signal, stack, number, modifiers = (listing.field(name)[indices] for name in names)
    summed = (modifiers & F_SUM) != 0
    own, noc = listing.pu[indices], listing.params.noc
    copied = number != 0
    whole = (number == noc.nodes) & (to == own // noc.nodes * noc.nodes) & (stack == 0) & (noc.nodes > 1)
    listing.refuse(
        indices[copied & ~(whole & (noc.multicast_lanes > 0))],
        lambda ins: f"a message to {ins['n']} PUs from PU {ins['bank']} on",
        f"all {noc.nodes} PUs of the die, where routers copy (noc.collectives = 'multicast' or 'network')",
        "correct n, bank or stack, or send messages",
    )
    listing.refuse(
        indices[~copied & ((to < 0) | (to >= pus) | ((to == own) & (stack == 0) & ~summed))],
        lambda ins: f"a message to PU {ins['bank']}",
        f"another PU of 0..{pus - 1}",
        "correct bank",
    )
    listing.refuse(
        indices[(stack < 0) | (stack >= listing.params.stacks)],
        lambda ins: f"a message {ins['stack']} stacks further on",
        f"0..{listing.params.stacks - 1}",
        "correct stack",
    )
    listing.refuse(
        indices[way != unit - SEND_0],
        lambda ins: f"direction {ins['imm']} on unit {ins['unit']}",
        "0 on send_0, 1 on send_1",
        "correct imm or unit",
    )
    common = (signal >= shared(pus, 0)) & (signal < semaphores(pus))
    listing.refuse(
        indices[~common & (copied | summed | (signal != FROM + 2 * own + way))],
        lambda ins: f"signal {ins['signal']}",
        f"the semaphore of source and direction, or (multicasts, sums) one of {shared(pus, 0)}..{semaphores(pus) - 1}",
        "correct signal",
    )
    check_sums(listing)


def _vectors(listing: Listing) -> None:
    op = listing.field("op")
    indices = np.flatnonzero((op >= VECTOR_BASE) & (op < VECTOR_BASE + len(VECTOR_NAMES)))
    m, n = listing.field("m"), listing.field("n")
    listing.refuse(
        indices[(m[indices] < 1) | (n[indices] < 0)],
        lambda ins: f"m = {ins['m']}, n = {ins['n']}",
        "1 row or more of 0 elements or more",
        "correct m or n",
    )
    rope = listing.of_op(V_ROPE)
    width = listing.field("imm")[rope]
    listing.refuse(
        rope[(width < 2) | (width % 2 != 0) | (n[rope] % np.maximum(width, 1) != 0)],
        lambda ins: f"heads of {ins['imm']} columns in {ins['n']}",
        "heads of even width that divides n",
        "correct imm or n",
    )
    for one in (V_NORM, V_LAYER_NORM, V_HEAD_NORM, V_GROUP_LIMIT, V_SOFTMAX):
        _tables(listing, listing.of_op(one), np.ones(len(listing.of_op(one)), np.int64))
    route = listing.of_op(V_ROUTE)
    _tables(listing, route, m[route] * listing.field("imm")[route])
    pick = listing.of_op(V_PICK)
    _tables(listing, pick, m[pick] * listing.field("imm")[pick] + 1)
    for one in (V_HEAD_NORM, V_GROUP_LIMIT):
        some = listing.of_op(one)
        size = listing.field("imm")[some]
        listing.refuse(
            some[(size < 1) | (n[some] % np.maximum(size, 1) != 0)],
            lambda ins: f"imm = {ins['imm']} for {ins['n']} columns",
            "a divisor of n",
            "correct imm or n",
        )
    quantise = listing.of_op(V_QUANTISE)
    code, step = listing.field("imm")[quantise], listing.field("table")[quantise]
    listing.refuse(
        quantise[(code != B_FP8) & (code != B_INT8)],
        lambda ins: f"format {ins['imm']}",
        f"{B_FP8} or {B_INT8}: FP8 or INT8",
        "correct imm",
    )
    _tables(listing, quantise[step != -1], np.ones(int((step != -1).sum()), np.int64))
    _microcode(listing, indices)


def _microcode(listing: Listing, indices: Indices) -> None:
    """Refuse vector operations whose element loops are not those of `nmpsim.program.vector`."""
    names = ("op", "m", "n", "planes", "modifiers", "imm")
    told = [f"{part}{i}" for i in range(PHASES) for part in ("elements", "read", "write", "rate")]
    asked = np.stack([listing.field(name)[indices] for name in names], axis=1)
    found = np.stack([listing.field(name)[indices] for name in told], axis=1)
    shapes, which = np.unique(asked, axis=0, return_inverse=True)
    wanted = np.zeros((len(shapes), len(told)), np.int64)
    for row, shape in zip(wanted, shapes, strict=True):
        flat = [value for loop in loops(*(int(x) for x in shape)) for value in loop]
        row[: len(flat)] = flat
    wrong = (found != wanted[which.reshape(-1)]).any(axis=1)

    def words(ins: Instruction) -> str:
        return "loops " + ", ".join(str([int(ins[name]) for name in told[4 * i : 4 * i + 4]]) for i in range(PHASES))

    todo = "set (elements, read, write, rate) of the loops"
    listing.refuse(indices[wrong], words, "those of nmpsim.program.vector.loops", todo)
