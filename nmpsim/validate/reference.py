"""The reference: what the cycle mode took for every operator of a suite, run anew or read from the committed table.

The table of the standard suite ships with the package, so that a model is judged in seconds.  It carries a hash of all
sources and inputs that its cycles hang on; if that is not the hash of the package, the table is stale and says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from nmpsim.errors import Fault, NmpsimError
from nmpsim.spec import load_chip
from nmpsim.study import Outcome, run_study
from nmpsim.study.fingerprint import ROOT, matters, versions
from nmpsim.study.runner import Progress
from nmpsim.study.table import replace_file
from nmpsim.study.tasks import chip_of
from nmpsim.validate.operator import Chip, Operator
from nmpsim.validate.suite import SUITES, Suite, label
from nmpsim.workload import load_model

FORMAT = "nmpsim-reference-1"
META = b"nmpsim"

NO_TIMING = (
    "analytic/model", "calibration", "conformance", "cost", "explore", "functional",
    "measure/estimate.py", "prediction.py", "report", "study", "sweep", "trace", "validate",
)  # fmt: skip
"""Folders and files of the package that change no cycle of a run, beside `nmpsim.study.fingerprint.OUTSIDE`."""

_OPERATOR = tuple(field.name for field in fields(Operator))
_BOUND, _ARRAY = "bound_", "array_"


@dataclass(frozen=True)
class Case:
    """One step of a suite.

    Parameters
    ----------
    name : str
        See `nmpsim.validate.suite.label`.
    settings : dict
        Of its point.
    cycles : int
        Of the step; 0 if it was refused.
    stacks : int
    refused : str
        Why the package refused it; empty if it did not.
    """

    name: str
    settings: dict[str, Any]
    cycles: int
    stacks: int
    refused: str


@dataclass(frozen=True)
class Row:
    """An operator of a step, and what the cycle mode found.

    Parameters
    ----------
    case : Case
    operator : Operator
    repeat : float
        Operators of the whole model that it stands for.
    cycles : int
        Core cycles by which it moved the end of the step forward: those of all operators add up to the step.
    start, end : int
        Core cycles of its first issue and its last completion.
    bounds : dict of str to float
        Core cycles that no machine of these peaks can beat, by resource.
    array_cycles : dict of str to int
        Core cycles of the compute units on it or waiting for it, by reason.
    """

    case: Case
    operator: Operator
    repeat: float
    cycles: int
    start: int
    end: int
    bounds: dict[str, float]
    array_cycles: dict[str, int]


@dataclass(frozen=True)
class Reference:
    """Cycle runs of a suite.

    Parameters
    ----------
    suite : str
    title : str
    cases : tuple of Case
    rows : tuple of Row
        Of the steps that ran, in their order.
    origin : dict
        Hashes and versions.
    """

    suite: str
    title: str
    cases: tuple[Case, ...]
    rows: tuple[Row, ...]
    origin: dict[str, Any]

    @property
    def chips(self) -> dict[str, Chip]:
        """Chip of every case, by its name; equal chips are one object."""
        made: dict[str, Chip] = {}
        found = {}
        for case in self.cases:
            key = json.dumps([case.settings["chip"], case.settings.get("overrides"), case.stacks], sort_keys=True)
            if key not in made:
                made[key] = Chip.of(chip_of(case.settings), max(1, case.stacks))
            found[case.name] = made[key]
        return found


@cache
def timing_hash() -> str:
    """Return the hash of all sources of the package that the cycles of a run hang on; without chips."""
    digest = hashlib.sha256()
    for path in sorted(path for path in ROOT.rglob("*") if path.is_file() and matters(path)):
        name = path.relative_to(ROOT).as_posix()
        if not any(name == part or name.startswith(part + "/") for part in NO_TIMING):
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def origin_of(suite: Suite) -> dict[str, Any]:
    """Return what the cycles of a suite hang on: hashes of suite, sources, models, chips; versions.

    Parameters
    ----------
    suite : Suite
    """
    models = sorted({str(point.settings["model"]) for point in suite.points})
    chips = sorted({str(point.settings["chip"]) for point in suite.points})
    return {
        "suite_sha256": suite.sha256,
        "timing_sha256": timing_hash(),
        "models_sha256": {name: load_model(name).sha256 for name in models},
        "chips_sha256": {name: load_chip(name).sha256 for name in chips},
        "versions": versions(),
    }


def run_suite(
    suite: Suite, folder: Path, *, workers: int | None = None, progress: Progress | None = None
) -> tuple[Reference, float]:
    """Run a suite, and return the reference and the CPU seconds that its runs took, whenever that was.

    Parameters
    ----------
    suite : Suite
    folder : Path
        Of finished points.
    workers : int, optional
    progress : callable, optional
        As for `nmpsim.study.run_study`.

    Raises
    ------
    NmpsimError
        If a run failed: a score of what is left could be wrong; or no step could be run.
    """
    outcomes = run_study(suite.points, folder, workers=workers, progress=progress)
    failed = [one for one in outcomes if one.error]
    if failed:
        faults = [
            Fault(label(one.point.settings), one.error.splitlines()[0], "a run or a refusal", "run again")
            for one in failed[:5]
        ]
        raise NmpsimError(f"{len(failed)} runs of suite {suite.name} failed", faults)
    if all(one.figures is None for one in outcomes):
        faults = [
            Fault(label(one.point.settings), " ".join(one.why.split()), "a step that the chip can run", "change it")
            for one in outcomes[:5]
        ]
        raise NmpsimError(f"no step of suite {suite.name} can be run", faults)
    seconds = sum(one.record.cpu_seconds for one in outcomes if one.record is not None)
    return _reference(suite, outcomes), seconds


def _reference(suite: Suite, outcomes: Sequence[Outcome]) -> Reference:
    cases, rows = [], []
    for one in outcomes:
        settings, found = one.point.settings, one.figures or {"cycles": 0, "stacks": 1, "operators": []}
        case = Case(label(settings), settings, found["cycles"], found["stacks"], " ".join(one.why.split()))
        cases.append(case)
        rows += [_row(case, told, told["bounds"], told["array_cycles"]) for told in found["operators"]]
    return Reference(suite.name, suite.title, tuple(cases), tuple(rows), origin_of(suite))


def _row(case: Case, told: Mapping[str, Any], bounds: dict[str, float], array: dict[str, int]) -> Row:
    operator = Operator(**{name: told[name] for name in _OPERATOR})
    return Row(case, operator, told["repeat"], told["cycles"], told["start"], told["end"], bounds, array)


def table_file(suite: str) -> Path:
    """Return where the table of a shipped suite stands.

    Parameters
    ----------
    suite : str
    """
    return SUITES / f"{suite}.parquet"


def write_reference(reference: Reference, path: Path, cpu_seconds: float) -> None:
    """Write a reference as one Parquet file, as a whole or not at all.

    Parameters
    ----------
    reference : Reference
    path : Path
    cpu_seconds : float
        What the runs took.

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    index = {case.name: number for number, case in enumerate(reference.cases)}
    bounds = sorted({name for row in reference.rows for name in row.bounds})
    states = sorted({name for row in reference.rows for name in row.array_cycles})
    rows = reference.rows
    columns: dict[str, list[Any]] = {"case": [index[row.case.name] for row in rows]}
    columns |= {name: [getattr(row.operator, name) for row in rows] for name in _OPERATOR}
    columns |= {name: [getattr(row, name) for row in rows] for name in ("repeat", "cycles", "start", "end")}
    columns |= {_BOUND + name: [row.bounds.get(name) for row in rows] for name in bounds}
    columns |= {_ARRAY + name: [row.array_cycles.get(name) for row in rows] for name in states}
    meta = {
        "format": FORMAT,
        "suite": reference.suite,
        "title": reference.title,
        "origin": reference.origin,
        "cpu_seconds": round(cpu_seconds, 1),
        "cases": [
            {"settings": case.settings, "cycles": case.cycles, "stacks": case.stacks, "refused": case.refused}
            for case in reference.cases
        ],
    }
    table = pa.table(columns).replace_schema_metadata({META: json.dumps(meta).encode()})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd", compression_level=19)
    try:
        replace_file(path, sink.getvalue().to_pybytes())
    except OSError as error:
        todo = "choose another file for --table"
        fault = Fault(f"--table {path}", str(error), "a file in a folder that can be written", todo)
        raise NmpsimError("cannot write the table", [fault]) from error


