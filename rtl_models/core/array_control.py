"""Control of the reconfigurable array: the decisions of every cycle of a PASS, those of the wavefront kernel.

    PASS valid, waits, flow, group, split, m, n, k --> [ issue ] --> registers of the pass
                                                          |
    beat_valid (strip) --> [ stream: OS, IS | take, stream, load: WS ] --> pop (strip), move, steps
                                                          |
                                               [ write queue ] --> write row, pass_done

In a cycle, in this order: a finished write retires, the next one begins, a pass is taken if it may, one step is
streamed, one beat per strip is loaded (WS).  Each of these sees what the ones before it have done in the same cycle
(nmpsim/core/array.py, streaming.py, stationary.py, folds.py).  `reason` has the codes of nmpsim/core/state.py.

First cycles of a WS pass: strip_rows 2, one strip, m = 2, k = 4, beats always there (the drawing of the kernel)::

    cycle      0    1    2    3    4    5    6
    take       1
    pop        1    1    1    1
    reason     load load busy busy busy busy drain
    move                 1    1    1    1    1
"""

from __future__ import annotations

import pyrtl

from nmpsim.spec.params import CoreParams
from rtl_models.core.pass_shape import WS, Pass, choice_of, geometry, shape_of, share
from rtl_models.core.strip_control import Opening, StripControl
from rtl_models.core.wires import any_of, first_of, lower, minus_one, one_of, plus_one
from rtl_models.core.write_queue import PLACES, Fold, WriteQueue

REASONS = (
    "busy",
    "queue_empty",
    "wait_semaphore",
    "operand_late",
    "accumulators_busy",
    "load_stationary",
    "pipeline_drain",
    "reconfigure",
    "edge_bandwidth",
)
"""What the array spends a cycle on; output ``reason`` is the index."""

EXTENT_BITS = 16
"""Width of m, n and k (assumed: 65,535 rows or columns of a PASS)."""


def _code(reason: str) -> pyrtl.WireVector:
    """Return the code of a reason."""
    return pyrtl.Const(REASONS.index(reason), 4)


