"""From a model's ``config.json`` to a `Model`: strict, and with every fault of the file in one error.

Nothing is filled in from defaults of a library: a dimension that the file does not state is a fault.  The weights are
taken as FP16 whatever 16-bit type the file names; the size is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import NoReturn

from nmpsim.errors import Fault, WorkloadError
from nmpsim.workload.limits import is_integer, shown
from nmpsim.workload.model import LLAMA, MIXTRAL, Model

FAMILIES: Mapping[str, str] = {LLAMA: "llama", MIXTRAL: "mixtral"}
"""Supported architectures and the ``model_type`` that goes with each."""

LARGEST = 2**31 - 1
"""Largest dimension taken; elements, heads, tokens or experts."""

GREATEST = 1e300
"""Bound of the real numbers taken, so that an infinite or endless one is refused."""

MOST_LAYERS = 4096
"""Most layers taken; a graph has some ten operators for each."""

_SUPPORTED = ", ".join(f"{architecture} ({model_type})" for architecture, model_type in FAMILIES.items())
_COPY = "take the model's own config.json"


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
        todo = f"rename {near[0]!r}" if near else f"add the key, or {_COPY}"
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
        self.fault(key, shown(value), allowed, _COPY)
        return 0

    def positive(self, key: str) -> float:
        """Read a required positive finite number."""
        allowed = "a positive number"
        if not self.present(key, allowed):
            return 0.0
        value = self.config[key]
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < GREATEST:
            return float(value)
        self.fault(key, shown(value), allowed, _COPY)
        return 0.0

    def flag(self, key: str) -> bool:
        """Read a required truth value."""
        if not self.present(key, "true or false"):
            return False
        value = self.config[key]
        if isinstance(value, bool):
            return value
        self.fault(key, shown(value), "true or false", _COPY)
        return False

    def refuse(self, key: str, accepted: tuple[object, ...], allowed: str, todo: str) -> None:
        """Fault if an optional key is there with none of the accepted values."""
        if key in self.config:
            value = self.config[key]
            if not any(value is one for one in accepted):
                self.fault(key, shown(value), allowed, todo)


def parse_config(raw: bytes, name: str, where: str, source: str) -> Model:
    """Model of the bytes of a ``config.json``.

    Parameters
    ----------
    raw : bytes
        Content of the file.
    name : str
        Name of the model.
    where : str
        File, for messages.
    source : str
        Where the file comes from.

    Returns
    -------
    Model
        The checked dimensions.

    Raises
    ------
    WorkloadError
        If the text is no JSON object, the architecture is not supported, or a key is missing, of the wrong type, out
        of range, or asks for something that is not modelled.  All faults at once.
    """
    reader = ConfigReader(_parse_json(raw, where), where)
    family = _family(reader)
    if not family:
        _refuse(where, reader.faults)
    hidden = reader.count("hidden_size")
    heads = reader.count("num_attention_heads")
    kv_heads = reader.count("num_key_value_heads")
    experts = reader.count("num_local_experts") if family == MIXTRAL else 0
    experts_per_token = reader.count("num_experts_per_tok") if family == MIXTRAL else 0
    model = Model(
        name=name,
        family=family,
        layers=reader.count("num_hidden_layers", MOST_LAYERS),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=_head_dim(reader, hidden, heads),
        ffn=reader.count("intermediate_size"),
        vocab=reader.count("vocab_size"),
        experts=experts,
        experts_per_token=experts_per_token,
        max_positions=reader.count("max_position_embeddings"),
        tie_embeddings=reader.flag("tie_word_embeddings"),
        rms_eps=reader.positive("rms_norm_eps"),
        rope_theta=_rope_theta(reader),
        sha256=hashlib.sha256(raw).hexdigest(),
        source=source,
    )
    if heads and kv_heads and heads % kv_heads:
        reader.fault("num_key_value_heads", str(kv_heads), f"a divisor of num_attention_heads = {heads}", _COPY)
    if experts and experts_per_token > experts:
        reader.fault("num_experts_per_tok", str(experts_per_token), f"1..{experts} (num_local_experts)", _COPY)
    _refuse_unmodelled(reader, model)
    if reader.faults:
        _refuse(where, reader.faults)
    return model


def _refuse(where: str, faults: list[Fault]) -> NoReturn:
    raise WorkloadError(f"{where}: not a model that can be simulated", faults)


def _parse_json(raw: bytes, where: str) -> dict[str, object]:
    """JSON object of a file; constants such as NaN and keys that occur twice are refused."""
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in pairs]
        repeated.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return dict(pairs)

    def constant(text: str) -> NoReturn:
        raise ValueError(f"{text} is no JSON number")

    todo = f"repair the file, or {_COPY}"
    try:
        config = json.loads(raw.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except json.JSONDecodeError as error:
        place = f"{where}, line {error.lineno}, column {error.colno}"
        _refuse(where, [Fault(place, f"corrupt JSON ({error.msg})", "a JSON object", todo)])
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        _refuse(where, [Fault(where, f"corrupt JSON ({error})", "a JSON object in UTF-8", todo)])
    if not isinstance(config, dict):
        _refuse(where, [Fault(where, f"a JSON {type(config).__name__}", "a JSON object", _COPY)])
    if repeated:
        _refuse(where, [Fault(f"{where}: {key}", "the key twice", "each key once", todo) for key in repeated])
    return config


def _family(reader: ConfigReader) -> str:
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


def _head_dim(reader: ConfigReader, hidden: int, heads: int) -> int:
    """Explicit head width, or hidden / heads."""
    if reader.config.get("head_dim") is not None:
        head_dim = reader.count("head_dim")
        if head_dim % 2:
            reader.fault("head_dim", str(head_dim), "an even number (rotary halves)", _COPY)
        return head_dim
    if not hidden or not heads:
        return 0
    if hidden % heads:
        reader.fault("hidden_size", str(hidden), f"a multiple of num_attention_heads = {heads}", "or add head_dim")
    elif hidden // heads % 2:
        got = f"{hidden} = {heads} heads of {hidden // heads}"
        reader.fault("hidden_size", got, "heads of even width (rotary halves)", _COPY)
    return hidden // heads


def _rope_theta(reader: ConfigReader) -> float:
    """Read the base of the rotary frequencies, at the top level or, in newer files, in ``rope_parameters``."""
    for key in ("rope_scaling", "rope_parameters"):
        if not isinstance(reader.config.get(key), dict | None):
            reader.fault(key, shown(reader.config[key]), "an object or null", _COPY)
    inner = reader.config.get("rope_parameters")
    if "rope_theta" not in reader.config and isinstance(inner, dict) and "rope_theta" in inner:
        nested = ConfigReader(inner, f"{reader.where}: rope_parameters")
        theta = nested.positive("rope_theta")
        reader.faults.extend(nested.faults)
        return theta
    return reader.positive("rope_theta")


def _refuse_unmodelled(reader: ConfigReader, model: Model) -> None:
    """Fault for each thing that the decode graph has no operator for."""
    todo = "choose a model without it"
    if reader.present("hidden_act", "'silu'") and reader.config["hidden_act"] != "silu":
        reader.fault("hidden_act", shown(reader.config["hidden_act"]), "'silu'", "choose a model with SwiGLU")
    for key in ("attention_bias", "mlp_bias"):
        reader.refuse(key, (False, None), "false, null or no such key", todo)
    reader.refuse("quantization_config", (None,), "null or no such key: weights are FP16", "take the unquantised model")
    window = reader.config.get("sliding_window")
    reaches = is_integer(window) and 0 < model.max_positions <= window
    if window is not None and not reaches:
        allowed = "null, no such key, or at least max_position_embeddings (every token attends to all)"
        reader.fault("sliding_window", shown(window), allowed, todo)
    if model.family == LLAMA:
        for key in ("num_local_experts", "num_experts_per_tok"):
            reader.refuse(key, (None,), f"no such key in a dense {LLAMA}", f"use {MIXTRAL} for a mixture of experts")
