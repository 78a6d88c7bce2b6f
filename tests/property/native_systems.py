"""Random channels of the native DRAM controller and random runs for them, in families that each meet something else."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from nmpsim.spec.params import ACT, HOLD_COLUMN, HOLD_ROW, PRE, RD, REF, WR
from tests.unit.dram.bench import Traffic
from tests.unit.dram.chips import SMALL, latency_table

ANY_PAGE = {"refresh while owed", "refresh postponed", "forced refresh", "landing space missing"}
OPEN_PAGE = ANY_PAGE | {
    "closed by conflict",
    "closed for refresh owed",
    "closed at the refresh limit",
    "row hit",
    "row hit of another run",
    "row stays open",
}
SHARED = {"port busy", "port handed over", "port handed over and turned around", "turnaround to RD", "turnaround to WR"}
BY_ROW = SHARED | {"port held by another bank", "late datum while a port is held"}
BY_COLUMN = SHARED | {"port handed over within an access"}
CHANNELS = {"two channels activate in one cycle", "two banks of a channel activate in one cycle"}

FAMILIES = {
    "closed page, a port per bank, budget of the channel": (
        {"refresh": 1, "row_hits": 1, "sharing": "port per bank", "budget": "channel", "pull_in": 1, "banks": 3},
        ANY_PAGE | {"closed page", "refresh ahead", "channel budget"},
    ),
    "open page, a bus held by row": (
        {"refresh": 1, "row_hits": 0, "sharing": "bus", "port_hold": HOLD_ROW, "budget": "none", "banks": 3}
        | {"columns": 4, "every datum that is late": 3},
        OPEN_PAGE | BY_ROW | {"port kept for an older bank"},
    ),
    "open page, a bus held by column": (
        {"refresh": 1, "row_hits": 0, "sharing": "bus", "port_hold": HOLD_COLUMN, "budget": "none", "banks": 3},
        OPEN_PAGE | BY_COLUMN | {"port kept for an older bank"},
    ),
    "capped page, shared ports held by row": (
        {"refresh": 1, "row_hits": 2, "port_banks": 4, "ports": 2, "port_hold": HOLD_ROW, "budget": "none"}
        | {"sharing": "shared ports", "banks": 4, "channels": 1, "columns": 4, "every datum that is late": 3},
        ANY_PAGE | BY_ROW | {"row hit", "closed by the cap", "closed by conflict", "port of a higher number"},
    ),
    "closed page, shared ports held by column": (
        {"refresh": 1, "row_hits": 1, "port_banks": 4, "ports": 2, "port_hold": HOLD_COLUMN, "budget": "none"}
        | {"sharing": "shared ports", "banks": 5, "channels": 1, "columns": 4},
        ANY_PAGE | BY_COLUMN | {"closed page", "port of a higher number"},
    ),
    "open page, budgets of channel and die": (
        {"refresh": 1, "row_hits": 0, "sharing": "port per bank", "budget": "both", "channels": 2, "banks": 3}
        | {"die_nRRD": 0, "clocks": (1, 1), "nREFI": 120},
        {"channel budget", "die budget", "the turn of a later channel", "two channels activate in one cycle"},
    ),
    "closed page, budget of the die": (
        {"refresh": 0, "row_hits": 1, "sharing": "port per bank", "budget": "die", "channels": 3, "banks": 2}
        | {"die_nRRD": 0, "die_nFAW": 20, "columns": 2, "clocks": (1, 1)},
        CHANNELS | {"die budget", "the turn of a later channel"},
    ),
    "open page, long before PRE": (
        {"refresh": 1, "row_hits": 0, "sharing": "port per bank", "budget": "none", "banks": 2, "pull_in": 0}
        | {"least column to PRE": 30, "nREFI": 120, "clocks": (1, 1)},
        OPEN_PAGE | {"closing not taken back"},
    ),
    "anything": ({}, set()),
}
"""Name -> what is fixed of the system, and the situations (names of `Oracle.met`) that runs of it must meet."""


@st.composite
def latencies(draw, tiers):
    """A constraint table in which the entries of JEDEC have any length, and sometimes any other entry too."""
    names = ("nRCD", "nRAS", "nRC", "nRP", "nRTP", "nWTP")
    lengths = st.sampled_from((3, 1, 0, 2, 6, 11))
    turns = st.sampled_from((5, 9, 2))
    tables = [
        {name: draw(lengths) for name in names}
        | {"nRTW": draw(turns), "nWTR": draw(turns)}
        | {"nCCD": draw(st.sampled_from((1, 2, 4))), "nRFC": draw(st.sampled_from((10, 1, 25)))}
        for _ in range(tiers)
    ]
    table = latency_table(*tables)
    for previous in (ACT, PRE):
        table[:, previous, REF] = draw(st.sampled_from((table[0, previous, ACT], 1, 40)))
    for _ in range(draw(st.sampled_from((0, 0, 0, 3)))):
        table[draw(st.integers(0, tiers - 1)), draw(st.integers(0, 4)), draw(st.integers(0, 4))] = draw(lengths)
    return table


@st.composite
def systems(draw, fixed):
    """Parameters of one to three channels of one to four banks, and who shares what; `fixed` choices are not drawn."""

    def pick(name, *choices):
        return fixed[name] if name in fixed else draw(st.sampled_from(choices))

    columns, tiers = pick("columns", 4, 2, 1), pick("tiers", 1, 2)
    params = SMALL._replace(
        banks=pick("banks", 4, 3, 2, 1),
        columns=columns,
        tiers=tiers,
        rows_per_tier=16 // tiers,
        fifo_columns=columns * pick("rows of landing space", 2, 1, 4),
        run_queue=pick("run_queue", 2, 1, 3),
        nCL=pick("nCL", 2, 0),
        nCWL=pick("nCWL", 1, 0, 3),
        nPORT=pick("nPORT", 1, 2),
        nCREDIT=pick("nCREDIT", 1, 2),
        nREFI=pick("nREFI", 60, 120),
        refresh=pick("refresh", 1, 1, 0),
        postpone=pick("postpone", 1, 0, 4),
        pull_in=pick("pull_in", 0, 1, 3),
        row_hits=pick("row_hits", 0, 1, 2, 3),
        port_hold=pick("port_hold", HOLD_ROW, HOLD_COLUMN),
    )
    latency = draw(latencies(tiers))
    latency[:, [RD, WR], PRE] = np.maximum(latency[:, [RD, WR], PRE], fixed.get("least column to PRE", 0))
    match pick("sharing", "shared ports", "bus", "port per bank"):
        case "bus":
            params = params._replace(port_banks=params.banks)
        case "shared ports":
            m = pick("port_banks", *range(min(2, params.banks), params.banks + 1))
            params = params._replace(port_banks=m, ports=pick("ports", *range(1, m + 1)))
    shortest = min(max(1, int(tier[kind, kind])) for tier in latency for kind in (RD, WR))
    params = params._replace(nBL=draw(st.integers(1, shortest)))
    match pick("budget", "none", "channel", "die", "both"):
        case "channel":
            params = params._replace(nRRD=pick("nRRD", 2, 0, 1, 5), nFAW=pick("nFAW", 15, 0, 40))
        case "die":
            params = params._replace(die_nRRD=pick("die_nRRD", 2, 0, 1), die_nFAW=pick("die_nFAW", 20, 0), die_acts=3)
        case "both":
            params = params._replace(nRRD=1, nFAW=12, die_nRRD=pick("die_nRRD", 0, 1), die_nFAW=20, die_acts=4)
    period, world_period = pick("clocks", (1, 1), (1, 1), (1, 1), (2, 3))
    return Traffic(params, latency, period, world_period, channels=pick("channels", 1, 2, 3), end=0)


row_runs = st.fixed_dictionaries(
    {
        "first_row": st.integers(5, 10),
        "rows": st.sampled_from((1, 2, 5)),
        "row_stride": st.sampled_from((0, 1, -1)),
        "columns": st.sampled_from((4, 2, 1, 3)),
        "first_column": st.integers(0, 3),
        "is_write": st.sampled_from((0, 1, 0)),
        "target": st.sampled_from((0, 640)),
        "target_stride": st.sampled_from((32, 0)),
    }
)


HITS = {
    "first_row": 3,
    "row_stride": 0,
    "columns": 2,
    "first_column": 0,
    "is_write": 0,
    "target": 0,
    "target_stride": 0,
}
