"""A model and a chip small enough that a decode step is simulated in a fraction of a second, and their runs."""

import json
import re
from functools import cache
from pathlib import Path

from nmpsim import api
from nmpsim.spec import parse_chip
from nmpsim.workload import parse_config
from tests import chip_text as shipped

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 256,
    "intermediate_size": 512,
    "max_position_embeddings": 512,
    "num_attention_heads": 8,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "vocab_size": 1024,
}
MIXTRAL = {
    **LLAMA,
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": None,
}


def config_text(config=LLAMA, **changes):
    """Text of a config.json with some keys changed; a key set to ``...`` is left out."""
    return json.dumps({key: value for key, value in {**config, **changes}.items() if value is not ...})


def chip_text(edits=None, base="snake"):
    """Text of a shipped chip with 4 PUs; each regular expression of `edits` is replaced where it matches first.

    Keys of [noc] are keys of [noc.pu] too, which comes after it; no other section repeats them.
    """
    text = shipped.chip_text(base)
    for pattern, replacement in {r"^pus = \{ value = 16": "pus = { value = 4", **(edits or {})}.items():
        found = len(re.findall(pattern, text, flags=re.MULTILINE))
        assert found == 1 or (found == 2 and "[noc.pu]" in text), f"{pattern} matches {found} times"
        text = re.sub(pattern, lambda _, new=replacement: new, text, count=1, flags=re.MULTILINE)
    return text


def write_inputs(folder: Path, config=LLAMA):
    """Write model and chip into a folder; their paths as text."""
    model, chip = folder / "tiny" / "config.json", folder / "small.toml"
    model.parent.mkdir()
    model.write_text(config_text(config))
    chip.write_text(chip_text())
    return str(model), str(chip)


def simulate_small(base="snake", *, moe=False, trace="none", **options):
    """Simulate the small model on the small chip."""
    model = parse_config(config_text(MIXTRAL if moe else LLAMA).encode(), "tiny", "config.json", "a test")
    chip = parse_chip(chip_text(base=base), f"{base}.toml")
    return api.simulate(model, chip, trace=trace, **{"batch": 2, "context": 16, **options})


@cache
def run_of(base="snake", *, moe=False, trace="none"):
    """Run of the small model on the small chip; simulated once per process."""
    return simulate_small(base, moe=moe, trace=trace)
