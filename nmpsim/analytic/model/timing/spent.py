"""Time on the critical way, by the unit that it is spent on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmpsim.analytic.model.timing.units import Array

UNITS = ("stream", "array", "vector", "network", "latency", "hidden")
"""What time is spent on; latency: pipelines and crossings; hidden: work under that of a slower unit."""


@dataclass(frozen=True)
class Time:
    """Core cycles on the critical way, by the unit that they are spent on; arrays over chips.

    Parameters
    ----------
    stream, array, vector, network, latency : array
    hidden : array
        What the second slowest unit does meanwhile; no part of the cycles.
    """

    stream: Array = 0.0
    array: Array = 0.0
    vector: Array = 0.0
    network: Array = 0.0
    latency: Array = 0.0
    hidden: Array = 0.0

    def __add__(self, other: Time) -> Time:
        return Time(
            self.stream + other.stream,
            self.array + other.array,
            self.vector + other.vector,
            self.network + other.network,
            self.latency + other.latency,
            self.hidden + other.hidden,
        )

    def times(self, number: Array) -> Time:
        """Return so often the same.

        Parameters
        ----------
        number : array
        """
        return Time(*(value * number for value in self.values))

    @property
    def values(self) -> tuple[Array, ...]:
        """By unit, in the order of `UNITS`."""
        return self.stream, self.array, self.vector, self.network, self.latency, self.hidden

    @property
    def cycles(self) -> Array:
        """The sum."""
        return self.stream + self.array + self.vector + self.network + self.latency


def chosen(*pairs: tuple[str, Array]) -> Time:
    """Return the largest of some times, under the name of its unit.

    Parameters
    ----------
    *pairs : (str, array)
        Unit and cycles; the first wins a tie.
    """
    most: Array = pairs[0][1]
    second: Array = 0.0
    for _, cycles in pairs[1:]:
        second = np.maximum(second, np.minimum(most, cycles))
        most = np.maximum(most, cycles)
    parts: dict[str, Array] = {"hidden": second}
    left: Array = 1.0
    for unit, cycles in pairs:
        here = left * (cycles >= most)
        parts[unit] = parts.get(unit, 0.0) + np.where(here > 0, most, 0.0)
        left = left - here
    return Time(**parts)
