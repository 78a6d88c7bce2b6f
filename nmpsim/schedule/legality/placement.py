"""Images lie in the banks, do not overlap, and every move refers to one.

Beats of a bank are numbered on through its rows: place = row * columns + column.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nmpsim.program.beats import Tile, beats_of, legal
from nmpsim.program.isa import EXPANSION, K_CONTIGUOUS, KV, LOAD, STORE, STREAM
from nmpsim.program.packing import stored_beats
from nmpsim.program.program import BeatImage, StreamImage
from nmpsim.schedule.legality.listing import Indices, Listing
from nmpsim.spec.params import CoreParams

SHAPE = ("flow", "group", "split", "contiguous", "n", "k", "imm", "beats")
"""Fields of a PASS that its beats follow from; the last two are format and run of its tile."""

Shape = tuple[int, int, int, int, int, int, int, int]

Place = tuple[int, int, int, int, int]
"""PU, bank, row, column and first byte within the beat of a LOAD or STORE."""


class BeatLists:
    """Beats of tiles, remembered by shape.

    Parameters
    ----------
    core : CoreParams
    """

    def __init__(self, core: CoreParams) -> None:
        self.core = core
        self._lists: dict[tuple[Shape, int], Indices] = {}
        self._counts: dict[Shape, Indices] = {}

    def of(self, shape: Shape, strip: int) -> Indices:
        """Beats of the array of one strip, as `nmpsim.program.beats.beats_of`."""
        key = shape, strip
        if key not in self._lists:
            self._lists[key] = beats_of(Tile(*shape[:6], 0, ()), self.core, strip)
        return self._lists[key]

    def counts(self, shape: Shape) -> Indices:
        """Beats of the DRAM of every strip; shape (strip,)."""
        if shape not in self._counts:
            every = (len(self.of(shape, s)) for s in range(self.core.strips))
            self._counts[shape] = np.array([stored_beats(count, *shape[6:]) for count in every], np.int64)
        return self._counts[shape]


class Images:
    """The images of a program, split by kind, with the sizes of the streams.

    Attributes
    ----------
    streams : list of StreamImage
    shapes : list of list of Shape
        Of the tiles of every stream.
    counts : ndarray of int64, shape (stream, strip)
        Beats.
    beats : list of BeatImage
    by_row : dict of (pu, row) to int
        Index of a stream.
    """

    def __init__(self, listing: Listing) -> None:
        core = listing.params.core
        self.lists = BeatLists(core)
        self.streams = [i for i in listing.program.images if isinstance(i, StreamImage)]
        self.beats = [i for i in listing.program.images if isinstance(i, BeatImage)]
        self.shapes: list[list[Shape]] = [
            [(t.flow, t.group, t.split, t.contiguous, t.n, t.k, t.code, t.run) for t in image.tiles]
            for image in self.streams
        ]
        self.counts = np.zeros((len(self.streams), core.strips), np.int64)
        self.by_row = {(image.pu, image.row): i for i, image in enumerate(self.streams)}
        self.sound = self._check_tiles(listing)
        if self.sound:
            sums: dict[tuple[Shape, ...], Indices] = {}
            for counts, shapes in zip(self.counts, self.shapes, strict=True):
                key = tuple(shapes)
                if key not in sums:
                    sums[key] = np.sum([self.lists.counts(shape) for shape in shapes], axis=0)
                counts[:] = sums[key]

    def _check_tiles(self, listing: Listing) -> bool:
        """Note tiles without meaning (changes `listing`); return whether all have one."""
        strips = listing.params.core.strips
        bad: set[Shape] = set()
        for shape in {shape for shapes in self.shapes for shape in shapes}:
            flow, group, split, contiguous, n, k, code, run = shape
            known = 0 <= flow < 4 and 0 <= split < 3 and contiguous in (0, 1) and legal(flow, split, contiguous)
            coded = 0 <= code < len(EXPANSION) and run >= 0
            if not known or not coded or group < 1 or strips % group or n < 1 or k < 1:
                bad.add(shape)
        sound = True
        for image, shapes in zip(self.streams, self.shapes, strict=True):
            widths = [sum(size for _, size in t.segments) for t in image.tiles]
            uneven = any(width != t.n for width, t in zip(widths, image.tiles, strict=True))
            rotated = any(not 0 <= t.k_rotate < t.k for t in image.tiles)
            if not shapes or uneven or rotated or (bad and any(shape in bad for shape in shapes)):
                sound = False
                listing.add(
                    f"image of {image.tensor} at PU {image.pu}, row {image.row}",
                    f"tiles {image.tiles}",
                    "tiles that this chip can take, of as many columns as their segments",
                    "correct the image",
                )
        return sound


def check_placement(listing: Listing, images: Images) -> None:
    """Note images outside the banks or over one another, and moves that refer to no image (changes `listing`)."""
    if not images.sound or not _in_banks(listing, images):
        return
    _overlaps(listing, images)
    _streams(listing, images)
    _loads(listing, images)
    _stores(listing, images)


def _name(image: StreamImage | BeatImage) -> str:
    if isinstance(image, StreamImage):
        return f"image of {image.tensor} at PU {image.pu}, row {image.row}"
    place = f"bank {image.bank}, row {image.row}, column {image.column}"
    return f"image of row {image.index} of {image.tensor} at PU {image.pu}, {place}"


def _in_banks(listing: Listing, images: Images) -> bool:
    dram, pus = listing.params.dram, listing.params.cores
    allowed = f"{pus} PUs, {dram.banks} banks of {dram.rows} rows of {dram.columns} columns"
    number = listing.number
    most = images.counts.max(axis=1, initial=0) if len(images.streams) else np.zeros(0, np.int64)
    for image, beats in zip(images.streams, most, strict=True):
        rows = -(-int(beats) // dram.columns)
        if not 0 <= image.pu < pus or image.row < 0 or image.row + rows > dram.rows:
            listing.add(_name(image), f"{rows} rows", allowed, "correct the placement")
    for piece in images.beats:
        inside = 0 <= piece.pu < pus and 0 <= piece.bank < dram.banks and 0 <= piece.row < dram.rows
        inside = inside and piece.beats >= 1 and 0 <= piece.column <= dram.columns - piece.beats
        size = piece.elements * piece.element_bytes
        if not inside or not 0 < size <= piece.beats * dram.column_bytes:
            got = f"{piece.beats} beats for {piece.elements} elements"
            listing.add(_name(piece), got, allowed + ", elements within the beats", "correct the placement")
    return listing.number == number


def _place(listing: Listing, image: BeatImage) -> int:
    return image.row * listing.params.dram.columns + image.column


def _overlaps(listing: Listing, images: Images) -> None:
    """Refuse images over one another; a token that the step stores lies at its place inside the image of its tensor."""
    dram = listing.params.dram
    number = len(images.streams)
    fixed = [i for i, piece in enumerate(images.beats) if not piece.written]
    unique = list({images.beats[i]: i for i in fixed}.values())
    row = np.array([image.row for image in images.streams], np.int64) * dram.columns
    pu = np.array([image.pu for image in images.streams], np.int64)
    bank, start, end, who = [], [], [], []
    for strip in range(dram.banks):
        some = images.counts[:, strip] > 0
        bank.append(pu[some] * dram.banks + strip)
        start.append(row[some])
        end.append(row[some] + images.counts[some, strip])
        who.append(np.flatnonzero(some))
    pieces = [images.beats[i] for i in unique]
    at = np.array([_place(listing, piece) for piece in pieces], np.int64)
    bank.append(np.array([piece.pu * dram.banks + piece.bank for piece in pieces], np.int64))
    start.append(at)
    end.append(at + np.array([piece.beats for piece in pieces], np.int64))
    who.append(number + np.array(unique, np.int64))
    key, first, last, image = (np.concatenate(x) for x in (bank, start, end, who))
    order = np.lexsort((first, key))
    key, first, last, image = key[order], first[order], last[order], image[order]
    over = (key[1:] == key[:-1]) & (first[1:] < last[:-1])

    def named(i: int) -> StreamImage | BeatImage:
        return images.streams[i] if i < number else images.beats[i - number]

    told: set[tuple[int, int]] = set()
    for i in np.flatnonzero(over):
        pair = int(image[i]), int(image[i + 1])
        if pair not in told:
            told.add(pair)
            listing.add(
                _name(named(pair[1])),
                f"places of the {_name(named(pair[0]))}",
                "places of its own",
                "move one of the two",
            )
    _written(listing, images, (key, first, last, image))


def _written(listing: Listing, images: Images, taken: tuple[Indices, Indices, Indices, Indices]) -> None:
    """Check every beat that the program stores against the stream image it lies in."""
    dram = listing.params.dram
    key, first, last, image = taken
    span = dram.rows * dram.columns
    line = key * span + first
    seen: set[BeatImage] = set()
    for piece in images.beats:
        if not piece.written:
            continue
        place, bank = _place(listing, piece), piece.pu * dram.banks + piece.bank
        i = int(np.searchsorted(line, bank * span + place, side="right")) - 1
        inside = i >= 0 and key[i] == bank and place + piece.beats <= last[i] and image[i] < len(images.streams)
        owner = images.streams[image[i]] if inside else None
        if piece in seen:
            listing.add(_name(piece), "the image twice", "one image of a stored beat", "remove one")
        elif owner is None or owner.tensor != piece.tensor or piece.beats != 1:
            listing.add(
                _name(piece),
                "a place outside the stream of its tensor"
                if owner is None or piece.beats == 1
                else f"{piece.beats} beats",
                f"a beat inside a stream image of {piece.tensor}",
                "correct it",
            )
        else:
            part = piece.byte * EXPANSION[piece.code] // dram.column_bytes
            stored = place - int(first[i]), part
            found = _beat_at(images, int(image[i]), piece.bank, stored, listing.params.core)
            if found != (piece.index, piece.start):
                listing.add(
                    _name(piece),
                    f"the beat of row {found[0]} from element {found[1]} on",
                    f"row {piece.index} from element {piece.start} on",
                    "correct the place",
                )
        seen.add(piece)


def _beat_at(images: Images, stream: int, strip: int, stored: tuple[int, int], core: CoreParams) -> tuple[int, int]:
    """Return row of the tensor and first element of an array beat of a stream image without scales.

    `stored` is the beat of the DRAM among those of the stream in that strip, and which part of it.
    """
    position, part = stored
    for tile, shape in zip(images.streams[stream].tiles, images.shapes[stream], strict=True):
        beats = images.lists.of(shape, strip)
        held = stored_beats(len(beats), tile.code, tile.run)
        number = position * EXPANSION[tile.code] + part
        if position < held:
            if tile.run or number >= len(beats):
                return -1, -1
            index, block = (int(x) for x in beats[number])
            if tile.contiguous != K_CONTIGUOUS:
                return _row(tile, index), _column(tile, block * core.columns)
            return _column(tile, index), _row(tile, block * core.columns)
        position -= held
    return -1, -1


def _row(tile: Tile, k: int) -> int:
    """Row of the tensor of an inner index of a tile."""
    return tile.k_start + (k + tile.k_rotate) % tile.k


def _column(tile: Tile, column: int) -> int:
    """Column of the tensor of a column of a tile."""
    for start, size in tile.segments:
        if column < size:
            return start + column
        column -= size
    return -1


def stream_images(listing: Listing, images: Images) -> NDArray[np.int64]:
    """Return the image of every STREAM, in the order of the listing; -1 where there is none."""
    indices = listing.of_op(STREAM)
    pus, rows = listing.pu[indices].tolist(), listing.field("row")[indices].tolist()
    return np.array([images.by_row.get(place, -1) for place in zip(pus, rows, strict=True)], np.int64)


def _streams(listing: Listing, images: Images) -> None:
    indices, image = listing.of_op(STREAM), stream_images(listing, images)
    listing.refuse(
        indices[image < 0], lambda ins: f"row {ins['row']}", "the first row of a stream image", "correct row"
    )
    known = image >= 0
    times = np.bincount(image[known], minlength=len(images.streams))
    cached = listing.field("traffic")[indices] == KV
    again = np.bincount(image[known & cached], minlength=len(images.streams))
    for i in np.flatnonzero((times != 1) & ((times == 0) | (times != again))):
        allowed = "exactly one, but for the KV cache"
        listing.add(_name(images.streams[i]), f"{times[i]} STREAMs", allowed, "stream every image once")


def _loads(listing: Listing, images: Images) -> None:
    known = {(i.pu, i.bank, i.row, i.column, 0): i for i in images.beats if not i.written}
    for index in listing.of_op(LOAD):
        _match(listing, int(index), known, "a LOAD of beats that are there before")


def _moved(listing: Listing, index: int) -> Place:
    """Return the place that a LOAD or STORE names."""
    ins = listing.ins[index]
    byte = int(ins["imm"]) if ins["op"] == STORE else 0
    return int(listing.pu[index]), int(ins["bank"]), int(ins["row"]), int(ins["column"]), byte


def _match(listing: Listing, index: int, known: dict[Place, BeatImage], what: str) -> bool:
    ins = listing.ins[index]
    place = _moved(listing, index)
    image = known.get(place)
    got = f"{ins['beats']} beats, {ins['bytes']} bytes of bank {place[1]}, row {place[2]}, column {place[3]}"
    if image is None:
        listing.add(listing.where(index), got, f"{what}: the place of an image", "correct bank, row or column")
        return False
    size = image.elements // image.rows * image.element_bytes  # of several rows in the beats, one is wanted
    part = listing.params.dram.column_bytes // EXPANSION[image.code] if image.code else 0
    masked = int(ins["n"]) if ins["op"] == STORE else 0
    if image.beats != ins["beats"] or size != ins["bytes"] or masked != part:
        listing.add(listing.where(index), got, f"{image.beats} beats, {size} bytes of {image.tensor}", "correct them")
    return True


def _stores(listing: Listing, images: Images) -> None:
    """Every stored beat is stored once, before the stream that reads it (moves on a bank take effect in order)."""
    known = {(i.pu, i.bank, i.row, i.column, i.byte): i for i in images.beats if i.written}
    stored: dict[Place, int] = {}
    for index in listing.of_op(STORE).tolist():
        if not _match(listing, index, known, "a STORE of beats of the step"):
            continue
        place = _moved(listing, index)
        if place in stored:
            listing.add(listing.where(index), "a place that was stored before", "one STORE of each beat", "remove one")
        stored[place] = index
    for place in known.keys() - stored.keys():
        listing.add(_name(known[place]), "no STORE", "one", "store the beat, or clear `written`")
    _stores_before_streams(listing, images, stored)


def _stores_before_streams(listing: Listing, images: Images, stored: dict[Place, int]) -> None:
    dram = listing.params.dram
    streams, image = listing.of_op(STREAM), stream_images(listing, images)
    known = image >= 0
    first = np.array([images.streams[i].row for i in image[known]], np.int64) * dram.columns
    span = dram.rows * dram.columns
    line = listing.pu[streams[known]] * span + first
    order = np.argsort(line, kind="stable")
    line, index, image = line[order], streams[known][order], image[known][order]
    for (pu, bank, row, column, _), store in stored.items():
        at = row * dram.columns + column
        i = int(np.searchsorted(line, pu * span + at, side="right")) - 1
        first_place = int(line[i]) % span
        inside = i >= 0 and listing.pu[index[i]] == pu and at < first_place + images.counts[image[i], bank]
        if inside and index[i] < store:
            listing.add(
                listing.where(store),
                f"a beat that {listing.where(int(index[i]))} has streamed before",
                "a STORE before the stream",
                "store first",
            )
