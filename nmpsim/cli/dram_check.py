"""``nmpsim dram check``: a command trace against every rule of its protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmpsim.cli.controller_options import ControllerChoice, OrganisationOption, OverrideOption, TimingOption
from nmpsim.cli.exits import exit_codes
from nmpsim.cli.options import Numbers
from nmpsim.errors import Fault, NmpsimError

if TYPE_CHECKING:
    from nmpsim.dram.check import Violation
    from nmpsim.dram.trace.memory import Memory
    from nmpsim.spec.protocol import Protocol

VIOLATED = 1
"""Exit code if a command trace breaks a rule."""


@dataclass(frozen=True)
class Rules:
    """What a trace is checked against.

    Parameters
    ----------
    protocol : Protocol
    memory : Memory or None
        For the die's own controllers.
    until : int
        Tick at which the trace ends; 0 = not known.
    refresh : str
        Refresh of the run.
    """

    protocol: Protocol
    memory: Memory | None
    until: int = 0
    refresh: str = "AllBank"

    def check(self, path: Path, refresh: str | None, delay: int | None) -> tuple[int, list[tuple[int, Violation]]]:
        """Return how many commands a file has, and every violation with its line.

        Parameters
        ----------
        path : Path
            Command trace.
        refresh : str or None
            Refreshes that must be there; None: those of the run.
        delay : int or None
            Ticks that they may be late; None: a standard's refreshes are not asked for.
        """
        from nmpsim.dram.trace.checking import check_die, check_standard, refresh_rule
        from nmpsim.dram.trace.commands import read_commands

        if self.memory is not None:
            if delay is not None:
                allowed, todo = "nothing for a native preset", "leave it out: refreshes of the die are always checked"
                raise NmpsimError("an option is wrong", [Fault("--refresh-delay", str(delay), allowed, todo)])
            trace = read_commands(path, self.protocol)
            return len(trace), check_die(trace, self.memory, path, until=self.until)
        rule = None if delay is None else refresh_rule(self.protocol, refresh or self.refresh, delay)
        trace = read_commands(path, self.protocol)
        return len(trace), check_standard(trace, self.protocol, refresh=rule, until=self.until)


def check_file(
    commands: Annotated[str, typer.Argument(metavar="COMMANDS", help="Command trace, plain or gzip.")],
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="NAME|PATH", help="Standard, native preset, or table (.toml).")
    ] = None,
    chip: Annotated[
        str | None, typer.Option("--chip", metavar="NAME|PATH", help="Chip, for the commands of a traced run.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="PATH", help="config.json of the run, instead of --preset.")
    ] = None,
    organisation: OrganisationOption = None,
    timing: TimingOption = None,
    override: OverrideOption = None,
    every_rule: Annotated[
        bool, typer.Option("--every-rule", help="Standards: also the rules that Ramulator 2.1 does not have.")
    ] = False,
    refresh: Annotated[
        str | None,
        typer.Option(
            "--refresh",
            metavar="AllBank|PerBank|HBM34PerBankRefresh",
            help="Standards, with --refresh-delay: the refreshes that must be there; by default those of the config.",
        ),
    ] = None,
    refresh_delay: Annotated[
        str | None, typer.Option("--refresh-delay", metavar="TICKS", help="Standards: how late a refresh may be.")
    ] = None,
    limit: Annotated[str, typer.Option("--limit", metavar="N", help="Violations to print.")] = "20",
) -> None:
    """Check a command trace against every rule of a protocol.

    The checker shares no code with the controllers.  Exit code 0 if no rule is broken, 1 if one is.
    """
    with exit_codes():
        numbers = Numbers()
        most = numbers.read("--limit", limit, 1, None, "give a number of violations")
        delay = None
        if refresh_delay is not None:
            delay = numbers.read("--refresh-delay", refresh_delay, 0, 2**31, "give a number of ticks")
        sources = [option for option in (preset, chip, config) if option is not None]
        if len(sources) != 1:
            got = "none" if not sources else f"{len(sources)} of them"
            numbers.faults.append(Fault("--preset, --chip, --config", got, "one of them", "say what the trace is of"))
        if refresh is not None and delay is None:
            fault = Fault("--refresh", repr(refresh), "with --refresh-delay only", "say how late a refresh may be")
            numbers.faults.append(fault)
        asked = {"--organisation": organisation, "--timing": timing, "--override": override}
        asked["--every-rule"] = "on" if every_rule else None
        if preset is None:
            numbers.faults += [
                Fault(option, str(text), "with --preset only", f"leave out {option}")
                for option, text in asked.items()
                if text
            ]
        numbers.refuse()
        if preset is not None:
            choice = ControllerChoice(
                preset,
                reference={},
                max_inject=None,
                run_columns=None,
                override=override,
                organisation=organisation,
                timing=timing,
                peer_exact=not every_rule,
            )
            memory = choice.memory
            rules = Rules(memory.protocol, None if memory.machine is None else memory)
        elif chip is not None:
            rules = _rules_of_chip(chip)
        else:
            rules = _rules_of(Path(str(config)))
        count, found = rules.check(Path(commands), refresh, delay)
        _print(commands, count, found, most)
    if found:
        raise typer.Exit(VIOLATED)


def _rules_of_chip(name: str) -> Rules:
    """Return the rules of the channels of a chip; how long the trace is, is not known."""
    from nmpsim.dram.trace.memory import Memory
    from nmpsim.spec import load_chip, resolve
    from nmpsim.spec.standard.native import machine_protocol

    params = resolve(load_chip(name))
    protocol = machine_protocol(params)
    return Rules(protocol, Memory(name, "", "", {}, protocol, params))


def _rules_of(path: Path) -> Rules:
    """Return the rules that a configuration stands for.

    Raises
    ------
    NmpsimError
        If it is none.
    """
    from nmpsim.conformance.case import SPELLINGS, protocol_of, read_config
    from nmpsim.dram.trace.config import NATIVE_FORMAT
    from nmpsim.dram.trace.memory import open_memory

    try:
        tree: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise NmpsimError("cannot read the configuration", [_wrong(path, got)]) from None
    if isinstance(tree, dict) and tree.get("format") == NATIVE_FORMAT:
        driver, preset = tree.get("driver"), tree.get("preset")
        ticks = driver.get("total_ticks") if isinstance(driver, dict) else None
        if not isinstance(ticks, int) or not isinstance(preset, str):
            raise NmpsimError("cannot read the configuration", [_wrong(path, "no preset or driver.total_ticks")])
        memory = open_memory(preset, controller="native")
        return Rules(memory.protocol, memory, ticks)
    config = read_config(path)
    refresh = SPELLINGS.get(config["controller"]["refresh"], config["controller"]["refresh"])
    return Rules(protocol_of(config), None, config["driver"]["total_ticks"], refresh)


def _wrong(path: Path, got: str) -> Fault:
    return Fault(str(path), got, "the config.json of a run", "give the file that the run wrote, or use --preset")


def _print(file: str, count: int, found: list[tuple[int, Violation]], most: int) -> None:
    """Print the violations, each with the line of its command."""
    for line, violation in found[:most]:
        where = f"{file}:{line}" if line else f"{file}: missing"
        typer.echo(f"{where}: {violation}")
    if len(found) > most:
        typer.echo(f"... {len(found) - most} more; raise --limit")
    rules = f"{len(found)} violation{'s' * (len(found) != 1)}"
    typer.echo(f"{file}: {count} commands, {rules if found else 'no rule broken'}")
