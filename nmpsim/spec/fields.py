"""What sections of a chip file are made of: closed tables, numbers with an origin, and the ranges of numbers."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

T = TypeVar("T")

SHORTEST_NS = 0.001
"""Shortest time that a chip file may give; ns."""


def _none_or_long_enough(ns: float) -> float:
    if 0 < ns < SHORTEST_NS:
        raise PydanticCustomError("too_brief", "0 or at least {least}", {"least": SHORTEST_NS})
    return ns


def _none_or_large_enough(celsius: float) -> float:
    if 0 < celsius < 1:
        raise PydanticCustomError("too_brief", "0 or at least {least}", {"least": 1})
    return celsius


Count = Annotated[int, Field(ge=1, le=10**6)]
CountOrNone = Annotated[int, Field(ge=0, le=10**6)]
Rows = Annotated[int, Field(ge=1, le=2**31)]
Bytes = Annotated[int, Field(ge=1, le=2**40)]
Ghz = Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)]
Ns = Annotated[float, Field(ge=SHORTEST_NS, le=1e9, allow_inf_nan=False)]
NsOrNone = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False), AfterValidator(_none_or_long_enough)]
Celsius = Annotated[float, Field(ge=-273.15, le=1000, allow_inf_nan=False)]
CelsiusStep = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False), AfterValidator(_none_or_large_enough)]
NsPerTier = Annotated[tuple[Ns, ...], Field(strict=False, min_length=1)]
Picojoules = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Millimetres = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Delay = Annotated[int, Field(ge=0, le=1024)]
Stage = Annotated[int, Field(ge=1, le=1024)]
Sets = Annotated[int, Field(ge=1, le=2)]


class Section(BaseModel):
    """A table of the file: closed, strict, unchangeable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Sourced(Section, Generic[T]):
    """A number, or a list of numbers, with its origin.

    Parameters
    ----------
    value : T
        The number.
    assumed : bool
        True for a figure that no source gives; then `why` says why this one.
    why : str
        Reason of an assumed figure.
    source : str
        Paper and table of a published figure.
    """

    value: T
    assumed: bool = False
    why: str = ""
    source: Annotated[str, Field(validate_default=True)] = ""

    @field_validator("source", mode="after")
    @classmethod
    def _exactly_one_origin(cls, source: str, info: ValidationInfo) -> str:
        if not {"assumed", "why"} <= info.data.keys():
            return source  # their own faults are reported already
        published = bool(source.strip())
        assumed, reasoned = info.data["assumed"], bool(info.data["why"].strip())
        if (published and not assumed and not reasoned) or (assumed and reasoned and not published):
            return source
        got = [
            text
            for text, present in (
                ("a source", published),
                ("assumed = true", assumed),
                ("a reason (why)", reasoned),
            )
            if present
        ]
        raise PydanticCustomError("origin", "{got}", {"got": " and ".join(got) or "no origin"})

    @property
    def origin(self) -> str:
        """The origin in one line."""
        return f"assumed: {self.why}" if self.assumed else f"source: {self.source}"
