"""The Program: instruction streams, operators and the image of the DRAM, as data."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmpsim.errors import NmpsimError
from nmpsim.program.beats import Tile
from nmpsim.program.isa import (
    FIELDS,
    FLOW_NAMES,
    INSTRUCTION,
    PASS,
    SPLIT_NAMES,
    UNIT_NAMES,
    VECTOR_BASE,
    expansion,
    op_name,
)


@dataclass(frozen=True)
class StreamImage:
    """Where the tiles of one STREAM lie.

    Parameters
    ----------
    tensor : str
        Name of the tensor, for example ``layers.0.qkv``.
    pu, row : int
        Channel and first row (the same in all its banks).
    tiles : tuple of Tile
        B operands of the passes that eat the stream, in order.
    """

    tensor: str
    pu: int
    row: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class BeatImage:
    """Where a piece of one row of a tensor lies, in whole beats of one bank.

    Parameters
    ----------
    tensor : str
        Name of the tensor.
    pu, bank, row, column, beats : int
        Place and size.
    index, start, length : int
        Row of the tensor, first element and number of elements.
    fp32 : bool
        Elements are FP32 instead of FP16.
    written : bool
        Written by a STORE of the program, not present before.
    more : tuple of (int, int)
        Further pieces of the row that follow without a gap: first element and number.
    code : int
        Format of the elements where they are narrow (`nmpsim.program.isa`).
    byte : int
        First byte within the beat; only of a narrow piece that is written.
    rows : int
        Rows of the tensor from `index` on whose pieces follow each other without a gap.
    """

    tensor: str
    pu: int
    bank: int
    row: int
    column: int
    beats: int
    index: int
    start: int
    length: int
    fp32: bool = False
    written: bool = False
    more: tuple[tuple[int, int], ...] = ()
    code: int = 0
    byte: int = 0
    rows: int = 1

    @property
    def elements(self) -> int:
        """Elements of all pieces."""
        return self.rows * (self.length + sum(number for _, number in self.more))

    @property
    def element_bytes(self) -> int:
        """Bytes of an element."""
        return 4 if self.fp32 else 2 // expansion(self.code)


@dataclass(frozen=True)
class ProgramOperator:
    """An operator of the graph as the program executes it, for attribution.

    Parameters
    ----------
    name, kind : str
        As in the operator graph.
    layer : int
        Layer, -1 outside the layers.
    macs, weight_bytes, kv_read_bytes, vector_elements : int
        Work that the graph asks for.
    plan : str
        What the schedule chose, in words.
    """

    name: str
    kind: str
    layer: int
    macs: int
    weight_bytes: int
    kv_read_bytes: int
    vector_elements: int
    plan: str


@dataclass
class Program:
    """What the sequencers of a die execute.

    Parameters
    ----------
    chip : str
        Name of the chip it was encoded for.
    streams : tuple of ndarray of INSTRUCTION
        One per core.
    tables : ndarray of int64
        Integers that instructions refer to.
    operators : tuple of ProgramOperator
    images : tuple of StreamImage or BeatImage
        The DRAM before (and, where `written`, after) the step.
    regions : dict
        Buffer regions: name -> (address, bytes).
    results : dict
        Where results stand at the end: name -> (pu, address, rows, columns, ld, fp32).
    """

    chip: str
    streams: tuple[NDArray[np.void], ...]
    tables: NDArray[np.int64]
    operators: tuple[ProgramOperator, ...]
    images: tuple[StreamImage | BeatImage, ...] = ()
    regions: dict[str, tuple[int, int]] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Hash of instructions and tables."""
        digest = hashlib.sha256(self.chip.encode())
        for stream in self.streams:
            digest.update(stream.tobytes() + b"|")
        digest.update(self.tables.tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the program to one .npz file, whole or not at all.

        Parameters
        ----------
        path : Path
            The file; replaced if it exists.
        """
        meta = {
            "chip": self.chip,
            "operators": [asdict(o) for o in self.operators],
            "images": [{"type": type(i).__name__, **asdict(i)} for i in self.images],
            "regions": self.regions,
            "results": self.results,
            "fields": [name for name, _ in FIELDS],
        }
        arrays = {f"core{i}": stream for i, stream in enumerate(self.streams)}
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, tables=self.tables, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    @staticmethod
    def load(path: Path) -> Program:
        """Read a program that `save` wrote.

        Raises
        ------
        NmpsimError
            If the file is no program of this version.
        """
        try:
            with np.load(path, allow_pickle=False) as store:
                meta = json.loads(str(store["meta"]))
                if meta["fields"] != [name for name, _ in FIELDS]:
                    raise NmpsimError(f"{path}: a program of another version; encode it again")
                streams = tuple(store[f"core{i}"] for i in range(sum(k.startswith("core") for k in store.files)))
                tables = store["tables"]
        except (OSError, KeyError, ValueError) as error:
            raise NmpsimError(f"{path}: got no readable program ({error}); allowed: a file written by save") from error
        return Program(
            chip=meta["chip"],
            streams=streams,
            tables=tables,
            operators=tuple(ProgramOperator(**o) for o in meta["operators"]),
            images=tuple(_image(i) for i in meta["images"]),
            regions={k: (v[0], v[1]) for k, v in meta["regions"].items()},
            results=meta["results"],
        )

    def lines(self, core: int) -> Iterator[str]:
        """Yield one line of text per instruction of a core.

        Parameters
        ----------
        core : int
            Which stream.
        """
        for index, ins in enumerate(self.streams[core]):
            yield f"{index:6d}  {UNIT_NAMES[ins['unit']]:9s} {_words(ins)}"

    @staticmethod
    def empty_streams(cores: int) -> list[NDArray[np.void]]:
        """One empty instruction stream per core."""
        return [np.zeros(0, INSTRUCTION) for _ in range(cores)]


def _image(fields: dict[str, Any]) -> StreamImage | BeatImage:
    kind = fields.pop("type")
    if kind == "BeatImage":
        return BeatImage(**{**fields, "more": tuple(map(tuple, fields.get("more", ())))})
    tiles = tuple(
        Tile(**{**t, "segments": tuple(map(tuple, t["segments"])), "scaled": tuple(t["scaled"])})
        for t in fields.pop("tiles")
    )
    return StreamImage(**fields, tiles=tiles)


def _words(ins: NDArray[np.void]) -> str:
    name = op_name(int(ins["op"]))
    waits = " ".join(f"s{ins[f'wait{i}']}>={ins[f'count{i}']}" for i in range(4) if ins[f"wait{i}"] >= 0)
    skip = {"unit", "op", "operator", "flow", "split"} | {f"{w}{i}" for w in ("wait", "count") for i in range(4)}
    if ins["op"] < VECTOR_BASE:
        skip |= {n for n, _ in FIELDS if n[:-1] in ("elements", "read", "write", "rate")}
    parts = [f"{n}={ins[n]}" for n, _ in FIELDS if n not in skip and ins[n] not in (0, -1)]
    if ins["op"] == PASS:
        parts = [FLOW_NAMES[ins["flow"]], SPLIT_NAMES[ins["split"]], *parts]
    return f"{name:14s} op#{ins['operator']:<4d} {' '.join(parts)}" + (f"  when {waits}" if waits else "")
