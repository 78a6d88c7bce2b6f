"""Turn what the schema refuses into faults a user can act on: where, got, allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import ValidationError

from nmpsim.errors import Fault
from nmpsim.spec.fields import Section, Sourced
from nmpsim.spec.schema import ChipSpec

ORIGIN_FORMS = '{ value = ..., source = "..." } or { value = ..., assumed = true, why = "..." }'

_TYPES = {
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "string_too_short": "a text that is not empty",
    "too_short": "a list that is not empty",
}

_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the name most like `name`, whatever the case; empty if none is like it."""
    spelling = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), spelling, n=1, cutoff=0.6)
    return spelling[close[0]] if close else ""


def section_class(annotation: Any) -> type[Section] | None:
    """Return the section that a field holds, looking through ``X | None``; None for a plain value."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def section_at(path: Iterable[str | int]) -> type[Section] | None:
    """Return the class of the section at a path of keys; None where there is none."""
    section: type[Section] | None = ChipSpec
    for key in path:
        if section is None or key not in section.model_fields:
            return None
        section = section_class(section.model_fields[str(key)].annotation)
    return section


def all_paths(section: type[Section] = ChipSpec, prefix: str = "") -> list[str]:
    """Return the dotted paths of every key of the schema, numbers and words, in its order."""
    found = []
    for name, field in section.model_fields.items():
        inner = section_class(field.annotation)
        if inner is None or issubclass(inner, Sourced):
            found.append(prefix + name)
        else:
            found += all_paths(inner, f"{prefix}{name}.")
    return found


def unknown_key_advice(path: str) -> str:
    """Return what to do about a dotted path that the schema does not have."""
    *parents, key = path.split(".")
    section = section_at(parents)
    close = nearest(key, section.model_fields) if section else ""
    if close:
        return f"did you mean {'.'.join([*parents, close])}?"
    elsewhere = [p for p in all_paths() if p.split(".")[-1] == key]
    if elsewhere:
        return f"the key of that name is {' or '.join(elsewhere)}"
    close = nearest(path, all_paths())
    return f"did you mean {close}?" if close else "remove it"


def schema_faults(error: ValidationError, file: str) -> tuple[list[Fault], set[str]]:
    """Return the faults of a refused chip tree, and the dotted paths that are not sound."""
    faults, broken = [], set()
    for item in error.errors(include_url=False):
        path = _path(item["loc"])
        broken.add(path)
        if item["loc"][-1] == "value":
            path += ".value"
        got, allowed, todo = _explain(path, item)
        shown = path.removesuffix(".value") + "".join(f"[{k}]" for k in item["loc"] if isinstance(k, int))
        faults.append(Fault(f"{file}: {shown}", got, allowed, todo))
    return faults, broken


def _path(keys: tuple[str | int, ...]) -> str:
    """Return the dotted path of a location, up to the number itself if it lies in one."""
    names = [key for key in keys if isinstance(key, str)]
    for depth in range(len(names)):
        section = section_at(names[:depth])
        if section and issubclass(section, Sourced) and names[depth] in ("value", "source"):
            return ".".join(names[:depth])
    return ".".join(names)


def _shown(value: object) -> str:
    """Return a value as it would stand in the file, shortened."""
    if isinstance(value, dict):
        return "a table with " + ", ".join(map(str, value)) if value else "an empty table"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _explain(path: str, item: Any) -> tuple[str, str, str]:
    """Return got, allowed and what to do for one refusal of the schema."""
    kind, given = item["type"], item["input"]
    keys = path.removesuffix(".value").split(".")
    parent = section_at(keys[:-1])
    field = parent.model_fields.get(keys[-1]) if parent else None
    here = section_at(keys)
    meaning = f" ({field.description})" if field and field.description else ""
    is_number = here is not None and issubclass(here, Sourced)
    if kind == "extra_forbidden":
        names = ", ".join(parent.model_fields) if parent else "none here"
        return f"unknown key with {_shown(given)}", names, unknown_key_advice(path)
    if kind == "missing":
        if is_number and path.endswith(".value"):
            return f"{_shown(given)}, no value", ORIGIN_FORMS, f"add the value{meaning}"
        if is_number:
            return "nothing", ORIGIN_FORMS + meaning, f"add {keys[-1]} to [{'.'.join(keys[:-1])}]"
        if here is not None:
            return "nothing", f"a section with {', '.join(here.model_fields)}", f"add the section [{path}]"
        return "nothing", field.description or "" if field else "", f"add {keys[-1]} to [{'.'.join(keys[:-1])}]"
    if kind == "origin":
        return item["ctx"]["got"], ORIGIN_FORMS, "name the source of the figure, or say that it is assumed and why"
    if is_number and kind in ("model_type", "model_attributes_type"):
        return f"{_shown(given)} without origin", ORIGIN_FORMS + meaning, "write it as a table with its origin"
    if kind == "literal_error":
        allowed = item["ctx"]["expected"]
        close = nearest(str(given), [word.strip("'") for word in allowed.replace(" or ", ", ").split(", ")])
        return _shown(given), allowed, f"did you mean {close!r}?" if close else "use one of these"
    if kind in _BOUNDS:
        key, word = _BOUNDS[kind]
        return _shown(given), f"{word} {item['ctx'][key]:g}{meaning}", "change the value"
    allowed = _TYPES.get(kind, item["msg"])
    return _shown(given), allowed + meaning, "correct it"
