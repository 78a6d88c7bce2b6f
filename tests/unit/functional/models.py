"""Small models."""

from nmpsim.workload import LLAMA, MIXTRAL, Model


def model(*, moe=False, layers=1, hidden=64, heads=4, kv_heads=2, head_dim=16, ffn=96, vocab=96, tied=False):
    """Model of a few dozen columns."""
    return Model(
        name="tiny",
        family=MIXTRAL if moe else LLAMA,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ffn=ffn,
        vocab=vocab,
        experts=4 if moe else 0,
        experts_per_token=2 if moe else 0,
        max_positions=1024,
        tie_embeddings=tied,
        rms_eps=1e-5,
        rope_theta=10000.0,
        sha256="0" * 64,
        source="made up",
    )
