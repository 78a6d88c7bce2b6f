"""Predictions: by a function of anybody, by a shipped model, or read from a CSV file; every fault at once."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import inspect
import io
import math
import numbers
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from nmpsim.errors import Fault, NmpsimError
from nmpsim.spec.faults import nearest
from nmpsim.validate.operator import Chip, Operator
from nmpsim.validate.reference import Reference, Row

Predict = Callable[[Operator, Chip], float]
"""A model under test: core cycles by which an operator moves the end of its step forward."""

PredictStep = Callable[[dict[str, Any]], Mapping[str, float]]
"""A model of whole steps: settings of a step (model, chip, batch, ...) to core cycles by name of operator."""

MODELS = Path(__file__).parent / "models"
COLUMNS = ("case", "operator", "cycles")
"""Columns that a file of predictions must have."""

MOST_FAULTS = 20


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for a suite.

    Parameters
    ----------
    name : str
        Of the model: as it was given.
    cycles : tuple of float
        One per row of the reference.
    sha256 : str
        Of its file; empty if it has none.
    """

    name: str
    cycles: tuple[float, ...]
    sha256: str


def shipped_models() -> tuple[str, ...]:
    """Return the names of the models that ship with the package, sorted."""
    return tuple(sorted(path.stem for path in MODELS.glob("*.py") if path.stem != "__init__"))


def predictions(name: str, reference: Reference) -> Prediction:
    """Return what a model predicts for every row of a reference.

    Parameters
    ----------
    name : str
        A name of `shipped_models`, ``file.py:function``, ``module:function``, or a path that ends in ``.csv``.
    reference : Reference

    Raises
    ------
    NmpsimError
        With every fault of the model or of its predictions.
    """
    if name.endswith(".csv"):
        return _from_csv(Path(name), reference)
    function, file = load_function(name)
    cycles = call_steps(name, function, reference) if takes_steps(function) else call(name, function, reference)
    return Prediction(name, tuple(cycles), hashlib.sha256(file.read_bytes()).hexdigest() if file else "")


