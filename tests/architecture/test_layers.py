"""Who may import whom: the contracts of pyproject.toml hold, and each of them can fail."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib

from tests.architecture.sources import ROOT, imported, place, report, sources, tree

LINT = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(folder):
    """Run import-linter in a folder; (exit code, its report)."""
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_import_contracts_hold():
    code, text = lint_imports(ROOT)
    assert code == 0, text
    assert "0 broken" in text, text


def test_each_import_contract_breaks_on_a_forbidden_import(tmp_path):
    """A skeleton of the package with one sin per contract: none may pass unnoticed."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = [name.strip("()") for line in contracts[0]["layers"] for name in line.split(" | ")]
    modules = [f"nmpsim/{name}/__init__.py" for name in layers]
    modules += ["nmpsim/__init__.py", "nmpsim/program/schedule.py", "rtl_models/__init__.py"]
    for module in modules:
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / module).touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    code, text = lint_imports(tmp_path)
    assert code == 0, text
    sins = {
        "layers": ("nmpsim/noc/__init__.py", "import nmpsim.dram"),
        "no unit sees a schedule": ("nmpsim/core/__init__.py", "import nmpsim.program.schedule"),
        "the analytical mode shares": ("nmpsim/analytic/__init__.py", "import nmpsim.dram"),
        "the cycle engine shares": ("nmpsim/machine/__init__.py", "import nmpsim.analytic"),
        "the cycle engine knows no area": ("nmpsim/machine/__init__.py", "import nmpsim.cost"),
        "RTL sees only": ("rtl_models/__init__.py", "import nmpsim.core"),
        "the package does not know its RTL": ("nmpsim/api/__init__.py", "import rtl_models"),
    }
    assert len(sins) == len(contracts), "a contract without its sin here"
    for contract, (module, sin) in sins.items():
        (tmp_path / module).write_text(sin + "\n")
        code, text = lint_imports(tmp_path)
        (tmp_path / module).write_text("")
        broken = re.findall(r"^(.+?)\s+BROKEN$", text, re.MULTILINE)
        assert code != 0, text
        assert any(line.startswith(contract) for line in broken), f"{sin} in {module}:\n{text}"


def test_an_undeclared_part_of_the_package_breaks_the_layers(tmp_path):
    shutil.copytree(ROOT / "nmpsim", tmp_path / "nmpsim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "rtl_models", tmp_path / "rtl_models")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "nmpsim" / "newcomer.py").touch()
    code, text = lint_imports(tmp_path)
    assert code != 0
    assert "newcomer" in text


def test_rtl_imports_only_the_hardware_description():
    allowed = re.compile(r"(?!nmpsim\b)|nmpsim\.(spec|units)\b")
    report(
        [
            f"{place(path, node)}: {name}"
            for path in sources("rtl_models")
            for node in ast.walk(tree(path))
            for name in imported(node)
            if not allowed.match(name) and not (isinstance(node, ast.ImportFrom) and name == node.module == "nmpsim")
        ]
    )


def test_no_module_goes_round_the_layers_through_the_lazy_names():
    """``from nmpsim import simulate`` inside the package would reach `api` from anywhere."""
    parts = {path.relative_to(ROOT / "nmpsim").parts[0].removesuffix(".py") for path in sources("nmpsim")}
    allowed = parts | {"__version__"}
    faults = []
    for path in sources("nmpsim"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.level:
                faults.append(f"{place(path, node)}: relative import; write nmpsim.…")
            elif isinstance(node, ast.ImportFrom) and node.module == "nmpsim":
                faults += [f"{place(path, node)}: {a.name}" for a in node.names if a.name not in allowed]
            elif isinstance(node, ast.Import):
                faults += [f"{place(path, node)}: import nmpsim" for a in node.names if a.name == "nmpsim"]
    report(faults)
