"""Latency expressions: what they are worth, and what is refused."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.spec.standard.expression import LONGEST, ExpressionError, parse

NAMES = {"nCL": 14, "nBL": 2, "nCWL": 5, "nWR": 16, "_x": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("nCL", 14),
        ("nCL + nBL + 2 - nCWL", 13),
        ("nCL - nBL - nCWL", 7),  # from the left
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("-nBL + 3", 1),
        ("2 * -3", -6),
        ("max(nBL, 4)", 4),
        ("max(1, nCL, 3)", 14),
        ("max(2, max(9, 3)) * 2", 18),
        ("max(5)", 5),
        ("  _x*2 ", 6),
    ],
)
def test_the_value_of_an_expression(text: str, value: int) -> None:
    assert parse(text).value(NAMES) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a number or a name, not 'the end'"),
        ("nCL +", "expected a number or a name, not 'the end'"),
        ("nCL nBL", "expected the end, not 'nBL'"),
        ("(nCL", "expected ')', not 'the end'"),
        ("nCL)", "expected the end, not ')'"),
        ("max 3", "expected '(', not '3'"),
        ("max()", "expected a number or a name, not ')'"),
        ("max(1 2)", "expected ')', not '2'"),
        ("nCL / 2", "cannot read '/ 2'"),
        ("2.5", "cannot read '2.5'"),
        ("12nCL", "cannot read '12nCL'"),
        ("nCL ** 2", "expected a number or a name, not '*'"),
        ("__import__('os')", "cannot read \"'os')\""),
        ("x.y", "cannot read '.y'"),
        ("1" * 19, "cannot read"),
        ("1 + " * 60 + "1", f"at most {LONGEST}"),
        (",", "expected a number or a name, not ','"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert told in str(caught.value)


def test_a_name_without_a_value_is_named() -> None:
    with pytest.raises(ExpressionError, match="no value for 'nXY' in 'nCL \\+ nXY'"):
        parse("nCL + nXY").value(NAMES)


def test_names_come_once_in_order() -> None:
    assert parse("nWR + max(nCL, nWR, 2) - nBL").names == ("nWR", "nCL", "nBL")


def test_the_deepest_nesting_does_not_exhaust_the_stack() -> None:
    depth = (LONGEST - 1) // 2
    assert parse("(" * depth + "7" + ")" * depth).value({}) == 7


LEAVES = st.sampled_from(list(NAMES)) | st.integers(0, 999).map(str)
TEXTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*"), inner).map(" ".join)
        | inner.map("({})".format)
        | inner.map("-{}".format)
        | st.tuples(inner, inner).map("max({0[0]}, {0[1]})".format)
    ),
    max_leaves=8,
).filter(lambda text: len(text) <= LONGEST)


def value_in_python(node: ast.expr) -> int:
    """Value of a syntax tree of Python, whose precedence is that of the tables."""
    match node:
        case ast.Constant(int(value)):
            return value
        case ast.Name(name):
            return NAMES[name]
        case ast.UnaryOp(ast.USub(), operand):
            return -value_in_python(operand)
        case ast.Call(ast.Name("max"), arguments):
            return max(map(value_in_python, arguments))
        case ast.BinOp(left, operator, right):
            a, b = value_in_python(left), value_in_python(right)
            return a + b if isinstance(operator, ast.Add) else a - b if isinstance(operator, ast.Sub) else a * b
    raise AssertionError(ast.dump(node))


@given(TEXTS)
def test_expressions_mean_what_they_mean_in_python(text: str) -> None:
    assert parse(text).value(NAMES) == value_in_python(ast.parse(text, mode="eval").body)


@given(st.text(alphabet="nCL+-*(), max07._\n", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        expression = parse(text)
    except ExpressionError:
        return
    assert isinstance(expression.value(dict.fromkeys(expression.names, 1)), int)