def takes_steps(function: Callable[..., Any]) -> bool:
    """Whether a function is a model of steps: it takes one argument, not two.

    Parameters
    ----------
    function : callable
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [one for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    return len(needed) == 1 and needed[0].kind in {needed[0].POSITIONAL_ONLY, needed[0].POSITIONAL_OR_KEYWORD}


def load_function(name: str) -> tuple[Callable[..., Any], Path | None]:
    """Return the function of a model, `Predict` or `PredictStep`, and its file.

    Parameters
    ----------
    name : str
        As for `predictions`, but for a CSV file.

    Raises
    ------
    NmpsimError
        If there is none, or its file cannot be loaded.
    """
    if name in shipped_models():
        name = f"nmpsim.validate.models.{name}:predict"
    place, colon, attribute = name.rpartition(":")
    allowed = f"file.py:function, module:function, predictions.csv, or one of {', '.join(shipped_models())}"
    if not colon or not place or not attribute.isidentifier():
        close = nearest(name, shipped_models())
        todo = f"did you mean {close}?" if close else "name a function as in my_model.py:predict"
        raise _refused(repr(name), "a model", allowed, todo)
    module = _load(place)
    function = getattr(module, attribute, None)
    if not callable(function):
        public = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        got = "no such function" if function is None else f"a {type(function).__name__}"
        functions = ", ".join(public) or "a function; this file has none"
        raise _refused(name, got, functions, "define it: def predict(operator, chip): ...")
    file = getattr(module, "__file__", None)
    return function, Path(file) if file else None


def _load(place: str) -> ModuleType:
    """Return the module of a name, or of a file; anything that goes wrong in it is the user's to see."""
    path = Path(place)
    if place.endswith(".py") and not path.is_file():
        raise _refused(place, "no such file", "a Python file", "check the path")
    try:
        if not place.endswith(".py"):
            return import_module(place)
        spec = importlib.util.spec_from_file_location(f"_model_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _refused(place, _raised(error, place), "a file that can be imported", "correct it") from error
    return module


def _raised(error: BaseException, place: str) -> str:
    """Return an exception with the last line of the user's file that it passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(Path(place).name)]
    line = f" (line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{line}"


def _refused(where: str, got: str, allowed: str, todo: str) -> NmpsimError:
    return NmpsimError("cannot use the model", [Fault(where, got, allowed, todo)])


def call(name: str, function: Predict, reference: Reference) -> list[float]:
    """Return what a function predicts for every row, each different question asked once.

    Parameters
    ----------
    name : str
        For messages.
    function : callable
    reference : Reference

    Raises
    ------
    NmpsimError
        If it raises, or returns what is no number of cycles; every kind of fault once, with how often.
    """
    chips = reference.chips
    place = name.rpartition(":")[0]
    wrong: dict[str, list[str]] = defaultdict(list)
    answers: dict[tuple[Operator, int], float] = {}
    found = []
    for row in reference.rows:
        chip = chips[row.case.name]
        key = (row.operator, id(chip))
        if key not in answers:
            try:
                answer = function(row.operator, chip)
                fault = unfit(answer)
            except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a user's model does is told)
                answer, fault = math.nan, f"raised {_raised(error, place)}"
            if fault:
                wrong[fault].append(_where(row))
                answer = math.nan
            answers[key] = float(answer)
        found.append(answers[key])
    _refuse(name, wrong, len(answers))
    return found


def call_steps(name: str, function: PredictStep, reference: Reference) -> list[float]:
    """Return what a model of steps predicts for every row.

    Parameters
    ----------
    name : str
        For messages.
    function : callable
    reference : Reference

    Raises
    ------
    NmpsimError
        As for `call`, and if it leaves an operator out.
    """
    place = name.rpartition(":")[0]
    wrong: dict[str, list[str]] = defaultdict(list)
    answers: dict[str, Mapping[str, float]] = {}
    for case in reference.cases:
        if case.refused:
            continue
        told: object = None
        try:
            told = function(dict(case.settings))
            fault = "" if isinstance(told, Mapping) else f"returned a {type(told).__name__}, no table of operators"
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a user's model does is told)
            fault = f"raised {_raised(error, place)}"
        if fault:
            wrong[fault].append(case.name)
        else:
            assert isinstance(told, Mapping)
            answers[case.name] = told
    found = []
    for row in reference.rows:
        cycles: object = math.nan
        if row.case.name in answers:
            table = answers[row.case.name]
            cycles = table.get(row.operator.name, math.nan)
            fault = unfit(cycles) if row.operator.name in table else "leaves the operator out"
            if fault:
                wrong[fault].append(_where(row))
        found.append(cycles)
    _refuse(name, wrong, len(reference.rows))
    return [float(cycles) for cycles in found]  # type: ignore[arg-type]


def _refuse(name: str, wrong: Mapping[str, Sequence[str]], questions: int) -> None:
    """Raise what is wrong with the answers of a model, every kind once, with how often.

    Raises
    ------
    NmpsimError
        If there is anything.
    """
    if not wrong:
        return
    faults = [
        Fault(
            f"{name} at {places[0]}" + (f" and {len(places) - 1:,} more" if len(places) > 1 else ""),
            fault,
            "a finite number of core cycles, at least 0",
            "correct the function",
        )
        for fault, places in sorted(wrong.items(), key=lambda item: -len(item[1]))[:MOST_FAULTS]
    ]
    raise NmpsimError(f"the model fails at {sum(map(len, wrong.values())):,} of {questions:,} questions", faults)


def _where(row: Row) -> str:
    return f"{row.operator.name} of {row.case.name}"


def unfit(answer: object) -> str:
    """Return what is wrong with the answer of a model; empty if it is a number of cycles.

    Parameters
    ----------
    answer : object
    """
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        shape = getattr(answer, "shape", None)
        return f"returned a {type(answer).__name__}" + (f" of shape {shape}" if shape is not None else "")
    value = float(answer)
    if math.isnan(value):
        return "returned NaN"
    if math.isinf(value):
        return "returned infinity"
    return "returned a negative number" if value < 0 else ""


def template(reference: Reference) -> bytes:
    """Return a CSV file of all rows with an empty column ``cycles``, to be filled in.

    Parameters
    ----------
    reference : Reference
    """
    shape = [field.name for field in fields(Operator) if field.name != "name"]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *shape])
    for row in reference.rows:
        writer.writerow([row.case.name, row.operator.name, "", *(getattr(row.operator, name) for name in shape)])
    return text.getvalue().encode()


def _from_csv(path: Path, reference: Reference) -> Prediction:
    """Return the predictions of a CSV file."""
    try:
        content = path.read_bytes()
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise _refused(str(path), str(error), "a CSV file in UTF-8", "see docs/validate.md") from error
    head = [name.strip() for name in lines[0]] if lines else []
    if missing := [name for name in COLUMNS if head.count(name) != 1]:
        got = ", ".join(head)[:120] or "an empty file"
        todo = f"name {', '.join(missing)} once each in the first line; nmpsim validate --template FILE writes one"
        raise _refused(f"{path}:1", got, f"columns {', '.join(COLUMNS)}; others are not read", todo)
    known = {(row.case.name, row.operator.name) for row in reference.rows}
    found, wrong = _filled(lines, [head.index(name) for name in COLUMNS], known)
    missed = [_where(row) for row in reference.rows if (row.case.name, row.operator.name) not in found]
    faults = _summed(path, wrong)
    if missed and not (wrong.keys() & {"a number", "columns"}):
        todo = "nmpsim validate --template FILE writes a file with every line"
        faults.append(Fault(str(path), f"no line for {_some(missed)}", f"{len(known):,} lines, one each", todo))
    if faults:
        raise NmpsimError("the file of predictions is wrong", faults)
    cycles = tuple(found[row.case.name, row.operator.name] for row in reference.rows)
    return Prediction(str(path), cycles, hashlib.sha256(content).hexdigest())


Wrong = dict[str, list[str]]
"""By what is wrong: the places."""


def _filled(
    lines: Sequence[Sequence[str]], places: Sequence[int], known: set[tuple[str, str]]
) -> tuple[dict[tuple[str, str], float], Wrong]:
    """Return the predictions of the lines of a file, and what is wrong with them."""
    wrong: Wrong = defaultdict(list)
    found: dict[tuple[str, str], float] = {}
    for number, line in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) <= max(places):
            wrong["columns"].append(f"line {number}")
            continue
        case, operator, text = (line[place].strip() for place in places)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if (case, operator) not in known:
            wrong["a known operator"].append(f"line {number} ({operator!r} of {case!r})")
        elif (case, operator) in found:
            wrong["one line per operator"].append(f"line {number}")
        elif not math.isfinite(value) or value < 0:
            wrong["a number"].append(f"line {number} ({text[:30]!r})")
        else:
            found[case, operator] = value
    return found, wrong


_CSV_WORDS = {
    "columns": ("too few columns", "as many as the first line"),
    "a known operator": ("no operator of this suite", "case and operator as in the template"),
    "one line per operator": ("an operator that had a line before", "one line per operator"),
    "a number": ("no number of cycles", "a finite number of core cycles, at least 0"),
}


def _summed(path: Path, wrong: Wrong) -> list[Fault]:
    return [
        Fault(f"{path}: {_some(places)}", _CSV_WORDS[kind][0], _CSV_WORDS[kind][1], "correct the file")
        for kind, places in wrong.items()
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
