"""A memory to run traces against: a standard with the reference controller, or a native preset with the die's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from nmpsim.errors import Fault, SpecError
from nmpsim.spec.faults import nearest
from nmpsim.spec.params import MachineParams
from nmpsim.spec.protocol import Constraint, Protocol
from nmpsim.spec.standard import load_standard, preset_names, preset_protocol, standard_names
from nmpsim.spec.standard.native import PORT
from nmpsim.spec.standard.preset import preset_machine
from nmpsim.spec.standard.read import read_table

REFERENCE, NATIVE = "reference", "native"
CONTROLLERS = (REFERENCE, NATIVE)
DEFAULT_MAPPER = {REFERENCE: "RoBaRaCoCh", NATIVE: "RoBaChCo"}


@dataclass(frozen=True)
class Memory:
    """A memory with the controller that it has.

    Parameters
    ----------
    preset : str
        Name of the standard or native preset, or the path of a table.
    organisation, timing : str
        Device and speed bin of a standard; empty for a native preset.
    overrides : dict of str to int
        Values that were changed.
    protocol : Protocol
        What the controller obeys.
    machine : MachineParams or None
        Integers of a native preset.
    """

    preset: str
    organisation: str
    timing: str
    overrides: dict[str, int]
    protocol: Protocol
    machine: MachineParams | None = None

    @property
    def controller(self) -> str:
        """The controller it has: ``"reference"`` or ``"native"``."""
        return REFERENCE if self.machine is None else NATIVE

    @property
    def channels(self) -> int:
        """Channels of the memory: one of a standard, all of a native die."""
        return self._nodes("Channel") if "Channel" in self.protocol.levels else 1

    @property
    def peak_bytes_per_tick(self) -> Fraction:
        """Bytes per tick if columns follow one another as closely as every rule of the table allows.

        The rules between two reads, each with as many nodes as its level has; row turnarounds and refresh are left out.
        """
        protocol = self.protocol
        rates = [Fraction(self._nodes("Bank"))]
        rates += [
            Fraction(self._nodes(rule.level) * rule.window, min(rule.latency))
            for rule in protocol.constraints
            if "RD" in rule.preceding and "RD" in rule.following and not rule.sibling and min(rule.latency) > 0
        ]
        if self.machine is None:
            rates.append(Fraction(1, protocol.command("RD").ticks))
        return min(rates) * protocol.transaction_bytes

    def _nodes(self, level: str) -> int:
        """Return how many nodes a level has, ports too."""
        protocol = self.protocol
        if level == PORT:
            assert self.machine is not None
            return self._nodes("Group") * self.machine.dram.ports
        count = 1
        for size in protocol.sizes[: protocol.levels.index(level) + 1]:
            count *= size
        return count

    def refresh_ticks(self, command: str) -> int:
        """Return the bank ticks that one refresh command takes: its banks times its REF to ACT time."""
        protocol = self.protocol
        level = protocol.command(command).level

        def holds(rule: Constraint) -> bool:
            return rule.level == level and command in rule.preceding and "ACT" in rule.following

        ticks = max((max(rule.latency) for rule in protocol.constraints if holds(rule)), default=0)
        return ticks * (protocol.banks // self._nodes(level))


def open_memory(
    preset: str,
    organisation: str | None = None,
    timing: str | None = None,
    overrides: Mapping[str, int] | None = None,
    controller: str | None = None,
    *,
    peer_exact: bool = True,
) -> Memory:
    """Return a memory by name.

    Parameters
    ----------
    preset : str
        A standard (whatever the case), the path of a protocol table (``.toml``), or a native preset.
    organisation, timing : str, optional
        Device and speed bin of a standard.
    overrides : mapping of str to int, optional
        New values of a standard's sizes and timings, see `load_standard`.
    controller : str, optional
        ``"reference"`` or ``"native"``; None: the one that the preset is for.
    peer_exact : bool
        Leave out the rules that Ramulator 2.1 does not have, as its controllers do.

    Raises
    ------
    SpecError
        With every fault of what was asked for.
    """
    is_native = preset in preset_names()
    faults = list(_option_faults(preset, organisation, timing, overrides, controller, is_native=is_native))
    if not is_native and preset.lower() not in standard_names() and not preset.endswith(".toml"):
        known = (*standard_names(), *preset_names())
        close = nearest(preset, known)
        advice = f"did you mean {close}?" if close else "use one of these, or give the path of a protocol table"
        faults.append(Fault("--preset", repr(preset), f"{', '.join(known)}, or a path that ends in .toml", advice))
    if faults:
        raise SpecError("no such memory", faults)
    if is_native:
        return Memory(preset, "", "", {}, preset_protocol(preset), preset_machine(preset))
    table = read_table(preset).standard
    organisation, timing = organisation or table.organisation, timing or table.timing
    changed = dict(overrides or {})
    protocol = load_standard(preset, organisation, timing, changed, peer_exact=peer_exact)
    return Memory(preset, organisation, timing, changed, protocol)


def _option_faults(
    preset: str,
    organisation: str | None,
    timing: str | None,
    overrides: Mapping[str, int] | None,
    controller: str | None,
    *,
    is_native: bool,
) -> list[Fault]:
    """Return the options that do not fit the kind of preset."""
    faults = []
    own = NATIVE if is_native else REFERENCE
    if controller is not None and controller not in CONTROLLERS:
        faults.append(Fault("--controller", repr(controller), " or ".join(CONTROLLERS), "choose one of them"))
    elif controller is not None and controller != own:
        faults.append(Fault("--controller", controller, f"{own} for {preset}", "leave out --controller"))
    if is_native:
        given = {"--organisation": organisation, "--timing": timing, "--override": overrides or None}
        faults += [
            Fault(option, f"{value!r} for the native preset {preset}", "standards only", f"leave out {option}")
            for option, value in given.items()
            if value is not None
        ]
    return faults
