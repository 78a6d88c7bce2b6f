"""Options of the DRAM commands, and from their text to a memory and a controller with every fault at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmpsim.cli.options import Numbers
from nmpsim.errors import Fault, SpecError

if TYPE_CHECKING:
    from nmpsim.dram.reference import ControllerSettings
    from nmpsim.dram.trace.requests import RequestTrace
    from nmpsim.dram.trace.run import TraceRun

LARGEST = 2**31
"""Largest number that an option takes."""

PresetOption = Annotated[
    str, typer.Option("--preset", metavar="NAME|PATH", help="Standard, native preset, or a protocol table (.toml).")
]
ControllerOption = Annotated[
    str | None,
    typer.Option("--controller", metavar="reference|native", help="By default the one that the preset is for."),
]
OrganisationOption = Annotated[
    str | None, typer.Option("--organisation", metavar="NAME", help="Device of a standard; its own default.")
]
TimingOption = Annotated[
    str | None, typer.Option("--timing", metavar="NAME", help="Speed bin of a standard; its own default.")
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option("--override", metavar="KEY=N", help="Another size or timing (in command clocks) of a standard."),
]
SchedulerOption = Annotated[
    str | None, typer.Option("--scheduler", metavar="FRFCFS|FRFCFS-RowHit", help="Reference; FRFCFS by default.")
]
RefreshOption = Annotated[
    str | None,
    typer.Option(
        "--refresh", metavar="NoRefresh|AllBank|PerBank|HBM34PerBankRefresh", help="Reference; AllBank by default."
    ),
]
PolicyOption = Annotated[
    str | None, typer.Option("--row-policy", metavar="Open|ClosedCAP", help="Reference; Open by default.")
]
CapOption = Annotated[
    str | None, typer.Option("--cap", metavar="N", help="Column commands until ClosedCAP closes a row; 4 by default.")
]
ReadQueueOption = Annotated[
    str | None, typer.Option("--read-queue", metavar="N", help="Reference; entries, 32 by default.")
]
WriteQueueOption = Annotated[
    str | None, typer.Option("--write-queue", metavar="N", help="Reference; entries, 32 by default.")
]
LimitOption = Annotated[
    str | None, typer.Option("--limit-ticks", metavar="N", help="Reference; ticks after which to give up.")
]
InjectOption = Annotated[
    str | None,
    typer.Option(
        "--max-inject",
        metavar="N",
        help="Requests accepted per tick (native: per channel) at most; 2, or 1 for traces without times.",
    ),
]
RunColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--run-columns",
        metavar="N",
        help="Native; adjacent requests for columns of one row that become one row access, at most.",
    ),
]
PlainOption = Annotated[bool, typer.Option("--plain", help="Visit every tick instead of skipping; same results.")]

_OVERRIDE = re.compile(r"(\w+)=([0-9]{1,18})")
_NUMBERS = {"--cap": "row_policy_cap", "--read-queue": "read_queue", "--write-queue": "write_queue"}
_WORDS = {"--scheduler": "scheduler", "--refresh": "refresh", "--row-policy": "row_policy"}
_LIMIT = "--limit-ticks"


class ControllerChoice:
    """A memory and its controller as the options of a command ask for them.

    Parameters
    ----------
    preset : str
        Value of ``--preset``.
    reference : dict of str to str or None
        Options of the reference controller and what was given; None = not given.
    max_inject, run_columns : str or None
        Options of the driver.
    override : list of str or None
        ``KEY=N`` each.
    organisation, timing, controller : str or None
        Options of these names.
    peer_exact : bool
        Leave out the rules that Ramulator 2.1 does not have.

    Raises
    ------
    NmpsimError
        With every fault of the options.
    """

    def __init__(
        self,
        preset: str,
        *,
        reference: dict[str, str | None],
        max_inject: str | None,
        run_columns: str | None,
        override: list[str] | None = None,
        organisation: str | None = None,
        timing: str | None = None,
        controller: str | None = None,
        peer_exact: bool = True,
    ) -> None:
        from nmpsim.dram.trace.memory import open_memory

        self._numbers = Numbers()
        given = {option: text for option, text in reference.items() if text is not None}
        numbers = {option: self._number(option, text) for option, text in given.items() if option not in _WORDS}
        self._max_inject = None if max_inject is None else self._number("--max-inject", max_inject)
        self._run_columns = None if run_columns is None else self._number("--run-columns", run_columns)
        overrides = self._overrides(override or [])
        try:
            self.memory = open_memory(preset, organisation, timing, overrides, controller, peer_exact=peer_exact)
        except SpecError as error:
            self._numbers.faults += error.faults
        self._numbers.refuse()
        self.limit = numbers.pop(_LIMIT, None)
        self.settings: ControllerSettings | None = None
        if self.memory.machine is not None:
            self._refuse_others(given, "native preset")
        else:
            if self._run_columns is not None:
                self._refuse_others({"--run-columns": str(self._run_columns)}, "standard")
            words = {_WORDS[option]: text for option, text in given.items() if option in _WORDS}
            self.settings = self._settings(words, {_NUMBERS[option]: number for option, number in numbers.items()})
        self._numbers.refuse()

    def _number(self, option: str, text: str) -> int:
        return self._numbers.read(option, text, 1, LARGEST, "give another number")

    def _overrides(self, texts: list[str]) -> dict[str, int]:
        """Return the new values by key."""
        found = {}
        for text in texts:
            match = _OVERRIDE.fullmatch(text)
            if match:
                found[match[1]] = int(match[2])
            else:
                fault = Fault("--override", repr(text[:60]), "KEY=N with an integer N", "write it as nRCDRD=20")
                self._numbers.faults.append(fault)
        return found

    def _refuse_others(self, given: dict[str, str], kind: str) -> None:
        """Note options that the controller of the memory does not have."""
        where = f"nothing for the {kind} {self.memory.preset}"
        self._numbers.faults += [
            Fault(option, repr(text), where, f"leave out {option}") for option, text in given.items()
        ]

    def _settings(self, words: dict[str, str], numbers: dict[str, int]) -> ControllerSettings | None:
        """Return the settings of the reference controller, None if one is wrong."""
        from nmpsim.dram.reference import ControllerSettings
        from nmpsim.dram.reference.build import build

        if "row_policy_cap" in numbers and words.get("row_policy") != "ClosedCAP":
            allowed, got = "with --row-policy ClosedCAP only", str(numbers["row_policy_cap"])
            self._numbers.faults.append(Fault("--cap", got, allowed, "leave out --cap, or choose that policy"))
        chosen: dict[str, Any] = {"model": "HBM34" if self.memory.protocol.half_clock_edges else "HBM12"}
        chosen |= words | numbers
        settings = ControllerSettings(**chosen)
        try:
            build(self.memory.protocol, settings)
        except SpecError as error:
            self._numbers.faults += error.faults
            return None
        return settings

    def max_inject(self, *, is_timed: bool) -> int:
        """Return how many requests are accepted per tick; without times it is one, as Ramulator's front ends do.

        Parameters
        ----------
        is_timed : bool
            Whether the trace has times.
        """
        return self._max_inject or (2 if is_timed else 1)

    def run_columns(self, default: int = 1) -> int:
        """Return how many columns of a row adjacent requests may join to.

        Parameters
        ----------
        default : int
            If nothing was asked for.
        """
        return self._run_columns or default

    def run(
        self, trace: RequestTrace, *, max_inject: int, run_columns: int = 1, plain: bool = False, log: bool = True
    ) -> TraceRun:
        """Run a trace through the controller of the memory.

        Parameters
        ----------
        trace : RequestTrace
        max_inject, run_columns : int
            Of the driver.
        plain : bool
            Visit every tick.
        log : bool
            Keep the commands.
        """
        from nmpsim.dram.trace.run import run_native, run_reference

        if self.settings is None:
            options: dict[str, Any] = {"max_inject": max_inject, "run_columns": run_columns, "log": log}
            return run_native(self.memory, trace, plain=plain, **options)
        return run_reference(
            self.memory, self.settings, trace, plain=plain, max_inject=max_inject, limit=self.limit, log=log
        )

    def config(
        self, trace: RequestTrace, run: TraceRun, mapper: str, source: str, *, max_inject: int, run_columns: int
    ) -> dict[str, Any]:
        """Return the configuration of a run.

        Parameters
        ----------
        trace : RequestTrace
        run : TraceRun
        mapper, source : str
            Address mapper, and name of the trace.
        max_inject, run_columns : int
            Of the driver.
        """
        from nmpsim.dram.trace.config import native_config, reference_config
        from nmpsim.dram.trace.run import DRAIN

        told: dict[str, Any] = {"max_inject": max_inject, "source": source, "trace": trace, "run": run}
        if self.settings is None:
            return native_config(self.memory, mapper, run_columns=run_columns, **told)
        return reference_config(self.memory, self.settings, mapper, drain=DRAIN, **told)
