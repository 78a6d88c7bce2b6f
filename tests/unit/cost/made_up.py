"""A table of synthesis with round numbers, so that energies and areas can be worked out by hand."""

from nmpsim.cost.tables import BlockCost, Tables

LANE = {
    "add": 2.0,
    "multiply": 3.0,
    "max": 1.0,
    "convert": 0.5,
    "exp": 8.0,
    "reciprocal": 9.0,
    "rsqrt": 10.0,
    "idle": 1.0,
}


def block(name, energies, family="", stages=0, area=600.0, path=1000.0, *, holds=True):
    halves = {key: value / 2 for key, value in energies.items()}
    tried = {"area": (area, path), "speed": (1.5 * area, 0.75 * path)}
    return BlockCost(name, name, family, stages, 1.0, area, path, holds, 10.0, energies, halves, "0" * 64, 9, 3, tried)


def table(**changes):
    """Blocks with round numbers; `changes` replaces some."""
    every = [
        block("pe_fp16_0", {"OS": 2.0, "WS": 3.0, "idle": 0.25}, "pe_fp16", 0, 600.0, 2000.0, holds=False),
        block("pe_fp16_1", {"OS": 2.0, "WS": 3.0, "idle": 0.5}, "pe_fp16", 1, 660.0, 1600.0, holds=False),
        block("tree_engine_5", {"random": 2.5, "idle": 0.25}, "tree_engine", 5, 4800.0, 4000.0, holds=False),
        block("fp32_adder_0", {"random": 2.0, "idle": 0.125}, "fp32_adder", 0, 300.0, 1800.0, holds=False),
        block("fp32_adder_1", {"random": 1.5, "idle": 0.25}, "fp32_adder", 1, 330.0, 900.0),
        block("fp16_multiplier_0", {"random": 1.0, "idle": 0.125}, "fp16_multiplier", area=300.0),
        block("operand_select", {"random": 0.5}, area=32.0),
        block("array_control", {"pass": 6.0, "idle": 4.0}, area=3000.0),
        block("port_arbiter", {"work": 8.0, "idle": 4.0}, area=900.0),
        block("sequencer", {"work": 7.0, "idle": 2.0}, area=1200.0),
        block("slice_control", {"pass": 3.0, "idle": 2.0}, area=600.0),
        block("lane_group", LANE, area=6000.0),
        block("links", {"random": 0.5}, area=64.0),
        block("decoder_0", {"fp8": 0.5, "int8": 0.75, "int4": 0.25, "idle": 0.125}, "decoder", area=60.0),
        block("skew_register", {"random": 0.25, "idle": 0.125}, area=64.0),
        block("bank_sequencer", {"stream": 0.5, "idle": 0.25}, area=120.0),
    ]
    provenance = {"library": "made up", "corner": "none", "tool": "none", "method": "by hand", "limits": "all"}
    return Tables(provenance, {b.name: b for b in every} | changes)
