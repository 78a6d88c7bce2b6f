"""Compiled functions: one decorator, hardware-like bodies, a docstring each."""

import ast

from tests.architecture.sources import ROOT, functions, imported, is_kernel, place, report, sources, tree

FORBIDDEN_NODES = {
    ast.Raise: "raises: write an error record instead",
    ast.Try: "catches",
    ast.With: "opens a context",
    ast.Dict: "builds a dict",
    ast.Set: "builds a set",
    ast.List: "builds a list",
    ast.ListComp: "builds a list",
    ast.SetComp: "builds a set",
    ast.DictComp: "builds a dict",
    ast.GeneratorExp: "makes a generator",
    ast.JoinedStr: "makes a string",
    ast.Lambda: "makes a function",
    ast.FunctionDef: "makes a function",
    ast.Yield: "is a generator",
    ast.Global: "changes a module",
    ast.Import: "imports",
    ast.ImportFrom: "imports",
}

ALLOCATING = {"array", "arange", "concatenate", "copy", "empty", "full", "ones", "recarray", "zeros"}


def kernels():
    """All compiled functions of the package, as (file, function)."""
    found = [(path, function) for path in sources("nmpsim") for function in functions(path) if is_kernel(function)]
    assert found, "no kernel found: has the decorator been renamed?"
    return found


def body_without_docstring(function):
    """Nodes of a function's body, its docstring left out."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return [node for statement in statements for node in ast.walk(statement)]


def test_numba_is_imported_by_kernel_py_and_its_registers_only():
    report(
        [
            f"{place(path, node)}: imports numba; use nmpsim.kernel"
            for path in sources("nmpsim", "rtl_models")
            if path not in {ROOT / "nmpsim" / "kernel.py", ROOT / "nmpsim" / "registers.py"}
            for node in ast.walk(tree(path))
            if any(name.partition(".")[0] == "numba" for name in imported(node))
        ]
    )


def test_numba_decorators_are_named_in_kernel_py_only():
    words = {"njit", "jit", "vectorize", "guvectorize", "jitclass", "cfunc", "prange"}
    report(
        [
            f"{place(path, node)}: {node.id if isinstance(node, ast.Name) else node.attr}"
            for path in sources("nmpsim", "rtl_models")
            if path != ROOT / "nmpsim" / "kernel.py"
            for node in ast.walk(tree(path))
            if (isinstance(node, ast.Name) and node.id in words)
            or (isinstance(node, ast.Attribute) and node.attr in words)
        ]
    )


def test_every_compiled_function_has_a_docstring():
    report([f"{place(path, f)}: {f.name} has no docstring" for path, f in kernels() if not ast.get_docstring(f)])


def test_compiled_functions_hold_nothing_but_integers_and_arrays():
    faults = []
    for path, function in kernels():
        for node in body_without_docstring(function):
            if type(node) in FORBIDDEN_NODES:
                faults.append(f"{place(path, node)}: {function.name} {FORBIDDEN_NODES[type(node)]}")
            elif isinstance(node, ast.Constant) and isinstance(node.value, str | float):
                faults.append(f"{place(path, node)}: {function.name} uses {node.value!r}; state is integers only")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ALLOCATING:
                faults.append(f"{place(path, node)}: {function.name} allocates ({node.func.attr})")
    report(faults)
