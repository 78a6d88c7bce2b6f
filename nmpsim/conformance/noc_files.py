"""Recorded networks: CSV files and the configurations that belong to them.

==============  ================================================================================================
zero load       ``src,dst,...``: latency of each pair alone in the network; configuration ``<name>.cfg`` beside it
router delays   ``setting,overrides,packet_size,H1...``: by routers visited; ``zero_load/<topology>.cfg``
batch           ``...cycles_to_complete...``: end of a batch; ``configs/<topology>__<traffic>__<setting>__p<size>.cfg``
curve           ``curve,...,rate,mode,...``: random traffic; ``<name>.cfg`` in ``configs`` beside the folder or in it
seed spread     ``...quantity,rate,seeds,mean,stdev,rel_stdev``: what another seed changes
==============  ================================================================================================
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nmpsim.conformance.case import CaseError
from nmpsim.errors import Fault

ZERO_LOAD, DELAYS, BATCH, CURVE, SPREAD = "zero load", "router delays", "batch", "curve", "seed spread"
COLUMNS = {
    SPREAD: ("topology", "traffic", "setting", "packet_size", "quantity", "rate", "rel_stdev"),
    CURVE: ("topology", "traffic", "setting", "packet_size", "rate", "mode", "status", "plat_avg", "nlat_avg",
            "hops_avg", "acc_flits"),
    BATCH: ("topology", "traffic", "setting", "packet_size", "packets_per_node", "cycles_to_inject",
            "cycles_to_complete", "deterministic"),
    DELAYS: ("setting", "overrides", "packet_size", "H1"),
    ZERO_LOAD: ("src", "dst", "network_latency_zero_load"),
}  # fmt: skip
"""Columns that are read, by kind; a file is of the first kind whose columns it has."""


@dataclass(frozen=True)
class Recorded:
    """One file.

    Parameters
    ----------
    path : Path
    kind : str
        ZERO_LOAD, DELAYS, BATCH, CURVE or SPREAD.
    rows : tuple of dict of str to str
        By column; `line` is where it stands.
    """

    path: Path
    kind: str
    rows: tuple[dict[str, str], ...]

    def number(self, row: dict[str, str], column: str) -> float:
        """Return a number.

        Parameters
        ----------
        row : dict of str to str
        column : str

        Raises
        ------
        CaseError
            If there is none.
        """
        try:
            return float(row[column])
        except (ValueError, TypeError):
            where = f"{self.path}:{row['line']}: {column}"
            fault = Fault(where, repr(row[column]), "a number", "correct it")
            raise CaseError("a recorded value cannot be read", [fault]) from None


def find_files(paths: Sequence[Path]) -> list[Recorded]:
    """Return every recorded file among or below the given paths, sorted and once each.

    Parameters
    ----------
    paths : sequence of Path

    Raises
    ------
    CaseError
        With every path without one, and every named file that is none.
    """
    found: dict[Path, Recorded] = {}
    faults = []
    for path in paths:
        below = sorted(path.rglob("*.csv")) if path.is_dir() else []
        read = {file: read_file(file) for file in ([path] if path.is_file() else below)}
        kept = {file: recorded for file, recorded in read.items() if recorded is not None}
        if not kept:
            got = "no recorded network" if path.exists() else "no such file or folder"
            allowed = "a CSV file of a recorded network, or a folder with some at any depth"
            faults.append(Fault(str(path), got, allowed, "check the path"))
        found |= kept
    if faults:
        raise CaseError("recorded networks cannot be read", faults)
    return list(found.values())


def read_file(path: Path) -> Recorded | None:
    """Return what is recorded in a file, None if it is of no known kind.

    Parameters
    ----------
    path : Path

    Raises
    ------
    CaseError
        If it is no CSV file.
    """
    try:
        rows = list(csv.reader(path.read_text("utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        fault = Fault(str(path), str(error), "a CSV file", "write it anew")
        raise CaseError("a recorded network cannot be read", [fault]) from None
    header = rows[0] if rows else []
    kind = next((kind for kind, columns in COLUMNS.items() if set(columns) <= set(header)), None)
    if kind is None:
        return None
    for line, row in enumerate(rows, 1):
        if len(row) != len(header):
            fault = Fault(f"{path}:{line}", f"{len(row)} fields", f"{len(header)} fields", "write the line anew")
            raise CaseError("a recorded network cannot be read", [fault])
    named = tuple(dict(zip(header, row, strict=True)) | {"line": str(line)} for line, row in enumerate(rows[1:], 2))
    return Recorded(path, kind, named)


def config_path(recorded: Recorded, row: dict[str, str]) -> Path | None:
    """Return the configuration of a row, None if there is none.

    Parameters
    ----------
    recorded : Recorded
    row : dict of str to str
    """
    path = recorded.path
    if recorded.kind == BATCH:
        name = "{topology}__{traffic}__{setting}__p{packet_size}.cfg".format(**row)
        places = [path.parent / "configs" / name, path.parent / name, *_of_traffic(path.parent / "configs", row)]
    elif recorded.kind == DELAYS:
        name = path.stem.removeprefix("zero_load_router_delays_") + ".cfg"
        places = [path.parent / "zero_load" / name, path.parent / name, path.parent / "configs" / name]
    else:
        name = path.stem + ".cfg"
        places = [path.with_suffix(".cfg"), path.parent.parent / "configs" / name, path.parent / "configs" / name]
    return next((place for place in places if place.is_file()), None)


def _of_traffic(folder: Path, row: dict[str, str]) -> list[Path]:
    """Return the configurations of a batch that are named otherwise but say its traffic: ``gather0``, for one."""
    like = "{topology}__*__{setting}__p{packet_size}.cfg".format(**row)
    wanted = f"traffic = {row['traffic']};"
    return [path for path in sorted(folder.glob(like)) if wanted in path.read_text("utf-8").splitlines()]
