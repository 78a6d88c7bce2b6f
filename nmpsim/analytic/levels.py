"""Messages over networks inside PUs and the network between PUs, counted from shapes and widths."""

from __future__ import annotations

from functools import lru_cache

from nmpsim.analytic.network import network_hops, router_cycles
from nmpsim.spec.params import MachineParams, NocParams


def cut(rows: int, size: int, pitch: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Return the bytes of the flits of a message, run by run; the addresses of a run follow each other.

    Parameters
    ----------
    rows, size : int
        Rows, and bytes of each.
    pitch : int
        Bytes from the start of a row to that of the next where they go to.
    width : int
        Bytes of a flit.
    """
    row = (width,) * (size // width) + ((size % width,) if size % width else ())
    return (row * rows,) if pitch == size else (row,) * rows


def recut(runs: tuple[tuple[int, ...], ...], into: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Return what a gateway makes of the flits of a message, see `nmpsim.noc.die.bridge`.

    Parameters
    ----------
    runs : tuple of tuple of int
        Bytes of the flits, run by run.
    into, width : int
        Bytes of a flit of the network that they come from, and of the other.
    """
    found = []
    for run in runs:
        made: list[int] = []
        for size in run:
            if width > into:
                if made and made[-1] + size <= width:
                    made[-1] += size
                else:
                    made.append(size)
            else:
                whole, rest = divmod(size, width)
                made += [width] * whole + ([rest] if rest else [])
        found.append(tuple(made))
    return tuple(found)


@lru_cache(maxsize=4096)
def flits_on_way(rows: int, size: int, pitch: int, inner: int, outer: int) -> tuple[int, int, int]:
    """Return the flits of a message in its own PU, between PUs, and in the PU of its destination.

    Parameters
    ----------
    rows, size, pitch : int
        As of `cut`.
    inner, outer : int
        Bytes of a flit inside PUs, and between them.
    """
    first = cut(rows, size, pitch, inner)
    middle = recut(first, inner, outer)
    last = recut(middle, outer, inner)
    return sum(map(len, first)), sum(map(len, middle)), sum(map(len, last))


def level_hops(
    params: MachineParams, ends: tuple[int, int], port: int, rows: int, size: int, pitch: int
) -> tuple[int, int]:
    """Return the flit-hops of a message between PUs and inside them.

    Parameters
    ----------
    params : MachineParams
        With networks inside PUs.
    ends : (int, int)
        Cores that send and receive.
    port : int
    rows, size, pitch : int
        As of `cut`.
    """
    assert params.outer is not None
    source, destination = ends
    noc, cores = params.noc, params.gate.cores
    first, middle, last = flits_on_way(rows, size, pitch, params.gate.inner_bytes, params.gate.outer_bytes)
    here, there = source // cores, destination // cores
    if here == there:
        return 0, first * network_hops(noc, source, destination)
    out, back = (p * cores + port * (cores // 2) for p in (here, there))  # where the gateways stand
    inside = first * network_hops(noc, source, out) + last * network_hops(noc, back, destination)
    return middle * network_hops(params.outer, here, there), inside


def lone_flit_cycles(noc: NocParams, hops: int) -> int:
    """Return the cycles of a flit from the injection queue of a network to the edge at which it is ejected.

    Parameters
    ----------
    noc : NocParams
    hops : int
        Links between routers.
    """
    return 1 + (hops + 1) * router_cycles(noc) + hops * noc.nLINK + 2 * noc.nPORT


def crossing_cycles(params: MachineParams, hops: int) -> float:
    """Return the core cycles that a flit to another PU takes between the two networks inside PUs, gateways included.

    Parameters
    ----------
    params : MachineParams
        With networks inside PUs.
    hops : int
        Links between PUs on its way.
    """
    assert params.outer is not None
    gate, inner, outer = params.link.period, params.noc_period, params.outer_period
    out = params.link.sync * gate + params.gate.outer_sync * outer
    back = params.outer.nSYNC * gate + params.gate.inner_sync * inner
    return (out + lone_flit_cycles(params.outer, hops) * outer + back) / params.core_period
