"""Which states, commands, reasons and rules of the bank sequencer a replay has reached.

``python -m tests.cosim.bank_coverage [BANKS [CYCLES]]`` prints how often each point was reached, and how fast the
three simulators are.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nmpsim.dram.native import REASONS
from nmpsim.spec.params import ACT, COMMANDS, RD, REF, WR
from rtl_models.verilog import Size, size_of
from tests.cosim.bank_kernel import BankCase, KernelBank, Recording, draw_case
from tests.cosim.coverage import Coverage
from tests.cosim.replay import PyrtlRun, Replay
from tests.cosim.verilog import run_verilog

STATES = (
    *("closed ACT activate", "closed REFpb refresh", "closed - refresh", "closed - precharge", "closed - no_request"),
    *("closed - no_landing_space", "closed - activation_budget"),
    *("moving RD transfer", "moving WR transfer", "moving - activate", "moving - transfer", "moving - turnaround"),
    "moving - write_data_late",
    *("kept RD transfer", "kept WR transfer", "kept - turnaround", "kept - write_data_late", "kept PRE precharge"),
    *("kept - transfer", "kept - precharge", "kept - no_request", "kept - no_landing_space"),
    *("closing PRE precharge", "closing - transfer", "closing - precharge"),
)
"""State of the bank, command and reason of a cycle: all that can occur, and nothing else may.

closed; moving: columns are left in the access; kept: open, all columns issued; closing: to be precharged.
"""

RULES = (
    *("refresh at the limit", "refresh when due", "refresh ahead"),
    *("refresh put off by a row access that could start", "refresh put off by a row access that waits for its timer"),
    "row access put off by the limit",
    *("closed by the cap", "closed at the limit", "closed for another row", "closed for a due refresh"),
    *(
        "hit, column at once",
        "hit, column later",
        "hit after the other direction",
        "hit within a run",
        "hit of a new run",
    ),
    *("ACT of tier 0", "ACT of tier 1", "ACT of tier 2"),
    *(f"{n} refreshes owed" for n in (1, 2, 3, 4)),
    *(f"{n} refreshes ahead" for n in (1, 2, 3)),
    *("no landing place left", "landing place back in the cycle of a reservation"),
    *("cycle count wrapped", "negative stride", "run of one access", "run of several accesses"),
)
"""Reasons for which things happen; each must have been one somewhere."""


def state_of(registers: dict[str, int]) -> str:
    """Name of the bank's state at the start of a cycle."""
    if not registers["is_open"]:
        return "closed"
    if registers["columns_left"]:
        return "moving"
    return "closing" if registers.get("closing") else "kept"


class BankCoverage(Coverage):
    """Counts over replays of a bank."""

    def __init__(self) -> None:
        super().__init__(STATES, RULES)

    def add(self, case: BankCase, cycle_bits: int, inputs, outputs, registers) -> None:
        """Count one cycle of a bank, from what stands at its pins and in its registers."""
        command = outputs["command"] if outputs["command_valid"] else -1
        name = COMMANDS[command] if command >= 0 else "-"
        state = state_of(registers)
        reason = REASONS[outputs["reason"]]
        self.states[f"{state} {name} {reason}"] += 1
        cycle = BankCycle(case, cycle_bits, inputs, outputs, registers, state, command, reason)
        self.rules.update(cycle.rules_of_refresh() | cycle.rules_of_rows())


