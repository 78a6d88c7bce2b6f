"""RTL of the reconfigurable array: strips of PEs, their edges, and the control of a PASS (docs/core/array.md).

                 beat (strip)  A row (strip, IS)
                      |            |
              [ turn of the group's strips ]        group of 2 strips, 2 groups:
                      | skew of columns
    A column --skew-> [ strip 0 ] --+               OS, WS, IS chain: strip 0 -> strip 2, strip 1 -> strip 3
    A column --skew-> [ strip 1 ] --|-+                               (A and tags, or sums, from right edge to left)
                      | bottom 1    | |             fission: every group has its own left edge
    A column --skew-> [ strip 2 ] <-+ | --> right 2
    A column --skew-> [ strip 3 ] <---+ --> right 3
                      | bottom 3

The last strip of a group shows the group's sums at ``bottom``: those of WS as they come, those of OS row by row while
``writing``.  ``right`` shows those of IS, in a chain only the last group's.  What has no valid bit is 0.  A sum of WS
or IS stands there until the next ``move``; `fresh` marks its first cycle.

Operands stand at the pins in the cycle in which they are taken: ``beat<s>`` with ``pop<s>``, ``a_left<s>`` (elements
of the strip's rows: A[row, k] in OS, A[step, k0 + row] in WS) with ``take_left<s>``, ``a_row<s>`` (elements of a row
of A in the group's k-block, IS) with ``take_row<s>``.  Element 0 stands in the lowest bits.

Weights of WS are written broadside into the shadow of their strip, leave it as a whole in the first step of their fold,
and reach PE(i, j) of group h after 1 + i + j + skew(h) advances.

First cycles of OS, one strip of 2 x 2, m = 2, n = 2, k = 3, 16 bytes of ports a cycle, all beats there::

    cycle      0    1    2    3    4    5    6    7    8
    pop        1    1    1
    take_left  1    1    1
    move       1    1    1    1    1    1    1    1
    active          1    7    15   14   8
    write_row                                0    1
    done                                               1

``python -m rtl_models.core.array --export FILE`` writes its Verilog for INT8 and the shape of a chip; for a shipped
chip of 128 x 128 PEs that takes long.
"""

from __future__ import annotations

import sys
from typing import TypeAlias

import pyrtl

from nmpsim.spec import MachineParams
from nmpsim.spec.params import CoreParams
from rtl_models.core.array_control import EXTENT_BITS, ArrayControl
from rtl_models.core.pe import PeParams, Tag
from rtl_models.core.skew import line, staircase
from rtl_models.core.strip import Left, Selection, StripOutputs, Top, Weight, strip
from rtl_models.core.wires import any_of, lower, one_of
from rtl_models.verilog import export

Wire: TypeAlias = pyrtl.WireVector


def array(core: CoreParams, precision: str, extent_bits: int = EXTENT_BITS) -> pyrtl.Block:
    """Return the array of a core with its control.

    Parameters
    ----------
    core : CoreParams
        The core; a systolic array with sizes that are powers of two.
    precision : str
        ``"int8"`` (INT32 sums), ``"fp16"`` or ``"bf16"`` (FP32 sums).
    extent_bits : int
        Width of m, n and k.

    Raises
    ------
    ValueError
        If the core is no array that can be built, or the precision is not known.
    """
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        control = ArrayControl(core, extent_bits)
        rows = core.strips * core.strip_rows
        params = PeParams(precision, stages=core.pe_latency, sets=core.fold_sets, row_bits=rows.bit_length())
        _Datapath(control, params).connect()
        control.show()
    return block


def _bits(value: Wire, width: int) -> list[Wire]:
    """Return the elements of a bus, the lowest first."""
    return [value[i : i + width] for i in range(0, len(value), width)]


