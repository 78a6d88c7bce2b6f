"""Passes and what they need: in the separate arrangement, copies of their operands and of their results.

unified    PASS                                 A read and C written where the others have them
separate   copy in (A) -> PASS -> copy out (C)  the event of a result is the end of its copy

Space of the compute unit's own buffers is given out as a ring: a new operand or result takes the place of the oldest,
once the pass that read that operand, or the copy that read that result, is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nmpsim.errors import Fault, InfeasibleError
from nmpsim.program.beats import Tile
from nmpsim.program.encode.emitter import Emitter, Event
from nmpsim.program.isa import ARRAY, COPY_IN, COPY_OUT, CROSS, PASS
from nmpsim.program.schedule import PassPlan
from nmpsim.program.spaces import Space, spaces_of
from nmpsim.spec.params import MachineParams


@dataclass
class Place:
    """Bytes of a ring, and the event after which nobody reads them any more; None: not read yet."""

    start: int
    end: int
    read: Event | None = None


class Ring:
    """One buffer of a compute unit of its own, given out piece by piece, round and round.

    Parameters
    ----------
    space : Space
    align : int
        Pieces begin at multiples of it; bytes.
    """

    def __init__(self, space: Space, align: int) -> None:
        self.space, self.align = space, align
        self._next = space.start
        self._live: list[Place] = []

    def take(self, size: int) -> tuple[Place, Event | None]:
        """Return a piece of `size` bytes, and the event after which it may be written.

        Raises
        ------
        InfeasibleError
            If the buffer is smaller.
        """
        whole = -(-size // self.align) * self.align
        if whole > self.space.size:
            fault = Fault(
                self.space.name,
                f"{whole} bytes needed at once",
                f"at most {self.space.size} bytes",
                "a smaller batch or context, or larger buffers in core.array_buffer",
            )
            raise InfeasibleError("an operand or result does not fit into the compute unit's own buffer", [fault])
        start = self._next if self._next + whole <= self.space.end else self.space.start
        place = Place(start, start + whole)
        before = [p for p in self._live if p.start < place.end and place.start < p.end]
        self._live = [*(p for p in self._live if p not in before), place]
        self._next = place.end
        return place, max((p.read for p in before if p.read is not None), key=lambda e: e.value, default=None)


@dataclass(frozen=True)
class Operand:
    """An operand A as passes read it.

    Parameters
    ----------
    address, ld : int
        Where, and bytes from row to row.
    ready : tuple of Event
        When it stands there.
    place : Place, optional
        Its piece of the operand buffer; None in the unified arrangement.
    """

    address: int
    ld: int
    ready: tuple[Event | None, ...]
    place: Place | None = None

    def below(self, rows: int) -> Operand:
        """Return the operand that begins so many rows further down."""
        return replace(self, address=self.address + rows * self.ld)


def coding(tile: Tile, step: int = -1) -> dict[str, int]:
    """Return the fields of a PASS that name the format of B.

    Parameters
    ----------
    tile : Tile
        Its B.
    step : int
        Where the table holds the value of one step of INT8 codes without scales; -1: it is 1.
    """
    return {"imm": tile.code, "beats": tile.run, "table": step} if tile.code else {}


class PassEmitter(Emitter):
    """Emitter that knows where passes find their operands and leave their results.

    Parameters
    ----------
    params : MachineParams
        The chip.
    """

    def __init__(self, params: MachineParams) -> None:
        super().__init__(params)
        core, spaces = params.core, spaces_of(params.core)
        self.separate = bool(core.separate)
        self._operands = [Ring(spaces.operand, core.array_bank_bytes) for _ in range(self.pus)]
        self._results = [Ring(spaces.output, core.array_bank_bytes) for _ in range(self.pus)]

    def regions(self) -> dict[str, tuple[int, int]]:
        """Return the buffers of the compute unit as regions: name -> (address, bytes); none if unified."""
        spaces = (("array operands", self._operands), ("array results", self._results)) if self.separate else ()
        return {name: (rings[0].space.start, rings[0].space.size) for name, rings in spaces}

    def bring(self, pu: int, address: int, ld: int, rows: int, size: int, ready: Sequence[Event | None]) -> Operand:
        """Bring an operand to where passes can read it.

        Parameters
        ----------
        pu : int
        address, ld : int
            Where it stands in the buffer; bytes.
        rows, size : int
            Rows, and bytes of each.
        ready : sequence of Event
            When it stands there.

        Raises
        ------
        InfeasibleError
            If it does not fit into the operand buffer.
        """
        if not self.separate:
            return Operand(address, ld, tuple(ready))
        place, free = self._operands[pu].take(rows * size)
        copied = self._cross(pu, COPY_IN, (*ready, free), rows, size, 1, 0, (address, ld), (place.start, size))
        return Operand(place.start, size, (copied,), place)

    def run_pass(
        self,
        pu: int,
        shape: PassPlan,
        operand: Operand,
        waits: Sequence[Event | None],
        *,
        m: int,
        n: int,
        k: int,
        out: int,
        out_ld: int,
        planes: int = 1,
        plane_ld: int = 0,
        operator: int,
        ready: bool = True,
        form: Mapping[str, int] | None = None,
    ) -> Event:
        """Append a PASS; return the event after which its results stand in the buffer.

        Parameters
        ----------
        pu : int
        shape : PassPlan
        operand : Operand
            From `bring`.
        waits : sequence of Event
            When the results may be written.
        m, n, k : int
            Sizes; elements.
        out, out_ld, planes, plane_ld : int
            Where the results go in the buffer; bytes.
        operator : int
            Index of the operator.
        ready : bool
            False: an earlier pass has waited for the operand already.
        form : mapping of str to int, optional
            Format of B, from `coding`; FP16 if left out.

        Raises
        ------
        InfeasibleError
            If the results do not fit into the output buffer.
        """
        before = operand.ready if ready else ()
        fields = {
            "operator": operator,
            "flow": shape.flow,
            "group": shape.group,
            "split": shape.split,
            "contiguous": shape.contiguous,
            "m": m,
            "n": n,
            "k": k,
            "a": operand.address,
            "a_ld": operand.ld,
            "planes": planes,
            **(form or {}),
        }
        if not self.separate:
            fields |= {"out": out, "out_ld": out_ld, "plane_ld": plane_ld}
            return self.emit(pu, ARRAY, PASS, [*waits, *before], **fields)
        own_ld = out_ld if planes > 1 else n * 4
        place, free = self._results[pu].take((planes - 1) * plane_ld + (m - 1) * own_ld + n * 4)
        fields |= {"out": place.start, "out_ld": own_ld, "plane_ld": plane_ld}
        done = self.emit(pu, ARRAY, PASS, [*before, free], **fields)
        assert operand.place is not None  # the result of `bring`
        operand.place.read = done
        source, target = (place.start, own_ld), (out, out_ld)
        place.read = self._cross(
            pu, COPY_OUT, (done, *waits), m, n * 4, planes, plane_ld, source, target, operator=operator
        )
        return place.read

    def _cross(
        self,
        pu: int,
        unit: int,
        waits: Sequence[Event | None],
        rows: int,
        size: int,
        planes: int,
        plane_ld: int,
        source: tuple[int, int],
        target: tuple[int, int],
        **fields: int,
    ) -> Event:
        """Append a copy; rows and planes that lie side by side in both buffers become one row."""
        if rows == 1 or source[1] == target[1] == size:
            rows, size = 1, rows * size
            if planes == 1 or plane_ld == size:
                planes, size, plane_ld = 1, planes * size, 0
        return self.emit(
            pu,
            unit,
            CROSS,
            waits,
            m=rows,
            bytes=size,
            planes=planes,
            plane_ld=plane_ld,
            a=source[0],
            a_ld=source[1],
            out=target[0],
            out_ld=target[1],
            **fields,
        )
