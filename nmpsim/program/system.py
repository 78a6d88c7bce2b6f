"""Programs of several stacks: as one program of a machine with all their PUs, and how they differ.

PU p of stack s becomes PU ``s * pus + p``; a message `d` stacks further on goes to that PU in stack ``s + d``, modulo
their number.  So one interpreter and one checker serve one stack and many, and every stack has memory of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import InternalError
from nmpsim.program.isa import FROM, SEND, V_ARGMAX, WAITS, shared
from nmpsim.program.program import BeatImage, Program, StreamImage
from nmpsim.spec.params import MachineParams

ADDRESS_FIELDS = ("a", "b", "c", "out", "row", "column", "bank")
"""Fields that may differ between stacks that do the same: where things stand."""


def stack_tensor(stack: int, tensor: str) -> str:
    """Name of a tensor of one stack in the joined program."""
    return f"stack{stack}:{tensor}"


def join_stacks(programs: Sequence[Program], params: MachineParams) -> tuple[Program, MachineParams]:
    """Join the programs of all stacks into one.

    Parameters
    ----------
    programs : sequence of Program
        One per stack, in order.
    params : MachineParams
        The chip of every stack.

    Returns
    -------
    Program
        Tensors are named by `stack_tensor`, results as ``stackS:name``; operators are those of all stacks in turn.
    MachineParams
        A machine with the PUs of all stacks.
    """
    stacks, pus = len(programs), params.cores
    streams: list[NDArray[np.void]] = []
    tables, offset, first = [], 0, 0
    operators, images, results = [], [], {}
    regions = dict(programs[0].regions)
    for stack, program in enumerate(programs):
        regions |= {f"stack{stack}:{n}": r for n, r in program.regions.items() if programs[0].regions.get(n) != r}
        streams += [_moved(stream, stack, stacks, pus, offset, first) for stream in program.streams]
        tables.append(program.tables)
        offset += len(program.tables)
        first += len(program.operators)
        operators += [replace(o, name=f"stack{stack}:{o.name}") for o in program.operators]
        images += [_of_stack(image, stack, pus) for image in program.images]
        for name, (pu, *place) in program.results.items():
            if pu >= 0:
                results[f"stack{stack}:{name}"] = (pu + stack * pus, *place)
    joined = Program(
        programs[0].chip,
        tuple(streams),
        np.concatenate(tables),
        tuple(operators),
        tuple(images),
        regions,
        results,
    )
    return joined, replace(params, cores=stacks * pus, stacks=1)


def _of_stack(image: StreamImage | BeatImage, stack: int, pus: int) -> StreamImage | BeatImage:
    return replace(image, tensor=stack_tensor(stack, image.tensor), pu=image.pu + stack * pus)


def _moved(stream: NDArray[np.void], stack: int, stacks: int, pus: int, offset: int, first: int) -> NDArray[np.void]:
    """Instructions of one core, renumbered for the machine with all PUs."""
    moved = stream.copy()

    def semaphore(old: NDArray[np.int64], owner: NDArray[np.int64] | int) -> NDArray[np.int64]:
        common = old - shared(pus, 0) + shared(stacks * pus, 0)
        of_source = old + 2 * pus * owner
        return np.where(old < FROM, old, np.where(old >= shared(pus, 0), common, of_source))

    for i in range(WAITS):
        moved[f"wait{i}"] = semaphore(stream[f"wait{i}"], stack)
    sends = stream["op"] == SEND
    there = (stack + stream["stack"][sends]) % stacks
    moved["bank"][sends] += there * pus
    moved["signal"][sends] = semaphore(stream["signal"][sends], stack)
    moved["stack"] = 0
    moved["table"][stream["table"] >= 0] += offset
    moved["operator"] += first
    return moved


def differences(one: Program, other: Program) -> tuple[str, ...]:
    """Say in what the programs of two stacks differ, but for addresses: nothing if they are provably alike.

    Two programs without difference give all units the same work in the same order: same operations, sizes, waits and
    routes.  Addresses of the buffer and of rows may differ.

    Parameters
    ----------
    one, other : Program
    """
    found = []
    if [o.name for o in one.operators] != [o.name for o in other.operators]:
        found.append("operators")
    if not np.array_equal(one.tables, other.tables):
        found.append("tables")
    for pu, (a, b) in enumerate(zip(one.streams, other.streams, strict=True)):
        if len(a) != len(b):
            found.append(f"PU {pu}: {len(a)} and {len(b)} instructions")
            continue
        names = a.dtype.names
        if names is None:
            raise InternalError("program: instructions without fields")
        for name in names:
            wrong = a[name] != b[name]
            if name in ADDRESS_FIELDS:
                wrong &= (name == "bank") & (a["op"] == SEND)
            if name == "imm":
                wrong &= a["op"] != V_ARGMAX  # first column of the own part of the vocabulary
            if wrong.any():
                found.append(f"PU {pu}: {name} of {int(wrong.sum())} instructions")
    return tuple(found)
