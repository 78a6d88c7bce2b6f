"""Options that several commands share, and from their text to values with every fault at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmpsim.cli.groups import OptionGroup
from nmpsim.errors import Fault, NmpsimError, WorkloadError

if TYPE_CHECKING:
    from nmpsim.api import Job
    from nmpsim.schedule.step import Plan
    from nmpsim.workload import Model, Routing

LARGEST_SEED = 2**63 - 1

# Numbers are taken as text: a wrong one then gets the same four-part message as any other fault.
ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME|PATH", help="Shipped model, or a config.json, or its folder.")
]
ChipOption = Annotated[str, typer.Option("--chip", metavar="NAME|PATH", help="Shipped chip, or a chip file (.toml).")]
BatchOption = Annotated[str, typer.Option("--batch", metavar="N", help="Sequences, one new token each.")]
ContextOption = Annotated[
    str, typer.Option("--context", metavar="TOKENS", help="Tokens of each sequence, the new one counted.")
]
LayersOption = Annotated[
    str | None, typer.Option("--layers", metavar="N", help="Number of layers; all from the first one on by default.")
]
SeedOption = Annotated[str, typer.Option("--seed", metavar="N", help="Seed of the router and of the new tokens.")]
RoutingOption = Annotated[
    str | None,
    typer.Option(
        "--routing", metavar="uniform|zipf|PATH", help="Experts of each token (MoE models only); uniform by default."
    ),
]
FirstTierOption = Annotated[
    str, typer.Option("--first-tier", metavar="TIER", help="Tier of the DRAM at which placement starts.")
]
FirstLayerOption = Annotated[
    str, typer.Option("--first-layer", metavar="LAYER", help="First layer to simulate; counted from 0.")
]
AttentionOption = Annotated[
    str | None,
    typer.Option("--attention", metavar="absorbed|expanded", help="Form of latent attention; absorbed by default."),
]

WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="FORMAT[:GROUP]",
        help="fp16 (bf16 on PEs of BF16), fp8, int8, int4, or config: as the model's file states.",
    ),
]
ActivationsOption = Annotated[
    str | None, typer.Option("--activations", metavar="FORMAT", help="Format of the activations: that of the PEs.")
]
KvOption = Annotated[
    str | None,
    typer.Option("--kv", metavar="FORMAT", help="Format of the KV cache: fp16 (bf16 on PEs of BF16), fp8 or int8."),
]
StacksOption = Annotated[
    str | None,
    typer.Option("--stacks", metavar="N", help="Stacks that share the model; as few (1, 2, 4 ...) as hold it."),
]
PlacementOption = Annotated[
    str, typer.Option("--placement", metavar="blocks|round_robin", help="Which stack holds which expert.")
]
PolicyOption = Annotated[
    str | None,
    typer.Option("--policy", metavar="NAME", help="How the schedule is chosen: plain (default), searched, stratum ..."),
]
SkewOption = Annotated[
    str | None, typer.Option("--skew", metavar="EXPONENT", help="Exponent of zipf routing; 1 by default.")
]
LocalityOption = Annotated[
    str | None,
    typer.Option("--locality", metavar="CHANCE", help="Chance that a token keeps an expert from step to step; 0."),
]
DecodeStepOption = Annotated[
    str | None, typer.Option("--decode-step", metavar="T", help="Decode step of the synthetic routing; the first, 0.")
]

_REAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")


class Faults:
    """Collects what is wrong with options."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def refuse(self) -> None:
        """Raise the faults found.

        Raises
        ------
        NmpsimError
            If there are any.
        """
        if self.faults:
            raise NmpsimError("an option is wrong" if len(self.faults) == 1 else "options are wrong", self.faults)


