"""Counts of every operator read from the instructions of a program: what the analytical mode must find without it."""

import numpy as np

from nmpsim.program.isa import ARRAY, LOAD, MOVE, PASS, SEND, STORE, STREAM

NAMES = ("passes", "RD", "WR", "ACT", "read_bytes", "write_bytes", "flits")


def encoded_counts(program, params) -> list[dict[str, int]]:
    """Return the counts of every operator of a program, in its order.

    Parameters
    ----------
    program : Program
    params : MachineParams
    """
    found = [dict.fromkeys(NAMES, 0) for _ in program.operators]
    for stream in program.streams:
        for ins in stream[(stream["unit"] == ARRAY) & (stream["op"] == PASS)]:
            found[ins["operator"]]["passes"] += 1
        for ins in stream[stream["op"] == SEND]:
            found[ins["operator"]]["flits"] += int(ins["m"]) * -(-int(ins["bytes"]) // params.noc.flit_bytes)
        for ins in stream[stream["unit"] == MOVE]:
            entry = found[ins["operator"]]
            if ins["op"] == STREAM:
                beats = program.tables[ins["table"] : ins["table"] + params.core.strips]
                entry["RD"] += int(beats.sum())
                entry["ACT"] += int(np.sum(-(-beats // params.dram.columns)))
                entry["read_bytes"] += int(ins["bytes"]) + int(ins["imm"])
            elif ins["op"] == LOAD:
                entry["RD"] += int(ins["beats"])
                entry["ACT"] += 1
                entry["read_bytes"] += int(ins["bytes"])
            elif ins["op"] == STORE:
                entry["WR"] += int(ins["beats"])
                entry["ACT"] += 1
                entry["write_bytes"] += int(ins["bytes"])
    for entry, operator in zip(found, program.operators, strict=True):
        entry["macs"] = operator.macs
        entry["vector_elements"] = operator.vector_elements
    return found
