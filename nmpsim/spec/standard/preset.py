"""Native DRAM presets: the sections [dram] and [port] of a chip file and the clock of its DRAM, ready to be used.

    [dram]                                              in a chip file: all of mono3d,
    preset = "mono3d"
    tiers = { value = 4, source = "..." }               but four tiers,
    [dram.timing]
    tRCD_ns = { value = [2, 3, 4, 5], source = "..." }  with their own tRCD

What the chip file says wins, number by number.
"""

from __future__ import annotations

import copy
import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from nmpsim.errors import Fault, SpecError
from nmpsim.spec.clock import DOMAINS
from nmpsim.spec.faults import nearest
from nmpsim.spec.fields import Count, Ghz, Section, Sourced
from nmpsim.spec.geometry import geometry_faults
from nmpsim.spec.params import MachineParams
from nmpsim.spec.protocol import Protocol
from nmpsim.spec.resolve import resolve
from nmpsim.spec.schema import ChipSpec, Dram, Port
from nmpsim.spec.standard.native import machine_protocol
from nmpsim.spec.standard.read import schema_refusals

PRESET_FOLDER = Path(__file__).parent / "native_presets"

_ANY_CHIP = Path(__file__).parents[1] / "chips" / "stratum.toml"

_SECTIONS = ("clock", "dram", "port")
_NUMBER_KEYS = {"value", "source", "assumed", "why"}


class PresetHead(Section):
    """Section [preset]."""

    name: str = Field(min_length=1, description="name; what a chip file calls it")
    description: str = Field(description="text; what it stands for")
    channels: Sourced[Count] = Field(description="channels; of one die, where no chip says how many")


class PresetClock(Section):
    """Section [clock]."""

    dram_GHz: Sourced[Ghz] = Field(description="GHz; command clock of the DRAM")


class Preset(Section):
    """A native preset: what a chip file says of its DRAM."""

    preset: PresetHead
    clock: PresetClock
    dram: Dram
    port: Port


def preset_names() -> tuple[str, ...]:
    """Return the names of the shipped native presets, sorted."""
    return tuple(sorted(path.stem for path in PRESET_FOLDER.glob("*.toml")))


def preset_tree(name: str) -> dict[str, Any]:
    """Return the tables of a shipped preset as parsed.

    Raises
    ------
    SpecError
        If there is no preset of that name.
    """
    if name not in preset_names():
        raise SpecError("no such DRAM preset", [_unknown("preset", name)])
    return tomllib.loads((PRESET_FOLDER / f"{name}.toml").read_text("utf-8"))


def _unknown(where: str, name: object) -> Fault:
    close = nearest(str(name), preset_names())
    advice = f"did you mean {close}?" if close else "use one of these, or give every key of [dram] and [port]"
    return Fault(where, repr(name), ", ".join(preset_names()), advice)


def load_preset(name: str) -> Preset:
    """Return a shipped native preset, checked.

    Parameters
    ----------
    name : str
        A name of `preset_names`.

    Raises
    ------
    SpecError
        If there is no such preset, or with every fault of its file.
    """
    return checked_preset(preset_tree(name), f"native_presets/{name}.toml")


def checked_preset(tree: dict[str, Any], file: str) -> Preset:
    """Return the preset of parsed tables.

    Parameters
    ----------
    tree : dict
        The tables.
    file : str
        Where they come from, for messages.

    Raises
    ------
    SpecError
        With every fault.
    """
    try:
        preset = Preset.model_validate(tree)
    except ValidationError as error:
        raise SpecError(f"DRAM preset {file} is not sound", schema_refusals(error, file)) from None
    if faults := geometry_faults(tree, file, set()):
        raise SpecError(f"DRAM preset {file} is not sound", faults)
    return preset


def with_preset_hash(tree: Mapping[str, Any], sha256: str) -> str:
    """Return the hash of a chip file together with that of the preset it names; its own if it names none."""
    dram = tree.get("dram")
    name = dram.get("preset") if isinstance(dram, Mapping) else None
    if not isinstance(name, str) or name not in preset_names():
        return sha256
    return hashlib.sha256(sha256.encode() + (PRESET_FOLDER / f"{name}.toml").read_bytes()).hexdigest()


