"""Work is conserved: multiply-accumulates and streamed bytes are those of the operators, every element once."""

from __future__ import annotations

import numpy as np

from nmpsim.program.isa import KV, PASS, STREAM, TRAFFIC_NAMES, WEIGHT
from nmpsim.schedule.legality.listing import Indices, Listing
from nmpsim.schedule.legality.placement import Images


def check_work(listing: Listing, images: Images) -> None:
    """Note operators with more or less work than they ask for, and elements streamed twice (changes `listing`)."""
    operators = listing.program.operators
    passes, streams = listing.of_op(PASS), listing.of_op(STREAM)
    m, n, k, operator = (listing.field(name) for name in ("m", "n", "k", "operator"))
    macs = _sum(m[passes] * n[passes] * k[passes], operator[passes], len(operators))
    size, traffic = listing.field("bytes")[streams], listing.field("traffic")[streams]
    read = {
        kind: _sum(size[traffic == kind], operator[streams][traffic == kind], len(operators)) for kind in (WEIGHT, KV)
    }
    for i, asked in enumerate(operators):
        where = f"operator {asked.name}"
        for what, got, wanted in (
            ("multiply-accumulates", macs[i], asked.macs),
            (f"{TRAFFIC_NAMES[WEIGHT]} bytes", read[WEIGHT][i], asked.weight_bytes),
            (f"{TRAFFIC_NAMES[KV]} bytes", read[KV][i], asked.kv_read_bytes),
        ):
            if got != wanted:
                listing.add(where, f"{got} {what} in all instructions", f"{wanted}", "add or remove work")
    _once(listing, images)


def _sum(values: Indices, group: Indices, groups: int) -> Indices:
    total = np.zeros(groups, np.int64)
    np.add.at(total, group, values)
    return total


def _once(listing: Listing, images: Images) -> None:
    """Refuse tensors of which an element lies in two tiles."""
    names: dict[str, int] = {}
    rows: list[tuple[int, int, int, int, int]] = []
    for image in images.streams:
        tensor = names.setdefault(image.tensor, len(names))
        for t in image.tiles:
            rows += [(tensor, t.k_start, t.k_start + t.k, start, start + size) for start, size in t.segments]
    boxes = np.array(rows, np.int64).reshape(-1, 5)
    boxes = boxes[np.lexsort((boxes[:, 3], boxes[:, 1], boxes[:, 0]))]
    one, other = boxes[:-1], boxes[1:]
    same = (one[:, :2] == other[:, :2]).all(axis=1)
    suspects = set(one[same & (other[:, 3] < one[:, 4]), 0].tolist())  # columns over columns
    suspects |= set(one[same & (one[:, 2] != other[:, 2]), 0].tolist())  # rows that only begin alike
    bounds = (one[:, 0] == other[:, 0]) & ~same & (other[:, 1] < one[:, 2])
    suspects |= set(one[bounds, 0].tolist())  # rows over rows
    texts = list(names)
    for tensor in sorted(suspects):
        box = _shared(boxes[boxes[:, 0] == tensor])
        if box is not None:
            listing.add(
                f"tensor {texts[tensor]}",
                f"k {box[0]}, column {box[1]} in two tiles",
                "every element in one",
                "correct the tiles",
            )


def _shared(boxes: Indices) -> tuple[int, int] | None:
    """Return an element (k, column) that lies in two of the boxes, None if there is none."""
    for i in range(len(boxes) - 1):
        low = np.maximum(boxes[i, [1, 3]], boxes[i + 1 :, [1, 3]])
        high = np.minimum(boxes[i, [2, 4]], boxes[i + 1 :, [2, 4]])
        over = np.flatnonzero((low < high).all(axis=1))
        if len(over):
            return int(low[over[0], 0]), int(low[over[0], 1])
    return None
