"""The folder of a run: what was asked, what was done, in the layout of a recorded case.

======================  ================================================================================================
``config.json``         protocol, controller and driver, resolved to numbers
``requests.csv.gz``     the requests with their fields, whatever the format of the trace was
``commands.csv.gz``     every command in the order of issue
``completions.csv.gz``  id, accept_cycle, done_cycle; ticks
``summary.json``        see summary.py
======================  ================================================================================================

A folder of the reference controller is a case for ``nmpsim conformance dram``.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from nmpsim import __version__
from nmpsim.dram.reference import ControllerSettings
from nmpsim.dram.trace.commands import write_commands
from nmpsim.dram.trace.memory import Memory
from nmpsim.dram.trace.requests import RequestTrace, write_requests
from nmpsim.dram.trace.run import TraceRun
from nmpsim.dram.trace.writing import SUMMARY, write_json, write_table

CONFIG, REQUESTS, COMMANDS, COMPLETIONS = "config.json", "requests.csv.gz", "commands.csv.gz", "completions.csv.gz"
NATIVE_FORMAT = "nmpsim-dram-native-1"
"""Name and version of a native run's configuration."""


def protocol_config(memory: Memory) -> dict[str, Any]:
    """Return what a configuration says of the protocol.

    Parameters
    ----------
    memory : Memory
    """
    protocol = memory.protocol
    names = [command.name for command in protocol.commands]
    return {
        "standard": protocol.name,
        "org_preset": memory.organisation,
        "timing_preset": memory.timing,
        "overrides": dict(memory.overrides),
        "tick_ps": protocol.tick_ps,
        "ticks_per_ck": protocol.ticks_per_ck,
        "levels": [*protocol.levels, "Row", "Column"],
        "level_sizes": [*protocol.sizes, protocol.rows, protocol.columns],
        "column_note": "Column counts transactions",
        "internal_prefetch": 1,
        "transaction_bytes": protocol.transaction_bytes,
        "commands": names,
        "row_bus": [command.name for command in protocol.commands if command.bus == "row"],
        "column_bus": [command.name for command in protocol.commands if command.bus == "column"],
        "command_ticks": {command.name: command.ticks for command in protocol.commands},
        "timing_ticks": dict(protocol.timing),
        "read_latency_ticks": protocol.read_latency,
        "timing_constraints_ticks": [
            {
                "level": rule.level,
                "preceding": list(rule.preceding),
                "following": list(rule.following),
                "latency": rule.latency[0] if len(rule.latency) == 1 else list(rule.latency),
                "window": rule.window,
                "sibling": rule.sibling,
            }
            for rule in protocol.constraints
            if not rule.beyond_peer
        ],
    }


def reference_config(
    memory: Memory,
    settings: ControllerSettings,
    mapper: str,
    *,
    max_inject: int,
    drain: int,
    source: str,
    trace: RequestTrace,
    run: TraceRun,
) -> dict[str, Any]:
    """Return the configuration of a run of the reference controller.

    Parameters
    ----------
    memory : Memory
    settings : ControllerSettings
    mapper : str
        Address mapper; PassThrough if the trace has fields.
    max_inject, drain : int
        Of the driver.
    source : str
        Name of the request trace.
    trace : RequestTrace
    run : TraceRun
    """
    return {
        **_head(source, trace, run),
        "notes": {"preset": memory.preset},
        **protocol_config(memory),
        "controller": {**asdict(settings), "address_mapper": mapper},
        "driver": {
            "max_inject_per_tick": max_inject,
            "in_order_head_of_line": True,
            "drain_ticks_after_last_completion": drain,
            "total_ticks": run.ticks,
        },
    }


def native_config(
    memory: Memory,
    mapper: str,
    *,
    max_inject: int,
    run_columns: int,
    source: str,
    trace: RequestTrace,
    run: TraceRun,
) -> dict[str, Any]:
    """Return the configuration of a run of the die's own controllers.

    Parameters
    ----------
    memory : Memory
    mapper : str
        Address mapper; PassThrough if the trace has fields.
    max_inject, run_columns : int
        Of the driver.
    source : str
        Name of the request trace.
    trace : RequestTrace
    run : TraceRun
    """
    assert memory.machine is not None
    return {
        "format": NATIVE_FORMAT,
        **_head(source, trace, run),
        "preset": memory.preset,
        **protocol_config(memory),
        "controller": {"model": "native", **memory.machine.dram._asdict(), "address_mapper": mapper},
        "driver": {
            "max_inject_per_tick": max_inject,
            "in_order_head_of_line": True,
            "run_columns": run_columns,
            "total_ticks": run.ticks,
        },
    }


def _head(source: str, trace: RequestTrace, run: TraceRun) -> dict[str, Any]:
    return {
        "description": f"request trace {source}",
        "producer": f"nmpsim {__version__}",
        "n_requests": len(trace),
        "n_commands": len(run.clock),
    }


def write_run(
    folder: Path, memory: Memory, config: dict[str, Any], summary: dict[str, Any], trace: RequestTrace, run: TraceRun
) -> None:
    """Write all files of a run into a folder.

    Parameters
    ----------
    folder : Path
        Is there.
    memory : Memory
    config, summary : dict
        Trees of the two JSON files.
    trace : RequestTrace
    run : TraceRun

    Raises
    ------
    NmpsimError
        If one cannot be written.
    """
    write_json(folder / CONFIG, config)
    write_requests(folder / REQUESTS, trace, memory.protocol)
    write_commands(
        folder / COMMANDS,
        memory.protocol,
        clock=run.clock,
        names=run.names,
        address=run.address,
        row=run.row,
        column=run.column,
        extra=run.extra,
    )
    columns = [trace.identity, run.accept, run.done]
    write_table(folder / COMPLETIONS, ["id", "accept_cycle", "done_cycle"], columns)
    write_json(folder / SUMMARY, summary)
