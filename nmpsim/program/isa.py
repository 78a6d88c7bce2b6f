"""The instruction set of a core: what the sequencer hands to each unit.

A core has seven in-order units, two of them only if its compute unit has buffers of its own.  An instruction names
work for one unit, up to four waits and its operands.  Every unit counts the instructions it has completed; every core
counts the messages that arrived from each source and port.  These counters are the semaphores: a wait is
``(semaphore, count)`` and holds until the semaphore has reached the count.  Counters only grow, so nothing is ever
consumed twice.

=========  ========================================================================================
unit       instructions
=========  ========================================================================================
ARRAY      PASS: one matrix product on the array or the MAC-tree slices
VECTOR     one vector operation (table VECTOR_NAMES)
MOVE       STREAM (rows of all banks into the strip ports), LOAD (bank to buffer), STORE (buffer to bank)
SEND_0     SEND: one message to a PU, to all others, or into a sum, by network port 0
SEND_1     SEND: the same by network port 1
COPY_IN    CROSS: copy from the buffer into the operand buffer of the compute unit (separate arrangement)
COPY_OUT   CROSS: copy from its output buffer into the buffer (separate arrangement)
=========  ========================================================================================

A *receive* is the wait of the consumer on the arrival semaphore; its landing space is fixed in the program.
A *barrier* is a wait on messages from all other PUs.
"""

from __future__ import annotations

import numpy as np

ARRAY, VECTOR, MOVE, SEND_0, SEND_1, COPY_IN, COPY_OUT = range(7)
UNITS = 7
UNIT_NAMES = ("array", "vector", "move", "send_0", "send_1", "copy_in", "copy_out")

FROM = UNITS
"""First arrival semaphore: messages from PU `s` by port `d` are counted by ``FROM + 2*s + d``."""

WAITS = 4
"""Waits an instruction can carry."""


def arrival(source: int, port: int) -> int:
    """Semaphore that counts messages from `source` by network port `port`."""
    return FROM + 2 * source + port


def shared(pus: int, index: int) -> int:
    """One of the `SHARED` semaphores of a core that messages from any PU may count."""
    return FROM + 2 * pus + index


SHARED = 10
"""Semaphores that count messages whatever their source; collectives alternate between the first two."""

GATHERS = (6, 7)
"""Shared semaphores of all-gathers by multicast, used in turn."""

SUMS = (8, 9)
"""Shared semaphores of sums made by the routers, used in turn."""

STACK_SUMS, STACK_ALL = 4, 5
"""Shared semaphores of messages from other stacks: pieces of the residual stream along the ring, and what every stack
tells all others (sums of squares, best tokens)."""


def semaphores(pus: int) -> int:
    """Number of semaphores of a core on a die of `pus` PUs."""
    return FROM + 2 * pus + SHARED


# Dataflows of a PASS, C[m, n] = sum over k of A[m, k] B[k, n]; B streams from the banks.
OS, WS, IS, TREE = range(4)
FLOW_NAMES = ("OS", "WS", "IS", "TREE")

# How the strip groups of a PASS relate: chained end to end, or split (fission) over K or over N.
CHAIN, SPLIT_K, SPLIT_N = range(3)
SPLIT_NAMES = ("chain", "fission-K", "fission-N")

# Contiguous dimension of a beat of B.
N_CONTIGUOUS, K_CONTIGUOUS = range(2)
CONTIGUOUS_NAMES = ("n", "k")

# Format of the elements of B of a PASS: as the PEs take them (FP16, or BF16 where the chip says so), or narrow, for the
# decoder at the edge of the strip.
B_FP16, B_FP8, B_INT8, B_INT4 = range(4)
B_NAMES = ("fp16", "fp8", "int8", "int4")


EXPANSION = (1, 2, 2, 4)
"""Array beats in one beat of the DRAM, by format of B."""


def expansion(code: int) -> int:
    """Return how many array beats one beat of the DRAM holds.

    Parameters
    ----------
    code : int
        ``B_FP16``, ``B_FP8``, ``B_INT8`` or ``B_INT4``.
    """
    return EXPANSION[code]


PASS, STREAM, LOAD, STORE, SEND, CROSS, VECTOR_BASE = 0, 1, 2, 3, 4, 5, 16

(
    V_SUM_SQUARES,
    V_NORM,
    V_REDUCE,
    V_ROPE,
    V_SOFTMAX,
    V_ATTENTION_OUT,
    V_COMBINE_PARTS,
    V_SWIGLU,
    V_COPY,
    V_AXPY,
    V_ROUTE,
    V_ARGMAX,
    V_ARGMAX_MERGE,
    V_ADD,
    V_MOMENTS,
    V_LAYER_NORM,
    V_HEAD_NORM,
    V_RELU,
    V_BIAS,
    V_SIGMOID,
    V_GROUP_LIMIT,
    V_PICK,
    V_QUANTISE,
) = range(VECTOR_BASE, VECTOR_BASE + 23)
VECTOR_NAMES = (
    "sum_squares",
    "norm",
    "reduce",
    "rope",
    "softmax",
    "attention_out",
    "combine_parts",
    "swiglu",
    "copy",
    "axpy",
    "route",
    "argmax",
    "argmax_merge",
    "add",
    "moments",
    "layer_norm",
    "head_norm",
    "relu",
    "bias",
    "sigmoid",
    "group_limit",
    "pick",
    "quantise",
)

