"""Kernel functions as plain Python, chosen ones among those they call replaced, so that calls can be recorded."""

from __future__ import annotations

import sys
from types import FunctionType

FOLDERS = ("nmpsim.core.", "nmpsim.link.")
"""Where kernel functions are looked for."""


def interpreted(function, replaced: dict[tuple[str, str], object] | None = None):
    """A kernel function as plain Python, and so all kernel functions that it calls.

    Parameters
    ----------
    function : kernel
    replaced : dict, optional
        What stands for a name within a module, by (module, name); a factory: it gets the interpreted original.
    """
    return _Interpreter(replaced or {}).function(function)


class _Interpreter:
    """Copies of functions whose globals hold no compiled function."""

    def __init__(self, replaced) -> None:
        self.replaced = replaced
        self.globals: dict[str, dict] = {}
        self.copies: dict[FunctionType, FunctionType] = {}

    def names_of(self, module: str) -> dict:
        """Globals of a module, kernels interpreted."""
        if module not in self.globals:
            names = self.globals[module] = dict(vars(sys.modules[module]))
            for name, value in list(names.items()):
                if is_kernel(value):
                    names[name] = self.function(value)
                if (module, name) in self.replaced:
                    names[name] = self.replaced[module, name](names[name])
        return self.globals[module]

    def function(self, function) -> FunctionType:
        """A kernel function interpreted; the same copy at every call."""
        python = getattr(function, "py_func", function)
        names = self.names_of(python.__module__)
        if python not in self.copies:
            self.copies[python] = FunctionType(python.__code__, names, python.__name__, python.__defaults__)
        return self.copies[python]


def is_kernel(value) -> bool:
    """Whether a global of a module is a kernel function, compiled or (in the interpreted lane) plain."""
    python = getattr(value, "py_func", value)
    return isinstance(python, FunctionType) and python.__module__.startswith(FOLDERS) and not python.__closure__
