"""What a protocol table (``hbm2.toml`` ...) may say.  Strict: an unknown key or a wrong type is an error.

Its parts::

    [standard]            name, levels, and what holds for all presets
    [source]              where the rows come from, by a short word
    [[command]]           the commands
    [organisation.NAME]   sizes of a device
    [timing.NAME]         timing of a speed bin; command clocks (CK)
    [rule.nXXX]           a timing that a bin does not give: from nanoseconds, by density, or equal to another one
    [energy]              of a command
    [[constraint]]        what must lie between two commands; CK
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from nmpsim.spec.fields import Ns, Picojoules, Section, Sourced
from nmpsim.spec.protocol import Bus, Effect
from nmpsim.spec.standard.expression import ExpressionError, parse

MOST_CK = 2**31
"""Largest timing or size of a table."""


def _is_expression(text: str) -> str:
    try:
        parse(text)
    except ExpressionError as error:
        raise PydanticCustomError("expression", "{got}", {"got": str(error)}) from None
    return text


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise PydanticCustomError("repeated", "each once", {})
    return values


Word = Annotated[str, Field(min_length=1, max_length=80)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_as_tuple), Field(min_length=1), AfterValidator(_distinct)]
ExpressionText = Annotated[str, AfterValidator(_is_expression)]
Count = Annotated[int, Field(ge=1, le=MOST_CK)]
CkOrNone = Annotated[int, Field(ge=0, le=MOST_CK)]


class Standard(Section):
    """Section [standard]: what holds for all presets of the table."""

    name: Word = Field(description="word; name of the standard")
    description: str = Field(description="text; what it is")
    levels: Words = Field(description="words; from the root down to Bank")
    prefetch: Count = Field(description="columns; of the organisation that one RD or WR moves")
    ticks_per_ck: Literal[1, 2] = Field(description="ticks; of one command clock, 2 where commands take half clocks")
    half_clock_edges: bool = Field(description="true or false; columns only on odd ticks, pairing of row commands")
    read_latency: ExpressionText = Field(description="expression; RD to the last data, CK")
    organisation: Word = Field(description="word; organisation if none is asked for")
    timing: Word = Field(description="word; timing if none is asked for")


class CommandRow(Section):
    """An entry of [[command]]."""

    name: Word = Field(description="word; JEDEC spelling")
    bus: Bus = Field(description="word; command bus")
    ticks: Count = Field(description="ticks; that it occupies on its bus")
    level: Word = Field(description="word; level that it addresses")
    effect: Effect = Field(description="word; what it does to the rows it addresses")
    source: Word = Field(description="word; key of [source]")


class Step(Section):
    """One step of a rule by density: `ns` up to and including `upto`."""

    ns: Ns = Field(description="ns; the timing of this step")
    upto: Count | None = Field(default=None, description="size; the largest of this step, none = all larger ones")


class Rule(Section):
    """A timing that a speed bin does not give: exactly one of `ns`, `steps`, `same_as`.

    Values in nanoseconds are rounded up to command clocks, after `shared_by` divided them.
    """

    ns: Ns | None = Field(default=None, description="ns; the timing")
    steps: Annotated[tuple[Step, ...], BeforeValidator(_as_tuple)] = Field(
        default=(), description="list; the timing by the size `by` divided by `per`"
    )
    same_as: str = Field(default="", description="word; the timing it equals")
    by: ExpressionText = Field(default="0", description="expression; a size made of keys of the organisation")
    per: ExpressionText = Field(default="1", description="expression; what divides `by`")
    shared_by: ExpressionText = Field(default="1", description="expression; what divides the nanoseconds")
    least_ck: CkOrNone = Field(default=0, description="CK; least value")
    source: Word = Field(description="word; key of [source]")


class ConstraintRow(Section):
    """An entry of [[constraint]]."""

    level: Word = Field(description="word; both commands address one node of it")
    after: Words = Field(description="words; preceding commands")
    before: Words = Field(description="words; following commands")
    latency: ExpressionText = Field(description="expression; CK between the last ticks of both commands")
    window: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="commands; how far back counts")
    sibling: bool = Field(default=False, description="true or false; between different children of one parent")
    beyond_peer: bool = Field(default=False, description="true or false; Ramulator 2.1 does not have it")
    source: Word = Field(description="word; key of [source]")


class Numbers(Section):
    """[organisation.NAME] or [timing.NAME]: integers by name, with the key of their source."""

    model_config = Section.model_config | {"extra": "allow"}
    __pydantic_extra__: dict[str, CkOrNone] = Field(init=False)

    source: Word = Field(description="word; key of [source]")

    @property
    def values(self) -> dict[str, int]:
        """A copy of the numbers by name."""
        return dict(self.__pydantic_extra__)


class EnergyRow(Section):
    """Section [energy]: what a command of the default organisation takes."""

    ACT_pJ: Sourced[Picojoules] = Field(description="pJ; an ACT and the PRE that ends it")
    RD_pJ: Sourced[Picojoules] = Field(description="pJ; one column read, data at the interface")
    WR_pJ: Sourced[Picojoules] = Field(description="pJ; one column write")
    REF_pJ: Sourced[Picojoules] = Field(description="pJ; a refresh, for each bank it refreshes")


class Table(Section):
    """A whole protocol table."""

    standard: Standard
    source: dict[Word, Annotated[str, Field(min_length=1)]]
    command: Annotated[tuple[CommandRow, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    organisation: dict[Word, Numbers] = Field(min_length=1)
    timing: dict[Word, Numbers] = Field(min_length=1)
    rule: dict[Word, Rule] = Field(default_factory=dict)
    energy: EnergyRow
    constraint: Annotated[tuple[ConstraintRow, ...], BeforeValidator(_as_tuple)]
