"""Names: the field's terms; none that says nothing."""

import ast
import re

from tests.architecture.sources import ROOT, functions, place, report, sources, tree

EMPTY_WORDS = {"helper", "helpers", "manager", "misc", "util", "utils"}
"""Say nothing as any word of a name."""

EMPTY_NAMES = {"data", "handle", "handler", "info", "process", "processor", "stuff", "common", "do"}
"""Say nothing as a whole name; `data_mover` is a part of the machine."""

EMPTY_VERBS = {"handle", "process"}
"""Say nothing as the first word of a function's name."""


def fault_of(name):
    """What is wrong with a name; empty if nothing."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_").split("_")
    if EMPTY_WORDS & set(words) or "_".join(words) in EMPTY_NAMES or words[0] in EMPTY_VERBS:
        return f"{name!r} says nothing"
    if re.fullmatch(r"v\d+|new|old", words[-1]) and len(words) > 1:
        return f"{name!r} is a numbered variant"
    return ""


def numbered_variants(names):
    """Names that are another name of the same scope with a digit at the end."""
    return [name for name in sorted(names) if name[-1].isdigit() and name.rstrip("0123456789").rstrip("_") in names]


def test_file_names_say_what_is_inside():
    faults = []
    for path in sources("nmpsim", "rtl_models", "tests"):
        words = [path.stem.removeprefix("test_"), *path.relative_to(ROOT).parts[:-1]]
        faults += [f"{path.relative_to(ROOT)}: {fault_of(word)}" for word in words if fault_of(word)]
    report(faults)


def test_functions_and_classes_say_what_they_are():
    report(
        [
            f"{place(path, node)}: {fault_of(node.name)}"
            for path in sources("nmpsim", "rtl_models")
            for node in ast.walk(tree(path))
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and fault_of(node.name)
        ]
    )


def test_no_two_functions_differ_by_a_digit():
    report(
        [
            f"{place(path, tree(path))}: {name}"
            for path in sources("nmpsim", "rtl_models")
            for name in numbered_variants({function.name for function in functions(path)})
        ]
    )


def test_the_rules_catch_what_they_forbid():
    bad = ["utils", "tile_helper", "BankManager", "process", "process_tile", "handle_row", "data", "info", "run_v2"]
    good = ["data_mover", "DramParams", "tRCD", "log2", "step_bank", "Program", "information_ratio"]
    assert [name for name in bad if not fault_of(name)] == []
    assert [name for name in good if fault_of(name)] == []
    assert numbered_variants({"latency", "latency2", "log2"}) == ["latency2"]
