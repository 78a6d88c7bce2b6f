"""What a user can get wrong, and that all of it is told at once."""

import csv
import io

import pytest

from nmpsim.errors import NmpsimError
from nmpsim.validate.predict import predictions, shipped_models, template
from tests.architecture.sources import ROOT
from tests.unit.validate.bench import gemm, reference

TOLD = reference([(gemm(1, 1, n, name=f"o{n}"), 100 * n, 1.0) for n in range(1, 5)])


@pytest.fixture
def model(tmp_path):
    """Write a model; give its name."""

    def write(text, name="predict"):
        path = tmp_path / "my_model.py"
        path.write_text(text)
        return f"{path}:{name}"

    return write


def test_a_function_of_a_file_predicts(model):
    name = model("def predict(operator, chip):\n    return operator.k * chip.pus\n")
    assert predictions(name, TOLD).cycles == (16, 32, 48, 64)


def test_numbers_of_numpy_are_numbers(model):
    assert predictions(model("import numpy\ndef predict(o, c):\n    return numpy.float32(o.k)\n"), TOLD).cycles[3] == 4


def test_a_dataclass_may_stand_in_the_file(model):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n"
    assert predictions(model(text + "def predict(o, c):\n    return A(3).x\n"), TOLD).cycles[0] == 3


def test_every_simple_model_of_the_field_answers():
    simple = {"deepstack", "llmcompass", "roofline", "scale_sim"}
    assert simple <= set(shipped_models())
    for name in simple:
        assert min(predictions(name, TOLD).cycles) >= 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return float('nan')", "returned NaN"),
        ("return float('inf')", "returned infinity"),
        ("return -1", "returned a negative number"),
        ("return 'fast'", "returned a str"),
        ("return None", "returned a NoneType"),
        ("return True", "returned a bool"),
        ("import numpy; return numpy.ones(3)", r"returned a ndarray of shape \(3,\)"),
        ("return 1 / 0", r"raised ZeroDivisionError: .* \(line 2\)"),
        ("raise SystemExit(7)", "raised SystemExit"),
    ],
)
def test_an_answer_that_is_no_number_of_cycles_is_told_once_with_how_often(model, body, message):
    with pytest.raises(NmpsimError, match=message) as caught:
        predictions(model(f"def predict(operator, chip):\n    {body}\n"), TOLD)
    assert "fails at 4 of 4" in str(caught.value)
    assert "o1 of step 0 and 3 more" in str(caught.value)
    assert len(caught.value.faults) == 1


def test_different_faults_are_told_together(model):
    text = "def predict(o, c):\n    return {1: -1, 2: None, 3: 5}.get(o.k, float('nan'))\n"
    with pytest.raises(NmpsimError) as caught:
        predictions(model(text), TOLD)
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("x = 1\n", "predict", "no such function"),
        ("def guess(o, c): ...\n", "predict", "guess"),
        ("predict = 3\n", "predict", "a int"),
        ("def predict(:\n", "predict", "SyntaxError"),
        ("import no_such_module\n", "predict", r"ModuleNotFoundError.*\(line 1\)"),
        ("raise SystemExit\n", "predict", "SystemExit"),
        ("", "1", "my_model.py:predict"),
    ],
)
def test_a_file_without_a_usable_function_is_refused(model, text, name, message):
    with pytest.raises(NmpsimError, match=message):
        predictions(model(text, name), TOLD)


@pytest.mark.parametrize("name", ["roofine", "missing.py:predict", "no.such.module:predict", "my_model.py", "", ":"])
def test_a_name_of_no_model_is_refused(name):
    with pytest.raises(NmpsimError, match="cannot use the model"):
        predictions(name, TOLD)


def test_a_function_of_one_argument_predicts_whole_steps(model):
    text = "def predict(settings):\n    return {f'o{n}': settings['batch'] * n for n in range(1, 5)}\n"
    two = reference(*[[(gemm(1, 1, n, name=f"o{n}"), 100 * n, 1.0) for n in range(1, 5)]] * 2)
    assert predictions(model(text), two).cycles == (1, 2, 3, 4, 2, 4, 6, 8)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "returned a int, no table of operators"),
        ("return {'o1': 1, 'o2': 2}", "o3 of step 0 and 1 more: got leaves the operator out"),
        ("return {f'o{n}': -n for n in range(1, 5)}", "returned a negative number"),
        ("return {}[3]", "raised KeyError"),
    ],
)
def test_a_model_of_steps_that_answers_wrongly_is_told(model, body, message):
    with pytest.raises(NmpsimError, match=message):
        predictions(model(f"def predict(settings):\n    {body}\n"), TOLD)


def test_a_near_name_is_proposed():
    with pytest.raises(NmpsimError, match="did you mean roofline"):
        predictions("roofine", TOLD)


def filled(tmp_path, change=lambda rows: rows):
    rows = list(csv.reader(io.StringIO(template(TOLD).decode())))
    for number, row in enumerate(rows[1:], 1):
        row[2] = str(10 * number)
    path = tmp_path / "mine.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(change(rows))
    return str(path)


def test_a_filled_template_is_read(tmp_path):
    assert predictions(filled(tmp_path), TOLD).cycles == (10, 20, 30, 40)
    assert predictions(filled(tmp_path, lambda rows: [rows[0], *rows[:0:-1]]), TOLD).cycles == (10, 20, 30, 40)


def replaced(place, value):
    def change(rows):
        rows[2][place] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [row[1:] for row in rows], "case, operator, cycles"),
        (lambda rows: [], "an empty file"),
        (lambda rows: rows[:-2], "no line for o3 of step 0, o4 of step 0"),
        (lambda rows: [*rows, rows[1]], "an operator that had a line before"),
        (lambda rows: [*rows, ["step 9", "o1", "3"]], "no operator of this suite"),
        (lambda rows: [*rows[:-1], ["step 0"]], "too few columns"),
        (replaced(2, "fast"), "line 3 .*no number of cycles"),
        (replaced(2, "nan"), "no number of cycles"),
        (replaced(2, "-3"), "no number of cycles"),
        (replaced(2, ""), "no number of cycles"),
    ],
)
def test_a_wrong_file_of_predictions_is_refused(tmp_path, change, message):
    with pytest.raises(NmpsimError, match=message):
        predictions(filled(tmp_path, change), TOLD)


def test_a_missing_file_of_predictions_is_refused():
    with pytest.raises(NmpsimError, match="No such file"):
        predictions("missing.csv", TOLD)


def test_the_example_of_the_documents_predicts():
    assert min(predictions(f"{ROOT / 'docs' / 'examples' / 'my_model.py'}:predict", TOLD).cycles) > 100
