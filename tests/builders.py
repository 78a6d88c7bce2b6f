"""Small chips, small models and ready-made jobs, for tests of whole programs.

`small_chip` shrinks a shipped chip: 4 strips of 2 x 8 PEs (or 4 slices of 2 engines x 4 taps), beats of 16 bytes,
rows of 16 beats, 8 tiers of 1024 rows.  Everything that is not named keeps the figure of the shipped chip.
`small_model` is a model of a few dozen columns.  `small_job` prepares one decode step of one on the other.
"""

import json
from functools import lru_cache
from pathlib import Path

from nmpsim.api import Job, prepare
from nmpsim.spec import ChipSpec, load_chip
from nmpsim.spec.load import with_overrides
from nmpsim.workload import LLAMA, MIXTRAL, Model

SNAKE, STRATUM = "snake", "stratum"
KINDS = (SNAKE, STRATUM)

COLUMNS, STRIPS, STRIP_ROWS = 8, 4, 2
BEAT_BYTES = 2 * COLUMNS
ROW_BEATS = 16

_BOTH = {
    "dram.banks_per_channel": STRIPS,
    "dram.rows_per_bank": 8192,
    "dram.row_bytes": ROW_BEATS * BEAT_BYTES,
    "dram.column_bytes": BEAT_BYTES,
    "port.fifo_bytes": 2 * ROW_BEATS * BEAT_BYTES,
    "core.vector.lanes": 16,
    "core.vector.read_bytes": 128,
    "core.vector.write_bytes": 128,
    "core.buffer.banks": 8,
    "core.buffer.bank_bytes": 16,
    "core.buffer.bytes": 2**18,
    "noc.flit_bytes": 16,
}
_ONE = {
    SNAKE: {
        "core.array.rows": STRIPS * STRIP_ROWS,
        "core.array.cols": COLUMNS,
        "core.array.granularity": STRIP_ROWS,
    },
    STRATUM: {
        "core.mac_tree.slices": STRIPS,
        "core.mac_tree.engines": 2,
        "core.mac_tree.taps": 4,
        "core.mac_tree.register_beats": 4,
        "core.mac_tree.edge_bytes": 64,
        "core.mac_tree.psum_bytes": 4096,
    },
}

SEPARATE = {
    "core__arrangement": "separate",
    "core__array_buffer__operand_bytes": 2**14,
    "core__array_buffer__operand_banks": 4,
    "core__array_buffer__output_bytes": 2**14,
    "core__array_buffer__output_banks": 8,
    "core__array_buffer__bank_bytes": 16,
    "core__array_buffer__copy_bytes": 64,
}
"""For `small_chip`: the compute unit has small buffers of its own."""


def small_chip(kind=SNAKE, pus=2, **overrides) -> ChipSpec:
    """A shipped chip made small.

    Parameters
    ----------
    kind : str
        ``snake`` or ``stratum``.
    pus : int
        Processing units.
    **overrides
        More settings; a dot of the path is written as two underscores (``core__buffer__bytes=4096``).
    """
    more = {path.replace("__", "."): value for path, value in overrides.items()}
    return with_overrides(load_chip(kind), {"chip.pus": pus, **_BOTH, **_ONE[kind], **more})


def small_model(
    *,
    moe=False,
    layers=1,
    hidden=64,
    heads=4,
    kv_heads=2,
    head_dim=16,
    ffn=96,
    vocab=96,
    experts=4,
    experts_per_token=2,
    max_positions=1024,
    tied=False,
) -> Model:
    """A model of a few dozen columns; a mixture of `experts` if `moe`."""
    return Model(
        name="tiny-moe" if moe else "tiny",
        family=MIXTRAL if moe else LLAMA,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ffn=ffn,
        vocab=vocab,
        experts=experts if moe else 0,
        experts_per_token=experts_per_token if moe else 0,
        max_positions=max_positions,
        tie_embeddings=tied,
        rms_eps=1e-5,
        rope_theta=10000.0,
        sha256="0" * 64,
        source="made up",
    )


def write_config(path: Path, model: Model) -> Path:
    """Write the ``config.json`` that `load_model` reads as `model` (but for its hash) and return its path."""
    config = {
        "architectures": [model.family],
        "model_type": "mixtral" if model.is_moe else "llama",
        "hidden_act": "silu",
        "hidden_size": model.hidden,
        "intermediate_size": model.ffn,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "num_hidden_layers": model.layers,
        "max_position_embeddings": model.max_positions,
        "rms_norm_eps": model.rms_eps,
        "rope_theta": model.rope_theta,
        "tie_word_embeddings": model.tie_embeddings,
        "vocab_size": model.vocab,
    }
    if model.is_moe:
        config |= {"num_local_experts": model.experts, "num_experts_per_tok": model.experts_per_token}
    file = path / "config.json"
    file.write_text(json.dumps(config))
    return file


@lru_cache(maxsize=64)
def small_job(kind=SNAKE, pus=2, *, moe=False, batch=2, context=21, layers=1, seed=0) -> Job:
    """One decode step of a small model on a small chip, prepared; the same object for the same arguments.

    Tests that change the program must copy it first.
    """
    return prepare(
        small_model(moe=moe, layers=layers),
        small_chip(kind, pus),
        batch=batch,
        context=context,
        layers=layers,
        seed=seed,
    )
