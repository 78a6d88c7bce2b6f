"""Read chip files: by the name of a shipped chip or by path, all faults at once."""

from __future__ import annotations

import copy
import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nmpsim.errors import Fault, SpecError
from nmpsim.spec.faults import nearest, schema_faults, section_at, section_class, unknown_key_advice
from nmpsim.spec.fields import Section, Sourced
from nmpsim.spec.geometry import geometry_faults
from nmpsim.spec.schema import ChipSpec
from nmpsim.spec.standard.preset import merge_preset, with_preset_hash

CHIP_FOLDER = Path(__file__).parent / "chips"


def chip_names() -> tuple[str, ...]:
    """Return the names of the shipped chips, sorted."""
    return tuple(sorted(path.stem for path in CHIP_FOLDER.glob("*.toml")))


def load_chip(name_or_path: str | Path) -> ChipSpec:
    """Return a chip by the name of a shipped one, or from a file.

    Parameters
    ----------
    name_or_path : str or Path
        A name of `chip_names`, or a path that ends in ``.toml``.

    Raises
    ------
    SpecError
        If there is no such chip or file, or with every fault of the file.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, str) and name in chip_names():
        return _read(CHIP_FOLDER / f"{name}.toml", f"chips/{name}.toml")
    if name.endswith(".toml"):
        return _read(Path(name), name)
    names = ", ".join(chip_names())
    close = nearest(name, chip_names())
    advice = f"did you mean {close}?" if close else "use one of these, or give the path of a chip file"
    raise SpecError("no such chip", [Fault("chip", repr(name), f"{names}, or a path that ends in .toml", advice)])


def _read(path: Path, shown: str) -> ChipSpec:
    """Return the chip in a file; `shown` names the file in messages."""
    if path.is_dir():
        raise _unreadable(shown, "a directory", "a chip file", "give the path of a .toml file in it")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        near = nearest(path.name, _siblings(path))
        advice = f"did you mean {path.parent / near}?" if near else f"check the path, or use {', '.join(chip_names())}"
        raise _unreadable(shown, "no such file", "a chip file", advice) from None
    except (OSError, ValueError) as error:
        raise _unreadable(shown, str(error), "a file that can be read", "check its path and permissions") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"byte 0x{raw[error.start]:02x} at offset {error.start}"
        raise _unreadable(shown, got, "UTF-8 text", "save the file as UTF-8") from None
    return parse_chip(text, shown, hashlib.sha256(raw).hexdigest())


def _siblings(path: Path) -> list[str]:
    """Return the names of the chip files beside a path; none if the folder cannot be read."""
    try:
        return [p.name for p in path.parent.glob("*.toml")]
    except (OSError, ValueError):
        return []


def _unreadable(shown: str, got: str, allowed: str, todo: str) -> SpecError:
    return SpecError(f"cannot read chip file {shown}", [Fault(shown, got, allowed, todo)])


def parse_chip(text: str, file: str, sha256: str = "") -> ChipSpec:
    """Return the chip that a TOML text describes.

    Parameters
    ----------
    text : str
        The file's text.
    file : str
        Its name, for messages.
    sha256 : str
        Hash of the file; of the text in UTF-8 if not given.

    Raises
    ------
    SpecError
        With the place of a syntax error, or with every fault of the description.
    """
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        got = str(error) or type(error).__name__
        raise _unreadable(file, got, "TOML 1.0", "correct the syntax at that place") from None
    return _validated(tree, file, sha256 or hashlib.sha256(text.encode()).hexdigest(), {})


def _validated(tree: dict[str, Any], file: str, sha256: str, overrides: dict[str, Any]) -> ChipSpec:
    """Return the spec of a chip tree, or raise with all its faults."""
    sha256 = with_preset_hash(tree, sha256)
    tree, faults = merge_preset(tree, file)
    broken: set[str] = set()
    try:
        spec = ChipSpec.of(tree, file, sha256, overrides)
    except ValidationError as error:
        refused, broken = schema_faults(error, file)
        faults += refused
    faults += geometry_faults(tree, file, broken)
    if faults:
        plural = "fault" if len(faults) == 1 else "faults"
        raise SpecError(f"chip file {file} has {len(faults)} {plural}", faults)
    return spec


def with_overrides(spec: ChipSpec, overrides: Mapping[str, Any]) -> ChipSpec:
    """Return a copy of a chip with some settings changed, checked again as a whole.

    Parameters
    ----------
    spec : ChipSpec
        The chip to start from; not changed.
    overrides : mapping of str to value
        New value by dotted path (``"dram.timing.tRP_ns"``).  A plain number gets the origin "assumed: set by an
        override"; a table ``{"value": ..., "source": ...}`` or a whole section replaces what is there; None
        removes an optional section.

    Raises
    ------
    SpecError
        If a path does not exist or the changed chip has faults.
    """
    if not overrides:
        return spec
    tree = spec.tree
    faults = [fault for path, value in overrides.items() if (fault := _override(tree, path, value))]
    if faults:
        raise SpecError(f"cannot change chip {spec.chip.name}", faults)
    file = spec.file.removesuffix(" with overrides") + " with overrides"
    return _validated(tree, file, spec.file_sha256, {**spec.overrides, **overrides})


def _override(tree: dict[str, Any], path: str, value: Any) -> Fault | None:
    """Set one dotted path in a chip tree (changes `tree`); return a fault if there is no such path."""
    *parents, key = path.split(".")
    section = section_at(parents)
    node: Any = tree
    for parent in parents:
        node = node.get(parent) if isinstance(node, dict) else None
    if section and issubclass(section, Sourced):
        number = ".".join(parents)
        return Fault(f"override {path}", "a part of a number", number, f"set {number} itself, if need be to a table")
    if section is None or key not in section.model_fields:
        return Fault(f"override {path}", "a path that no chip has", "a dotted path of a key", unknown_key_advice(path))
    if not isinstance(node, dict):
        absent = ".".join(parents)
        return Fault(
            f"override {path}", f"no section {absent} in this chip", "a section that is there", f"add {absent}"
        )
    old = node.get(key)
    if value is None:
        node.pop(key, None)
    elif _is_number(section, key, old) and not isinstance(value, dict):
        node[key] = {"value": value, "assumed": True, "why": "set by an override"}
    else:
        node[key] = copy.deepcopy(value)
    return None


def _is_number(section: type[Section], key: str, old: Any) -> bool:
    """Return whether a key holds a number: it does, or it is not there and would."""
    held = section_class(section.model_fields[key].annotation)
    return (isinstance(old, dict) and "value" in old) or (
        old is None and held is not None and issubclass(held, Sourced)
    )
