"""One recorded DRAM case: a folder with what was asked of another simulator, and what it did.

======================  ================================================================================================
``config.json``         protocol and controller, resolved to numbers
``requests.csv.gz``     id, at, op, addr, and one index per level; without these the mapper is part of the case
``commands.csv.gz``     clock, command, one index per level, type
``completions.csv.gz``  id, accept_cycle, done_cycle
======================  ================================================================================================
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.conformance.table import Table
from nmpsim.dram.address import map_addresses
from nmpsim.dram.reference import ControllerSettings, make_requests
from nmpsim.errors import Fault, NmpsimError, WorkloadError
from nmpsim.spec.protocol import Command, Constraint, Protocol

CONFIG, REQUESTS, COMMANDS, COMPLETIONS = "config.json", "requests.csv.gz", "commands.csv.gz", "completions.csv.gz"
FILES = (CONFIG, REQUESTS, COMMANDS, COMPLETIONS)

TOP_KEYS = {
    "levels": list,
    "level_sizes": list,
    "internal_prefetch": int,
    "transaction_bytes": int,
    "tick_ps": int,
    "ticks_per_ck": int,
    "commands": list,
    "row_bus": list,
    "column_bus": list,
    "command_ticks": dict,
    "timing_ticks": dict,
    "read_latency_ticks": int,
    "timing_constraints_ticks": list,
    "controller": dict,
    "driver": dict,
    "standard": str,
}
"""What is read."""

TOLD_KEYS = frozenset(
    {
        "case",
        "description",
        "producer",
        "notes",
        "org_preset",
        "timing_preset",
        "overrides",
        "column_note",
        "timing_ck",
        "n_requests",
        "n_commands",
    }
)
"""What is for people, or stands elsewhere in resolved form."""

CONTROLLER_KEYS = {
    "model": str,
    "read_queue": int,
    "write_queue": int,
    "priority_queue": int,
    "wr_low_watermark": (int, float),
    "wr_high_watermark": (int, float),
    "scheduler": str,
    "refresh": str,
    "row_policy": str,
    "row_policy_cap": (int, type(None)),
    "address_mapper": str,
}
DRIVER_KEYS = {
    "max_inject_per_tick": int,
    "in_order_head_of_line": bool,
    "drain_ticks_after_last_completion": int,
    "total_ticks": int,
}
RULE_KEYS = {"level": str, "preceding": list, "following": list, "latency": int, "window": int, "sibling": bool}

SPELLINGS = {
    "FRFCFSRowHit": "FRFCFS-RowHit",
    "PassThroughAddrMapper": "PassThrough",
    "OpenRowPolicy": "Open",
    "ClosedCAPRowPolicy": "ClosedCAP",
}
"""The recorder's names for settings, where they differ from ours."""

