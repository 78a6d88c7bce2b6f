"""Places at which the Python source of a kernel can be changed, and the changes.

    nmpsim/core/streaming.py --parse--> tree --change one node--> tree --compile--> code of one function

A kernel module is compiled anew with the change in it; the code of the function that holds it replaces the one of the
function that everybody has imported.  That works in the interpreted lane, where kernels are plain functions.
"""

from __future__ import annotations

import ast
import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType

KINDS = (
    "plus minus", "times over", "bits", "compare", "equal", "and or", "min max", "not", "constant", "statement",
    "condition",
)  # fmt: skip
"""Kinds of changes, drawn in turn."""

OPERATORS: dict[type, tuple[str, type]] = {
    ast.Add: ("plus minus", ast.Sub),
    ast.Sub: ("plus minus", ast.Add),
    ast.Mult: ("times over", ast.FloorDiv),
    ast.FloorDiv: ("times over", ast.Mult),
    ast.Mod: ("times over", ast.FloorDiv),
    ast.LShift: ("bits", ast.RShift),
    ast.RShift: ("bits", ast.LShift),
    ast.BitAnd: ("bits", ast.BitOr),
    ast.BitOr: ("bits", ast.BitAnd),
}
COMPARISONS: dict[type, tuple[str, type]] = {
    ast.Lt: ("compare", ast.LtE),
    ast.LtE: ("compare", ast.Lt),
    ast.Gt: ("compare", ast.GtE),
    ast.GtE: ("compare", ast.Gt),
    ast.Eq: ("equal", ast.NotEq),
    ast.NotEq: ("equal", ast.Eq),
}
DECORATORS = ("kernel", "inlined")


@dataclass(frozen=True)
class Site:
    """One change of one node; `replace` makes the other node of a fresh copy."""

    module: str
    function: str  # module and name
    kind: str
    number: int  # among the sites of the same kind and function
    line: int
    text: str
    node: int  # in the order of the walk through the function
    replace: Callable[[ast.AST], ast.AST]

    @property
    def identity(self) -> str:
        """Name that stays the same as long as the function does."""
        return f"{self.function} / {self.kind} / {self.number}"


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all below it, in the order of the text."""
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walk(child)


def kernels(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yield the kernels of a module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names = {name.id for name in node.decorator_list if isinstance(name, ast.Name)}
            if names & set(DECORATORS):
                yield node


def other_operator(node: ast.BinOp | ast.AugAssign) -> ast.AST:
    """Change the operator."""
    node.op = OPERATORS[type(node.op)][1]()
    return node


def other_comparison(node: ast.Compare) -> ast.AST:
    """Change the first comparison."""
    node.ops[0] = COMPARISONS[type(node.ops[0])][1]()
    return node


def other_junction(node: ast.BoolOp) -> ast.AST:
    """Change `and` to `or`, or the other way."""
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    return node


def other_extreme(node: ast.Call) -> ast.AST:
    """Change `min` to `max`, or the other way."""
    assert isinstance(node.func, ast.Name)
    node.func.id = "max" if node.func.id == "min" else "min"
    return node


def off_by(step: int) -> Callable[[ast.AST], ast.AST]:
    """Change a constant by one."""

    def change(node: ast.AST) -> ast.AST:
        assert isinstance(node, ast.Constant)
        return ast.copy_location(ast.Constant(node.value + step), node)

    return change


def negated(node: ast.AST) -> ast.AST:
    """Negate the condition of a branch."""
    assert isinstance(node, ast.If | ast.While | ast.IfExp)
    node.test = ast.UnaryOp(ast.Not(), node.test)
    return node


def places(node: ast.AST) -> Iterator[tuple[str, str, Callable]]:
    """Yield (kind, text, change) of everything that can be changed at a node."""
    match node:
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in OPERATORS:
            yield OPERATORS[type(op)][0], "other operator", other_operator
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            yield COMPARISONS[type(op)][0], "other comparison", other_comparison
        case ast.BoolOp():
            yield "and or", "and <-> or", other_junction
        case ast.Call(func=ast.Name(id="min" | "max")):
            yield "min max", "min <-> max", other_extreme
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand) if not isinstance(operand, ast.Constant):
            yield "not", "sign or not left out", lambda unary: unary.operand
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int()):
            yield "constant", "one more", off_by(1)
            yield "constant", "one less", off_by(-1)
    match node:
        case ast.Assign() | ast.AugAssign():
            yield "statement", "left out", lambda statement: ast.copy_location(ast.Pass(), statement)
        case ast.Expr(value=ast.Call()):
            yield "statement", "left out", lambda statement: ast.copy_location(ast.Pass(), statement)
        case ast.If() | ast.While() | ast.IfExp():
            yield "condition", "negated", negated


def path_of(module: str) -> Path:
    """Return the source of a module."""
    found = importlib.import_module(module).__file__
    assert found is not None
    return Path(found)


def sites_of(module: str) -> list[Site]:
    """Return every site in the kernels of a module.

    Parameters
    ----------
    module : str
        Its full name.
    """
    short = module.removeprefix("nmpsim.core.")
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for function in kernels(ast.parse(path_of(module).read_text())):
        name = f"{short}.{function.name}"
        for index, node in enumerate(walk(function)):
            for kind, text, replace in places(node):
                number = counts[name, kind]
                counts[name, kind] += 1
                whole = node.test if isinstance(node, ast.If | ast.While) else node
                shown = f"{ast.unparse(whole)}: {text}"
                found.append(Site(module, name, kind, number, node.lineno, shown, index, replace))
    return found


def changed(site: Site, tree: ast.Module | None = None) -> ast.FunctionDef:
    """Return the changed function, in its module if `tree` is given.

    Parameters
    ----------
    site : Site
    tree : ast.Module
        Of the module; it is changed.
    """
    tree = tree or ast.parse(path_of(site.module).read_text())
    function = next(one for one in kernels(tree) if one.name == site.function.rsplit(".", 1)[1])
    target = list(walk(function))[site.node]

    class Change(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return site.replace(node) if node is target else self.generic_visit(node)

    Change().visit(tree)
    return function


def mutated(site: Site) -> CodeType:
    """Return the code of the changed function.

    Parameters
    ----------
    site : Site
    """
    path = path_of(site.module)
    tree = ast.parse(path.read_text())
    function = changed(site, tree)
    names = dict(vars(importlib.import_module(site.module)))
    exec(compile(ast.fix_missing_locations(tree), f"<mutant of {path.name}>", "exec"), names)  # noqa: S102  (our own)
    code: CodeType = names[function.name].__code__
    return code


def apply(site: Site) -> None:
    """Put the changed function in the place of the right one, for this interpreter (interpreted lane only).

    Parameters
    ----------
    site : Site
    """
    function = getattr(importlib.import_module(site.module), site.function.rsplit(".", 1)[1])
    assert isinstance(function, FunctionType), "kernels are compiled: set NMPSIM_LANE=interpreted"
    function.__code__ = mutated(site)