def merge_preset(tree: Mapping[str, Any], file: str) -> tuple[dict[str, Any], list[Fault]]:
    """Return a chip tree with the preset that it names filled in, and what is wrong with the name.

    Without ``dram.preset`` the tree comes back as it is.  Otherwise ``preset`` is taken out of [dram], and what the
    chip does not say of [dram], [port] and ``clock.dram_GHz`` is that of the preset.  A number with its origin is one
    key: it is replaced as a whole.

    Parameters
    ----------
    tree : mapping
        A chip file as parsed; not changed.
    file : str
        Its name, for messages.
    """
    dram = tree.get("dram")
    if not isinstance(dram, Mapping) or "preset" not in dram:
        return dict(tree), []
    own = copy.deepcopy(dict(tree))
    name = own["dram"].pop("preset")
    faults = []
    if not isinstance(name, str) or name not in preset_names():
        faults = [_unknown(f"{file}: dram.preset", name)]
        name = nearest(str(name), preset_names()) or preset_names()[0]  # so that what else is wrong is found too
    base = preset_tree(name)
    return {**own, **{section: _merged(base[section], own.get(section, {})) for section in _SECTIONS}}, faults


def _merged(base: Any, own: Any) -> Any:
    """Return `own` with what it lacks taken from `base`."""
    if not isinstance(base, dict) or not isinstance(own, dict) or _NUMBER_KEYS & {*base, *own}:
        return own
    return {**{key: copy.deepcopy(value) for key, value in base.items() if key not in own}} | {
        key: _merged(base[key], value) if key in base else value for key, value in own.items()
    }


def preset_protocol(name: str) -> Protocol:
    """Return the protocol of a shipped native preset, with as many channels as it says.

    Parameters
    ----------
    name : str
        A name of `preset_names`.

    Raises
    ------
    SpecError
        If there is no such preset, or with every fault of its file.
    """
    return machine_protocol(preset_machine(name))


def preset_machine(name: str, overrides: Mapping[str, Any] | None = None) -> MachineParams:
    """Return the integers of a shipped native preset, with as many channels as it says; only its DRAM means something.

    Parameters
    ----------
    name : str
        A name of `preset_names`.
    overrides : mapping of str to value, optional
        New value by dotted path, as ``"dram.refresh.mode"``.

    Raises
    ------
    SpecError
        If there is no such preset or path, or with every fault of the preset so changed.
    """
    tree = preset_tree(name)
    for path, value in (overrides or {}).items():
        *parents, key = path.split(".")
        node: Any = tree
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not isinstance(node, dict) or key not in node:
            raise SpecError(
                f"cannot change DRAM preset {name}",
                [
                    Fault(
                        f"override {path}",
                        "a path that no preset has",
                        "a dotted path of a key",
                        "see the preset's file",
                    )
                ],
            )
        old = node[key]
        node[key] = {"value": value, "assumed": True, "why": "override"} if isinstance(old, dict) else value
    return resolve(_any_chip(checked_preset(tree, f"native_presets/{name}.toml"), tree))


def _any_chip(preset: Preset, tree: dict[str, Any]) -> ChipSpec:
    """Return a chip with the DRAM of a preset and the core and network of a shipped chip, all in one clock.

    Only its DRAM means something: no rule that joins core and DRAM is checked.
    """
    chip = tomllib.loads(_ANY_CHIP.read_text("utf-8"))
    ghz = tree["clock"]["dram_GHz"]
    chip |= {
        "chip": {"name": preset.preset.name, "description": "", "pus": tree["preset"]["channels"]},
        "clock": dict.fromkeys(DOMAINS, ghz),
        "dram": tree["dram"],
        "port": tree["port"],
    }
    return ChipSpec.of(chip, "", "", {})
