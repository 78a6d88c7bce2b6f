"""Groups of options: what several commands share is written once, as a dataclass.

A command takes the group as one parameter; on the command line its fields stand in the place of that parameter::

    @dataclass(frozen=True)
    class Size(OptionGroup):
        batch: BatchOption = "1"
        context: ContextOption = "1024"

    @option_groups
    def command(model: ModelOption, size: Size) -> None:      # command --model M --batch 1 --context 1024
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from typing import Any, get_type_hints


@dataclass(frozen=True)
class OptionGroup:
    """Options that belong together; subclasses are dataclasses whose fields are options of typer."""


def option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of its groups.

    Parameters
    ----------
    command : callable
        Its parameters are options, or groups of options without a default.

    Returns
    -------
    callable
        The same with the fields of every group as parameters of their own, options without a default first.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[OptionGroup]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if isinstance(kind, type) and issubclass(kind, OptionGroup):
            groups[name] = kind
            parameters += _parameters(kind)
        else:
            parameters.append(_parameter(name, kind, parameter.default))

    @wraps(command)
    def expanded(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    ordered = sorted(parameters, key=lambda p: p.default is not inspect.Parameter.empty)
    expanded.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in ordered}
    return expanded


def _parameters(group: type[OptionGroup]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        _parameter(f.name, hints[f.name], inspect.Parameter.empty if f.default is MISSING else f.default)
        for f in fields(group)
    ]


def _parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
