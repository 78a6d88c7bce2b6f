"""What a protocol table must hold beyond its schema: words that name something, presets that are complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nmpsim.errors import Fault
from nmpsim.spec.faults import nearest
from nmpsim.spec.standard.expression import parse
from nmpsim.spec.standard.table import MOST_CK, Table

SHAPE_KEYS = ("channel_width", "row", "column")
"""Keys of every organisation besides the levels below the root."""

BIN_KEYS = ("rate", "tCK_ps")
"""Keys of every speed bin that are no number of command clocks."""

NEEDED_TIMINGS = ("nBL", "nCL", "nCWL", "nREFI")
"""Timings that controllers and reports read by name."""


def shape_keys(table: Table) -> tuple[str, ...]:
    """Return the keys that an organisation must have; a level below the root counts by its name in lower case."""
    return (*(level.lower() for level in table.standard.levels[1:]), *SHAPE_KEYS)


def timing_names(table: Table) -> set[str]:
    """Return every timing that a speed bin or a rule may give, without `BIN_KEYS`."""
    given = {key for numbers in table.timing.values() for key in numbers.values}
    return (given | set(table.rule)) - set(BIN_KEYS)


def table_faults(table: Table, file: str) -> list[Fault]:
    """Return every rule between entries that a table breaks.

    Parameters
    ----------
    table : Table
        A table that its schema accepts.
    file : str
        Its name, for messages.
    """
    checks = (_levels, _commands, _sources, _defaults, _organisations, _timings, _rules, _constraints)
    return [
        Fault(f"{file}: {fault.where}", fault.got, fault.allowed, fault.todo)
        for check in checks
        for fault in check(table)
    ]


def _one_of(where: str, word: str, known: Iterable[str]) -> Iterator[Fault]:
    """Yield a fault if a word is none of those known."""
    names = list(known)
    if word not in names:
        close = nearest(word, names)
        yield Fault(where, repr(word), ", ".join(names), f"did you mean {close}?" if close else "use one of these")


def _levels(table: Table) -> Iterator[Fault]:
    levels = table.standard.levels
    if levels[-1] != "Bank" or len(levels) < 2:
        allowed = "a root, any levels, and Bank as the last"
        yield Fault("standard.levels", ", ".join(levels), allowed, "name a root such as Channel, and end with Bank")
    clash = [level for level in levels if level.lower() in SHAPE_KEYS]
    if clash:
        yield Fault("standard.levels", ", ".join(clash), "other words", "rows and columns are no levels: remove them")


def _commands(table: Table) -> Iterator[Fault]:
    names = [command.name for command in table.command]
    for needed in sorted({"ACT", "RD", "WR"} - set(names)):
        yield Fault("command", f"no {needed}", "ACT, RD and WR at least", f"add {needed}")
    for number, command in enumerate(table.command):
        where = f"command[{number}]"
        yield from _one_of(f"{where}.level", command.level, table.standard.levels)
        if command.name in names[:number]:
            yield Fault(f"{where}.name", repr(command.name), "each name once", "remove one of the two")


def _sources(table: Table) -> Iterator[Fault]:
    rows = {f"command[{i}]": row.source for i, row in enumerate(table.command)}
    rows |= {f"constraint[{i}]": row.source for i, row in enumerate(table.constraint)}
    rows |= {f"rule.{name}": rule.source for name, rule in table.rule.items()}
    rows |= {f"organisation.{name}": preset.source for name, preset in table.organisation.items()}
    rows |= {f"timing.{name}": preset.source for name, preset in table.timing.items()}
    for where, word in rows.items():
        yield from _one_of(f"{where}.source", word, table.source)


def _defaults(table: Table) -> Iterator[Fault]:
    yield from _one_of("standard.organisation", table.standard.organisation, table.organisation)
    yield from _one_of("standard.timing", table.standard.timing, table.timing)


def _organisations(table: Table) -> Iterator[Fault]:
    known = {key for preset in table.organisation.values() for key in preset.values}
    needed = dict.fromkeys((*shape_keys(table), *sorted(_sizes_read(table) & known)))
    for name, preset in table.organisation.items():
        for key in needed:
            if key not in preset.values:
                yield Fault(f"organisation.{name}", f"no {key}", ", ".join(needed), f"add {key}")


def _sizes_read(table: Table) -> set[str]:
    """Return the keys of an organisation that rules read."""
    return {
        name
        for rule in table.rule.values()
        for text in (rule.by, rule.per, rule.shared_by)
        for name in parse(text).names
    }


def _timings(table: Table) -> Iterator[Fault]:
    names = timing_names(table)
    used = {name for row in table.constraint for name in parse(row.latency).names}
    used |= {*parse(table.standard.read_latency).names, *(rule.same_as for rule in table.rule.values() if rule.same_as)}
    used = (used & names) | set(NEEDED_TIMINGS)
    for name, preset in table.timing.items():
        given = {*preset.values, *table.rule}
        for key in sorted((used | set(BIN_KEYS)) - given):
            yield Fault(f"timing.{name}", f"no {key}", "a value, or a rule for it", f"add {key} or [rule.{key}]")
        if preset.values.get("tCK_ps", MOST_CK) < table.standard.ticks_per_ck:
            least = f"at least {table.standard.ticks_per_ck}"
            yield Fault(f"timing.{name}.tCK_ps", str(preset.values["tCK_ps"]), least, "a tick has whole picoseconds")


def _rules(table: Table) -> Iterator[Fault]:
    names = timing_names(table)
    keys = {key for preset in table.organisation.values() for key in preset.values}
    for name, rule in table.rule.items():
        where = f"rule.{name}"
        ways = [way for way in ("ns", "steps", "same_as") if getattr(rule, way)]
        if len(ways) != 1:
            yield Fault(where, " and ".join(ways) or "nothing", "exactly one of ns, steps, same_as", "keep one")
        if rule.same_as:
            direct = names - {other for other, entry in table.rule.items() if entry.same_as}
            yield from _one_of(f"{where}.same_as", rule.same_as, sorted(direct))
        for key in ("by", "per", "shared_by"):
            for word in parse(getattr(rule, key)).names:
                yield from _one_of(f"{where}.{key}", word, sorted(keys))
        sizes = [step.upto for step in rule.steps]
        bounded = [size for size in sizes if size is not None]
        if bounded != sorted(set(bounded)) or None in sizes[:-1]:
            yield Fault(f"{where}.steps", str(sizes), "growing sizes; only the last may be open", "reorder the steps")


def _constraints(table: Table) -> Iterator[Fault]:
    commands = [command.name for command in table.command]
    names = timing_names(table)
    for number, row in enumerate(table.constraint):
        where = f"constraint[{number}]"
        yield from _one_of(f"{where}.level", row.level, table.standard.levels)
        for key, words in (("after", row.after), ("before", row.before)):
            for word in words:
                yield from _one_of(f"{where}.{key}", word, commands)
        for word in parse(row.latency).names:
            yield from _one_of(f"{where}.latency", word, sorted(names))
    for word in parse(table.standard.read_latency).names:
        yield from _one_of("standard.read_latency", word, sorted(names))
