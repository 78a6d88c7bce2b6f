"""Control of a MAC-tree slice: takes passes, loads shadow registers, streams folds, writes finished ones.

    passes --seen, ready--> [take] --> [loading pass] --beat_taken--> [shadow] --start--> [streaming pass] --step-->
                              ^                                                                 |
                              +------------ drained? <--- [folds waiting to be written] <--- last step
                                                                 | ready `latency` cycles after it
                                                                 +--> write cycles --> [set free, pass_done]

The order within a cycle is that of nmpsim/core/array.py: a write ends, the next one begins, a pass is taken, a step is
streamed, a beat is loaded.  A fold that begins an output takes an accumulator set and gives it back when its write has
ended.  Loads go into one bank of the registers while the other one streams.

Lines are the indices along which beats follow each other, blocks those within a beat: n and k if the beats are
K-contiguous, k and n if they are N-contiguous; a fold is up to ``register_beats`` lines of one block.

First cycles of two passes of two beats, a step per row, one row and then two; latency 2, write 1 cycle.  The second
pass is taken when the shadow registers no longer hold an operand of the first one::

    cycle        0    1    2    3    4    5    6    7    8    9    10
    pass_taken   1              1
    beat_taken   1    1         1    1
    step                   1              1    1
    write                                 1                   1
    pass_done                                  1                   1
"""

from __future__ import annotations

import pyrtl

from rtl_models.core.floats import Wire, chosen, delayed
from rtl_models.core.mac_tree_ports import (
    ACCUMULATORS_BUSY,
    BUSY,
    COUNT_BITS,
    LOAD_STATIONARY,
    OPERAND_LATE,
    PIPELINE_DRAIN,
    QUEUE_EMPTY,
    WAIT_SEMAPHORE,
    Geometry,
    Pass,
    Step,
    Write,
    pass_widths,
)


