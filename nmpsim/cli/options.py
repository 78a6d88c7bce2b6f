"""Options that several commands share, and from their text to values with every fault at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nmpsim.errors import Fault, NmpsimError, WorkloadError

if TYPE_CHECKING:
    from nmpsim.api import Job

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

_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")


class Numbers:
    """Reads integers from options and collects what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

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

    def refuse(self) -> None:
        """Raise the faults found.

        Raises
        ------
        NmpsimError
            If there are any.
        """
        if self.faults:
            raise NmpsimError("an option is wrong" if len(self.faults) == 1 else "options are wrong", self.faults)


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
    attention : str or None
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

    def prepare(self) -> Job:
        """Load model and chip; schedule, encode and check.

        Raises
        ------
        NmpsimError
            With every fault found.
        """
        from nmpsim import api

        model = api.load_model(self.model)
        if self.routing is not None and not model.is_moe:
            fault = Fault("--routing", repr(self.routing), "nothing for a dense model", "leave out --routing")
            raise WorkloadError(f"{model.name} has no experts to route to", [fault])
        given: dict[str, Any] = {"routing": self.routing} if self.routing is not None else {}
        return api.prepare(
            model,
            self.chip,
            batch=self.batch,
            context=self.context,
            layers=self.layers,
            seed=self.seed,
            first_tier=self.first_tier,
            first_layer=self.first_layer,
            attention=self.attention or "",
            **given,
        )


def read_step(
    numbers: Numbers,
    *,
    model: str,
    chip: str,
    batch: str,
    context: str,
    layers: str | None,
    seed: str,
    routing: str | None,
    first_tier: str,
    first_layer: str = "0",
    attention: str | None = None,
) -> Step:
    """Return the step that options ask for; faults are noted in `numbers`.

    Parameters
    ----------
    numbers : Numbers
        Collects faults.
    model, chip, batch, context, layers, seed, routing, first_tier, first_layer, attention : str
        Texts of the options.
    """
    return Step(
        model=model,
        chip=chip,
        batch=numbers.read("--batch", batch, 1, None, "give the number of sequences decoded together"),
        context=numbers.read("--context", context, 1, None, "give the tokens of each sequence"),
        layers=None
        if layers is None
        else numbers.read("--layers", layers, 1, None, "give the number of layers to simulate, or leave it out"),
        seed=numbers.read("--seed", seed, 0, LARGEST_SEED, "give another seed"),
        routing=routing,
        first_tier=numbers.read("--first-tier", first_tier, 0, None, "give the number of a tier of the chip"),
        first_layer=numbers.read("--first-layer", first_layer, 0, None, "give the number of a layer"),
        attention=attention,
    )