class ArrayControl:
    """Control of an array; its inputs are made in the working block, its decisions are wires.

    Parameters
    ----------
    core : CoreParams
        The core; a systolic array with sizes that are powers of two.
    extent_bits : int
        Width of m, n and k.
    """

    def __init__(self, core: CoreParams, extent_bits: int = EXTENT_BITS) -> None:
        self.core = core
        self.sizes = sizes = geometry(core, extent_bits)
        self.pass_valid = pyrtl.Input(1, "pass_valid")
        self.pass_waits = pyrtl.Input(1, "pass_waits")  # a semaphore of the pass has not reached its count
        bits = Pass(2, core.strips.bit_length(), 2, extent_bits, extent_bits, extent_bits)
        self.asked = Pass(*(pyrtl.Input(b, f"pass_{name}") for name, b in zip(Pass._fields, bits, strict=True)))
        self.beat_valid = [pyrtl.Input(1, f"beat_valid{s}") for s in range(sizes.strips)]
        self.held = Pass(*(pyrtl.Register(b, f"held_{name}") for name, b in zip(Pass._fields, bits, strict=True)))
        self.configured = pyrtl.Register(1, "configured")
        self.reconfigure_left = pyrtl.Register(max(core.reconfigure.bit_length(), 1), "reconfigure_left")
        self.active_held = pyrtl.Register(1, "pass_active")
        self.begun_held = pyrtl.Register(1, "pass_begun")
        self.rows_loaded = pyrtl.Register(extent_bits, "rows_loaded")  # IS: rows of the first A
        self.sets_held = pyrtl.Register(2, "sets_in_use")
        self.pace_left = pyrtl.Register(sizes.sum_bits, "pace_left")
        self.opened = pyrtl.Register(extent_bits, "fold_opened")
        self.since_opened = pyrtl.Register(max((sizes.strips * sizes.columns).bit_length(), 1), "since_opened")
        self.issued = pyrtl.Register(2, "passes_issued")
        self.queue = WriteQueue(sizes)
        self._stationary_registers()
        self._issue()
        self.shape = shape_of(core, sizes, self.ins, self.choice)
        self.strips = [
            StripControl(s, sizes, self.ins, self.choice, self.shape, self.takes_stream) for s in range(sizes.strips)
        ]
        self._stream()
        self._stationary()
        self._finish()

    def _stationary_registers(self) -> None:
        bits = self.sizes.extent_bits
        self.shadow = pyrtl.Register(1, "shadow_full")
        self.shadow_pass = pyrtl.Register(2, "shadow_pass")
        self.shadow_steps = pyrtl.Register(bits, "shadow_steps")
        self.streaming = pyrtl.Register(1, "fold_streams")
        self.stream_valid = pyrtl.Register(1, "stream_pass_valid")
        self.stream_pass = pyrtl.Register(2, "stream_pass")
        self.load_pass = pyrtl.Register(2, "load_pass")
        self.step = pyrtl.Register(bits, "stream_step")
        self.steps = pyrtl.Register(bits, "stream_steps")
        names = ("stream_outer", "stream_inner", "stream_outers", "stream_inners", "load_outer", "load_inner")
        self.folds = {name: pyrtl.Register(bits, name) for name in names}
        self.stream_pace = pyrtl.Register(self.sizes.sum_bits, "stream_pace")
        self.loading = pyrtl.Register(self.core.strip_rows.bit_length(), "beats_loaded")

    def _issue(self) -> None:
        """Take the pass at the head of the queue if it may start."""
        asked, held, queue, select = self.asked, self.held, self.queue, pyrtl.select
        drains = (queue.waiting != 0) | self.streaming | self.shadow
        looks = ~self.active_held
        ready = self.pass_valid & ~self.pass_waits
        same = self.configured & (held.flow == asked.flow) & (held.group == asked.group) & (held.split == asked.split)
        self.changes = changes = looks & ready & ~same & ~drains  # the array is empty and takes another shape
        wait = pyrtl.Const(self.core.reconfigure, len(self.reconfigure_left))
        none = pyrtl.Const(0, len(wait))
        left = select(changes, select(self.configured, wait, none), self.reconfigure_left)
        self.reconfigure_left.next <<= minus_one(left)
        fits = same | changes
        reconfigures = left != 0
        streams = asked.flow != WS
        full = queue.waiting >= PLACES - 2
        other_shadow = self.shadow & ~(self.stream_valid & (self.shadow_pass == self.stream_pass))
        blocked = full | select(streams, self.streaming, other_shadow)
        self.take = looks & ready & fits & ~reconfigures & ~blocked
        self.issue_reason = first_of(
            (~self.pass_valid, select(drains, _code("pipeline_drain"), _code("queue_empty"))),
            (self.pass_waits, select(drains, _code("pipeline_drain"), _code("wait_semaphore"))),
            (~fits, _code("pipeline_drain")),
            (reconfigures, _code("reconfigure")),
            otherwise=_code("pipeline_drain"),
        )
        configures = changes | self.take
        merged = [
            select(configures if name in {"flow", "group", "split"} else self.take, new, old)
            for name, new, old in zip(Pass._fields, asked, held, strict=True)
        ]
        self.ins = Pass(*merged)
        for register, value in zip(held, merged, strict=True):
            register.next <<= value
        self.configured.next <<= self.configured | changes
        self.known = self.configured | changes  # flow, group and split mean something
        self.choice = choice_of(self.sizes, self.ins.flow, self.ins.group, self.ins.split)
        self.active = self.active_held | self.take
        self.takes_stream = self.take & ~self.choice.ws
        self.issued.next <<= (self.issued + self.take).truncate(2)
        self.load_now = select(self.take, self.issued, self.load_pass)
        self.load_pass.next <<= self.load_now

    def _stream(self) -> None:
        """Decide one step of an OS or IS pass."""
        core, choice, ins, select = self.core, self.choice, self.ins, pyrtl.select
        runs = self.active & ~choice.ws
        free = runs & (self.pace_left == 0)
        loaded = select(self.takes_stream, pyrtl.Const(0, len(self.rows_loaded)), self.rows_loaded)
        self.load_row = loaded
        self.loads_row = free & choice.is_ & (loaded < ins.m)  # a row of the first A of an IS pass
        self.rows_loaded.next <<= select(self.loads_row, plus_one(loaded), loaded)

        self.sets = (self.sets_held - self.queue.frees).truncate(2)
        leader = self.strips[0]
        wants_set = choice.os & leader.left & (leader.step == 0)
        no_set = wants_set & (self.sets >= core.fold_sets)
        later = []
        for strip in self.strips:
            first = one_of(choice.size, {size: pyrtl.Const(int(strip.index < size)) for size in self.sizes.sizes})
            later.append(~first)
        goes_on = choice.chain & any_of(
            [late & strip.left & ~strip.closed for late, strip in zip(later, self.strips, strict=True)]
        )
        can = free & ~self.loads_row
        self.sets_busy = can & no_set & ~goes_on
        tries = can & ~(no_set & ~goes_on)
        eligible = [late | ~no_set for late in later]
        missing = [
            may & strip.needs & ~valid for may, strip, valid in zip(eligible, self.strips, self.beat_valid, strict=True)
        ]
        is_late = any_of(missing)
        self.late = tries & is_late
        self.steps_now = tries & ~is_late
        begun = self.begun_held & ~self.take
        self.late_moves = ~begun & (self.queue.waiting != 0)
        self.begun_held.next <<= begun | self.steps_now
        self.opens = self.steps_now & wants_set & ~no_set
        self.leader_steps = self.steps_now & leader.left & ~no_set

        zero = pyrtl.Const(0, len(self.since_opened))
        fold = select(self.opens, leader.outer, self.opened)
        since = select(self.opens, zero, plus_one(self.since_opened))  # at the end of a moving cycle
        self.opened.next <<= fold
        opening = Opening(self.opens, fold, since)
        self.eligible_steps = [self.steps_now & may for may in eligible]
        for strip, steps in zip(self.strips, self.eligible_steps, strict=True):
            strip.drive(steps, opening)
        self.since = since
        self.stream_ends = self.strips[-1].finished
        self.stream_reason = first_of(
            (self.pace_left != 0, _code("edge_bandwidth")),
            (self.loads_row, _code("load_stationary")),
            (self.sets_busy, _code("accumulators_busy")),
            (self.late, _code("operand_late")),
            otherwise=_code("busy"),
        )

    def weight_beats(self, strip: int, outer: pyrtl.WireVector, inner: pyrtl.WireVector) -> pyrtl.WireVector:
        """Return how many beats of a stationary operand a strip takes (WS)."""
        sizes, choice, values = self.sizes, self.choice, {}
        for size in sizes.sizes:
            groups = sizes.strips // size
            group, shift = strip // size, groups.bit_length() - 1
            block = pyrtl.select(
                choice.split_k, outer, pyrtl.concat(outer, pyrtl.Const(group, shift)) if shift else outer
            )
            own_k = pyrtl.select(choice.split_k, share(self.ins.k, groups, group), self.ins.k)
            phase, phase_bits = strip % size, size.bit_length() - 1
            above = pyrtl.concat(inner, pyrtl.Const(phase, phase_bits)) if phase_bits else inner
            first = pyrtl.concat(above, pyrtl.Const(0, sizes.row_shift)) if sizes.row_shift else above
            rest = (own_k - first).truncate(max(len(own_k), len(first)))
            beats = lower(rest, pyrtl.Const(sizes.strip_rows, len(rest))).truncate(len(self.loading))
            has = (first < own_k) & (block < self.shape.n_blocks)
            values[size] = pyrtl.select(has, beats, pyrtl.Const(0, len(self.loading)))
        return one_of(choice.size, values)

    def _stationary(self) -> None:
        """Take, stream and load of a WS pass."""
        select, folds, shape, bits = pyrtl.select, self.folds, self.shape, self.sizes.extent_bits
        zero = pyrtl.Const(0, bits)
        runs = self.known & self.choice.ws
        self.w_paced = runs & (self.pace_left != 0)
        self.w_takes = runs & ~self.w_paced & ~self.streaming & self.shadow
        self.w_steps = runs & ~self.w_paced & (self.streaming | self.shadow)
        fresh = self.w_takes & ~(self.stream_valid & (self.stream_pass == self.shadow_pass))
        outers = select(fresh, shape.outers, folds["stream_outers"])
        inners = select(fresh, shape.inners, folds["stream_inners"])
        pace = select(fresh, shape.pace, self.stream_pace)
        self.outer = select(fresh, zero, folds["stream_outer"])
        self.inner = select(fresh, zero, folds["stream_inner"])
        self.step_now = select(self.w_takes, zero, self.step)
        steps = select(self.w_takes, self.shadow_steps, self.steps)
        fold_ends = self.w_steps & (plus_one(self.step_now) == steps)
        inner_ends = fold_ends & (plus_one(self.inner) == inners)
        self.w_ends = inner_ends & (plus_one(self.outer) == outers)
        self.streaming.next <<= (self.streaming | self.w_takes) & ~fold_ends
        self.step.next <<= select(self.w_steps, plus_one(self.step_now), self.step_now)
        self.steps.next <<= steps
        self.stream_pass.next <<= select(self.w_takes, self.shadow_pass, self.stream_pass)
        self.stream_valid.next <<= (self.stream_valid | self.w_takes) & ~self.w_ends
        self.stream_pace.next <<= pace.truncate(len(self.stream_pace))
        folds["stream_outers"].next <<= outers.truncate(bits)
        folds["stream_inners"].next <<= inners.truncate(bits)
        folds["stream_inner"].next <<= select(inner_ends, zero, select(fold_ends, plus_one(self.inner), self.inner))
        folds["stream_outer"].next <<= select(inner_ends, plus_one(self.outer), self.outer)
        self.w_pace = pace

        self.load_outer = select(self.take, zero, folds["load_outer"])
        self.load_inner = select(self.take, zero, folds["load_inner"])
        self.beat = select(self.take, pyrtl.Const(0, len(self.loading)), self.loading)
        beats = [self.weight_beats(s, self.load_outer, self.load_inner) for s in range(self.sizes.strips)]
        wants = [self.beat < count for count in beats]
        is_late = any_of([want & ~valid for want, valid in zip(wants, self.beat_valid, strict=True)])
        room = ~self.shadow | self.w_takes
        self.w_loads = runs & self.active & room & ~is_late
        self.w_pops = [self.w_loads & want for want in wants]
        next_beat = plus_one(self.beat)
        full = self.w_loads & ~any_of([next_beat < count for count in beats])
        inner_loaded = full & (plus_one(self.load_inner) == shape.inners)
        outer_next = select(inner_loaded, plus_one(self.load_outer), self.load_outer)
        self.w_loaded = inner_loaded & (outer_next == shape.outers)
        self.loading.next <<= select(
            full, pyrtl.Const(0, len(self.loading)), select(self.w_loads, next_beat, self.beat)
        )
        folds["load_inner"].next <<= select(
            inner_loaded, zero, select(full, plus_one(self.load_inner), self.load_inner)
        )
        folds["load_outer"].next <<= outer_next
        self.shadow.next <<= (self.shadow & ~self.w_takes) | full
        self.shadow_pass.next <<= select(full, self.load_now, self.shadow_pass)
        self.shadow_steps.next <<= select(full, self.ins.m, self.shadow_steps)

    def _finish(self) -> None:
        """Move, retire, and say why the cycle went where."""
        select, choice, shape, queue = pyrtl.select, self.choice, self.shape, self.queue
        streams = self.active & ~choice.ws
        stationary = self.known & choice.ws
        busy = self.steps_now | self.w_steps
        stepped = busy | self.loads_row | self.sets_busy
        paced = stationary & self.w_paced
        reason = first_of(
            (streams, self.stream_reason),
            (paced, _code("edge_bandwidth")),
            (self.w_steps, _code("busy")),
            (self.w_loads, _code("load_stationary")),
            (stationary & self.active, _code("operand_late")),
            otherwise=self.issue_reason,
        )
        self.reason = reason
        holds = (reason == REASONS.index("edge_bandwidth")) | (self.late & ~self.late_moves)
        self.move = stepped | ((queue.waiting != 0) & ~holds)
        self.since_opened.next <<= select(self.move, self.since, self.since_opened)

        os_fold = self.strips[-1].ends & choice.os
        push = os_fold | (self.stream_ends & choice.is_) | self.w_ends
        fold = Fold(
            left=shape.depth,
            cycles=shape.drain,
            row_cycles=select(choice.os, shape.row_cycles, pyrtl.Const(1, 1)),
            last=~choice.os | self.stream_ends,
            frees=choice.os,
        )
        widths = [len(register) for register in queue.entries[0]]
        queue.drive(self.move, push, Fold(*(wire.zero_extended(w) if len(wire) < w else wire.truncate(w)
                                            for wire, w in zip(fold, widths, strict=True))))  # fmt: skip
        self.sets_held.next <<= (self.sets + self.opens).truncate(2)
        self.active_held.next <<= self.active & ~self.stream_ends & ~self.w_loaded
        pace = select(choice.ws, self.w_pace, shape.pace)
        after = minus_one(self.pace_left)
        once = (pace - 1).truncate(len(pace))
        self.pace_left.next <<= select(busy, once, after).truncate(len(self.pace_left))
        self.pops = [select(choice.ws, w, strip.pop) for w, strip in zip(self.w_pops, self.strips, strict=True)]

    def show(self) -> None:
        """Connect the outputs of the control."""
        outputs = {
            "reason": self.reason,
            "move": self.move,
            "pass_take": self.take,
            "pass_done": self.queue.passes,
            "writing": self.queue.writing,
            "write_row": self.queue.row,
        } | {f"pop{s}": pop for s, pop in enumerate(self.pops)}
        for name, wire in outputs.items():
            port = pyrtl.Output(len(wire), name)
            port <<= wire


def array_control(core: CoreParams, extent_bits: int = EXTENT_BITS) -> pyrtl.Block:
    """Return the control of an array as a block of its own.

    Parameters
    ----------
    core : CoreParams
        The core.
    extent_bits : int
        Width of m, n and k.

    Raises
    ------
    ValueError
        If the core is no array that the control can be built for.
    """
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        ArrayControl(core, extent_bits).show()
    return block
