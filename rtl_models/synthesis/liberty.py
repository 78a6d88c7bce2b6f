"""Liberty files: area, leakage, pins, timing and power tables of the cells of a library.

Read lazily: files are cut into cells, and a cell is taken apart when it is asked for.  Everything is converted to ps,
fF, fJ, nW and um2, whatever the units of the files.

Source of the format: Liberty Reference Manual, 2007 and later (groups, attributes, lookup table templates).
"""

from __future__ import annotations

import gzip
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

_TOKEN = re.compile(r'"[^"]*"|[{}();:,]|[^\s{}();:,"]+')
_CELL = re.compile(r"^[ \t]*cell[ \t]*\(", re.MULTILINE)
_REMARK = re.compile(r"/\*.*?\*/", re.DOTALL)
_OPEN_END = re.compile(r"^([ \t]*\w+[ \t]*:[^;{}\n]+)$", re.MULTILINE)  # an attribute that a line end closes
_SIZES = {"f": 1.0, "p": 1e3, "n": 1e6, "u": 1e9, "m": 1e12}


@dataclass
class Group:
    """A group of a Liberty file: ``kind (names) { attributes, groups }``."""

    kind: str
    names: tuple[str, ...]
    simple: dict[str, str] = field(default_factory=dict)
    complex: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Group]:
        """Return the groups of one kind, in order."""
        return [group for group in self.groups if group.kind == kind]

    def first(self, kind: str) -> Group | None:
        """Return the first group of a kind, None if there is none."""
        return next(iter(self.of_kind(kind)), None)


def parse_group(text: str) -> Group:
    """Return the first group in a piece of a Liberty file.

    Raises
    ------
    ValueError
        If the text ends within the group.
    """
    tokens = _TOKEN.findall(_OPEN_END.sub(r"\1;", _REMARK.sub("", text).replace("\\\n", " ")))
    group, _ = _statement(tokens, 0)
    if not isinstance(group, Group):
        raise ValueError(f"no group: {text[:60]!r}")  # noqa: TRY004 - the text is wrong, not its type
    return group


def _statement(tokens: Sequence[str], at: int) -> tuple[Group | tuple[str, tuple[str, ...]], int]:
    """Read one group or attribute; return it and where it ends."""
    name = tokens[at]
    if tokens[at + 1] == ":":
        end = at + 2
        while tokens[end] not in {";", "}"}:
            end += 1
        words = tuple(token.strip('"') for token in tokens[at + 2 : end])
        return (name, (" ".join(words),)), end + (tokens[end] == ";")
    close = tokens.index(")", at)
    names = tuple(word.strip('"') for word in tokens[at + 2 : close] if word != ",")
    if close + 1 < len(tokens) and tokens[close + 1] == "{":
        return _body(tokens, close + 2, Group(name, names))
    return (name, names), close + 1 + (close + 1 < len(tokens) and tokens[close + 1] == ";")


def _body(tokens: Sequence[str], at: int, group: Group) -> tuple[Group, int]:
    while at < len(tokens):
        if tokens[at] == "}":
            return group, at + 1
        if tokens[at] == ";":
            at += 1
            continue
        simple = tokens[at + 1] == ":"
        found, at = _statement(tokens, at)
        if isinstance(found, Group):
            group.groups.append(found)
        elif simple:
            group.simple[found[0]] = found[1][0]
        else:
            group.complex[found[0]] = found[1]
    raise ValueError(f"group {group.kind} ({', '.join(group.names)}) is not closed")


@dataclass(frozen=True)
class Table:
    """A lookup table of one or two variables; linear between its points and beyond its ends.

    Parameters
    ----------
    axes : tuple of (str, tuple of float)
        Variable and its points, for each dimension.
    values : tuple of float
        Row by row.
    """

    axes: tuple[tuple[str, tuple[float, ...]], ...]
    values: tuple[float, ...]

    def at(self, place: Mapping[str, float]) -> float:
        """Return the value where the variables have those values."""
        if not self.axes:
            return self.values[0]
        low, share = _locate(self.axes[0][1], place[self.axes[0][0]])
        if len(self.axes) == 1:
            return self._mix(low, share, self.values)
        width = len(self.axes[1][1])
        column, part = _locate(self.axes[1][1], place[self.axes[1][0]])
        rows = [self.values[row * width : (row + 1) * width] for row in (low, min(low + 1, len(self.axes[0][1]) - 1))]
        ends = [self._mix(column, part, row) for row in rows]
        return ends[0] + share * (ends[1] - ends[0])

    @staticmethod
    def _mix(low: int, share: float, row: Sequence[float]) -> float:
        return row[low] + share * (row[min(low + 1, len(row) - 1)] - row[low])


