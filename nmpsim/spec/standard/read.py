"""Read protocol tables: by the name of a shipped standard or by path, all faults at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nmpsim.errors import Fault, SpecError
from nmpsim.spec.faults import nearest
from nmpsim.spec.standard.checks import table_faults
from nmpsim.spec.standard.table import Table

TABLE_FOLDER = Path(__file__).parent

_KINDS = {
    "int_type": "an integer",
    "string_type": "a text",
    "bool_type": "true or false",
    "float_type": "a number",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "string_too_short": "a text that is not empty",
    "too_short": "at least one entry",
}


def standard_names() -> tuple[str, ...]:
    """Return the names of the shipped standards, sorted."""
    return tuple(sorted(path.stem for path in TABLE_FOLDER.glob("*.toml")))


def read_table(name_or_path: str | Path) -> Table:
    """Return a protocol table by the name of a shipped standard (whatever the case), or from a file.

    Parameters
    ----------
    name_or_path : str or Path
        A name of `standard_names`, or a path that ends in ``.toml``.

    Raises
    ------
    SpecError
        If there is no such standard or file, or with every fault of the file.
    """
    name = str(name_or_path)
    if name.lower() in standard_names():
        return parse_table((TABLE_FOLDER / f"{name.lower()}.toml").read_text("utf-8"), f"standard/{name.lower()}.toml")
    if name.endswith(".toml"):
        return parse_table(_text(Path(name), name), name)
    close = nearest(name, standard_names())
    raise SpecError(
        "no such DRAM standard",
        [
            Fault(
                "standard",
                repr(name),
                f"{', '.join(standard_names())}, or a path that ends in .toml",
                f"did you mean {close}?" if close else "use one of these, or give the path of a table",
            )
        ],
    )


def _text(path: Path, shown: str) -> str:
    """Return the text of a file; `shown` names it in messages."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        fault = Fault(shown, str(error), "a text file in UTF-8", "check its path, permissions and encoding")
        raise SpecError(f"cannot read {shown}", [fault]) from None


def parse_table(text: str, file: str) -> Table:
    """Return the protocol table that a TOML text describes.

    Parameters
    ----------
    text : str
        The file's text.
    file : str
        Its name, for messages.

    Raises
    ------
    SpecError
        With the place of a syntax error, or with every fault of the table.
    """
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        fault = Fault(file, str(error) or type(error).__name__, "TOML 1.0", "correct the syntax at that place")
        raise SpecError(f"cannot read {file}", [fault]) from None
    return checked_table(tree, file)


def checked_table(tree: dict[str, Any], file: str) -> Table:
    """Return the protocol table of a parsed file.

    Parameters
    ----------
    tree : dict
        The file as parsed.
    file : str
        Its name, for messages.

    Raises
    ------
    SpecError
        With every fault of the table.
    """
    try:
        table = Table.model_validate(tree)
    except ValidationError as error:
        raise _refused(file, schema_refusals(error, file)) from None
    if faults := table_faults(table, file):
        raise _refused(file, faults)
    return table


def _refused(file: str, faults: list[Fault]) -> SpecError:
    return SpecError(f"DRAM table {file} has {len(faults)} {'fault' if len(faults) == 1 else 'faults'}", faults)


def schema_refusals(error: ValidationError, file: str) -> list[Fault]:
    """Return what a schema refused as faults.

    Parameters
    ----------
    error : ValidationError
        From pydantic.
    file : str
        Name of the file, for messages.
    """
    return [_fault(item, file) for item in error.errors(include_url=False)]


def _fault(item: Any, file: str) -> Fault:
    """Return what one refusal of the schema means to a user."""
    where = ""
    for key in item["loc"]:
        where += f"[{key}]" if isinstance(key, int) else f".{key}" if where else str(key)
    kind, given = item["type"], item["input"]
    got = repr(given) if not isinstance(given, dict) else f"a table with {', '.join(map(str, given)) or 'nothing'}"
    got = got if len(got) <= 70 else got[:67] + "..."
    if kind == "missing":
        return Fault(f"{file}: {where}", "nothing", "a value", f"add {item['loc'][-1]}")
    if kind == "extra_forbidden":
        return Fault(f"{file}: {where}", f"unknown key with {got}", "the keys of that table", "remove it")
    if kind == "expression":
        return Fault(f"{file}: {where}", item["ctx"]["got"], "integers, names, + - * ( ) max(,)", "correct it")
    return Fault(f"{file}: {where}", got, _KINDS.get(kind, item["msg"]), "correct it")
