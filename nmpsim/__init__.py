"""nmpsim: a cycle-level simulator of a logic die with processing next to 3D-stacked DRAM.

The public names are loaded on first use, so that ``import nmpsim`` costs nothing: no compiler, no table library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nmpsim.api import load_chip, load_model, simulate
    from nmpsim.prediction import estimate

__all__ = ["__version__", "estimate", "load_chip", "load_model", "simulate"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load a public name from `nmpsim.api` or `nmpsim.prediction` on first use."""
    if name.startswith("__") or name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(import_module("nmpsim.prediction" if name == "estimate" else "nmpsim.api"), name)


def __dir__() -> list[str]:
    return __all__