DEFAULT_CAP = 4  # Ramulator 2.1 (c5b1c3a), ClosedCAP
WORDS = {
    int: "an integer",
    float: "a number",
    str: "a word",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
EFFECTS = {"ACT": "open", "PREpb": "close", "PREab": "close", "RDA": "close", "WRA": "close"}
ALL_BANK = ("PREab", "REFab", "RFMab")


class CaseError(NmpsimError):
    """A case folder is wrong."""


@dataclass(frozen=True)
class Case:
    """One case, ready to run.

    Parameters
    ----------
    name : str
        Name of the folder.
    protocol : Protocol
    settings : ControllerSettings
    requests : array of REQUEST
    ids : ndarray of int64
        Identity of each request.
    max_inject, drain, total_ticks : int
        The driver's settings and the ticks it did.
    commands : tuple of tuple
        Clock, name, one index per level with row and column, type.
    accept, done : ndarray of int64
        Completions in the order of the requests; ticks.
    """

    name: str
    protocol: Protocol
    settings: ControllerSettings
    requests: Any
    ids: NDArray[np.int64]
    max_inject: int
    drain: int
    total_ticks: int
    commands: tuple[tuple[Any, ...], ...]
    accept: NDArray[np.int64]
    done: NDArray[np.int64]


def load_case(folder: Path) -> Case:
    """Read a case.

    Raises
    ------
    CaseError
        With every fault of its files.
    """
    config = read_config(folder / CONFIG)
    protocol = protocol_of(config)
    driver = config["driver"]
    fields = (*config["levels"],)
    asked = Table(folder / REQUESTS, ("id", "at", "op", "addr"), fields)
    issued = Table(folder / COMMANDS, ("clock", "command", *fields, "type"))
    finished = Table(folder / COMPLETIONS, ("id", "accept_cycle", "done_cycle"))
    ids = asked.integers("id")
    is_write = asked.words("op", ("R", "W"))
    numbers = {name: asked.integers(name) for name in ("at", "addr", *(fields if asked.full else ()))}
    given = {name: issued.integers(name) for name in ("clock", *fields, "type")}
    names = issued.words("command", tuple(config["commands"]))
    known = {name: finished.integers(name) for name in finished.header}
    faults = [*asked.faults, *issued.faults, *finished.faults]
    if not faults and not np.array_equal(np.sort(known["id"]), np.sort(ids)):
        got, allowed = f"{len(known['id'])} completions", f"one for each of the {len(ids)} requests"
        faults.append(Fault(str(folder / COMPLETIONS), got, allowed, "make both lists of one run"))
    if faults:
        raise CaseError(f"{folder.name}: the case cannot be read", faults)
    mapper = SPELLINGS.get(config["controller"]["address_mapper"], config["controller"]["address_mapper"])
    try:
        if asked.full:
            where = np.stack([numbers[name] for name in fields], axis=1)
        else:
            where = map_addresses(protocol, mapper, numbers["addr"])
        requests = make_requests(
            protocol, numbers["at"], is_write, where[:, :-2], where[:, -2], where[:, -1], numbers["addr"]
        )
    except WorkloadError as error:
        raise CaseError(f"{folder / REQUESTS}: {error}", error.faults) from None
    columns = [
        given["clock"].tolist(),
        [config["commands"][n] for n in names.tolist()],
        *(given[name].tolist() for name in fields),
        given["type"].tolist(),
    ]
    rank = np.argsort(known["id"], kind="stable")[np.argsort(np.argsort(ids, kind="stable"), kind="stable")]
    return Case(
        name=folder.name,
        protocol=protocol,
        settings=settings_of(config["controller"]),
        requests=requests,
        ids=ids,
        max_inject=driver["max_inject_per_tick"],
        drain=driver["drain_ticks_after_last_completion"],
        total_ticks=driver["total_ticks"],
        commands=tuple(zip(*columns, strict=True)),
        accept=known["accept_cycle"][rank],
        done=known["done_cycle"][rank],
    )


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration in a file, checked key by key.

    Raises
    ------
    CaseError
        With every key that is missing, unknown or of the wrong kind.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        fault = Fault(str(path), str(error), "a JSON object", "write the file anew")
        raise CaseError(f"{path.parent.name}: the case cannot be read", [fault]) from None
    faults = _key_faults(config, TOP_KEYS, str(path), TOLD_KEYS)
    if not faults:
        faults += _key_faults(config["controller"], CONTROLLER_KEYS, f"{path}: controller")
        faults += _key_faults(config["driver"], DRIVER_KEYS, f"{path}: driver")
        for n, rule in enumerate(config["timing_constraints_ticks"]):
            faults += _key_faults(rule, RULE_KEYS, f"{path}: timing_constraints_ticks[{n}]")
    if not faults:
        faults += _shape_faults(config, str(path))
    if faults:
        raise CaseError(f"{path.parent.name}: the case cannot be read", faults)
    return dict(config)


def _key_faults(given: Any, keys: dict[str, Any], where: str, told: frozenset[str] = frozenset()) -> list[Fault]:
    """Return the keys of an object that are missing, unknown or of the wrong kind."""
    if not isinstance(given, dict):
        return [Fault(where, type(given).__name__, "an object", "write it with its keys")]
    faults = [
        Fault(f"{where}: {key}", "nothing", _kind_name(kind), "add it")
        for key, kind in keys.items()
        if key not in given
    ]
    for key, value in given.items():
        place = f"{where}: {key}"
        if key in keys:
            kind = keys[key]
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                faults.append(Fault(place, repr(value)[:60], _kind_name(kind), "correct it"))
        elif key not in told:
            faults.append(Fault(place, "an unknown key", ", ".join(keys), "remove it, or extend the runner"))
    return faults


def _kind_name(kind: Any) -> str:
    """Return the kind of a value in words."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(WORDS[one] for one in kinds)


def _shape_faults(config: dict[str, Any], where: str) -> list[Fault]:
    """Return what does not fit together in a configuration."""
    faults = []
    levels, sizes = config["levels"], config["level_sizes"]
    if len(levels) != len(sizes) or levels[-3:] != ["Bank", "Row", "Column"]:
        faults.append(Fault(f"{where}: levels", repr(levels), "names down to Bank, Row, Column, sizes", "fix"))
    elif not all(isinstance(size, int) and size >= 1 for size in sizes) or sizes[0] != 1:
        faults.append(Fault(f"{where}: level_sizes", repr(sizes), "integers of at least 1, the first 1", "correct"))
    elif config["internal_prefetch"] < 1 or sizes[-1] % config["internal_prefetch"]:
        got = f"internal_prefetch {config['internal_prefetch']}, {sizes[-1]} columns"
        faults.append(Fault(where, got, "a divisor of the columns", "correct"))
    buses = [*config["row_bus"], *config["column_bus"]]
    if sorted(buses) != sorted(config["commands"]) or set(config["command_ticks"]) != set(buses):
        faults.append(Fault(f"{where}: commands", repr(buses), "each command on one bus, with its ticks", "correct"))
    if not config["driver"]["in_order_head_of_line"]:
        faults.append(Fault(f"{where}: driver.in_order_head_of_line", "false", "true", "no other driver is known"))
    return faults


def protocol_of(config: dict[str, Any]) -> Protocol:
    """Return the protocol of a checked configuration."""
    levels = config["levels"][:-2]
    scope = "PseudoChannel" if "PseudoChannel" in levels and config["standard"] != "HBM1" else levels[0]
    commands = tuple(
        Command(
            name=name,
            bus="column" if name in config["column_bus"] else "row",
            ticks=config["command_ticks"][name],
            level=scope if name in ALL_BANK else "Bank",
            effect=EFFECTS.get(name, "none"),  # type: ignore[arg-type]
        )
        for name in config["commands"]
    )
    constraints = tuple(
        Constraint(
            level=rule["level"],
            preceding=tuple(rule["preceding"]),
            following=tuple(rule["following"]),
            latency=(rule["latency"],),
            rule=f"row {n} of the recorded table",
            window=rule["window"],
            sibling=rule["sibling"],
        )
        for n, rule in enumerate(config["timing_constraints_ticks"])
    )
    return Protocol(
        name=config["standard"],
        levels=tuple(levels),
        sizes=tuple(config["level_sizes"][:-2]),
        rows=config["level_sizes"][-2],
        columns=config["level_sizes"][-1] // config["internal_prefetch"],
        transaction_bytes=config["transaction_bytes"],
        rows_per_tier=config["level_sizes"][-2],
        tick_ps=config["tick_ps"],
        ticks_per_ck=config["ticks_per_ck"],
        commands=commands,
        constraints=constraints,
        timing=dict(config["timing_ticks"]),
        read_latency=config["read_latency_ticks"],
        half_clock_edges=config["controller"]["model"] == "HBM34",
    )


def settings_of(controller: dict[str, Any]) -> ControllerSettings:
    """Return the settings of a checked configuration; `build` refuses words that it does not know."""
    named = {key: SPELLINGS.get(value, value) for key, value in controller.items() if key != "address_mapper"}
    if named["row_policy_cap"] is None:
        named["row_policy_cap"] = DEFAULT_CAP
    return ControllerSettings(**named)
