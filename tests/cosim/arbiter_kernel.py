"""What the units of a busy core ask of the ports of the buffer, and what they get, cycle by cycle."""

from __future__ import annotations

import pyrtl

from nmpsim.spec.params import MachineParams
from rtl_models.core.port_arbiter import ArbiterParams, arbiter_params, port_arbiter
from tests.cosim.busy_core import BusyCore
from tests.cosim.replay import Replay

CORE = "nmpsim.core."
ASKERS = ("vector", "copy_in", "copy_out", "store", "send0", "send1", "receive0", "receive1")


class ArbiterBench:
    """A busy core whose requests are recorded.

    Parameters
    ----------
    params : MachineParams
    seed : int
    """

    def __init__(self, params: MachineParams, seed: int) -> None:
        self.params, self.seed = params, seed
        self.shape: ArbiterParams = arbiter_params(params)
        self.inputs: list[dict[str, int]] = []
        self.outputs: list[dict[str, int]] = []
        self.asking = ""
        self.calls: list[tuple[int, int]] = []
        self.pending: dict[str, tuple[int, int, int]] = {}
        self.core = BusyCore(params, seed, self.recorders())

    def recorders(self):
        """What stands for the functions by which units ask, and for the units that come twice."""
        found = {
            (f"{CORE}array", "result_mask"): self.whole("fold"),
            (f"{CORE}streaming", "operand_mask"): self.whole("operand"),
        }
        for module in ("array", "streaming", "stationary"):
            found[f"{CORE}{module}", "use_edges"] = self.use_edges
        for module in ("streaming", "stationary"):
            found[f"{CORE}{module}", "operand_line"] = self.line("operand")
            found[f"{CORE}{module}", "result_line"] = self.line("result")
        for module in ("vector", "copier", "mover", "network"):
            found[f"{CORE}{module}", "bank_mask"] = self.bank_mask
        found[f"{CORE}copier", "result_mask"] = self.bank_mask
        found[f"{CORE}core", "step_vector"] = self.unit("vector")
        found[f"{CORE}core", "step_copier"] = self.unit("copy_in", "copy_out", number=3)
        found[f"{CORE}core", "step_sender"] = self.unit("send0", "send1", number=6)
        found[f"{CORE}core", "step_receiver"] = self.unit("receive0", "receive1", number=6)
        found[f"{CORE}mover", "take_beat"] = self.take_beat
        found[f"{CORE}mover", "read_store"] = self.unit("store")
        return found

    def whole(self, name: str):
        """Recorder of a whole access of the compute unit."""

        def factory(original):
            def record(address, length, p):
                self.pending = {name: (int(address), int(length), 0)}
                return original(address, length, p)

            return record

        return factory

    def line(self, name: str):
        """Recorder of a stream of the compute unit."""

        def factory(original):
            def record(address, per_step, step, p):
                if name == "operand":
                    self.pending = {}
                self.pending[name] = (int(address + step * per_step), int(per_step), 1)
                return original(address, per_step, step, p)

            return record

        return factory

    def use_edges(self, original):
        """Recorder of what the compute unit takes."""

        def record(history, at, period, operands, sums, results, p):
            for name, (address, length, stream) in self.pending.items():
                label = name
                if name == "fold":
                    label = f"fold{sum(key.startswith('fold') and key.endswith('valid') for key in self.given)}"
                self.given |= {f"{label}_valid": 1, f"{label}_address": address, f"{label}_bytes": length}
                if name == "operand":
                    self.given["operand_stream"] = stream
                if name == "result":
                    self.given["result_adds"] = int(sums != 0)
            self.pending = {}
            return original(history, at, period, operands, sums, results, p)

        return record

    def bank_mask(self, original):
        """Recorder of an access of any other unit."""

        def record(address, length, *rest):
            self.calls.append((int(address), int(length)))
            return original(address, length, *rest)

        return record

    def unit(self, *names: str, number: int = 0):
        """Recorder of a unit's step: it asks if it looks up its banks, and has lost if it counts a conflict.

        Argument `number` of the step says which of the units it is.
        """

        def factory(original):
            def record(*args):
                name = names[int(args[number])] if number else names[0]
                self.calls = []
                before = self.conflicts(name)
                outcome = original(*args)
                if self.calls:
                    self.ask(name, self.conflicts(name) != before)
                return outcome

            return record

        return factory

    def conflicts(self, name: str) -> int:
        """Conflicts that a unit has counted."""
        cores = self.core.cores
        records = {"vec": cores.vector[0], "sto": cores.mover[0]}
        if name[:3] in records:
            return int(records[name[:3]].conflicts)
        if name.startswith("copy"):
            return int(cores.copier[0, int(name == "copy_out")].conflicts)
        units = cores.sender if name.startswith("send") else cores.received
        return int(units[0, int(name[-1])].conflicts)

    def ask(self, name: str, lost: bool) -> None:
        """Note a request and its outcome."""
        self.given[f"{name}_valid"] = 1
        places = ("vector_read", "vector_write") if name == "vector" else (name,)
        for place, (address, length) in zip(places, self.calls, strict=False):
            self.given |= {f"{place}_address": address, f"{place}_bytes": length}
        if name == "copy_out":  # asks for the banks of its target, then for those of its source
            self.given["copy_out_source"] = self.calls[1][0]
        self.shown |= {f"{name}_grant": int(not lost), f"{name}_conflict": int(lost)}

    def take_beat(self, original):
        """Recorder of the loads: who could be taken, who was looked at, who was taken."""

        def record(*args):
            core = self.core
            mover = core.cores.mover[0]
            ready = core.candidates()
            for s, address in ready.items():
                self.given |= {f"load{s}_valid": 1, f"load{s}_address": address}
            turn, beats, before = int(mover.turn), int(mover.beats_in), int(mover.conflicts)
            self.calls = []
            outcome = original(*args)
            strips = self.params.core.strips
            order = [s for s in ((turn + i) % strips for i in range(strips)) if s in ready]
            looked_at = order[: len(self.calls)]
            assert [ready[s] for s in looked_at] == [address for address, _ in self.calls]
            taken = [looked_at[-1]] if int(mover.beats_in) > beats else []
            for s in taken:
                self.shown[f"load{s}_grant"] = 1
            lost = [s for s in looked_at if s not in taken]
            assert len(lost) == int(mover.conflicts) - before
            self.shown |= {f"load{s}_conflict": 1 for s in lost}
            return outcome

        return record

    def step(self) -> None:
        """Record one cycle."""
        core = self.core
        self.given: dict[str, int] = {}
        self.shown: dict[str, int] = {"turn": int(core.cores.mover[0].turn)}
        core.step()
        record = core.cores.core[0]
        assert record.mask_at == core.now - 1
        self.shown |= {"read_banks": int(record.read_mask), "write_banks": int(record.write_mask)}
        if self.params.core.separate:
            self.shown["sum_banks"] = int(record.sum_mask)
        addresses = [value for name, value in self.given.items() if name.endswith(("_address", "_source"))]
        assert all(0 <= address < 1 << self.shape.address_bits for address in addresses)
        self.inputs.append(self.given)
        self.outputs.append(dict.fromkeys(self.decisions(), 0) | self.shown)

    def decisions(self) -> list[str]:
        """Outputs that are 0 where nobody asks."""
        names = [name for name in ASKERS if self.params.core.separate or not name.startswith("copy")]
        names += [f"load{s}" for s in range(self.params.core.strips)]
        return [f"{name}_{what}" for name in names for what in ("grant", "conflict")]

    def record(self, cycles: int) -> ArbiterBench:
        """Record some cycles."""
        for _ in range(cycles):
            self.step()
        return self

    def replay(self, name: str, **changes: int) -> Replay:
        """The recording, for RTL made with some fields of CoreParams changed."""
        shape = self.shape._replace(core=self.shape.core._replace(**changes))
        block = port_arbiter(shape)
        pins = [wire.name for wire in block.wirevector_subset(pyrtl.Input)]
        inputs = [dict.fromkeys(pins, 0) | given for given in self.inputs]
        return Replay(name, block, inputs, self.outputs)