# Kinds of DRAM traffic, for the counts.
WEIGHT, KV, EMBEDDING, CONSTANT = range(4)
TRAFFIC_NAMES = ("weight", "kv", "embedding", "constant")

# Rate of a vector phase: issue interval by function.
PLAIN_RATE, EXP_RATE, SQRT_RATE = range(3)

PHASES = 3
"""Element loops a vector instruction can have."""

FIELDS = (
    ("unit", "unit that executes it"),
    ("op", "PASS, STREAM, LOAD, STORE, SEND, CROSS or a vector operation"),
    ("operator", "index into the program's operator table, for attribution"),
    ("wait0", "semaphore, -1 = none"),
    ("count0", "count the semaphore must have reached"),
    ("wait1", "second wait"),
    ("count1", ""),
    ("wait2", "third wait"),
    ("count2", ""),
    ("wait3", "fourth wait"),
    ("count3", ""),
    # PASS, and shapes of vector operations
    ("flow", "PASS: OS, WS, IS or TREE"),
    ("group", "PASS: strips stacked in one group (rows of the logical shape / granularity)"),
    ("split", "PASS: CHAIN, SPLIT_K or SPLIT_N"),
    ("contiguous", "PASS: contiguous dimension of a beat of B"),
    ("m", "rows"),
    ("n", "columns; elements; STORE: bytes under the mask of a beat, 0 = whole; SEND: PUs of a multicast, 0 = one"),
    ("k", "PASS: inner dimension"),
    ("a", "buffer address of operand A; bytes"),
    ("a_ld", "bytes from one row of A to the next"),
    ("b", "buffer address of operand B, SEND: destination address"),
    ("b_ld", "bytes from one row of B to the next"),
    ("c", "buffer address of a third operand"),
    ("c_ld", "bytes from one row of it to the next"),
    ("out", "buffer address of the result"),
    ("out_ld", "bytes from one row of the result to the next"),
    ("planes", "partial-sum planes (PASS writes, vector operations read, CROSS copies)"),
    ("plane_ld", "bytes from one plane to the next"),
    ("modifiers", "operation-specific bits, see docs/program.md"),
    ("imm", "PASS: format of B; STREAM: bytes of scales; STORE: first byte under the mask; vector: operation-specific"),
    ("signal", "SEND: semaphore of the destination that counts the message"),
    ("table", "offset into the program's table of integers, -1 = none"),
    # MOVE and SEND
    ("bank", "LOAD, STORE: bank; SEND: destination PU, first one of a multicast, owner of a sum"),
    ("stack", "SEND: how many stacks further on the destination is, 0 = in this one"),
    ("row", "STREAM, LOAD, STORE: first DRAM row"),
    ("column", "LOAD, STORE: first column"),
    ("beats", "LOAD, STORE: beats; STREAM: 0 (per strip, in the table); PASS: array beats under a beat of scales"),
    ("bytes", "bytes of operands that are not padding; SEND, CROSS: bytes of a row"),
    ("traffic", "STREAM, LOAD, STORE: kind of traffic"),
    # element loops of vector operations
    ("elements0", "vector: elements of the first loop"),
    ("read0", "bytes read per element"),
    ("write0", "bytes written per element"),
    ("rate0", "PLAIN_RATE, EXP_RATE or SQRT_RATE"),
    ("elements1", "vector: elements of the second loop, 0 = none"),
    ("read1", ""),
    ("write1", ""),
    ("rate1", ""),
    ("elements2", "vector: elements of the third loop, 0 = none"),
    ("read2", ""),
    ("write2", ""),
    ("rate2", ""),
)

INSTRUCTION = np.dtype([(name, "i8") for name, _ in FIELDS])

# Flags.
F_OUT_FP32 = 1  # result is FP32, not FP16
F_RESIDUAL = 2  # V_REDUCE, V_ADD: add operand C (FP16)
F_FIRST = 4  # V_ARGMAX: no earlier best to compare with
F_ACCUMULATE = 8  # V_AXPY: add to the result (FP32); else overwrite
F_A_FP32 = 16  # V_COPY: elements are FP32
F_BIAS = 32  # V_REDUCE, V_RELU: add operand B (FP16), one row for all
F_ALL = 64  # V_ROUTE: weights are a softmax over all experts
F_NORMALISE = 128  # V_PICK: weights are divided by their sum
F_SUM = 256  # SEND: a contribution to a sum that the routers make


def op_name(op: int) -> str:
    """Name of an operation code."""
    if op >= VECTOR_BASE:
        return VECTOR_NAMES[op - VECTOR_BASE]
    return ("pass", "stream", "load", "store", "send", "cross")[op]