def _locate(points: Sequence[float], value: float) -> tuple[int, float]:
    """Return the point below, and the share of the step to the next one (outside 0 ... 1 beyond the ends)."""
    if len(points) == 1:
        return 0, 0.0
    low = min(max(bisect_right(points, value) - 1, 0), len(points) - 2)
    return low, (value - points[low]) / (points[low + 1] - points[low])


@dataclass(frozen=True)
class Arc:
    """Timing from one pin to another, or a constraint."""

    related: str
    sense: str  # positive_unate, negative_unate, non_unate
    kind: str  # timing_type: combinational, rising_edge, setup_rising ...
    tables: Mapping[str, Table]  # cell_rise, cell_fall, rise_transition, fall_transition, rise_constraint ...; ps


@dataclass(frozen=True)
class Power:
    """Energy inside a cell when a pin changes."""

    related: str  # pin whose change caused it, "" = passive: the output does not change
    when: str  # state of the other pins, "" = any
    tables: Mapping[str, Table]  # rise_power, fall_power; fJ


@dataclass(frozen=True)
class Pin:
    """A pin of a cell."""

    name: str
    is_output: bool
    is_clock: bool
    capacitance: float  # fF
    function: str  # of an output; "" = none
    arcs: tuple[Arc, ...]
    powers: tuple[Power, ...]


@dataclass(frozen=True)
class Cell:
    """A cell of a library."""

    name: str
    area: float  # um2
    leakage: float  # nW, mean over its states as the library gives it
    pins: Mapping[str, Pin]
    next_state: str  # of a flip-flop; "" = combinational
    state: str  # name of the state variable in functions of the outputs
    inverse: str  # name of its inverse
    clocked_on: str

    @property
    def is_flop(self) -> bool:
        """Whether it is a flip-flop."""
        return bool(self.next_state)


_VARIABLES = {
    "input_net_transition": "slew",
    "input_transition_time": "slew",
    "total_output_net_capacitance": "load",
    "constrained_pin_transition": "data_slew",
    "related_pin_transition": "clock_slew",
}


class Library:
    """The cells of one or several Liberty files of one library.

    Parameters
    ----------
    paths : iterable of Path
        Plain or gzipped files.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = tuple(paths)
        self._cells: dict[str, Cell] = {}
        self._text: dict[str, tuple[str, Group]] = {}
        self.headers: list[Group] = []
        for path in self.paths:
            self._cut(path)

    def _cut(self, path: Path) -> None:
        """Cut a file into its header and its cells."""
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
        starts = [found.start() for found in _CELL.finditer(text)]
        header = parse_group(text[: starts[0]] + "}")
        self.headers.append(header)
        for begin, end in zip(starts, [*starts[1:], len(text)], strict=True):
            name = text[text.index("(", begin) + 1 : text.index(")", begin)].strip(' "')
            self._text[name] = (text[begin:end], header)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the libraries in the files."""
        return tuple(header.names[0] for header in self.headers)

    @cached_property
    def corner(self) -> str:
        """Process, voltage and temperature in words."""
        simple = self.headers[0].simple
        volts, degrees = float(simple["nom_voltage"]), float(simple["nom_temperature"])
        return f"{volts:g} V, {degrees:g} C"

    @property
    def volts(self) -> float:
        """Nominal supply voltage."""
        return float(self.headers[0].simple["nom_voltage"])

    def __contains__(self, name: str) -> bool:
        return name in self._text

    def cell(self, name: str) -> Cell:
        """Return a cell.

        Raises
        ------
        KeyError
            If the library has no such cell.
        """
        if name not in self._cells:
            text, header = self._text[name]
            self._cells[name] = _Reader(header).cell(parse_group(text))
        return self._cells[name]


