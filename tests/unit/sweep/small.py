"""Small cores for sweeps: an array of strips, and MAC trees."""

from dataclasses import replace

from nmpsim.spec import load_chip, resolve
from nmpsim.sweep import mappings

FLOWS = ("OS", "WS", "IS")


def small_array(strips=4, strip_rows=2, columns=8, banks=8, bank_bytes=16, **changes):
    """The chip snake with a small array."""
    params = resolve(load_chip("snake"))
    core = params.core._replace(
        strips=strips,
        strip_rows=strip_rows,
        columns=columns,
        macs_per_cycle=strips * strip_rows * columns,
        buffer_banks=banks,
        bank_bytes=bank_bytes,
        **changes,
    )
    return replace(params, core=core)


def small_tree(slices=4, engines=2, taps=4, columns=8):
    """The chip stratum with few small slices."""
    params = resolve(load_chip("stratum"))
    core = params.core._replace(
        strips=slices,
        columns=columns,
        taps=taps,
        macs_per_cycle=slices * engines * taps,
        register_beats=4,
        edge_bytes=64,
        psum_bytes=512,
        buffer_banks=8,
        bank_bytes=16,
    )
    return replace(params, core=core)


def all_mappings(params):
    """Every mapping of a chip."""
    return mappings(params.core, FLOWS)
