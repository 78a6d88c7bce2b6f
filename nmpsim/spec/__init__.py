"""Chip files: load, check, change, resolve to integers, describe."""

from nmpsim.spec.describe import describe
from nmpsim.spec.load import chip_names, load_chip, parse_chip, with_overrides
from nmpsim.spec.params import MachineParams
from nmpsim.spec.resolve import resolve
from nmpsim.spec.schema import ChipSpec

__all__ = [
    "ChipSpec",
    "MachineParams",
    "chip_names",
    "describe",
    "load_chip",
    "parse_chip",
    "resolve",
    "with_overrides",
]