class _Reader:
    """Makes cells of groups, in our units."""

    def __init__(self, header: Group) -> None:
        self.templates = {g.names[0]: g for g in header.groups if g.kind in {"lu_table_template", "power_lut_template"}}
        simple, load = header.simple, header.complex["capacitive_load_unit"]
        self.ps = _number_of(simple["time_unit"], "s") * 1e-3
        self.fF = float(load[0]) * {"ff": 1.0, "pf": 1e3}[load[1].lower()]
        self.nW = _number_of(simple["leakage_power_unit"], "w") * 1e-6
        self.fJ = self.fF * (_number_of(simple["voltage_unit"], "v") * 1e-15) ** 2  # unit of energy: load x volt^2

    def cell(self, group: Group) -> Cell:
        """Return the cell of a group."""
        flop = group.first("ff")
        return Cell(
            name=group.names[0],
            area=float(group.simple["area"]),
            leakage=self._leakage(group),
            pins={pin.names[0]: self._pin(pin) for pin in group.of_kind("pin")},
            next_state=flop.simple["next_state"] if flop else "",
            state=flop.names[0] if flop else "",
            inverse=flop.names[1] if flop else "",
            clocked_on=flop.simple["clocked_on"] if flop else "",
        )

    def _leakage(self, group: Group) -> float:
        """Return the leakage: ``cell_leakage_power``, or the sum over the supplies of the value without a state."""
        if "cell_leakage_power" in group.simple:
            return float(group.simple["cell_leakage_power"]) * self.nW
        free = [g for g in group.of_kind("leakage_power") if "when" not in g.simple]
        return sum(float(g.simple["value"]) for g in free) * self.nW

    def _pin(self, group: Group) -> Pin:
        simple = group.simple
        return Pin(
            name=group.names[0],
            is_output=simple["direction"] == "output",
            is_clock=simple.get("clock") == "true",
            capacitance=float(simple.get("capacitance", "0")) * self.fF,
            function=simple.get("function", ""),
            arcs=tuple(
                Arc(
                    g.simple.get("related_pin", ""),
                    g.simple.get("timing_sense", "non_unate"),
                    g.simple.get("timing_type", "combinational"),
                    {t.kind: self._table(t, self.ps) for t in g.groups},
                )
                for g in group.of_kind("timing")
            ),
            powers=tuple(
                Power(
                    g.simple.get("related_pin", ""),
                    g.simple.get("when", ""),
                    {t.kind: self._table(t, self.fJ) for t in g.groups},
                )
                for g in group.of_kind("internal_power")
            ),
        )

    def _table(self, group: Group, unit: float) -> Table:
        values = tuple(float(v) * unit for row in group.complex["values"] for v in row.replace(",", " ").split())
        template = self.templates.get(group.names[0]) if group.names else None
        if template is None:
            return Table((), values)
        axes = []
        for number in (1, 2):
            if f"variable_{number}" not in template.simple:
                break
            variable = _VARIABLES.get(template.simple[f"variable_{number}"], "other")
            points = group.complex.get(f"index_{number}") or template.complex[f"index_{number}"]
            scale = self.fF if variable == "load" else self.ps
            axes.append((variable, tuple(float(v) * scale for v in points[0].replace(",", " ").split())))
        return Table(tuple(axes), values)


def _number_of(text: str, unit: str) -> float:
    """Return "1ps" in units of 1e-15: 1000."""
    found = re.fullmatch(r"([0-9.]+)([fpnum]?)" + unit, text.strip().lower())
    if not found:
        raise ValueError(f"unit {text!r}")
    return float(found[1]) * _SIZES.get(found[2], 1e15)


def verilog_of(function: str) -> str:
    """Return a Liberty function in Verilog: ``(A B)+C'`` becomes ``((A & B) | ~C)``.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    tokens = re.findall(r"[A-Za-z_][\w\[\]]*|[01()!'*&+|^]", function)
    text, rest = _or(tokens)
    if rest:
        raise ValueError(f"function {function!r}: cannot read {' '.join(rest)}")
    return text


def _or(tokens: list[str]) -> tuple[str, list[str]]:
    text, tokens = _xor(tokens)
    while tokens and tokens[0] in "+|":
        right, tokens = _xor(tokens[1:])
        text = f"({text} | {right})"
    return text, tokens


def _xor(tokens: list[str]) -> tuple[str, list[str]]:
    text, tokens = _and(tokens)
    while tokens and tokens[0] == "^":
        right, tokens = _and(tokens[1:])
        text = f"({text} ^ {right})"
    return text, tokens


def _and(tokens: list[str]) -> tuple[str, list[str]]:
    text, tokens = _factor(tokens)
    while tokens and tokens[0] not in "+|^)":
        right, tokens = _factor(tokens[1:] if tokens[0] in "*&" else tokens)
        text = f"({text} & {right})"
    return text, tokens


def _factor(tokens: list[str]) -> tuple[str, list[str]]:
    if not tokens:
        raise ValueError("a function ends too early")
    if tokens[0] == "!":
        text, tokens = _factor(tokens[1:])
        return f"~{text}", tokens
    if tokens[0] == "(":
        text, tokens = _or(tokens[1:])
        tokens = tokens[1:]
    else:
        text, tokens = {"0": "1'b0", "1": "1'b1"}.get(tokens[0], tokens[0]), tokens[1:]
    while tokens and tokens[0] == "'":
        text, tokens = f"~{text}", tokens[1:]
    return text, tokens