class SliceControl:
    """Registers and decisions of a slice.

    Parameters
    ----------
    geometry : Geometry
    sets : int
        Accumulator sets.
    latency : int
        Registers between operands and accumulators; cycles.
    """

    def __init__(self, geometry: Geometry, sets: int, latency: int) -> None:
        self.geometry, self.sets, self.latency = geometry, sets, latency
        self.asked = Pass(
            *(pyrtl.Input(n, f"pass_{name}") for name, n in pass_widths(geometry.columns)._asdict().items())
        )
        self.seen, self.ready = pyrtl.Input(1, "pass_seen"), pyrtl.Input(1, "pass_ready")
        self.beat_valid = pyrtl.Input(1, "beat_valid")
        beats, set_bits = geometry.register_beats.bit_length(), max(1, (sets - 1).bit_length())
        r = pyrtl.Register
        # the pass that loads, and how far it is
        self.loading_pass, self.loads = (
            Pass(*(r(len(w), f"loading_{n}") for n, w in self.asked._asdict().items())),
            r(1, "loads"),
        )
        self.loading_id = r(2, "loading_id")
        self.load_line, self.load_block, self.loaded = (
            r(COUNT_BITS, "load_line"),
            r(COUNT_BITS, "load_block"),
            r(beats, "loaded"),
        )
        # the shadow operand
        self.shadow, self.shadow_id, self.shadow_beats = r(1, "shadow"), r(2, "shadow_id"), r(beats, "shadow_beats")
        # the pass that streams
        self.stream_pass, self.streams = (
            Pass(*(r(len(w), f"stream_{n}") for n, w in self.asked._asdict().items())),
            r(1, "streams"),
        )
        self.stream_id, self.stream_beats = r(2, "stream_id"), r(beats, "stream_beats")
        self.streaming, self.row, self.place = r(1, "streaming"), r(COUNT_BITS, "row"), r(COUNT_BITS, "place")
        self.block, self.chunk = r(COUNT_BITS, "block"), r(COUNT_BITS, "chunk")
        self.bank, self.set = r(1, "bank"), r(set_bits, "set")
        # folds on their way
        self.sets_used, self.folds, self.arrived = (r(sets.bit_length(), n) for n in ("sets_used", "folds", "arrived"))
        self.writing, self.left, self.written = (
            r(1, "writing"),
            r(COUNT_BITS, "write_left"),
            r(COUNT_BITS, "write_cycle"),
        )
        self.configured, self.configuration = r(1, "configured"), r(len(self.asked.configuration), "configuration")

    def connect(self) -> tuple[Step, Write]:
        """Connect everything; return what the datapath does."""
        self.end_write()
        self.take()
        self.stream()
        self.load()
        self.queue()
        self.report()
        return self.step_wires, self.write_wires

    # ---------------------------------------------------------------------------------------- in the order of a cycle

    def end_write(self) -> None:
        """Decide which write ends and which begins."""
        self.finish = self.writing & (self.left == 0)
        self.begin = (~self.writing | self.finish) & (self.arrived != 0)
        self.folds_now = (self.folds - self.finish).truncate(len(self.folds))
        self.drains = (self.folds_now != 0) | self.streaming | self.shadow

    def take(self) -> None:
        """Decide whether a pass is taken."""
        asked = self.asked
        self.empty = (asked.lines == 0) | (asked.blocks == 0)
        changes = ~self.configured | (asked.configuration != self.configuration)
        foreign = self.shadow & ~(self.streams & (self.shadow_id == self.stream_id))
        blocked = ((changes | self.empty) & self.drains) | foreign
        taken = ~self.loads & self.seen & self.ready & ~blocked
        self.taken, self.skipped = taken, taken & self.empty
        self.begins = taken & ~self.empty
        self.configured.next <<= self.configured | taken
        self.configuration.next <<= pyrtl.select(taken, asked.configuration, self.configuration)
        self.current = Pass(*(pyrtl.select(self.begins, a, b) for a, b in zip(asked, self.loading_pass, strict=True)))
        for register, wire in zip(self.loading_pass, self.current, strict=True):
            register.next <<= wire
        self.id_now = (self.loading_id + self.begins).truncate(2)
        self.loading_id.next <<= self.id_now

    def chunks(self, lines: Wire) -> Wire:
        """Return how many times `register_beats` lines are needed."""
        beats = self.geometry.register_beats
        return _divided(lines + (beats - 1), beats)

    def places(self, k_contiguous: Wire, beats: Wire) -> Wire:
        """Return the steps of a row."""
        size = self.geometry
        per_step = size.engines * size.taps
        if size.columns >= per_step:
            by_k = beats * pyrtl.Const(size.columns // per_step)
        else:
            by_k = _divided(beats + (per_step // size.columns - 1), per_step // size.columns)
        by_n = _divided(beats + (size.taps - 1), size.taps) * pyrtl.Const(size.columns // size.engines)
        width = max(len(by_k), len(by_n))
        return pyrtl.select(k_contiguous, by_k.zero_extended(width), by_n.zero_extended(width))

    def stream(self) -> None:
        """Decide on the step of this cycle."""
        select = pyrtl.select
        other = ~self.streams | (self.shadow_id != self.stream_id)
        begun = select(self.stream_pass.k_contiguous, self.block, self.chunk) != 0
        fresh = other | ~begun
        sets_free = (self.sets_used - self.finish_frees()).truncate(len(self.sets_used))
        waits = ~self.streaming & self.shadow
        self.held_back = waits & fresh & (sets_free >= self.sets)
        self.start = waits & ~self.held_back
        self.step = self.streaming | self.start
        opens = self.start & fresh
        self.sets_used.next <<= (sets_free + opens).truncate(len(self.sets_used))

        renew = self.start & other
        now = Pass(*(select(renew, a, b) for a, b in zip(self.loading_pass, self.stream_pass, strict=True)))
        for register, wire in zip(self.stream_pass, now, strict=True):
            register.next <<= wire
        beats = select(self.start, self.shadow_beats, self.stream_beats)
        self.stream_beats.next <<= beats
        bank = self.bank ^ self.start
        self.bank.next <<= bank
        following = select(
            self.set == self.sets - 1, pyrtl.Const(0, len(self.set)), (self.set + 1).truncate(len(self.set))
        )
        number = select(opens, following, self.set)
        self.set.next <<= number

        row_ends = self.place + 1 == self.places(now.k_contiguous, beats)
        self.fold_ends = self.step & row_ends & (self.row + 1 == now.rows)
        none = pyrtl.Const(0, COUNT_BITS)
        self.place.next <<= chosen((self.step & row_ends, 0), (self.step, self.place + 1), otherwise=self.place)
        self.row.next <<= chosen((self.fold_ends, 0), (self.step & row_ends, self.row + 1), otherwise=self.row)
        last_block = self.block + 1 == now.blocks
        last_chunk = self.chunk + 1 == self.chunks(now.lines)
        inner_ends = select(now.k_contiguous, last_block, last_chunk)
        self.output_ends = self.fold_ends & inner_ends
        self.pass_ends = self.output_ends & last_block & last_chunk
        block_up = (now.k_contiguous | last_chunk) & self.fold_ends
        chunk_up = (~now.k_contiguous | last_block) & self.fold_ends
        self.block.next <<= select(
            block_up, select(last_block, none, (self.block + 1).truncate(COUNT_BITS)), self.block
        )
        self.chunk.next <<= select(
            chunk_up, select(last_chunk, none, (self.chunk + 1).truncate(COUNT_BITS)), self.chunk
        )
        self.streaming.next <<= self.step & ~self.fold_ends
        self.streams.next <<= (self.streams | self.start) & ~self.pass_ends
        self.stream_id.next <<= select(self.start, self.shadow_id, self.stream_id)

        columns = pyrtl.Const(self.geometry.columns, len(now.tail))
        self.stream_now, self.beats_now, self.set_now = now, beats, number
        inner = select(now.k_contiguous, self.block, self.chunk)
        self.step_wires = Step(
            step=self.step,
            k_contiguous=now.k_contiguous,
            row=self.row,
            place=self.place,
            block=self.block,
            chunk=self.chunk,
            beats=beats,
            valid=select(last_block, now.tail, columns),
            inner_first=inner == 0,
            bank=bank,
            set=number,
            load=pyrtl.Const(0, 1),
            load_place=self.loaded,
        )

    def load(self) -> None:
        """Decide on the beat of this cycle."""
        select = pyrtl.select
        now, beats = self.current, self.geometry.register_beats
        line = select(self.begins, now.lines, self.load_line)  # lines left from the first one of the chunk on
        block = select(self.begins, pyrtl.Const(0, COUNT_BITS), self.load_block)
        self.loads_now = self.loads | self.begins
        held_shadow = self.shadow & ~self.start
        self.loaded_one = self.loads_now & ~held_shadow & self.beat_valid
        last_chunk = line <= beats
        need = select(last_chunk, line, pyrtl.Const(beats, COUNT_BITS))
        full = self.loaded_one & (self.loaded + 1 == need)
        self.loaded.next <<= chosen((full, 0), (self.loaded_one, self.loaded + 1), otherwise=self.loaded)
        self.shadow.next <<= held_shadow | full
        self.shadow_id.next <<= select(full, self.id_now, self.shadow_id)
        self.shadow_beats.next <<= select(full, need[: len(self.shadow_beats)], self.shadow_beats)
        last_block = block + 1 == now.blocks
        done = full & last_block & last_chunk
        next_line = select(last_chunk, now.lines, (line - beats).truncate(COUNT_BITS))
        next_block = select(last_block, pyrtl.Const(0, COUNT_BITS), (block + 1).truncate(COUNT_BITS))
        self.load_line.next <<= select(full & (~now.k_contiguous | last_block), next_line, line)
        self.load_block.next <<= select(full & (now.k_contiguous | last_chunk), next_block, block)
        self.loads.next <<= self.loads_now & ~done
        self.step_wires = self.step_wires._replace(load=self.loaded_one)

    # ------------------------------------------------------------------------------------------ folds on their way

    def finish_frees(self) -> Wire:
        """Return whether a set is given back in this cycle: every write but that of a pass without work does so."""
        return self.finish & self.head("frees")

    def head(self, name: str) -> Wire:
        """Return a field of the oldest fold."""
        return self.entries()[0][name]

    def entries(self) -> list[dict[str, Wire]]:
        """Return the registers of the folds that wait, the oldest first; made at the first call."""
        if not hasattr(self, "_entries"):
            fields = {
                "frees": 1,
                "last": 1,
                "cycles": COUNT_BITS,
                "set": len(self.set),
                "k_contiguous": 1,
                "beats": len(self.stream_beats),
                "rows": COUNT_BITS,
            }
            self._entries = [
                {name: pyrtl.Register(n, f"fold{i}_{name}") for name, n in fields.items()} for i in range(self.sets)
            ]
        return self._entries

    def queue(self) -> None:
        """Connect the queue of folds, and the write."""
        select = pyrtl.select
        entries, now = self.entries(), self.stream_now
        one = pyrtl.Const(1, COUNT_BITS)
        new = {
            "frees": self.output_ends,
            "last": self.pass_ends | self.skipped,
            "cycles": select(self.skipped, one, now.write_cycles),
            "set": self.set_now,
            "k_contiguous": now.k_contiguous,
            "beats": self.beats_now,
            "rows": select(self.skipped, pyrtl.Const(0, COUNT_BITS), now.rows),
        }
        pushed = self.output_ends | self.skipped
        for i, entry in enumerate(entries):
            here = pushed & (self.folds_now == i)
            for name, register in entry.items():
                kept = select(self.finish, entries[i + 1][name], register) if i + 1 < len(entries) else register
                register.next <<= select(here, new[name], kept)
        self.folds.next <<= (self.folds_now + pushed).truncate(len(self.folds))

        arrives = delayed(self.output_ends, self.latency) | delayed(self.skipped, max(self.latency - 1, 0))
        self.arrived.next <<= (self.arrived + arrives - self.begin).truncate(len(self.arrived))

        # the head is the fold that is written; if it ends in this cycle, the one behind it may begin
        behind = entries[1] if len(entries) > 1 else entries[0]
        chief = {name: select(self.finish, behind[name], entries[0][name]) for name in entries[0]}
        active = self.begin | (self.writing & ~self.finish)
        self.writing.next <<= active
        self.left.next <<= select(
            self.begin, (chief["cycles"] - 1).truncate(COUNT_BITS), (self.left - 1).truncate(COUNT_BITS)
        )
        cycle = select(self.begin, pyrtl.Const(0, COUNT_BITS), self.written)
        self.written.next <<= (cycle + 1).truncate(COUNT_BITS)
        self.write_wires = Write(active, cycle, chief["set"], chief["k_contiguous"], chief["beats"], chief["rows"])
        self.done = self.finish & entries[0]["last"]

    def report(self) -> None:
        """Connect the outputs of the control."""
        rests = pyrtl.select(self.seen, _code(WAIT_SEMAPHORE), _code(QUEUE_EMPTY))
        waits = ~self.seen | ~self.ready
        reason = chosen(
            (self.step | self.skipped, BUSY),
            (self.held_back, ACCUMULATORS_BUSY),
            (self.loaded_one, LOAD_STATIONARY),
            (self.loads_now, OPERAND_LATE),
            (waits & ~self.drains, rests),
            otherwise=_code(PIPELINE_DRAIN),
        )
        outputs = {
            "pass_taken": self.taken,
            "beat_taken": self.loaded_one,
            "pass_done": self.done,
            "reason": reason,
            "step": self.step,
            "a_row": self.row,
            "a_block": self.block,
            "a_chunk": self.chunk,
        }
        for name, wire in outputs.items():
            port = pyrtl.Output(len(wire), name)
            port <<= wire


def _code(reason: int) -> Wire:
    """Return the code of a reason."""
    return pyrtl.Const(reason, 3)


def _divided(wire: Wire, by: int) -> Wire:
    """Return a number divided by a power of two, rounded down."""
    places = by.bit_length() - 1
    return wire[places:] if places else wire
