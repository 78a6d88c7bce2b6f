"""What importing costs, and where imports may stand."""

import ast
import json
import subprocess
import sys

import pytest

import nmpsim
from tests.architecture.sources import ROOT, imported, place, report, sources, tree

LATE = {"pyarrow", "matplotlib", "jsonschema", "pylibfst", "rich", "tqdm"}
"""Third-party libraries that may be imported inside a function, as they cost tenths of seconds or are rarely needed."""

HEAVY = {"numba", "llvmlite", "numpy", "pyarrow", "matplotlib", "pydantic", "jsonschema", "rich", "typer"}
"""What `import nmpsim` must not load."""


def loaded_by(statement):
    """Top-level names of all modules in a fresh interpreter after a statement."""
    code = f"{statement}\nimport json, sys; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_nmpsim_is_light():
    assert loaded_by("import nmpsim") & HEAVY == set()


def test_the_light_import_test_would_see_a_heavy_library():
    assert "numpy" in loaded_by("import nmpsim, numpy") & HEAVY


def test_public_names_are_listed_and_load_on_first_use():
    code = "import nmpsim; assert set(nmpsim.__all__) <= set(dir(nmpsim)); [getattr(nmpsim, n) for n in nmpsim.__all__]"
    assert "numpy" in loaded_by(code)


def test_an_unknown_public_name_is_refused_with_the_list_of_names():
    with pytest.raises(AttributeError, match="load_chip, load_model, simulate"):
        _ = nmpsim.simulator


def test_tables_and_plots_are_loaded_only_when_asked_for():
    assert loaded_by("import nmpsim.cli") & {"pyarrow", "matplotlib", "jsonschema"} == set()


def late_imports(path):
    """Yield (statement, module) of every import inside a function."""
    for function in ast.walk(tree(path)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for node in ast.walk(function):
                for name in imported(node)[:1]:
                    yield node, name


def test_imports_inside_functions_are_the_listed_heavy_ones():
    """An import of the own package inside a function usually hides a cycle."""
    faults = []
    for path in sources("nmpsim", "rtl_models"):
        relative = path.relative_to(ROOT).as_posix()
        own_may_be_late = relative.startswith("nmpsim/cli/") or relative == "nmpsim/__init__.py"
        for node, name in late_imports(path):
            package = name.partition(".")[0]
            if package in LATE or (package == "nmpsim" and own_may_be_late):
                continue
            faults.append(f"{place(path, node)}: {name} is imported inside a function")
    report(faults)
