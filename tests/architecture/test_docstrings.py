"""Docstrings: every public thing has one, its Parameters section is the signature, its examples run."""

import ast
import doctest
import importlib
import re

import pytest

from tests.architecture.sources import ROOT, functions, is_kernel, place, report, sources, tree

PLAIN_BASES = {"NamedTuple", "BaseModel", "Protocol", "Enum", "IntEnum", "StrEnum", "object"}
"""Bases that bring no fields of their own."""


def documented_parameters(docstring):
    """Names in the numpy section Parameters, in order; None without such a section."""
    lines = docstring.splitlines()
    for start, line in enumerate(lines[:-1]):
        if line.strip() == "Parameters" and set(lines[start + 1].strip()) == {"-"}:
            break
    else:
        return None
    names = []
    for number, line in enumerate(lines[start + 2 :], start + 2):
        if number + 1 < len(lines) and line.strip() and set(lines[number + 1].strip()) == {"-"}:
            break  # the next section
        if line and not line[0].isspace():
            names += [name.strip().lstrip("*") for name in re.split(r"\s:(?:\s|$)", line)[0].split(",")]
    return names


def signature(function, *, method):
    """Names of a function's parameters, in order, without self or cls."""
    a = function.args
    names = [arg.arg for arg in (*a.posonlyargs, *a.args)]
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)
    if method and not static:
        names = names[1:]
    names += [a.vararg.arg] if a.vararg else []
    names += [arg.arg for arg in a.kwonlyargs]
    return names + ([a.kwarg.arg] if a.kwarg else [])


def fields(node):
    """Constructor parameters of a class: those of ``__init__``, else its annotated fields."""
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return signature(statement, method=True)
    return [
        statement.target.id
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and not statement.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(statement.annotation)
        and "init=False" not in ast.unparse(statement).replace(" ", "")
    ]


def base_name(base):
    """Last word of a base class: ``pydantic.BaseModel`` gives ``BaseModel``."""
    return ast.unparse(base).split("[")[0].rpartition(".")[2]


def undocumented(path):
    """Yield (node, name) of every public module, class, function or method without docstring."""
    if not ast.get_docstring(tree(path)) and (path.name != "__init__.py" or tree(path).body):
        yield tree(path), "the module"
    todo = [(tree(path), "")]
    while todo:
        parent, prefix = todo.pop()
        for node in parent.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                overloaded = any(
                    "overload" in ast.unparse(d) or "override" in ast.unparse(d) for d in node.decorator_list
                )
                if not ast.get_docstring(node) and not overloaded:
                    yield node, prefix + node.name
                if isinstance(node, ast.ClassDef):
                    todo.append((node, prefix + node.name + "."))


def mismatches(path):
    """Yield one sentence per Parameters section that is not the signature."""
    methods = {f for c in ast.walk(tree(path)) if isinstance(c, ast.ClassDef) for f in c.body}
    for function in functions(path):
        told = documented_parameters(ast.get_docstring(function) or "")
        if told is not None and told != signature(function, method=function in methods):
            real = signature(function, method=function in methods)
            yield f"{place(path, function)}: {function.name}({', '.join(real)}) documents {', '.join(told)}"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            told = documented_parameters(ast.get_docstring(node) or "")
            own = fields(node)
            inherits = any(base_name(base) not in PLAIN_BASES for base in node.bases)
            if told is not None and told != own and not (inherits and told[-len(own) or None :] == own):
                yield f"{place(path, node)}: {node.name}({', '.join(own)}) documents {', '.join(told)}"


def test_every_public_name_has_a_docstring():
    report(
        [
            f"{place(path, node)}: {name} has no docstring"
            for path in sources("nmpsim", "rtl_models")
            for node, name in undocumented(path)
        ]
    )


def test_documented_parameters_are_those_of_the_signature():
    report([fault for path in sources("nmpsim", "rtl_models") for fault in mismatches(path)])


def test_public_kernels_document_their_parameters_or_take_few():
    """A kernel has no types: from four arguments on, its docstring must say what each is."""
    report(
        [
            f"{place(path, f)}: {f.name} takes {len(f.args.args)} arguments and has no Parameters section"
            for path in sources("nmpsim")
            for f in functions(path)
            if is_kernel(f) and not f.name.startswith("_") and len(f.args.args) > 3
            if any(isinstance(d, ast.Name) and d.id == "kernel" for d in f.decorator_list)
            and documented_parameters(ast.get_docstring(f) or "") is None
        ]
    )


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("m, n : int\n    Sizes.\nbeats : int", ["m", "n", "beats"]),
        ("fifo : FIFO record\nslots : array of SLOT, shape (capacity,)", ["fifo", "slots"]),
        ("*fields : tuple\n    Said so.\n\nReturns\n-------\nint\n    Beats.", ["fields"]),
        ("now\n    The tick: never negative.", ["now"]),
    ],
)
def test_parameter_sections_are_read_as_meant(section, names):
    assert documented_parameters(f"Do it.\n\nParameters\n----------\n{section}") == names


EXAMPLES = [path for path in sources("nmpsim") if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstring_examples_run(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
