"""The streams of a core deliver, strip by strip and in order, exactly the beats that its passes take."""

from __future__ import annotations

import numpy as np

from nmpsim.program.isa import EXPANSION, KV, PASS, STREAM, WEIGHT
from nmpsim.schedule.legality.listing import Indices, Listing
from nmpsim.schedule.legality.placement import SHAPE, Images, Shape, stream_images


def check_delivery(listing: Listing, images: Images) -> Indices:
    """Note streams and passes that do not fit each other (changes `listing`).

    Parameters
    ----------
    listing : Listing
        Well formed; every STREAM refers to an image.
    images : Images

    Returns
    -------
    ndarray of int64
        For every PASS, in the order of the listing, the STREAM that brings its beats; -1 if there is none.
    """
    streams, passes = listing.of_op(STREAM), listing.of_op(PASS)
    image = stream_images(listing, images)
    _counts(listing, images, streams, image)
    taken = np.stack([listing.field(name)[passes] for name in SHAPE], axis=1)
    source = np.full(len(passes), -1, np.int64)
    for pu in range(listing.params.cores):
        mine = slice(*np.searchsorted(passes, listing.first[pu : pu + 2]))
        own = range(*np.searchsorted(streams, listing.first[pu : pu + 2]))
        shapes = [shape for s in own for shape in images.shapes[image[s]]]
        number = np.array([len(images.shapes[image[s]]) for s in own], np.int64)
        brings = np.repeat(streams[own.start : own.stop], number)
        _compare(listing, images, passes[mine], taken[mine], shapes, brings)
        both = min(len(brings), mine.stop - mine.start)
        source[mine.start : mine.start + both] = brings[:both]
    return source


def _counts(listing: Listing, images: Images, streams: Indices, image: Indices) -> None:
    """Beats in the table and bytes of every STREAM are those of its image."""
    strips = np.arange(listing.params.core.strips)
    told = listing.program.tables[listing.field("table")[streams][:, None] + strips]
    wrong = (told != images.counts[image]).any(axis=1)
    for i in np.flatnonzero(wrong):
        listing.add(
            listing.where(int(streams[i])),
            f"beats {told[i].tolist()} per strip",
            f"those of the image, {images.counts[image[i]].tolist()}",
            "correct the table or the image",
        )
    useful = np.array(
        [sum(2 * shape[4] * shape[5] // EXPANSION[shape[6]] for shape in shapes) for shapes in images.shapes], np.int64
    )
    size = listing.field("bytes")[streams]
    for i in np.flatnonzero(size != useful[image]):
        listing.add(
            listing.where(int(streams[i])),
            f"{size[i]} bytes",
            f"{useful[image[i]]}, those of its tiles",
            "correct bytes",
        )
    traffic = listing.field("traffic")[streams]
    odd = (traffic != WEIGHT) & (traffic != KV)
    listing.refuse(streams[odd], lambda ins: f"traffic {ins['traffic']}", "weight or kv", "correct traffic")


def _compare(
    listing: Listing, images: Images, passes: Indices, taken: Indices, shapes: list[Shape], brings: Indices
) -> None:
    """Compare the passes of a core with the tiles of its streams, one by one."""
    both = min(len(passes), len(shapes))
    brought = np.array(shapes, np.int64).reshape(-1, len(SHAPE))
    for i in np.flatnonzero((brought[:both] != taken[:both]).any(axis=1)):
        one, other = shapes[i], _shape(taken[i])
        strip = _differs(images, one, other)
        if strip < 0:
            continue
        got = f"takes {len(images.lists.of(other, strip))} beats of strip {strip} as " + _words(other)
        listing.add(
            listing.where(int(passes[i])),
            got,
            f"as {listing.where(int(brings[i]))} brings them: "
            f"{len(images.lists.of(one, strip))} beats as {_words(one)}",
            "correct the PASS or the image",
        )
    operator = listing.field("operator")
    for i in np.flatnonzero(operator[passes[:both]] != operator[brings[:both]]):
        listing.add(
            listing.where(int(passes[i])),
            f"beats of {listing.where(int(brings[i]))}",
            "beats of its own operator",
            "correct the order, or operator",
        )
    for i in np.arange(both, len(passes)):
        listing.add(listing.where(int(passes[i])), "no beats left", "a STREAM that brings them", "add the STREAM")
    for i in np.arange(both, len(brings)):
        listing.add(listing.where(int(brings[i])), "a tile that no PASS takes", "one PASS a tile", "add the PASS")


def _shape(row: Indices) -> Shape:
    flow, group, split, contiguous, n, k, code, run = (int(x) for x in row)
    return flow, group, split, contiguous, n, k, code, run


def _words(shape: Shape) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(SHAPE, shape, strict=True))


def _differs(images: Images, one: Shape, other: Shape) -> int:
    """Return the first strip whose beats differ between two tiles, -1 if none do."""
    if one[6:] != other[6:]:
        return 0
    for strip in range(images.lists.core.strips):
        if not np.array_equal(images.lists.of(one, strip), images.lists.of(other, strip)):
            return strip
    return -1
