"""From a study file to a `Study`, every fault at once."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nmpsim.ablation.study import DESIGNS, LADDER, SINGLE, STUDIES, Factor, Level, Study, Work, study_names
from nmpsim.errors import Fault, NmpsimError, SpecError
from nmpsim.spec.faults import nearest
from nmpsim.study.tasks import STEP_SETTINGS
from nmpsim.workload import load_model, step_faults

OF_WORK = ("model", "batch", "context", "layers", "first_layer")
MADE = ("modes", "attention_modes")
"""Settings of a point that ``dataflows`` and ``attention_dataflows`` become."""

Test = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _list_of(test: Test) -> Test:
    return lambda value: isinstance(value, list) and bool(value) and all(test(one) for one in value)


TEXT: tuple[Test, str] = (_text, "a text that is not empty")
WHOLE: tuple[Test, str] = (lambda value: _whole(value) and value >= 0, "an integer of at least 0")
COUNTS: tuple[Test, str] = (_list_of(lambda one: _whole(one) and one >= 1), "a list of integers of at least 1")
TEXTS: tuple[Test, str] = (_list_of(_text), "a list of texts")
TABLES: tuple[Test, str] = (_list_of(lambda one: isinstance(one, dict)), "tables, at least one")
TABLE: tuple[Test, str] = (lambda value: isinstance(value, dict), "a table")

CHANGES: Mapping[str, tuple[Test, str]] = {
    **{name: TEXT for name in STEP_SETTINGS if name not in (*OF_WORK, *MADE)},
    "overrides": (lambda value: isinstance(value, dict) and bool(value), "a table of values by dotted path"),
    "dataflows": TEXTS,
    "attention_dataflows": TEXTS,
    "seed": WHOLE,
    "first_tier": WHOLE,
    "stacks": (lambda value: _whole(value) and value >= 1, "an integer of at least 1"),
}
"""What base and levels may set, and how."""

HEAD = {
    "title": TEXT, "question": TEXT, "notes": TEXTS, "designs": TEXTS, "base": TABLE, "workload": TABLES,
    "factor": TABLES,
}  # fmt: skip
WORK = {"models": TEXTS, "batches": COUNTS, "contexts": COUNTS, "layers": WHOLE}
FACTOR = {"name": TEXT, "base": TEXT, "rung": TEXT, "level": TABLES}


class _Reader:
    """Reads tables and collects what is wrong with them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []

    def fault(self, where: str, got: str, allowed: str, todo: str) -> None:
        """Note a fault."""
        self.faults.append(Fault(f"{self.file}: {where}", got, allowed, todo))

    def table(
        self,
        where: str,
        table: Mapping[str, Any],
        known: Mapping[str, tuple[Test, str]],
        needed: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return the sound entries of a table; unknown, missing and wrong ones are noted."""
        found: dict[str, Any] = {}
        for name, value in table.items():
            if name not in known:
                close = nearest(name, known)
                todo = f"did you mean {close}?" if close else "remove it"
                self.fault(f"{where}{name}", "an unknown key", ", ".join(known), todo)
            elif not known[name][0](value):
                shown = repr(value)
                got = shown if len(shown) <= 60 else shown[:57] + "..."
                self.fault(f"{where}{name}", got, known[name][1], "correct it")
            else:
                found[name] = value
        for name in needed:
            if name not in table:
                self.fault(f"{where}{name}", "nothing", known[name][1], "add it")
        return found

    def unlike(self, where: str, names: Sequence[str], what: str) -> None:
        """Note names that stand there twice."""
        for name in dict.fromkeys(name for name in names if names.count(name) > 1):
            self.fault(where, f"two {what} of the name {name!r}", "different names", "rename one")


def flat(overrides: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return overrides by dotted path, however they are nested; a table with ``value`` is a number with its origin.

    Parameters
    ----------
    overrides : mapping
    prefix : str
        Of every path.
    """
    found: dict[str, Any] = {}
    for name, value in overrides.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and "value" not in value:
            found |= flat(value, f"{path}.")
        else:
            found[path] = value
    return found


def _change(reader: _Reader, where: str, table: Mapping[str, Any], needed: Sequence[str] = ()) -> dict[str, Any]:
    found = reader.table(where, table, CHANGES, needed)
    if "overrides" in found:
        found["overrides"] = flat(found["overrides"])
    return found


def _factor(reader: _Reader, number: int, table: Mapping[str, Any], designs: Sequence[str]) -> Factor | None:
    name = table.get("name")
    where = f"factor {name if _text(name) else number}: "
    found = reader.table(where, table, FACTOR, ("name", "base", "level"))
    levels = []
    for place, entry in enumerate(found.get("level", ()), 1):
        own = entry.get("name")
        at = f"{where}level {own if _text(own) else place}: "
        if not _text(own):
            reader.fault(f"{at}name", repr(own), TEXT[1], "add a name")
        change = _change(reader, at, {key: value for key, value in entry.items() if key != "name"})
        levels.append(Level(own if _text(own) else str(place), change))
    reader.unlike(where.rstrip(": "), [level.name for level in levels], "levels")
    rung = found.get("rung", levels[-1].name if levels else "")
    names = [level.name for level in levels]
    if levels and rung not in names:
        reader.fault(f"{where}rung", repr(rung), ", ".join(names), "name one of its levels")
    if LADDER in designs and len(levels) > 1 and "rung" not in table:
        reader.fault(f"{where}rung", "nothing", ", ".join(names), "say which level the ladder takes")
    if "name" not in found or not levels:
        return None
    return Factor(found["name"], found.get("base", ""), tuple(levels), rung)


def _work(reader: _Reader, number: int, table: Mapping[str, Any]) -> Work | None:
    where = f"workload {number}: "
    found = reader.table(where, table, WORK, ("models", "batches", "contexts"))
    if not {"models", "batches", "contexts"} <= found.keys():
        return None
    work = Work(tuple(found["models"]), tuple(found["batches"]), tuple(found["contexts"]), found.get("layers", 0))
    for name in work.models:
        try:
            model = load_model(name)
        except NmpsimError as error:
            reader.faults += [
                Fault(f"{reader.file}: {where}{one.where}", one.got, one.allowed, one.todo) for one in error.faults
            ]
            continue
        for batch in work.batches:
            for context in work.contexts:
                for one in step_faults(model, batch, context, work.layers or 1, 0):
                    reader.fault(f"{where}{name}: {one.where}", one.got, one.allowed, one.todo)
    return work


def parse_study(text: str, file: str, name: str) -> Study:
    """Return the study that a TOML text describes.

    Parameters
    ----------
    text : str
    file : str
        Its name, for messages.
    name : str
        Of the study.

    Raises
    ------
    SpecError
        With every fault.
    """
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        todo = "correct the syntax at that place"
        raise SpecError(f"cannot read study {file}", [Fault(file, str(error), "TOML 1.0", todo)]) from None
    reader = _Reader(file)
    head = reader.table("", tree, HEAD, ("title", "question", "base", "workload", "factor"))
    designs = tuple(head.get("designs", (SINGLE,)))
    for one in designs:
        if one not in DESIGNS:
            close = nearest(one, DESIGNS)
            reader.fault(
                "designs", repr(one), ", ".join(DESIGNS), f"did you mean {close}?" if close else "use one of these"
            )
    base = _change(reader, "base: ", head.get("base", {}), ("chip",) if "base" in head else ())
    factors = [_factor(reader, number, one, designs) for number, one in enumerate(head.get("factor", ()), 1)]
    works = [_work(reader, number, one) for number, one in enumerate(head.get("workload", ()), 1)]
    sound = tuple(factor for factor in factors if factor is not None)
    reader.unlike("factor", [factor.name for factor in sound], "factors")
    study = Study(
        name,
        head.get("title", ""),
        head.get("question", ""),
        file,
        hashlib.sha256(text.encode()).hexdigest(),
        tuple(dict.fromkeys(designs)),
        base,
        sound,
        tuple(work for work in works if work is not None),
        tuple(head.get("notes", ())),
    )
    refuse(study, reader.faults)
    return study


def refuse(study: Study, faults: Sequence[Fault]) -> None:
    """Raise faults of a study, each once.

    Parameters
    ----------
    study : Study
    faults : sequence of Fault

    Raises
    ------
    SpecError
        If there are any.
    """
    different = list(dict.fromkeys(faults))
    if different:
        plural = "fault" if len(different) == 1 else "faults"
        raise SpecError(f"study {study.file} has {len(different)} {plural}", different)


def load_study(name_or_path: str) -> Study:
    """Return a shipped study by its name, or one from a file.

    Parameters
    ----------
    name_or_path : str
        A name of `study_names`, or a path that ends in ``.toml``.

    Raises
    ------
    SpecError
        If there is none, or with every fault of the file.
    """
    if name_or_path in study_names():
        path, shown = STUDIES / f"{name_or_path}.toml", f"studies/{name_or_path}.toml"
    elif name_or_path.endswith(".toml"):
        path, shown = Path(name_or_path), name_or_path
    else:
        close = nearest(name_or_path, study_names())
        allowed = f"{', '.join(study_names())}, or a path that ends in .toml"
        todo = f"did you mean {close}?" if close else "use one of these, or give the path of a study file"
        raise SpecError("no such study", [Fault("study", repr(name_or_path), allowed, todo)])
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or str(error)
        fault = Fault(shown, got, "a study file, UTF-8", f"check the path, or use {', '.join(study_names())}")
        raise SpecError(f"cannot read study {shown}", [fault]) from None
    return parse_study(text, shown, path.stem)