@dataclass
class BankCycle:
    """One cycle of a bank."""

    case: BankCase
    cycle_bits: int  # width of the cycle count, 0 with refresh off
    inputs: dict[str, int]
    outputs: dict[str, int]
    registers: dict[str, int]
    state: str
    command: int  # -1 = none
    reason: str

    def lateness(self) -> int:
        """Cycles since the next refresh fell due; negative before."""
        late = (self.inputs["cycle"] - self.registers["due_at"]) % (1 << self.cycle_bits)
        return late - (late >> self.cycle_bits - 1 << self.cycle_bits)

    def owed(self) -> int:
        """Refreshes owed."""
        return max(self.lateness() // self.case.params.nREFI + 1, 0) if self.cycle_bits else 0

    def could_start(self) -> bool:
        """Whether a run is seen and fits into the landing FIFO."""
        fits = self.inputs["run_is_write"] or self.registers["credits"] >= self.inputs["run_columns"]
        return bool(self.inputs["run_valid"] and fits)

    def next_row(self) -> int:
        """Row of the next access of the run."""
        if not self.registers["rows_begun"]:
            return self.inputs["run_first_row"]
        return self.registers["open_row"] + self.inputs["run_row_stride"]

    def rules_of_refresh(self) -> set[str]:
        """Points about refresh."""
        if not self.cycle_bits:
            return set()
        found = set()
        late, owed = self.lateness(), self.owed()
        at_limit = owed > self.case.params.postpone
        if owed > 0:
            found.add(f"{min(owed, 4)} refreshes owed")
        if self.command == REF:
            found.add("refresh at the limit" if at_limit else "refresh when due" if owed else "refresh ahead")
            if not owed:
                found.add(f"{-(late // self.case.params.nREFI)} refreshes ahead")
        if self.state == "closed" and self.could_start() and owed > 0:
            if at_limit:
                found.add("row access put off by the limit")
            elif self.reason in {"precharge", "refresh"}:
                found.add("refresh put off by a row access that waits for its timer")
            else:
                found.add("refresh put off by a row access that could start")
        if self.inputs["cycle"] >> self.cycle_bits:
            found.add("cycle count wrapped")
        return found

    def closing_cause(self) -> str:
        """Why a bank decides to close its row."""
        params = self.case.params
        if params.row_hits and self.registers.get("hits", 1) == params.row_hits:
            return "closed by the cap"
        if self.owed() > params.postpone and self.cycle_bits:
            return "closed at the limit"
        if self.inputs["run_valid"] and self.next_row() != self.registers["open_row"]:
            return "closed for another row"
        assert self.owed() > 0, "a row was closed for no reason"
        return "closed for a due refresh"

    def rules_of_rows(self) -> set[str]:
        """Points about row accesses."""
        found = set()
        begun = self.registers["rows_begun"] > 0
        moves = self.command in {RD, WR}
        hit = self.state == "kept" and (moves or self.begins_late())
        if self.state == "kept" and self.reason == "precharge":
            found.add(self.closing_cause())
        if hit:
            found.add("hit, column at once" if moves else "hit, column later")
            found.add("hit within a run" if begun else "hit of a new run")
            if self.inputs["run_is_write"] != self.registers["is_write"]:
                found.add("hit after the other direction")
        if self.command == ACT:
            found.add(f"ACT of tier {self.next_row() // self.case.params.rows_per_tier}")
        if (hit or self.command == ACT) and begun and self.inputs["run_row_stride"] < 0:
            found.add("negative stride")
        if (hit or self.command == ACT) and self.inputs["credit_return"] and not self.inputs["run_is_write"]:
            found.add("landing place back in the cycle of a reservation")
        if self.outputs["take_run"]:
            found.add("run of several accesses" if begun else "run of one access")
        if self.registers["credits"] == 0:
            found.add("no landing place left")
        return found

    def begins_late(self) -> bool:
        """Whether a row hit begins whose first column must wait; seen from outside where it takes the run."""
        return bool(self.outputs["take_run"]) or self.reason in {"turnaround", "write_data_late"}


def record_cases(banks: int, cycles: int) -> list[Recording]:
    """Run the kernel on random banks, every fourth with short refresh intervals and all freedom to move refreshes."""
    free = {"refresh": 1, "nREFI": 40, "postpone": 3, "pull_in": 3}
    cases = [draw_case(seed, **(free if seed % 4 == 3 else {})) for seed in range(banks)]
    return [KernelBank(case).record(cycles) for case in cases]


def measure(banks: int, cycles: int) -> str:
    """Replay some banks in all three simulators; return coverage and speeds as text."""
    KernelBank(draw_case(0)).record(1)  # compiles
    began = time.process_time()
    recordings = record_cases(banks, cycles)
    seconds = {"kernel with its bench": time.process_time() - began}
    replays = [recording.replay(f"bank_{n}") for n, recording in enumerate(recordings)]
    began = time.process_time()
    coverage = replay_all(recordings, replays)
    seconds["PyRTL with its bench"] = time.process_time() - began
    with tempfile.TemporaryDirectory() as folder:
        seconds["Verilog with its bench"] = run_verilog(replays, Path(folder))["seconds"]
    sizes = [size_of(replay.block) for replay in replays]
    lines = [f"{name}: {banks * cycles / taken:,.0f} bank cycles per CPU second" for name, taken in seconds.items()]
    lines += [
        f"{key}: {min(found)} to {max(found)}"
        for key, found in zip(Size._fields, zip(*sizes, strict=True), strict=True)
    ]
    return "\n".join([coverage.report(), *lines])


def replay_all(recordings: list[Recording], replays: list[Replay]) -> BankCoverage:
    """Replay in PyRTL and count what is reached.

    Raises
    ------
    AssertionError
        With the first difference to the kernel.
    """
    coverage = BankCoverage()
    for recording, replay in zip(recordings, replays, strict=True):
        run = PyrtlRun(replay)
        cycle_bits = replay.input_fields.get("cycle", (0, 0))[1]
        for cycle, inputs in enumerate(recording.inputs):
            outputs, registers = run.step(cycle)
            text = run.difference(cycle, outputs)
            assert not text, f"{text} ({recording.case})"
            coverage.add(recording.case, cycle_bits, inputs, outputs, registers)
    return coverage


if __name__ == "__main__":
    print(measure(*(int(n) for n in (sys.argv[1:] + ["24", "800"][len(sys.argv) - 1 :]))))
