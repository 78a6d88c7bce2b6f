"""Many chips at once: the fields of `MachineParams`, as arrays where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from nmpsim.spec.params import MachineParams

PARTS = ("core", "dram", "noc", "link")


class Chips:
    """Many chips with the fields of `MachineParams`; those that differ are arrays, one entry per chip.

    Parameters
    ----------
    number : int
        Chips.
    fields : mapping of str to value
        ``pus``, ``core_period``, ``dram_period``, ``noc_period``, ``latency``, and ``core``, ``dram``, ``noc``,
        ``link`` with fields of their own.
    """

    def __init__(self, number: int, fields: Mapping[str, Any]) -> None:
        self.number = number
        self.__dict__.update(fields)

    @classmethod
    def varied(cls, params: MachineParams, values: Mapping[str, Any]) -> Chips:
        """Return chips that differ from one in some integers.

        Parameters
        ----------
        params : MachineParams
        values : mapping of str to array
            By name: ``pus``, ``core_period``, ``latency`` (last axis: chip) or ``core.lanes``, ``dram.nREFI``, ...
        """
        arrays = {name: np.asarray(v) for name, v in values.items()}
        number = max((a.shape[-1] for a in arrays.values() if a.ndim), default=1)
        fields: dict[str, Any] = {
            name: getattr(params, name) for name in ("cores", "core_period", "dram_period", "noc_period", "latency")
        }
        parts: dict[str, dict[str, Any]] = {part: getattr(params, part)._asdict() for part in PARTS}
        for name, array in arrays.items():
            part, _, field = name.partition(".")
            if field:
                parts[part][field] = array
            else:
                fields[part] = array
        fields |= {part: SimpleNamespace(**own) for part, own in parts.items()}
        fields["tick_ps"], fields["stacks"], fields["fill"] = params.tick_ps, params.stacks, params.fill
        return cls(number, fields)

    @classmethod
    def of(cls, chips: Sequence[MachineParams]) -> Chips:
        """Return chips as arrays; fields that are alike stay numbers.

        Parameters
        ----------
        chips : sequence of MachineParams
            At least one; all with the same kind of compute unit, tiers and tick.
        """
        first = chips[0]
        values: dict[str, Any] = {}
        for part in PARTS:
            for field in getattr(first, part)._fields:
                found = [getattr(getattr(c, part), field) for c in chips]
                if len(set(found)) > 1:
                    values[f"{part}.{field}"] = np.array(found)
        for name in ("cores", "core_period", "dram_period", "noc_period"):
            found = [getattr(c, name) for c in chips]
            if len(set(found)) > 1:
                values[name] = np.array(found)
        if any((c.latency != first.latency).any() for c in chips):
            values["latency"] = np.stack([c.latency for c in chips], axis=-1)
        made = cls.varied(first, values)
        made.number = len(chips)
        return made
