"""The project's files as the architecture tests see them: lists of files, and Python sources as syntax trees."""

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

KERNEL_FOLDERS = ("link", "dram", "noc", "core", "machine")
"""Folders whose functions may be untyped kernels."""

KERNEL_DECORATORS = {"kernel", "array_kernel", "inlined"}


@cache
def generated_folders() -> frozenset[str]:
    """Names of folders that git ignores, and git's own."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    return frozenset(line[:-1] for line in lines if line.endswith("/")) | {".git"}


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is part of the project."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name not in generated_folders() and "egg-info" not in name)
        found += [Path(folder, name) for name in sorted(names) if name != ".venv.lock"]
    return tuple(path for path in found if path.is_file() and not path.is_symlink())


def sources(*folders: str) -> list[Path]:
    """Python files below the named top folders."""
    paths = [path for path in project_files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]
    assert paths, f"no Python file below {folders}"
    return paths


@cache
def tree(path: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def place(path: Path, node: ast.AST) -> str:
    """Name where a fault stands: ``nmpsim/dram/timing.py:12``."""
    return f"{path.relative_to(ROOT).as_posix()}:{getattr(node, 'lineno', 1)}"


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """All functions and methods of a file, nested ones too."""
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


def imported(node: ast.AST) -> list[str]:
    """Modules that an import statement names: ``from a.b import c`` gives ``a.b`` and ``a.b.c``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def is_kernel(function: ast.FunctionDef) -> bool:
    """Whether a function carries one of the decorators of compiled functions."""
    return any(isinstance(d, ast.Name) and d.id in KERNEL_DECORATORS for d in function.decorator_list)


def report(faults: list[str]) -> None:
    """Fail with one line per fault."""
    assert not faults, "\n" + "\n".join(faults)
