"""The one decorator of compiled functions, and records as state.

Three lanes run the same source, chosen by the environment variable ``NMPSIM_LANE`` before the first import:

=============  ==============================================================
``compiled``   numba, no checks: the default
``checked``    numba with bounds checks; a negative index is out of bounds
``interpreted`` plain Python (numba's JIT switched off), for debugging and coverage
=============  ==============================================================

numba's own cache key is the caller's file only: an edit in an imported helper would leave old machine code in use.
So the cache folder is named by a hash over *all* sources of the package that hold kernels.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

LANES = ("compiled", "checked", "interpreted")
LANE = os.environ.get("NMPSIM_LANE", "compiled")
if LANE not in LANES:
    raise SystemExit(f"NMPSIM_LANE: got {LANE!r}; allowed: {', '.join(LANES)}; unset it for the default")
if LANE == "interpreted":
    os.environ["NUMBA_DISABLE_JIT"] = "1"

import numba  # noqa: E402  (the lane must be known first)
import numba.core.cgutils  # noqa: E402
import numba.extending  # noqa: E402
from numba.core.registry import CPUDispatcher  # noqa: E402

from nmpsim.registers import registers  # noqa: E402

COUNTING = os.environ.get("NMPSIM_REFERENCE_COUNTING") == "1"
"""Whether numba counts references to arrays; only a benchmark wants that."""

CACHE_LINE = 64
"""Bytes."""

KERNEL_FOLDERS = ("link", "dram", "noc", "core", "machine", "spec")

NEVER = np.int64(2**62)
"""A time that never comes; ticks."""


def source_hash() -> str:
    """Hash of every source file whose text can end up in machine code; 16 hex digits."""
    root = Path(__file__).parent
    digest = hashlib.sha256(f"numba {numba.__version__} lane {LANE} counting {COUNTING}".encode())
    for path in sorted(
        [root / "kernel.py", root / "registers.py", *(p for f in KERNEL_FOLDERS for p in (root / f).rglob("*.py"))]
    ):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Folder of the compile cache; made if missing, a temporary one where the home is read-only."""
    base = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "nmpsim"
    folder = base / f"kernels-{source_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="nmpsim-kernels-"))
    return folder


if LANE != "interpreted":
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]


# Kernels allocate nothing, so numba's reference counting is pure cost: every array taken out of a state tuple would be
# counted at each call.  Without it a decode step runs about seven times faster (benchmarks/reference_counting.py). A
# kernel that does allocate fails to compile, which is a rule of this package anyway.
_OPTIONS: dict[str, Any] = {"boundscheck": LANE == "checked", "_nrt": COUNTING}

# Code that takes arguments from Python objects is made for every function unless forbidden: with states of a hundred
# arrays that took half of the compilation.
_UNCALLED: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class Entry(CPUDispatcher):
    """A compiled entry point; arrays in its tuples are passed by address and shape."""

    def __call__(self, *arguments: Any) -> Any:
        """Call it from Python."""
        return super().__call__(*map(registers, arguments))


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile an entry point of the cycle model (cached, without the interpreter lock)."""
    compiled = numba.njit(nogil=True, cache=True, **_OPTIONS)(function)
    if LANE != "interpreted" and not COUNTING:
        compiled.__class__ = Entry
    return compiled  # type: ignore[no-any-return]


def array_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile an entry point that slices its arrays: they are passed whole."""
    return numba.njit(nogil=True, cache=True, **_OPTIONS)(function)  # type: ignore[no-any-return]


class Inlined(CPUDispatcher):
    """A function that is compiled into its callers; Python runs it as it is written."""

    def __call__(self, *arguments: Any) -> Any:
        """Call it from Python."""
        return self.py_func(*arguments)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a small function into each of its callers."""
    compiled = numba.njit(forceinline=True, **_UNCALLED, **_OPTIONS)(function)
    if LANE != "interpreted":
        compiled.__class__ = Inlined
    return compiled  # type: ignore[no-any-return]


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while kernels are called; it is raised at the end of the block.

    numba reads the arrays of a call through Python code and clears whatever error that raises: an interrupt that comes
    while a kernel runs would be lost.  In other threads, where Python delivers no signals, the block runs as it is.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C was pressed inside the block, and what was there to receive it raises that.
    """
    former = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or former is None:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        if came:
            signal.raise_signal(signal.SIGINT)


def _one_word(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile an instruction of the machine into its callers, and for Python too."""
    return numba.njit(forceinline=True, **_OPTIONS)(function)  # type: ignore[no-any-return]


@numba.extending.intrinsic
def _trailing_zeros(_typing: Any, mask: Any) -> Any:
    """Count the zeros below the lowest bit that is set: one machine instruction."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], numba.core.cgutils.false_bit)

    return numba.types.int64(mask), generate


def _lowest_bit_slowly(mask: int) -> int:
    """Return the position of the lowest bit that is set, in the interpreted lane."""
    return (int(mask) & -int(mask)).bit_length() - 1


@_one_word
def _lowest_bit_compiled(mask: int) -> int:
    """Return the position of the lowest bit that is set, in the compiled lanes."""
    return _trailing_zeros(mask)  # type: ignore[call-arg]


@numba.extending.intrinsic
def _population(_typing: Any, mask: Any) -> Any:
    """Count the bits that are set: one machine instruction."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return numba.types.int64(mask), generate


def _bits_set_slowly(mask: int) -> int:
    """Return how many bits are set, in the interpreted lane."""
    return int(mask).bit_count()


@_one_word
def _bits_set_compiled(mask: int) -> int:
    """Return how many bits are set, in the compiled lanes."""
    return _population(mask)  # type: ignore[call-arg]


bits_set: Callable[[int], int] = _bits_set_slowly if LANE == "interpreted" else _bits_set_compiled
"""How many bits of a word that is not negative are set."""

lowest_bit: Callable[[int], int] = _lowest_bit_slowly if LANE == "interpreted" else _lowest_bit_compiled
"""Position of the lowest bit of a word that is set; the word must not be 0."""


class Record:
    """A kind of hardware thing: a record type whose fields carry unit and meaning.

    Parameters
    ----------
    name : str
        Name of the kind, for tables.
    fields : tuple of str
        ``(field, unit, meaning)``; every field is a 64-bit integer.
    """

    def __init__(self, name: str, *fields: tuple[str, str, str]) -> None:
        self.name = name
        self.fields = fields
        self.dtype = np.dtype([(field, "i8") for field, _, _ in fields])

    def zeros(self, *shape: int) -> Any:
        """Array of records, all fields 0, that reads the same compiled and interpreted."""
        size = math.prod(shape) * self.dtype.itemsize
        memory = np.zeros(size + CACHE_LINE, np.uint8)
        start = -memory.ctypes.data % CACHE_LINE  # a record of 64 bytes is one line, never two
        items = memory[start : start + size].view(np.dtype((np.record, self.dtype)))
        return items.reshape(shape).view(np.recarray)
