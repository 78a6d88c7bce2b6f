"""What a calibration hangs on: the sources of the cycle mode and of the closed forms, as hashes."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

PARTS = (
    "kernel.py", "link", "dram/native", "noc/router", "noc/die", "noc/topology", "core", "machine", "program", "spec",
    "analytic/model",
)  # fmt: skip
"""Files and folders of the package that set cycles or their prediction."""

APART = ("core/pe", "spec/chips", "spec/standard", "analytic/model/sources.py", "analytic/model/calibration.py")
"""Not those: checked models, inputs, and what only reads."""


def source_files(root: Path = ROOT) -> list[Path]:
    """Return the files that count, sorted.

    Parameters
    ----------
    root : Path
        Folder of the package.
    """
    found = []
    for part in PARTS:
        place = root / part
        files = [place] if place.is_file() else sorted(place.rglob("*.py"))
        found += [f for f in files if not f.relative_to(root).as_posix().startswith(APART)]
    return found


@cache
def engine_text_hash() -> str:
    """Return the hash of the files as they stand."""
    digest = hashlib.sha256()
    for file in source_files():
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def engine_hash() -> str:
    """Return the hash of what the files say: comments, documentation and layout do not count."""
    digest = hashlib.sha256()
    for file in source_files():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [n for n in body if not _words(n)]  # type: ignore[attr-defined]
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + ast.dump(tree).encode() + b"\0")
    return digest.hexdigest()


def _words(node: ast.stmt) -> bool:
    """Whether a statement is nothing but text."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
