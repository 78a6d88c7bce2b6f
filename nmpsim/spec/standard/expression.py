"""Latency expressions of the DRAM tables, as ``"nCWL + nBL + nWR"`` or ``"max(nRRDS, 2)"``.

Integers, names, ``+``, ``-``, ``*``, brackets and ``max(..., ...)``: nothing else is understood.

    sum     = product, {("+" | "-"), product}
    product = factor, {"*", factor}
    factor  = integer | name | "(", sum, ")" | "max", "(", sum, {",", sum}, ")" | "-", factor
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST = 200
"""Most characters of an expression; so that no table can exhaust the stack."""

_TOKEN = re.compile(r"\s*(?:(\d{1,18}(?![\w.]))|([A-Za-z_]\w*)|([-+*(),]))")


class ExpressionError(ValueError):
    """A text that is no expression, or a name in it that has no value."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Parameters
    ----------
    text : str
        As it was written.
    names : tuple of str
        Names that it reads, each once, in order of appearance.
    postfix : tuple of (int or str)
        Integers, names and operators in the order in which a stack evaluates them; ``max`` stands for two operands.
    """

    text: str
    names: tuple[str, ...]
    postfix: tuple[int | str, ...]

    def value(self, names: Mapping[str, int]) -> int:
        """Return the value of the expression.

        Parameters
        ----------
        names : mapping of str to int
            Value of each name.

        Raises
        ------
        ExpressionError
            If a name has no value.
        """
        stack: list[int] = []
        for step in self.postfix:
            if isinstance(step, int):
                stack.append(step)
            elif step in _OPERATORS:
                right, left = stack.pop(), stack.pop()
                stack.append(_applied(step, left, right))
            elif step in names:
                stack.append(names[step])
            else:
                raise ExpressionError(f"no value for {step!r} in {self.text!r}")
        return stack.pop()


_OPERATORS = ("+", "-", "*", "max")


def _applied(operator: str, left: int, right: int) -> int:
    """Return the result of one operator."""
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    return left * right if operator == "*" else max(left, right)


class _Reader:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._split()
        self.position = 0
        self.names: list[str] = []
        self.postfix: list[int | str] = []

    def _split(self) -> list[str]:
        if len(self.text) > LONGEST:
            raise ExpressionError(f"an expression of {len(self.text)} characters; at most {LONGEST}")
        tokens, place, end = [], 0, len(self.text.rstrip())
        while place < end:
            match = _TOKEN.match(self.text, place)
            if match is None:
                raise ExpressionError(f"cannot read {self.text[place:].strip()!r} in {self.text!r}")
            tokens.append(match[0].strip())
            place = match.end()
        return tokens

    @property
    def next(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        word = self.next
        if expected and word != expected:
            raise ExpressionError(f"expected {expected!r}, not {word or 'the end'!r}, in {self.text!r}")
        self.position += 1
        return word

    def sum(self) -> None:
        self.product()
        while self.next in {"+", "-"}:
            operator = self.take()
            self.product()
            self.postfix.append(operator)

    def product(self) -> None:
        self.factor()
        while self.next == "*":
            self.take()
            self.factor()
            self.postfix.append("*")

    def factor(self) -> None:
        word = self.take()
        if word == "(":
            self.sum()
            self.take(")")
        elif word == "-":
            self.postfix.append(0)
            self.factor()
            self.postfix.append("-")
        elif word == "max":
            self.take("(")
            self.sum()
            while self.next == ",":
                self.take()
                self.sum()
                self.postfix.append("max")
            self.take(")")
        elif word.isdecimal():
            self.postfix.append(int(word))
        elif word and (word[0].isalpha() or word[0] == "_"):
            if word not in self.names:
                self.names.append(word)
            self.postfix.append(word)
        else:
            raise ExpressionError(f"expected a number or a name, not {word or 'the end'!r}, in {self.text!r}")


def parse(text: str) -> Expression:
    """Return the expression that a text says.

    Parameters
    ----------
    text : str
        The expression.

    Raises
    ------
    ExpressionError
        If the text is none, with the place.

    Examples
    --------
    >>> parse("nCWL + nBL + 2 * max(nWR, 3)").value({"nCWL": 5, "nBL": 2, "nWR": 1})
    13
    >>> parse("nCL + 2 - nCWL").names
    ('nCL', 'nCWL')
    """
    reader = _Reader(text)
    reader.sum()
    if reader.next:
        raise ExpressionError(f"expected the end, not {reader.next!r}, in {text!r}")
    return Expression(text, tuple(reader.names), tuple(reader.postfix))
