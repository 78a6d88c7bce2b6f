"""Reading a ``config.json``: text, types and ranges, with every fault noted.

Nothing is filled in from defaults of a library: a dimension that the file does not state is a fault.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import NoReturn

from nmpsim.errors import Fault, WorkloadError
from nmpsim.workload.limits import is_integer, shown
from nmpsim.workload.parts import DEEPSEEK_V3, LLAMA, MIXTRAL, OLMOE, OPT, QWEN2, QWEN3_MOE

FAMILIES: Mapping[str, str] = {
    LLAMA: "llama",
    MIXTRAL: "mixtral",
    OPT: "opt",
    QWEN2: "qwen2",
    QWEN3_MOE: "qwen3_moe",
    OLMOE: "olmoe",
    DEEPSEEK_V3: "deepseek_v3",
}
"""Supported architectures and the ``model_type`` that goes with each."""

LARGEST = 2**31 - 1
"""Largest dimension taken; elements, heads, tokens or experts."""

GREATEST = 1e300
"""Bound of the real numbers taken, so that an infinite or endless one is refused."""

MOST_LAYERS = 4096
"""Most layers taken; a graph has some ten operators for each."""

_SUPPORTED = ", ".join(f"{architecture} ({model_type})" for architecture, model_type in FAMILIES.items())
COPY = "take the model's own config.json"
"""What to do about most faults."""


class ConfigReader:
    """Reads typed values from one configuration and collects what is wrong with them.

    A value with a fault reads as 0, so that relations between values are checked for sound ones only.

    Parameters
    ----------
    config : mapping
        The parsed file.
    where : str
        File, for messages.
    """

    def __init__(self, config: Mapping[str, object], where: str) -> None:
        self.config = config
        self.where = where
        self.faults: list[Fault] = []

    def fault(self, key: str, got: str, allowed: str, todo: str) -> None:
        """Note one fault of a key."""
        self.faults.append(Fault(f"{self.where}: {key}", got, allowed, todo))

    def present(self, key: str, allowed: str) -> bool:
        """Whether a required key is there; a fault if not."""
        if key in self.config:
            return True
        near = get_close_matches(key, self.config, n=1, cutoff=0.8)
        todo = f"rename {near[0]!r}" if near else f"add the key, or {COPY}"
        self.fault(key, "no such key", allowed, todo)
        return False

    def count(self, key: str, high: int = LARGEST) -> int:
        """Read a required integer in 1..high."""
        allowed = f"an integer in 1..{high}"
        if not self.present(key, allowed):
            return 0
        value = self.config[key]
        if is_integer(value) and 1 <= value <= high:
            return value
        self.fault(key, shown(value), allowed, COPY)
        return 0

    def positive(self, key: str) -> float:
        """Read a required positive finite number."""
        allowed = "a positive number"
        if not self.present(key, allowed):
            return 0.0
        value = self.config[key]
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < GREATEST:
            return float(value)
        self.fault(key, shown(value), allowed, COPY)
        return 0.0

    def flag(self, key: str) -> bool:
        """Read a required truth value."""
        if not self.present(key, "true or false"):
            return False
        value = self.config[key]
        if isinstance(value, bool):
            return value
        self.fault(key, shown(value), "true or false", COPY)
        return False

    def choice(self, key: str, accepted: tuple[str, ...], todo: str) -> str:
        """Read a required word; the first of those accepted, and a fault noted, if it is another."""
        allowed = " or ".join(repr(word) for word in accepted)
        if not self.present(key, allowed):
            return accepted[0]
        value = self.config[key]
        if isinstance(value, str) and value in accepted:
            return value
        self.fault(key, shown(value), allowed, todo)
        return accepted[0]

    def refuse(self, key: str, accepted: tuple[object, ...], allowed: str, todo: str) -> None:
        """Fault if an optional key is there with none of the accepted values."""
        if key in self.config:
            value = self.config[key]
            if not any(value is one for one in accepted):
                self.fault(key, shown(value), allowed, todo)


def refuse(where: str, faults: list[Fault]) -> NoReturn:
    """Raise the faults of a file."""
    raise WorkloadError(f"{where}: not a model that can be simulated", faults)


def parse_json(raw: bytes, where: str) -> dict[str, object]:
    """JSON object of a file; constants such as NaN and keys that occur twice are refused."""
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in pairs]
        repeated.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return dict(pairs)

    def constant(text: str) -> NoReturn:
        raise ValueError(f"{text} is no JSON number")

    todo = f"repair the file, or {COPY}"
    try:
        config = json.loads(raw.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except json.JSONDecodeError as error:
        place = f"{where}, line {error.lineno}, column {error.colno}"
        refuse(where, [Fault(place, f"corrupt JSON ({error.msg})", "a JSON object", todo)])
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        refuse(where, [Fault(where, f"corrupt JSON ({error})", "a JSON object in UTF-8", todo)])
    if not isinstance(config, dict):
        refuse(where, [Fault(where, f"a JSON {type(config).__name__}", "a JSON object", COPY)])
    if repeated:
        refuse(where, [Fault(f"{where}: {key}", "the key twice", "each key once", todo) for key in repeated])
    return config


def family_of(reader: ConfigReader) -> str:
    """Supported architecture of the file, or the empty text with faults noted."""
    todo = "choose a model of a supported architecture"
    architecture = ""
    if reader.present("architectures", f"a list of one of {_SUPPORTED}"):
        listed = reader.config["architectures"]
        if isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], str) and listed[0] in FAMILIES:
            architecture = listed[0]
        else:
            got = f"the architecture {listed[0]}" if isinstance(listed, list) and len(listed) == 1 else shown(listed)
            reader.fault("architectures", got, f"one of {_SUPPORTED}", todo)
    if reader.present("model_type", f"one of {', '.join(FAMILIES.values())}"):
        model_type = reader.config["model_type"]
        allowed = FAMILIES[architecture] if architecture else f"one of {', '.join(FAMILIES.values())}"
        if model_type not in ((FAMILIES[architecture],) if architecture else tuple(FAMILIES.values())):
            reader.fault("model_type", shown(model_type), allowed, todo)
    return "" if reader.faults else architecture
