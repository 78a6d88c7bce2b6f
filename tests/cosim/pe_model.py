"""A PE as docs/core/array.md describes it, in plain Python: registers in a dictionary, numbers by NumPy."""

from __future__ import annotations

import numpy as np

from rtl_models.core.pe import FLOW_IS, FLOW_OS, FLOW_WS, PeParams, pe_block
from tests.cosim.float_cases import EDGES16, EDGES32, EDGES_BF16, product16, product_bf16, sum32, to_bf16
from tests.cosim.replay import Replay

HOPS = ("a", "tag_valid", "tag_first", "tag_set", "b", "b_valid", "load", "load_row", "load_valid")


def multiplied(precision: str, x: int, y: int) -> int:
    """Product of two operands."""
    if precision != "int8":
        product = product16 if precision == "fp16" else product_bf16
        return int(product(np.array([x], np.uint64), np.array([y], np.uint64))[0])
    signed = [value - 256 if value > 127 else value for value in (x, y)]
    return signed[0] * signed[1] % 2**32


def added(precision: str, x: int, y: int) -> int:
    """Sum of two sums."""
    if precision != "int8":
        return int(sum32(np.array([x], np.uint64), np.array([y], np.uint64))[0])
    return (x + y) % 2**32


class PeModel:
    """Registers of one PE.

    Parameters
    ----------
    params : PeParams
    """

    def __init__(self, params: PeParams) -> None:
        self.params = params
        self.hop = dict.fromkeys(HOPS, 0)
        self.acc = [0] * params.sets
        self.psum = self.p_valid = 0
        self.stay, self.shadow = (0, 0), (0, 0)  # operand, valid
        self.line = [(0, 0, 0, 0, 0)] * params.stages  # product, active, valid, first, set

    def work(self, i: dict[str, int]):
        """What the multiplier does with the inputs of a cycle: the operand in use, and what enters the line."""
        flow, stay = i["flow"], self.stay
        if flow != FLOW_OS and i["tag_first"]:
            stay = self.shadow if flow == FLOW_IS else (i["weight"], i["weight_valid"])
        x, y, both = {
            FLOW_OS: (i["a"], i["b"], i["b_valid"]),
            FLOW_WS: (i["a"], stay[0], stay[1]),
            FLOW_IS: (stay[0], i["b"], stay[1] and i["b_valid"]),
        }[flow]
        product = multiplied(self.params.precision, x, y)
        return stay, (product, int(i["tag_valid"] and both), i["tag_valid"], i["tag_first"], i["tag_set"])

    def outputs(self, i: dict[str, int]) -> dict[str, int]:
        """What the PE shows in a cycle; psum only where it holds one."""
        active = self.work(i)[1][1]
        if self.params.stages == 0 and i["flow"] == FLOW_WS:
            active = active and i["p_valid_above"]
        shown = {f"out_{name}": value for name, value in self.hop.items()}
        shown |= {"out_active": int(active and i["move"])}
        if i["flow"] == FLOW_OS:
            shown |= {"out_read": self.acc[i["read_set"]]}
        else:
            shown |= {"out_psum": self.psum, "out_p_valid": self.p_valid}
        return shown

    def step(self, i: dict[str, int]) -> None:
        """End of a cycle."""
        if not i["move"]:
            return
        flow = i["flow"]
        stay, entering = self.work(i)
        self.line.append(entering)
        product, active, valid, first, number = self.line.pop(0)
        if flow == FLOW_OS:
            if valid:
                base = 0 if first else self.acc[number]
                self.acc[number] = added(self.params.precision, base, product) if active else base
        else:
            base = i["psum_above"] if flow == FLOW_WS else i["psum_left"]
            adds = active and (flow == FLOW_IS or i["p_valid_above"])
            self.psum = added(self.params.precision, base, product) if adds else base
            self.p_valid = i["p_valid_above"] if flow == FLOW_WS else valid
            self.stay = stay
        if i["tag_first"]:
            self.shadow = (self.shadow[0], 0)
        if i["load_valid"] and i["load_row"] == i["row"]:
            self.shadow = (i["load"], 1)
        for name in HOPS:
            self.hop[name] = i[name]


def draw_inputs(params: PeParams, flow: int, rng: np.random.Generator) -> dict[str, int]:
    """One cycle of inputs: operands among them that hurt, every valid bit often off."""

    def operand() -> int:
        if params.precision != "int8":
            usual, edges = int(np.float16(rng.normal()).view(np.uint16)), EDGES16
            if params.precision == "bf16":
                usual, edges = (
                    int(to_bf16(np.array([np.float32(rng.normal()).view(np.uint32)], np.uint64))[0]),
                    EDGES_BF16,
                )
            return int(rng.choice(edges)) if rng.random() < 0.3 else usual
        return int(rng.choice([0, 1, 127, 128, 255, rng.integers(256)]))

    def total() -> int:
        usual = int(np.float32(rng.normal()).view(np.uint32))
        return int(rng.choice(EDGES32)) if rng.random() < 0.2 else usual

    bit = {
        "move": 0.8, "tag_valid": 0.8, "tag_first": 0.15, "b_valid": 0.8, "p_valid_above": 0.8, "weight_valid": 0.8,
        "load_valid": 0.5,
    }  # fmt: skip
    inputs = {name: int(rng.random() < often) for name, often in bit.items()}
    inputs |= {name: operand() for name in ("a", "b", "weight", "load")}
    inputs |= {name: total() for name in ("psum_above", "psum_left")}
    inputs |= {"tag_set": int(rng.integers(params.sets)), "read_set": int(rng.integers(params.sets))}
    return inputs | {"flow": flow, "row": 5, "load_row": int(rng.choice([4, 5]))}


def record(params: PeParams, flow: int, cycles: int, seed: int) -> Replay:
    """A PE under random inputs, from reset on."""
    rng = np.random.default_rng([seed, flow])
    model = PeModel(params)
    inputs, outputs = [], []
    for _ in range(cycles):
        given = draw_inputs(params, flow, rng)
        inputs.append(given)
        outputs.append(model.outputs(given))
        model.step(given)
    name = f"pe_{params.precision}_{params.stages}_{params.sets}_{('os', 'ws', 'is')[flow]}"
    return Replay(name, pe_block(params), inputs, outputs)