class Numbers(Faults):
    """Reads integers from options and collects what is wrong with them."""

    def read(self, option: str, text: str, low: int, high: int | None, todo: str) -> int:
        """Return the integer in the text of an option; `low`, and a fault noted, if there is none in the range.

        Parameters
        ----------
        option : str
            Name of the option.
        text : str
            What was given.
        low, high : int
            Smallest and largest allowed value; None if only the input tells the largest.
        todo : str
            What the user can do about it.
        """
        if _NUMBER.fullmatch(text):
            value = int(text)
            if low <= value and (high is None or value <= high):
                return value
        allowed = f"an integer of at least {low}" if high is None else f"an integer in {low}..{high}"
        self.faults.append(Fault(option, repr(text[:60]), allowed, todo))
        return low

    def read_real(self, option: str, text: str, low: float, high: float, todo: str) -> float:
        """Return the decimal number in the text of an option; parameters as for `read`.

        Parameters
        ----------
        option, text : str
        low, high : float
        todo : str
        """
        if _REAL.fullmatch(text) and low <= float(text) <= high:
            return float(text)
        self.faults.append(Fault(option, repr(text[:60]), f"a number in {low:g}..{high:g}", todo))
        return low


@dataclass(frozen=True)
class RouterOptions:
    """How a synthetic router is skewed in experts and in time.

    Parameters
    ----------
    skew, locality : float or None
    step : int or None
        None: not given.
    """

    skew: float | None = None
    locality: float | None = None
    step: int | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the options that were given."""
        named = (("--skew", self.skew), ("--locality", self.locality), ("--decode-step", self.step))
        return tuple(name for name, value in named if value is not None)

    def routing(self, model: Model, batch: int, layers: int | None, rule: str, seed: int) -> Routing:
        """Routing of a model by these options.

        Parameters
        ----------
        model : Model
        batch : int
        layers : int or None
        rule : str
            ``uniform`` or ``zipf``.
        seed : int

        Raises
        ------
        NmpsimError
            If the options do not fit the rule, or the model is dense.
        """
        from nmpsim.workload import synthetic_routing

        if self.given and rule not in ("uniform", "zipf"):
            fault = Fault(", ".join(self.given), rule, "routing uniform or zipf", "leave them out: the file says all")
            raise NmpsimError("options of a synthetic router with a file", [fault])
        if self.skew is not None and rule != "zipf":
            fault = Fault("--skew", f"routing {rule}", "routing zipf", "add --routing zipf")
            raise NmpsimError("a skew without a skewed router", [fault])
        return synthetic_routing(
            model,
            batch,
            layers,
            rule,
            1.0 if self.skew is None else self.skew,
            seed,
            self.locality or 0.0,
            self.step or 0,
        )


def read_router(numbers: Numbers, skew: str | None, locality: str | None, step: str | None) -> RouterOptions:
    """Return the options of the synthetic router; faults are noted in `numbers`.

    Parameters
    ----------
    numbers : Numbers
        Collects faults.
    skew, locality, step : str or None
        Texts of the options.
    """
    return RouterOptions(
        None if skew is None else numbers.read_real("--skew", skew, 0.0, 8.0, "0 is uniform, about 1 is usual"),
        None if locality is None else numbers.read_real("--locality", locality, 0.0, 1.0, "0: every step draws anew"),
        None if step is None else numbers.read("--decode-step", step, 0, 100_000, "give the number of a decode step"),
    )


@dataclass(frozen=True)
class Step:
    """The decode step that the options of a command ask for.

    Parameters
    ----------
    model, chip : str
        Names or paths.
    batch, context : int
    layers : int or None
        None: all.
    seed : int
    routing : str or None
        None: not given.
    first_tier : int
    first_layer : int
    attention, weights, activations, kv : str or None
        None: not given.
    stacks : int or None
        None: as few as hold the model.
    placement : str
    router : RouterOptions
    policy : str or None
        None: not given.
    """

    model: str
    chip: str
    batch: int
    context: int
    layers: int | None
    seed: int
    routing: str | None
    first_tier: int
    first_layer: int = 0
    attention: str | None = None
    weights: str | None = None
    activations: str | None = None
    kv: str | None = None
    stacks: int | None = None
    placement: str = "blocks"
    router: RouterOptions = RouterOptions()
    policy: str | None = None

    def prepare(self) -> Job:
        """Load model and chip; schedule, encode and check.

        Raises
        ------
        NmpsimError
            With every fault found.
        """
        from nmpsim import api

        model, given = self._given()
        return api.prepare(model, self.chip, **given)

    def plan(self) -> Plan:
        """Load model and chip, and cut the step into the parts of its stacks.

        Raises
        ------
        NmpsimError
            With every fault found.
        """
        from nmpsim import api

        model, given = self._given()
        return api.plan_step(model, self.chip, **given)

    def _given(self) -> tuple[Model, dict[str, Any]]:
        from nmpsim import api

        model = api.load_model(self.model)
        if self.routing is not None and not model.is_moe:
            fault = Fault("--routing", repr(self.routing), "nothing for a dense model", "leave out --routing")
            raise WorkloadError(f"{model.name} has no experts to route to", [fault])
        given: dict[str, Any] = {"routing": self.routing} if self.routing is not None else {}
        if self.router.given:
            if not model.is_moe:
                got = f"{', '.join(self.router.given)} for a dense model"
                fault = Fault("routing", got, "nothing for a dense model", "leave them out")
                raise WorkloadError(f"{model.name} has no experts to route to", [fault])
            depth = None if self.layers is None else self.first_layer + self.layers
            rule = self.routing or "uniform"
            given["routing"] = self.router.routing(model, self.batch, depth, rule, self.seed)
        return model, {
            "batch": self.batch,
            "context": self.context,
            "layers": self.layers,
            "seed": self.seed,
            "first_tier": self.first_tier,
            "first_layer": self.first_layer,
            "attention": self.attention or "",
            "weights": self.weights or "",
            "activations": self.activations or "",
            "kv": self.kv or "",
            "stacks": self.stacks,
            "placement": self.placement,
            **({"policy": self.policy} if self.policy is not None else {}),
            **given,
        }


@dataclass(frozen=True)
class StepOptions(OptionGroup):
    """Texts of the options of a decode step."""

    model: ModelOption
    chip: ChipOption
    batch: BatchOption = "1"
    context: ContextOption = "1024"
    layers: LayersOption = None
    seed: SeedOption = "0"
    routing: RoutingOption = None
    first_tier: FirstTierOption = "0"
    first_layer: FirstLayerOption = "0"
    attention: AttentionOption = None
    weights: WeightsOption = None
    activations: ActivationsOption = None
    kv: KvOption = None
    stacks: StacksOption = None
    placement: PlacementOption = "blocks"
    skew: SkewOption = None
    locality: LocalityOption = None
    decode_step: DecodeStepOption = None
    policy: PolicyOption = None

    def read(self, numbers: Numbers) -> Step:
        """Return the step that they ask for; faults are noted in `numbers`.

        Parameters
        ----------
        numbers : Numbers
            Collects faults.
        """
        layers = stacks = None
        if self.layers is not None:
            todo = "give the number of layers to simulate, or leave it out"
            layers = numbers.read("--layers", self.layers, 1, None, todo)
        if self.stacks is not None:
            stacks = numbers.read("--stacks", self.stacks, 1, None, "give the number of stacks that share the model")
        return Step(
            model=self.model,
            chip=self.chip,
            batch=numbers.read("--batch", self.batch, 1, None, "give the number of sequences decoded together"),
            context=numbers.read("--context", self.context, 1, None, "give the tokens of each sequence"),
            layers=layers,
            seed=numbers.read("--seed", self.seed, 0, LARGEST_SEED, "give another seed"),
            routing=self.routing,
            first_tier=numbers.read("--first-tier", self.first_tier, 0, None, "give the number of a tier of the chip"),
            first_layer=numbers.read("--first-layer", self.first_layer, 0, None, "give the number of a layer"),
            attention=self.attention,
            weights=self.weights,
            activations=self.activations,
            kv=self.kv,
            stacks=stacks,
            placement=self.placement,
            router=read_router(numbers, self.skew, self.locality, self.decode_step),
            policy=self.policy,
        )
