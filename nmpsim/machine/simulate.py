"""Run a program on a die and collect what was observed."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nmpsim.core.core import settle_core
from nmpsim.core.state import REASONS, actors_of, missing_units
from nmpsim.dram.native.account import close_records, settle
from nmpsim.dram.native.record import interval_margin as bank_margin
from nmpsim.dram.native.state import REASONS as BANK_REASONS
from nmpsim.dram.native.state import check_balance, raise_faults
from nmpsim.errors import DeadlockError, InternalError, LimitReached
from nmpsim.kernel import interrupts_held
from nmpsim.machine.clock import interval_margin, run_until
from nmpsim.machine.explain import explain_deadlock
from nmpsim.machine.levels import build_levels, order_of_pus
from nmpsim.machine.observe import (
    check_messages,
    flit_hops,
    level_counts,
    level_network,
    level_stalls,
    named,
    network_of,
    network_stalls,
    open_outer,
    settle_levels,
    shifted,
)
from nmpsim.machine.state import DEADLOCK, DONE, RUNNING, Die, build
from nmpsim.measure.recorder import Recorder
from nmpsim.noc.die.check import check_conservation, check_drained, routers_of
from nmpsim.noc.die.check import raise_faults as raise_network_faults
from nmpsim.noc.die.links import adders_of, open_intervals
from nmpsim.noc.die.network import settle_fabric
from nmpsim.noc.die.state import LINK_REASONS, build_fabric
from nmpsim.noc.die.sum_state import SUM_REASONS
from nmpsim.noc.die.topology import CORE_PORTS
from nmpsim.program.isa import ARRAY, UNIT_NAMES, UNITS
from nmpsim.program.program import Program
from nmpsim.spec.params import MachineParams

LOG_ROWS = 2**15
"""Rows that a log of a recording has at least: enough to make draining rare, few enough to stay in a cache."""

Progress = Callable[[int, int, int], None]
"""Called with (core cycles simulated, instructions completed, instructions in all)."""


class Simulation:
    """A die with a program, run to its end in slices.

    Parameters
    ----------
    params : MachineParams
    program : Program
    plain : bool
        Visit every component on every edge instead of skipping.
    log_capacity : int
        DRAM commands per channel to record; 0 = none.
    recorder : Recorder, optional
        Takes what every unit did, as intervals and events.
    order : ndarray of int64, optional
        Order in which components are visited; has no influence on any result.
    """

    def __init__(
        self,
        params: MachineParams,
        program: Program,
        *,
        plain: bool = False,
        log_capacity: int = 0,
        recorder: Recorder | None = None,
        order: NDArray[np.int64] | None = None,
    ) -> None:
        self.params, self.program, self.plain = params, program, plain
        self.die: Die
        rows = banks = links = 0
        if recorder is not None:
            rows = max(2 * int(interval_margin(params.core.run_ahead, actors_of(params))), LOG_ROWS)
            banks = max(2 * int(bank_margin(params.dram)), LOG_ROWS) if recorder.full else 0
            links = LOG_ROWS if recorder.full else 0
        self.die, self._instructions = build(
            params, program, log_capacity=log_capacity, intervals=rows, bank_intervals=banks
        )
        self.fabric = build_fabric(params.noc, params.link, params.stacks, intervals=links)
        self.levels = build_levels(params, intervals=links)
        self._recorder = recorder
        self._order = np.arange(params.cores, dtype=np.int64) if order is None else order
        self._order_of_pus = order_of_pus(self._order, params.cores_per_pu)
        self._periods = (params.core_period, params.dram_period, params.noc_period)
        self._routers = routers_of(params.noc, self.fabric)
        self.cpu_seconds = 0.0

    def _advance(self, limit: int) -> None:
        p = self.params
        while True:
            run_until(
                limit,
                int(self.plain),
                p.core,
                p.dram,
                p.noc,
                p.link,
                p.stacks,
                self._periods,
                p.latency,
                self._order,
                self.die,
                self.fabric,
                self._order_of_pus,
                self.levels,
                self._instructions,
                self.program.tables,
            )
            if not self.die.clock[0].full:
                break
            self._drain()

    def _drain(self) -> None:
        """Hand what the logs of the die hold to the recorder."""
        if self._recorder is None:
            return
        cores, channels = self.die.cores, self.die.channels
        for c, core in enumerate(cores.core):
            if core.intervals:
                self._recorder.core(c, cores.interval[c, : core.intervals])
                core.intervals = 0
        for c, channel in enumerate(channels.channel):
            if channel.intervals:
                self._recorder.bank(c, channels.interval[c, : channel.intervals])
                channel.intervals = 0
            if channel.accesses:
                self._recorder.access(c, channels.access[c, : channel.accesses])
                channel.accesses = 0
        if self.fabric.link_logged[0]:
            self._recorder.link(self.fabric.link_log[: self.fabric.link_logged[0]])
            self.fabric.link_logged[0] = 0
        if self.levels.fabric.link_logged[0]:
            self._recorder.link(shifted(self.levels.fabric, self.fabric))
            self.levels.fabric.link_logged[0] = 0

    def run(
        self, progress: Progress | None = None, *, limit_cycles: int | None = None, slice_cycles: int = 20_000
    ) -> None:
        """Run to the end of the program.

        Parameters
        ----------
        progress : callable, optional
            Called after every slice.
        limit_cycles : int, optional
            Core cycles after which to give up.
        slice_cycles : int
            Core cycles between two calls of `progress`.

        Raises
        ------
        DeadlockError
            If nothing can ever happen again; names who waits for what.
        LimitReached
            If the limit was reached.
        ProtocolError
            If a bank was asked for something it cannot do.
        """
        self._advance(0)  # compile
        clock = self.die.clock[0]
        total = sum(len(s) for s in self.program.streams)
        limit = 0
        while clock.status not in (DONE, DEADLOCK):
            limit = max(limit + slice_cycles * self.params.core_period, int(clock.now) + 1)
            if limit_cycles is not None:
                limit = min(limit, limit_cycles * self.params.core_period)
            before = time.process_time()
            with interrupts_held():
                self._advance(limit)
            self.cpu_seconds += time.process_time() - before
            if progress is not None:
                progress(int(clock.now) // self.params.core_period, int(self.die.cores.core["retired"].sum()), total)
            raise_faults(self.die.channels)
            raise_network_faults(self.die.network)
            raise_network_faults(self.levels.net)
            spent = limit_cycles is not None and limit >= limit_cycles * self.params.core_period
            if spent and clock.status == RUNNING:
                raise LimitReached(f"simulation stopped at the limit of {limit_cycles} core cycles; raise the limit")
        if clock.status == DEADLOCK:
            raise DeadlockError(explain_deadlock(self.params, self.program, self.die))
        self._settle()

    @property
    def end(self) -> int:
        """Tick at which the last instruction was complete."""
        return int(self.die.cores.core["finished_at"].max())

    def _settle(self) -> None:
        """Close all accounts and check that they add up.

        Every domain is closed at its first edge after the end: plain mode has visited all edges before it.
        """
        p, die = self.params, self.die
        core, dram, noc = ((self.end // period + 1) * period for period in self._periods)
        self.until = core
        self._drain()
        for c in range(p.cores):
            settle_core(c, core, p.core_period, die.cores)
        link = (self.end // p.link.period + 1) * p.link.period
        if self._recorder is not None and len(self.fabric.link_log):
            self._recorder.link(open_intervals(self.fabric, noc, link if p.stacks > 1 else 0))
            self._recorder.link(open_outer(p, self.levels, self.fabric, self.end))
        settle_fabric(noc // p.noc_period, link, self.fabric)
        settle_levels(p, self.levels, self.end, link)
        settle(dram, p.dram, p.dram_period, p.latency, die.channels)
        close_records(die.channels)
        self._drain()
        check_balance(die.channels, dram // p.dram_period)
        for c, u in np.argwhere(die.cores.stall.sum(axis=2) != core):
            raise InternalError(f"core {c} unit {u}: accounts sum to {die.cores.stall[c, u].sum()} of {core} ticks")
        for pu in np.flatnonzero(self.fabric.link_stall.sum(axis=1) != link):
            raise InternalError(f"stack link {pu}: accounts sum to {self.fabric.link_stall[pu].sum()} of {link} ticks")
        left = int((die.channels.fifo["filled"] - die.channels.fifo["head"]).sum())
        if left:
            raise InternalError(f"{left} beats were delivered and never taken")
        check_conservation(self._routers, die.network, self.fabric)
        check_drained(die.network, self.fabric)

    def stalls(self) -> dict[str, dict[str, int]]:
        """Unit kind -> reason -> cycles of the unit's own clock, all units of the kind together."""
        p, die = self.params, self.die
        stall = die.cores.stall
        table = {"array": named(stall[:, UNITS:].sum(axis=(0, 1)), REASONS, p.core_period)}
        for u in range(UNITS):
            if u != ARRAY and u not in missing_units(p):
                table[UNIT_NAMES[u]] = named(stall[:, u].sum(axis=0), REASONS, p.core_period)
        table["sequencer"] = named(stall[:, ARRAY].sum(axis=0), REASONS, p.core_period)
        table["bank"] = named(die.channels.stall.sum(axis=(0, 1)), BANK_REASONS, 1)
        if p.outer is None:
            table |= network_stalls(self._routers)
        else:
            table |= level_stalls(p, self.levels, self._routers)
        if len(self.fabric.summing.account):
            table["adder"] = named(self.fabric.summing.stall.sum(axis=0), SUM_REASONS, 1)
        if p.stacks > 1:
            table["stack_link"] = named(self.fabric.link_stall.sum(axis=0), LINK_REASONS, p.link.period)
        return table

    def network(self) -> dict[str, list[dict[str, int]]]:
        """What every link and every router of the network did: flits, and cycles by cause.

        Returns
        -------
        dict of str to list
            ``links``: from, to, flits; ``routers``: cycles in which virtual channels held a flit, by cause;
            ``stack_links``: flits, bytes, cycles of their width used; ``adders``, if routers add, by router and port:
            flits that became part of another, and cycles of the router's lanes by reason.  Where PUs have networks
            inside, ``pu_links`` and ``pu_routers`` are those, and ``pu_gateways`` what each half of each gateway took
            and sent.
        """
        if self.params.outer is not None:
            return level_network(self.levels, self._routers) | {"stack_links": []}
        across: list[dict[str, int]] = [
            {"pu": c, **{name: int(link[name]) for name in ("flits", "bytes", "cycles")}}
            for c, link in enumerate(self.fabric.link)
        ]
        found = network_of(self._routers) | {"stack_links": across}
        if len(self.fabric.summing.adder):
            found["adders"] = adders_of(self.fabric)
        return found

    def counts(self) -> dict[str, int]:
        """Actions of all units, by name."""
        die = self.die
        counter = die.channels.counter
        cores = die.cores
        result = {
            "macs": int(cores.actor["macs"].sum()),
            "passes": int(cores.actor["passes"].sum()),
            "ACT": int(counter["ACT"].sum()),
            "row_hits": int(counter["hits"].sum()),
            "PRE": int(counter["PRE"].sum()),
            "RD": int(counter["RD"].sum()),
            "WR": int(counter["WR"].sum()),
            "REFpb": int(counter["REF"].sum()),
            "column_bytes": self.params.dram.column_bytes,
            "dram_read_bytes": int(counter["RD"].sum()) * self.params.dram.column_bytes,
            "dram_write_bytes": int(counter["WR"].sum()) * self.params.dram.column_bytes,
            "vector_elements": int(cores.vector["elements"].sum()),
            "vector_lane_cycles": int(cores.vector["lane_cycles"].sum()),
            "vector_port_conflicts": int(cores.vector["conflicts"].sum()),
            "move_port_conflicts": int(cores.mover["conflicts"].sum()),
            "send_port_conflicts": int(cores.sender["conflicts"].sum()),
            "receive_port_conflicts": int(cores.received["conflicts"].sum()),
            "flits": int(cores.sender["flits"].sum()),
            "arrived_flits": int(cores.received["flits"].sum()),
            "messages": int(cores.sender["messages"].sum()),
            **(
                {"flit_hops": flit_hops(self._routers)}
                if self.params.outer is None
                else level_counts(self.levels, self._routers)
            ),
            "instructions": int(cores.core["retired"].sum()),
        }
        if self.params.core.separate:
            result |= {
                "copies": int(cores.copier["copies"].sum()),
                "copied_in_bytes": int(cores.copier["bytes"][:, 0].sum()),
                "copied_out_bytes": int(cores.copier["bytes"][:, 1].sum()),
                "copy_port_conflicts": int(cores.copier["conflicts"].sum()),
            }
        if self.params.stacks > 1:
            link, core = self.fabric.link, CORE_PORTS * self.params.cores
            result |= {
                "gateway_flits": int(self.fabric.terminal["ejected"][core:].sum()),
                "stack_link_flits": int(link["flits"].sum()),
                "stack_link_bytes": int(link["bytes"].sum()),
                "stack_link_used_bytes": int(link["cycles"].sum()) * self.params.link.bytes,
            }
        copied = int(self.fabric.terminal["multicast"].sum())
        adder = self.fabric.summing.adder
        if len(adder):
            result |= {"router_sums": int(adder["added"].sum()), "merged_flits": int(adder["merged"].sum())}
        due = result["flits"] + copied * (self.params.cores - 2) - result.get("merged_flits", 0)
        if self.params.outer is not None:
            check_messages(result["messages"], int(cores.received["messages"].sum()))
        elif due != result["arrived_flits"]:
            raise InternalError(f"{due} flits, copies and sums were to arrive, {result['arrived_flits']} did")
        return result

    def spans(self) -> NDArray[np.int64]:
        """First issue and last completion of every operator; shape (operator, 2), core cycles, -1 = never issued."""
        span = self.die.cores.span
        start, end = span["start"].min(axis=0), span["end"].max(axis=0)
        issued = start < 2**62
        period = self.params.core_period
        return np.stack([np.where(issued, start // period, -1), np.where(issued, end // period, -1)], axis=1)

    def work(self) -> NDArray[np.int64]:
        """Core cycles of the compute units by operator and reason; shape (operator, reason)."""
        total: NDArray[np.int64] = self.die.cores.work.sum(axis=0) // self.params.core_period
        return total

    def speed(self) -> dict[str, float]:
        """What the simulation took."""
        clock = self.die.clock[0]
        cpu = max(self.cpu_seconds, 1e-9)
        cycles = self.end / self.params.core_period
        return {
            "cpu_seconds": self.cpu_seconds,
            "die_cycles_per_second": cycles / cpu,
            "unit_steps_per_second": float(clock.visits) / cpu,
            "visits": float(clock.visits),
        }
