"""DRAM protocols as data: tables of standards, presets of native memories, and both as a `Protocol`."""

from nmpsim.spec.standard.describe import describe_protocol
from nmpsim.spec.standard.native import machine_protocol, native_protocol
from nmpsim.spec.standard.preset import load_preset, merge_preset, preset_machine, preset_names, preset_protocol
from nmpsim.spec.standard.protocols import load_standard
from nmpsim.spec.standard.read import parse_table, read_table, standard_names
from nmpsim.spec.standard.show import show_dram

__all__ = [
    "describe_protocol",
    "load_preset",
    "load_standard",
    "machine_protocol",
    "merge_preset",
    "native_protocol",
    "parse_table",
    "preset_machine",
    "preset_names",
    "preset_protocol",
    "read_table",
    "show_dram",
    "standard_names",
]
