"""A point of a study: which function with which settings, as frozen text that can be hashed, sent and stored."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from nmpsim.errors import Fault, SpecError

Task = Callable[[dict[str, Any]], dict[str, Any]]
"""What computes a point: settings in, figures out, both as JSON knows them."""

_TASK = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Point:
    """One run of a study.

    Parameters
    ----------
    task : str
        ``module:function``, so that any process can find it.
    text : str
        The settings as canonical JSON: keys sorted, no spaces.
    """

    task: str
    text: str

    @classmethod
    def of(cls, task: str, settings: Mapping[str, Any]) -> Point:
        """Return the point of a task and its settings.

        Parameters
        ----------
        task : str
            ``module:function``.
        settings : mapping
            Of strings to what JSON knows; no NaN, no infinity.

        Raises
        ------
        SpecError
            If the task is not so written, or JSON does not know a setting.
        """
        if not _TASK.fullmatch(task):
            fault = Fault("task", repr(task), "module:function", "name a function that a module has at its top")
            raise SpecError("no such task", [fault])
        try:
            text = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            fault = Fault("settings", str(error), "text, finite numbers, true, false, null, lists, tables", "change it")
            raise SpecError(f"a point of {task} cannot be written down", [fault]) from error
        return cls(task, text)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings, a new table each time."""
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def function(self) -> Task:
        """The function of the task, imported.

        Raises
        ------
        SpecError
            If there is none.
        """
        module, _, name = self.task.partition(":")
        try:
            found: Task = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            fault = Fault("task", self.task, "a function at the top of a module", str(error))
            raise SpecError("no such task", [fault]) from error
        return found


def grid(task: str, fixed: Mapping[str, Any], axes: Mapping[str, Iterable[Any]]) -> tuple[Point, ...]:
    """Return a point for every combination of the values of some settings, the last axis fastest; none twice.

    Parameters
    ----------
    task : str
        ``module:function``.
    fixed : mapping
        Settings of all points.
    axes : mapping of str to iterable
        Values by setting.

    Raises
    ------
    SpecError
        As for `Point.of`.
    """
    names, values = list(axes), [list(of) for of in axes.values()]
    found = (Point.of(task, {**fixed, **dict(zip(names, row, strict=True))}) for row in itertools.product(*values))
    return tuple(dict.fromkeys(found))
