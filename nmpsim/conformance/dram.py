"""Runs recorded DRAM cases through the reference controller and compares every command and every completion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmpsim.conformance.case import FILES, Case, CaseError, load_case
from nmpsim.dram.reference import ReferenceRun, run_trace
from nmpsim.errors import Fault, NmpsimError, SimulationError, SpecError

SECOND_OPINION = "d3_"
"""Folders of this prefix are DRAMsim3's: a second opinion with known defects, not compared."""


@dataclass(frozen=True)
class Outcome:
    """How one case went.

    Parameters
    ----------
    name : str
    commands, completions : tuple of int
        Equal ones, and how many there should be.
    difference : str
        The first difference, or why the case could not be run; empty if all is equal.
    compared : bool
        False where the case could not, or should not, be run.
    """

    name: str
    commands: tuple[int, int] = (0, 0)
    completions: tuple[int, int] = (0, 0)
    difference: str = ""
    compared: bool = True

    @property
    def passed(self) -> bool:
        """Whether nothing differs; a second opinion always passes."""
        return not self.difference or (not self.compared and self.name.startswith(SECOND_OPINION))

    def line(self) -> str:
        """One line for a person."""
        if not self.compared:
            return f"{self.name}: not compared: {self.difference}"
        counts = "commands {}/{}, completions {}/{}".format(*self.commands, *self.completions)
        return f"{self.name}: {counts}{f'; first difference: {self.difference}' if self.difference else ''}"


def find_cases(paths: Sequence[Path]) -> list[Path]:
    """Return every case folder at or below the given folders, sorted and once each.

    Raises
    ------
    CaseError
        With every path without a case, and every folder with some files of a case only.
    """
    found: dict[Path, None] = {}
    faults = []
    for path in paths:
        folders = sorted({file.parent for file in path.rglob("*") if file.name in FILES}) if path.is_dir() else []
        if not folders:
            got = "no case" if path.is_dir() else "no such folder"
            faults.append(Fault(str(path), got, f"a folder with {', '.join(FILES)}, at any depth", "check the path"))
        for folder in folders:
            missing = [name for name in FILES if not (folder / name).is_file()]
            if missing:
                faults.append(Fault(str(folder), f"no {', '.join(missing)}", ", ".join(FILES), "complete the folder"))
            found[folder] = None
    if faults:
        raise CaseError("cases cannot be read", faults)
    return list(found)


def _first_difference(got: Iterable[tuple[Any, ...]], expected: Sequence[tuple[Any, ...]]) -> tuple[int, str]:
    """Return how many rows are equal, place by place, and the first that is not in words."""
    rows = list(got)
    equal = sum(a == b for a, b in zip(rows, expected, strict=False))
    for n in range(max(len(rows), len(expected))):
        a = rows[n] if n < len(rows) else None
        b = expected[n] if n < len(expected) else None
        if a != b:
            shown = [" ".join(map(str, row)) if row is not None else "nothing" for row in (a, b)]
            return equal, f"{n}: got {shown[0]}, expected {shown[1]}"
    return equal, ""


def issued_rows(run: ReferenceRun) -> list[tuple[Any, ...]]:
    """Return the commands of a run as rows of a recorded case."""
    return [
        (clock, run.names[command], *address, row, column, kind)
        for (clock, command, row, column, kind), address in zip(
            run.commands.tolist(), run.address.tolist(), strict=True
        )
    ]


def compare(case: Case, *, plain: bool = False) -> Outcome:
    """Run a case and compare.

    Parameters
    ----------
    case : Case
    plain : bool
        Visit every tick.
    """
    try:
        run = run_trace(
            case.protocol, case.settings, case.requests, plain=plain, max_inject=case.max_inject, drain=case.drain
        )
    except (SpecError, SimulationError) as error:
        return Outcome(case.name, difference=str(error), compared=False)
    commands, wrong_command = _first_difference(issued_rows(run), case.commands)
    ids = case.ids.tolist()
    completions, wrong_completion = _first_difference(
        zip(ids, run.accept.tolist(), run.done.tolist(), strict=True),
        list(zip(ids, case.accept.tolist(), case.done.tolist(), strict=True)),
    )
    difference = ""
    if wrong_command:
        difference = f"command {wrong_command}"
    elif wrong_completion:
        difference = f"completion {wrong_completion}"
    return Outcome(case.name, (commands, len(case.commands)), (completions, len(ids)), difference)


def run_folder(folder: Path, *, plain: bool = False) -> Outcome:
    """Load and compare the case in a folder.

    Parameters
    ----------
    folder : Path
    plain : bool
        Visit every tick.

    Raises
    ------
    CaseError
        If its files are wrong.
    """
    if folder.name.startswith(SECOND_OPINION):
        return Outcome(folder.name, difference="DRAMsim3, a second opinion", compared=False)
    try:
        case = load_case(folder)
    except SpecError as error:  # a sound case of something we do not have
        return Outcome(folder.name, difference=str(error), compared=False)
    return compare(case, plain=plain)


def run_folders(paths: Sequence[Path], *, plain: bool = False) -> Iterable[Outcome]:
    """Load and compare every case at or below the given folders, one after another.

    Parameters
    ----------
    paths : sequence of Path
    plain : bool
        Visit every tick.

    Raises
    ------
    CaseError
        With every fault of all folders, after the sound ones were compared.
    """
    faults: list[Fault] = []
    for folder in find_cases(paths):
        try:
            yield run_folder(folder, plain=plain)
        except NmpsimError as error:
            faults += error.faults or [Fault(str(folder), str(error), "a sound case", "correct it")]
    if faults:
        raise CaseError("cases cannot be read", faults)