class _Datapath:
    """Strips, edges and skew of an array."""

    def __init__(self, control: ArrayControl, params: PeParams) -> None:
        self.control, self.params, self.sizes = control, params, control.sizes
        self.choice, self.move = control.choice, control.move
        sizes, width = self.sizes, params.operand_bits
        strips = range(sizes.strips)
        self.beat = [pyrtl.Input(sizes.columns * width, f"beat{s}") for s in strips]
        self.a_left = [pyrtl.Input(sizes.strip_rows * width, f"a_left{s}") for s in strips]
        self.a_row = [pyrtl.Input(sizes.columns * width, f"a_row{s}") for s in strips]
        self.operands_held()
        self.sets()

    def operands_held(self) -> None:
        """Keep k and n of the pass that streams (WS): the next one may be issued while it does."""
        control, bits = self.control, self.sizes.extent_bits
        fresh = control.w_takes & ~(control.stream_valid & (control.stream_pass == control.shadow_pass))
        blocks = control.shape.n_blocks
        k_held, blocks_held = pyrtl.Register(bits, "stream_k"), pyrtl.Register(len(blocks), "stream_blocks")
        self.stream_k = pyrtl.select(fresh, control.ins.k, k_held)
        self.stream_blocks = pyrtl.select(fresh, blocks, blocks_held)
        k_held.next <<= self.stream_k
        blocks_held.next <<= self.stream_blocks

    def sets(self) -> None:
        """Number the accumulator sets: of the fold that streams, and of the one that is written (OS)."""
        control = self.control
        if control.core.fold_sets == 1:
            self.stream_set = self.write_set = pyrtl.Const(0, 1)
            return
        next_set, oldest = pyrtl.Register(1, "next_set"), pyrtl.Register(1, "oldest_set")
        self.stream_set = pyrtl.select(control.opens, next_set, ~next_set)
        self.write_set = oldest ^ control.queue.frees
        next_set.next <<= next_set ^ control.opens
        oldest.next <<= self.write_set

    def by_size(self, values: dict[int, Wire]) -> Wire:
        """Return the value of the present group size."""
        return one_of(self.choice.size, values)

    def grouped(self, s: int, index: Wire, *, alone: Wire) -> Wire:
        """Return the block of a strip's group: `index` itself if groups do the same ones, else index G + h."""
        values = {}
        for size in self.sizes.sizes:
            shift = (self.sizes.strips // size).bit_length() - 1
            spread = pyrtl.concat(index, pyrtl.Const(s // size, shift)) if shift else index
            values[size] = pyrtl.select(alone, index, spread)
        return self.by_size(values)

    def columns_of(self, block: Wire, extent: Wire) -> list[Wire]:
        """Return which columns of a block lie within an extent."""
        shift, columns = self.sizes.column_shift, self.sizes.columns
        if not shift:
            return [block < extent]
        whole, rest = extent[shift:], extent[:shift]
        inside, at_end = block < whole, block == whole
        return [inside | (at_end & (rest > j)) for j in range(columns)]

    def is_first(self, s: int) -> Wire:
        """Return whether a strip is the first one of its group."""
        return self.by_size({size: pyrtl.Const(int(s % size == 0)) for size in self.sizes.sizes})

    def is_last(self, s: int) -> Wire:
        """Return whether a strip is the last one of its group."""
        return self.by_size({size: pyrtl.Const(int(s % size == size - 1)) for size in self.sizes.sizes})

    def in_first_group(self, s: int) -> Wire:
        """Return whether a strip has a left edge of its own."""
        later = self.by_size({size: pyrtl.Const(int(s >= size)) for size in self.sizes.sizes})
        return ~(self.choice.chain & later)

    def skewed(self, s: int, wire: Wire) -> Wire:
        """Return a wire delayed by the skew of the strip's group."""
        columns = self.sizes.columns
        longest = max(s // size for size in self.sizes.sizes) * columns
        taps = line(wire, self.move, longest, self.control.changes)
        late = self.by_size({size: taps[s // size * columns] for size in self.sizes.sizes})
        return pyrtl.select(self.choice.chain, late, wire)

    def connect(self) -> None:
        """Connect everything."""
        sizes = self.sizes
        outputs: list[StripOutputs] = []
        self.pins: dict[str, Wire] = {}
        edges = [self.left_edge(s) for s in range(sizes.strips)]
        for s in range(sizes.strips):
            left = self.left_of(s, edges[s], outputs)
            top = self.top_of(s, outputs)
            outputs.append(strip(self.params, self.shared(s), left, top, self.weights(s), f"strip{s}"))
        self.show_sums(outputs)
        moved = pyrtl.Register(1, "moved")
        moved.next <<= self.move
        self.pins |= {"fresh": moved} | {f"active{s}": out.active for s, out in enumerate(outputs)}
        self.pins |= {"write_set": self.write_set}
        for name, wire in self.pins.items():
            port = pyrtl.Output(len(wire), name)
            port <<= wire

    def shared(self, s: int) -> Selection:
        """Return what all PEs of a strip share."""
        sizes, bits = self.sizes, self.params.row_bits
        rows = [
            self.by_size({size: pyrtl.Const(s % size * sizes.strip_rows + q, bits) for size in sizes.sizes})
            for q in range(sizes.strip_rows)
        ]
        read_row = self.control.queue.row[: max(sizes.row_shift, 1)]
        return Selection(self.move, self.control.ins.flow, rows, read_row, self.write_set)

    # ------------------------------------------------------------------------------------------------- left edges

    def left_edge(self, s: int) -> list[Left]:
        """Return the edge registers at the left of a strip's rows."""
        control, choice, sizes, select = self.control, self.choice, self.sizes, pyrtl.select
        own = control.strips[s]
        streams = own.works & ~choice.ws
        works = select(choice.ws, control.w_steps, streams)
        begins = select(choice.ws, control.step_now == 0, own.step == 0)
        marks = pyrtl.concat_list([works & begins, self.stream_set, *(works & row for row in self.rows_of(s))])
        places = {size: s % size * sizes.strip_rows for size in sizes.sizes}
        length = max(places.values())
        late_marks, late_a = (
            self.by_size({size: taps[places[size]] for size in sizes.sizes})
            for taps in (line(marks, self.move, length, control.changes), line(self.a_left[s], self.move, length))
        )
        head = 1 + len(self.stream_set)
        operands = _bits(late_a, self.params.operand_bits)
        elements = [pyrtl.concat_list([late_marks[head + q], late_marks[:head], a]) for q, a in enumerate(operands)]
        steps = staircase([(element, q + 1) for q, element in enumerate(elements)], self.move)
        self.pins[f"take_left{s}"] = works & ~choice.is_ & self.in_first_group(s)
        zero = pyrtl.Const(0, self.params.sum_bits)
        return [Left(step[1 + head :], Tag(step[0], step[1], step[2 : 1 + head]), zero) for step in steps]

    def rows_of(self, s: int) -> list[Wire]:
        """Return which rows of a strip have work in this step."""
        control, choice, sizes, select = self.control, self.choice, self.sizes, pyrtl.select
        ins, rows = control.ins, sizes.strip_rows
        by_size: dict[int, list[Wire]] = {}
        for size in sizes.sizes:
            groups, phase = sizes.strips // size, s % size
            shift = groups.bit_length() - 1
            group = s // size
            spread_k = (self.stream_k + (groups - 1 - group))[shift:] if shift else self.stream_k
            own_k = select(choice.split_k, spread_k, self.stream_k)
            phase_bits = size.bit_length() - 1
            first = pyrtl.concat(control.inner, pyrtl.Const(phase, phase_bits)) if phase_bits else control.inner
            first = pyrtl.concat(first, pyrtl.Const(0, sizes.row_shift)) if sizes.row_shift else first
            rest = select(first < own_k, (own_k - first).truncate(len(own_k)), pyrtl.Const(0, len(own_k)))
            spread_n = (ins.n + (groups - 1 - group))[shift:] if shift else ins.n
            own_n = select(choice.split_n, spread_n, ins.n)
            in_n = choice.os | (control.strips[s].step < own_n)
            by_size[size] = [select(choice.ws, rest > q, (ins.m > phase * rows + q) & in_n) for q in range(rows)]
        return [self.by_size({size: bits[q] for size, bits in by_size.items()}) for q in range(rows)]

    def left_of(self, s: int, edge: list[Left], outputs: list[StripOutputs]) -> list[Left]:
        """Return what stands left of a strip: its edge, or in a chain the strip of the group before it."""
        chosen = []
        for q, own in enumerate(edge):
            a, tag, psum = own
            for size in self.sizes.sizes:
                if size > s:
                    continue
                link = self.choice.chain & self.choice.size[size]
                before = outputs[s - size].right[q]
                a, psum = pyrtl.select(link, before.a, a), pyrtl.select(link, before.psum, psum)
                tag = Tag(*(pyrtl.select(link, new, old) for new, old in zip(before.tag, tag, strict=True)))
            chosen.append(Left(a, tag, psum))
        return chosen

    # -------------------------------------------------------------------------------------------------- top edges

    def top_of(self, s: int, outputs: list[StripOutputs]) -> list[Top]:
        """Return what stands above a strip: the edge of its group, or the strip before it."""
        firsts = [s % size == 0 for size in self.sizes.sizes]
        if not any(firsts):
            self.pins[f"take_row{s}"] = pyrtl.Const(0, 1)
            return outputs[s - 1].bottom
        edge = self.top_edge(s)
        if all(firsts):
            return edge
        own = self.is_first(s)
        return [
            Top(*(pyrtl.select(own, at_edge, above) for at_edge, above in zip(pair[0], pair[1], strict=True)))
            for pair in zip(edge, outputs[s - 1].bottom, strict=True)
        ]

    def top_edge(self, s: int) -> list[Top]:
        """Return the edge registers above the columns of a group whose first strip is `s`."""
        control, choice, sizes, params = self.control, self.choice, self.sizes, self.params
        own, streams = control.strips[s], ~choice.ws
        members = {size: range(s, min(s + size, sizes.strips)) for size in sizes.sizes}
        beats, popped = {}, {}
        for size, strips in members.items():
            beat = self.beat[s]
            for other in strips[1:]:
                beat = pyrtl.select(control.pops[other], self.beat[other], beat)
            beats[size] = beat
            popped[size] = any_of([control.pops[other] for other in strips])
        beat, pop = self.by_size(beats), self.by_size(popped) & streams
        index = pyrtl.select(choice.os, own.outer, own.inner)
        block = self.grouped(s, index, alone=pyrtl.select(choice.os, choice.split_k, choice.split_n))
        inside = self.columns_of(block, pyrtl.select(choice.os, control.ins.n, control.ins.k))
        operands = _bits(beat, params.operand_bits)
        steps = staircase(
            [(pyrtl.concat(operands[j], pop & inside[j]), j + 1) for j in range(sizes.columns)], self.move
        )
        loads = self.load_edge(s)
        valid = self.skewed(s, control.w_steps & (self.grouped(s, control.outer, alone=choice.split_k)
                                                  < self.stream_blocks))  # fmt: skip
        valid = line(valid, self.move, params.stages)[-1]
        edge = line(valid, self.move, sizes.columns)[1:]
        zero = pyrtl.Const(0, params.sum_bits)
        return [Top(steps[j][1:], steps[j][0], zero, edge[j], *loads[j]) for j in range(sizes.columns)]

    def load_edge(self, s: int) -> list[tuple[Wire, Wire, Wire]]:
        """Return the edge registers on the way of A to its row (IS): operand, row, valid."""
        control, choice, sizes, params = self.control, self.choice, self.sizes, self.params
        own, width = control.strips[s], params.operand_bits
        row_first = lower(control.load_row, pyrtl.Const(2**params.row_bits - 1, sizes.extent_bits))
        first = self.skewed(s, pyrtl.concat(row_first.truncate(params.row_bits), control.loads_row))
        inner_next = (own.inner + 1).truncate(sizes.extent_bits)
        later = own.works & choice.is_ & (own.step < control.ins.m) & (inner_next < control.shape.inners)
        loads = first[0] | later
        row = pyrtl.select(first[0], first[1:], own.step[: params.row_bits].zero_extended(params.row_bits))
        index = pyrtl.select(first[0], pyrtl.Const(0, len(inner_next)), inner_next)
        inside = self.columns_of(self.grouped(s, index, alone=choice.split_n), control.ins.k)
        operands = _bits(self.a_row[s], width)
        elements = [pyrtl.concat_list([loads & inside[j], row, operands[j]]) for j in range(sizes.columns)]
        steps = staircase([(element, j + 1) for j, element in enumerate(elements)], self.move)
        self.pins[f"take_row{s}"] = loads & self.is_first(s) & self.move
        head = 1 + params.row_bits
        return [(step[head:], step[1:head], step[0]) for step in steps]

    # ---------------------------------------------------------------------------------------------------- weights

    def weights(self, s: int) -> list[list[Weight]]:
        """Return the ends of the skew lines of a strip's weights (WS)."""
        control, choice, sizes, width = self.control, self.choice, self.sizes, self.params.operand_bits
        block = self.grouped(s, control.load_outer, alone=choice.split_k)
        inside = self.columns_of(block, control.ins.n)
        rows = []
        for q in range(sizes.strip_rows):
            value = pyrtl.Register(sizes.columns * width, f"strip{s}_shadow{q}")
            valid = pyrtl.Register(sizes.columns, f"strip{s}_shadow_valid{q}")
            loads = control.w_pops[s] & (control.beat == q)
            value.next <<= pyrtl.select(loads, self.beat[s], value)
            kept = pyrtl.select(control.w_takes, pyrtl.Const(0, sizes.columns), valid)
            valid.next <<= pyrtl.select(loads, pyrtl.concat_list(inside), kept)
            rows.append(pyrtl.concat_list([value, valid]))
        delays = {
            (size, chain): s % size * sizes.strip_rows + (s // size * sizes.columns if chain else 0)
            for size in sizes.sizes
            for chain in (0, 1)
        }
        taps = line(pyrtl.concat_list(rows), self.move, max(delays.values()))
        late = self.by_size(
            {size: pyrtl.select(choice.chain, taps[delays[size, 1]], taps[delays[size, 0]]) for size in sizes.sizes}
        )
        elements = []
        for q, row in enumerate(_bits(late, len(rows[0]))):
            operands, valid = _bits(row[: sizes.columns * width], width), row[sizes.columns * width :]
            elements += [(pyrtl.concat(operands[j], valid[j]), 1 + q + j) for j in range(sizes.columns)]
        ends = staircase(elements, self.move)
        weights = [Weight(end[1:], end[0]) for end in ends]
        return [weights[q * sizes.columns : (q + 1) * sizes.columns] for q in range(sizes.strip_rows)]

    # ------------------------------------------------------------------------------------------------------- sums

    def show_sums(self, outputs: list[StripOutputs]) -> None:
        """Make the pins at which sums leave."""
        control, choice, sizes, select = self.control, self.choice, self.sizes, pyrtl.select
        columns, sum_bits = sizes.columns, self.params.sum_bits
        none = pyrtl.Const(0, sum_bits)
        strip_of_row = control.queue.row[sizes.row_shift :]
        above: list[Wire] = []
        for s, out in enumerate(outputs):
            own = pyrtl.concat_list(out.read)
            values = {}
            for size in sizes.sizes:
                is_here = strip_of_row == s % size
                values[size] = select(is_here, own, above[-1]) if s % size else own
            above.append(self.by_size(values))
            last = self.is_last(s)
            writes = last & choice.os & control.queue.writing
            valid = [writes | (last & choice.ws & top.p_valid) for top in out.bottom]
            read = _bits(above[-1], sum_bits)
            sums = [select(valid[j], select(choice.ws, out.bottom[j].psum, read[j]), none) for j in range(columns)]
            self.pins[f"bottom{s}"] = pyrtl.concat_list(sums)
            self.pins[f"bottom_valid{s}"] = pyrtl.concat_list(valid)
            ends = self.by_size({size: pyrtl.Const(int(s + size >= sizes.strips)) for size in sizes.sizes})
            delivers = choice.is_ & (~choice.chain | ends)
            shown = [delivers & bit for bit in out.right_valid]
            self.pins[f"right{s}"] = pyrtl.concat_list(
                [select(bit, row.psum, none) for bit, row in zip(shown, out.right, strict=True)]
            )
            self.pins[f"right_valid{s}"] = pyrtl.concat_list(shown)


def for_chip(machine: MachineParams) -> pyrtl.Block:
    """Return the INT8 array of a chip."""
    return array(machine.core, "int8")


if __name__ == "__main__":
    sys.exit(export("array", for_chip))