def read_reference(path: Path) -> tuple[Reference, float]:
    """Return the reference of a table, and the CPU seconds that its runs took.

    Parameters
    ----------
    path : Path

    Raises
    ------
    NmpsimError
        If it is no such table.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        meta = json.loads((table.schema.metadata or {})[META])
        assert meta["format"] == FORMAT
        cases = [
            Case(label(one["settings"]), one["settings"], one["cycles"], one["stacks"], one["refused"])
            for one in meta["cases"]
        ]
        names = table.column_names
        bounds = [name for name in names if name.startswith(_BOUND)]
        states = [name for name in names if name.startswith(_ARRAY)]
        rows = []
        for told in table.to_pylist():
            limits = {name.removeprefix(_BOUND): told[name] for name in bounds if told[name] is not None}
            array = {name.removeprefix(_ARRAY): told[name] for name in states if told[name] is not None}
            rows.append(_row(cases[told["case"]], told, limits, array))
    except (OSError, pa.ArrowException, KeyError, IndexError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        fault = Fault(
            str(path), got, f"a table of format {FORMAT}", "make it anew: nmpsim validate --rerun --table FILE"
        )
        raise NmpsimError("cannot read the table of a suite", [fault]) from error
    return Reference(meta["suite"], meta["title"], tuple(cases), tuple(rows), meta["origin"]), meta["cpu_seconds"]


def stale(reference: Reference, suite: Suite) -> str:
    """Return what changed since a reference was made; empty if nothing.

    Parameters
    ----------
    reference : Reference
    suite : Suite
        The suite as it is now.
    """
    now = origin_of(suite)
    words = {
        "suite_sha256": "the suite", "timing_sha256": "the sources of the cycle mode", "models_sha256": "a model",
        "chips_sha256": "a chip", "versions": "a version of Python or of a package",
    }  # fmt: skip
    return ", ".join(word for key, word in words.items() if reference.origin.get(key) != now[key])
