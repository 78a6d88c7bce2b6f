# ruff: noqa: INP001  (a folder of scripts, no package)
"""What reconfigurable shapes and dataflows buy in decode: the measurements behind `benchmarks/decode_shapes.py`.

Four configurations at equal area, every product of a decode step as one PU sees it, batches 1 to 64:

* fixed       one square array with one top edge and one dataflow: the single one that is best over all products
* shape       strips, the best shape (chain or fission) for each product, the same dataflow for all
* dataflow    strips, the best shape and dataflow for each product
* tree        MAC trees, their best layout for each product

Equal area in two ways: arrays with the PEs that fit into the area of the MAC trees by our own synthesis
(`nmpsim.cost`), and with four times as many multipliers as the trees, which is what SNAKE's figure implies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nmpsim.cost.tables import tables
from nmpsim.cost.verdict import verdict
from nmpsim.program.schedule import PassPlan
from nmpsim.spec import load_chip, resolve
from nmpsim.spec.params import SYSTOLIC, MachineParams
from nmpsim.study import Point, run_study
from nmpsim.sweep import Measured, Product, best, mappings, measure
from nmpsim.sweep.decode import share_of
from nmpsim.workload import load_model

BATCHES = (1, 2, 4, 8, 16, 32, 64)
CONTEXT = 4096
MODELS = ("llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b")
FLOWS = ("OS", "WS", "IS")
FIXED, SHAPE, DATAFLOW, TREE = "fixed", "shape", "dataflow", "tree"
CONFIGURATIONS = (FIXED, SHAPE, DATAFLOW, TREE)

# DeepSeek-V3, config.json of deepseek-ai/DeepSeek-V3 (public): hidden_size 7168, moe_intermediate_size 2048,
# intermediate_size 18432, q_lora_rank 1536, kv_lora_rank 512, num_attention_heads 128, qk_nope_head_dim 128,
# qk_rope_head_dim 64, v_head_dim 128, n_routed_experts 256, num_experts_per_tok 8, vocab_size 129280.
# Attention with absorbed projections: all heads share one latent row of 512 + 64 per token.
DEEPSEEK_GEMMS = {
    "q_a": (1536, 7168),
    "q_b": (128 * (128 + 64), 1536),
    "kv_a": (512 + 64, 7168),
    "attn_out": (7168, 128 * 128),
    "gate_up": (2 * 18432, 7168),
    "down": (7168, 18432),
    "lm_head": (129280, 7168),
}
DEEPSEEK_HEADS = {"q_absorb": (512, 128), "v_up": (128, 512)}
"""Products of one head, which one PU does whole."""
DEEPSEEK_EXPERTS = {"expert gate_up": (2 * 2048, 7168), "expert down": (7168, 2048)}


@dataclass(frozen=True)
class Area:
    """Arrays and trees of one area.

    Parameters
    ----------
    name : str
    fixed, strips, tree : MachineParams
        The fixed square array, the one of strips, the MAC trees.
    allowed : float
        Multipliers of an array that the area holds, per PU.
    """

    name: str
    fixed: MachineParams
    strips: MachineParams
    tree: MachineParams
    allowed: float

    @property
    def text(self) -> str:
        """The sizes in words."""
        core, fixed = self.strips.core, self.fixed.core
        return (
            f"{self.name}: {self.allowed:,.0f} PEs a PU fit and {core.macs_per_cycle:,} are used "
            f"({core.macs_per_cycle / self.allowed:.2f} of the area): fixed {fixed.strip_rows} x {fixed.columns}; "
            f"or {core.strips} strips of {core.strip_rows} x {core.columns}; against "
            f"{self.tree.core.macs_per_cycle:,} MACs of trees"
        )


def with_array(params: MachineParams, strips: int, rows: int, columns: int) -> MachineParams:
    """Return the chip with another array.

    Parameters
    ----------
    params : MachineParams
    strips, rows, columns : int
        Strips, and rows and columns of each.
    """
    core = params.core._replace(strips=strips, strip_rows=rows, columns=columns, macs_per_cycle=strips * rows * columns)
    return replace(params, core=core)


def strip_rows_for(params: MachineParams, pes: float) -> int:
    """Return the rows of a strip with which the strips of a chip come closest to a number of PEs; at least 1.

    Parameters
    ----------
    params : MachineParams
        With as many strips, of as many columns: an element of a beat each.
    pes : float
    """
    each = params.core.strips * params.core.columns
    return min(range(1, 1025), key=lambda rows: abs(math.log(rows * each / pes)))


def square_most(pes: int) -> tuple[int, int]:
    """Return rows and columns of the array of so many PEs that is nearest to a square, with no fewer columns.

    Parameters
    ----------
    pes : int
    """
    rows = max(rows for rows in range(1, math.isqrt(pes) + 1) if pes % rows == 0)
    return rows, pes // rows


def areas() -> list[Area]:
    """Return the two comparisons at equal area."""
    snake, stratum = resolve(load_chip("snake")), resolve(load_chip("stratum"))
    fitting = verdict(snake, tables()).fitting / snake.cores
    found = []
    for name, allowed in (("our synthesis", fitting), ("SNAKE's 4x", 4.0 * stratum.core.macs_per_cycle)):
        core = snake.core
        strips = with_array(snake, core.strips, strip_rows_for(snake, allowed), core.columns)
        fixed = with_array(snake, 1, *square_most(strips.core.macs_per_cycle))
        found.append(Area(name, fixed, strips, stratum, allowed))
    return found


def products(params: MachineParams, batch: int, context: int = CONTEXT) -> list[Product]:
    """Return the products of one PU in a decode step of all models; experts get equally many tokens.

    Parameters
    ----------
    params : MachineParams
        For the number of PUs and the size of a beat.
    batch, context : int
    """
    found = []
    for name in MODELS:
        model = load_model(name)
        tokens = -(-batch * model.experts_per_token // model.experts) if model.is_moe else batch
        wide, heads = model.heads * model.head_dim, model.heads // model.kv_heads
        found += [
            Product(f"{name} qkv", batch, share_of(params, model.qkv_width), model.hidden),
            Product(f"{name} attn_out", batch, share_of(params, model.hidden), wide),
            Product(f"{name} gate_up", tokens, share_of(params, 2 * model.ffn), model.hidden),
            Product(f"{name} down", tokens, share_of(params, model.hidden), model.ffn),
            Product(f"{name} lm_head", batch, share_of(params, model.vocab), model.hidden),
            Product(f"{name} score", heads, context, model.head_dim),
            Product(f"{name} value", heads, model.head_dim, context),
        ]
    deep, tokens = "deepseek-v3", -(-batch * 8 // 256)
    found += [Product(f"{deep} {part}", batch, share_of(params, n), k) for part, (n, k) in DEEPSEEK_GEMMS.items()]
    found += [Product(f"{deep} {part}", batch, n, k) for part, (n, k) in DEEPSEEK_HEADS.items()]
    found += [Product(f"{deep} {part}", tokens, share_of(params, n), k) for part, (n, k) in DEEPSEEK_EXPERTS.items()]
    found += [
        Product(f"{deep} score", 128, context, 512 + 64),
        Product(f"{deep} value", 128, 512, context),
    ]
    return found


def nanoseconds(one: Measured, params: MachineParams) -> float:
    """Return the time of a measurement at the clock of its chip.

    Parameters
    ----------
    one : Measured
    params : MachineParams
    """
    return one.cycles * params.core_period * float(params.tick_ps) * 1e-3


Found = dict[str, dict[tuple[str, int], Measured]]
"""By configuration, by operator and batch."""


def mean(values: Iterable[float]) -> float:
    """Return the geometric mean.

    Parameters
    ----------
    values : iterable of float
    """
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


TASK = "benchmarks.decode_study:on_every_mapping"


def on_every_mapping(settings: dict[str, Any]) -> dict[str, Any]:
    """Measure a product on every mapping of a chip's core: the task of a point.

    Parameters
    ----------
    settings : dict
        ``chip``; ``array``: strips, rows and columns of each, none for trees; ``m``, ``n``, ``k``.
    """
    params = resolve(load_chip(settings["chip"]))
    if settings["array"]:
        params = with_array(params, *settings["array"])
    product = Product("", settings["m"], settings["n"], settings["k"])
    flows = FLOWS if settings["array"] else ()
    return {"found": [asdict(measure(params, mapping, product)) for mapping in mappings(params.core, flows)]}


def point_of(params: MachineParams, product: Product) -> Point:
    """Return the point of a product on a chip whose array may have another size than shipped.

    Parameters
    ----------
    params : MachineParams
    product : Product
    """
    core = params.core
    array = [core.strips, core.strip_rows, core.columns] if core.kind == SYSTOLIC else None
    return Point.of(TASK, {"chip": params.name, "array": array, "m": product.m, "n": product.n, "k": product.k})


def study(
    area: Area,
    batches: Sequence[int] = BATCHES,
    chosen: Sequence[str] | None = None,
    *,
    folder: Path = Path("out/study"),
    executor: Executor | None = None,
) -> tuple[Found, str]:
    """Measure every configuration on every product.

    Parameters
    ----------
    area : Area
    batches : sequence of int
    chosen : sequence of str, optional
        Names of operators; all by default.
    folder : Path
        Of finished points.
    executor : Executor, optional
        As for `nmpsim.study.run_study`.

    Returns
    -------
    tuple of Found, str
        And the single dataflow of the fixed array.
    """
    asked = [
        ((product.name, batch), product)
        for batch in batches
        for product in products(area.strips, batch)
        if chosen is None or product.name in chosen
    ]

    outcomes = run_study(
        [point_of(params, product) for params in (area.fixed, area.strips, area.tree) for _, product in asked],
        folder,
        executor=executor,
    )
    measured = {outcome.point: outcome for outcome in outcomes}

    def run(params: MachineParams) -> dict[tuple[str, int], list[Measured]]:
        found = {}
        for key, product in asked:
            outcome = measured[point_of(params, product)]
            assert outcome.figures is not None, outcome.why
            found[key] = [
                Measured(**{**one, "product": product, "mapping": PassPlan(**one["mapping"])})
                for one in outcome.figures["found"]
            ]
        return found

    fixed, strips, tree = run(area.fixed), run(area.strips), run(area.tree)

    def of_flow(found: dict[tuple[str, int], list[Measured]], flow: str) -> dict[tuple[str, int], Measured]:
        return {key: best(x for x in ones if x.mapping.flow_name == flow) for key, ones in found.items()}

    flow = min(FLOWS, key=lambda name: mean(one.cycles for one in of_flow(fixed, name).values()))
    results = {
        FIXED: of_flow(fixed, flow),
        SHAPE: of_flow(strips, flow),
        DATAFLOW: {key: best(ones) for key, ones in strips.items()},
        TREE: {key: best(ones) for key, ones in tree.items()},
    }
    for name in FLOWS:
        results[f"fixed {name}"] = of_flow(fixed, name)
        results[f"shape {name}"] = of_flow(strips, name)
        chains = {key: [x for x in ones if x.mapping.split_name == "chain"] for key, ones in strips.items()}
        results[f"chain {name}"] = of_flow(chains, name)
    return results, flow


def chip_of(area: Area, configuration: str) -> MachineParams:
    """Return the chip of a configuration.

    Parameters
    ----------
    area : Area
    configuration : str
        A key of `Found`.
    """
    if configuration == TREE:
        return area.tree
    return area.fixed if configuration.startswith(FIXED) else area.strips


def gains(area: Area, found: Found, slow: str, fast: str) -> dict[tuple[str, int], float]:
    """Return how many times faster one configuration is than another, by operator and batch.

    Parameters
    ----------
    area : Area
    found : Found
    slow, fast : str
        Configurations.
    """
    return {
        key: nanoseconds(one, chip_of(area, slow)) / nanoseconds(found[fast][key], chip_of(area, fast))
        for key, one in found[slow].items()
    }


def attention(name: str) -> bool:
    """Whether an operator is scores or values, whose M does not depend on the batch.

    Parameters
    ----------
    name : str
    """
    return name.endswith(("score", "value"))
