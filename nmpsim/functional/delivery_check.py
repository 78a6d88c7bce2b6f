"""Do the strips deliver the tensors?  The B operand of every PASS, rebuilt from bytes, against the tensor itself."""

from __future__ import annotations

from collections import deque

import numpy as np

from nmpsim.errors import Fault
from nmpsim.functional.formats import real
from nmpsim.functional.image import Tensors, operand
from nmpsim.functional.interpreter import FunctionalResult
from nmpsim.program.beats import Tile
from nmpsim.program.isa import PASS, STREAM
from nmpsim.program.program import StreamImage


def check_delivery(result: FunctionalResult, tensors: Tensors) -> tuple[Fault, ...]:
    """Compare the B operand of each recorded PASS with the part of the tensor that its stream is an image of.

    The streams of a core, in order, name their tiles by channel and first row; the passes of the core take these tiles
    in order.  Elements that are not a number in the tensor (rows that the program itself stores) are left out.

    Parameters
    ----------
    result : FunctionalResult
        Of a run with ``record``.
    tensors : mapping of str to ndarray
        As given to the run.

    Returns
    -------
    tuple of Fault
        Passes whose operand has other elements or another shape, streams without image.
    """
    faults = []
    images = {(i.pu, i.row): i for i in result.program.images if isinstance(i, StreamImage)}
    tiles: list[deque[tuple[str, Tile]]] = []
    for pu, stream in enumerate(result.program.streams):
        tiles.append(deque())
        for index in np.flatnonzero(stream["op"] == STREAM):
            image = images.get((pu, int(stream["row"][index])))
            if image is None:
                place = f"PU {pu}, instruction {index} (stream)"
                faults.append(Fault(place, "no image at its row", "a stream with an image", "add the image"))
            else:
                tiles[pu].extend((image.tensor, tile) for tile in image.tiles)
    for execution in sorted(result.executions, key=lambda e: (e.pu, e.index)):
        if execution.ins.op != PASS:
            continue
        place = f"PU {execution.pu}, instruction {execution.index} (pass)"
        if not tiles[execution.pu]:
            faults.append(Fault(place, "no tile left", "one tile for each pass", "correct the images"))
            continue
        name, tile = tiles[execution.pu].popleft()
        wanted, found = operand(tile, name, tensors[name], place), real(execution.inputs["b"])
        if wanted.shape != found.shape or ((wanted != found) & ~np.isnan(wanted)).any():
            got = f"an operand of shape {found.shape} that is not its tile of {name} {wanted.shape}"
            faults.append(Fault(place, got, "the elements of the tensor", "correct placement, image or beats"))
    return tuple(faults)
