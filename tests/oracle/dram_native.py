"""The native DRAM controller once more, in plain Python from docs/dram/native.md and docs/seams/memory-port.md alone.

    World (one per bank)                 Oracle, which visits the ticks of its agenda
    posts runs ---------> run queue ---+
    puts write data ----> write FIFO --+--> Bank.look --> Group.serve (columns) --> Oracle.activate (ACT)
    takes beats <-------- landing FIFO <--- Bank.issue -- stamps and ready times --> agenda

Nothing is shared with nmpsim/dram but the names of the parameters.  A visit too many changes nothing, so the agenda is
generous: every stamp and every ready time that is written puts its tick on it.  `Oracle.met` counts named situations,
for tests to show that they were reached; `Oracle.waits` says how long row accesses waited.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from sortedcontainers import SortedSet

from nmpsim.spec.params import ACT, PRE, RD, REF, WR, DramParams
from tests.oracle.dram_native_shared import Budget, Group, Port
from tests.oracle.dram_native_world import FOREVER, Places, Run, World

SITUATIONS = {
    "closed page",
    "closed by the cap",
    "closed by conflict",
    "closed for refresh owed",
    "closed at the refresh limit",
    "closing not taken back",
    "row hit",
    "row hit of another run",
    "row stays open",
    "forced refresh",
    "refresh while owed",
    "refresh ahead",
    "refresh postponed",
    "landing space missing",
    "port busy",
    "port held by another bank",
    "port kept for an older bank",
    "port of a higher number",
    "port handed over",
    "port handed over within an access",
    "port handed over and turned around",
    "turnaround to RD",
    "turnaround to WR",
    "late datum while a port is held",
    "channel budget",
    "die budget",
    "two banks of a channel activate in one cycle",
    "two channels activate in one cycle",
    "the turn of a later channel",
}
"""Every name in `Oracle.met`; of a cycle that is visited and of a bank where it makes sense."""


class Command(NamedTuple):
    tick: int
    channel: int
    bank: int
    command: int
    row: int
    column: int
    port: int


class Wait(NamedTuple):
    """How long one row access waited; cycles."""

    bank: Bank
    asked: int  # cycle from which it could start
    began: int
    refreshes: int  # REFpb of the bank in between
    port: int  # cycles in which its next column was legal and got no port
    held: int  # cycles from its first to its last column


class Bank:
    """One sequencer.  Times with a `t` are cycles, stamps are ticks."""

    def __init__(self, oracle: Oracle, channel: int, number: int, world: World) -> None:
        params = oracle.params
        self.oracle, self.params, self.channel, self.number, self.world = oracle, params, channel, number, world
        self.runs: list[Run] = []  # all that were posted
        self.queue, self.landing, self.write_places = (
            Places(params.run_queue),
            Places(params.fifo_columns),
            Places(params.fifo_columns),
        )
        self.beat_at: list[int] = []  # ready_at of every beat read
        self.datum_at: list[int] = []  # ready_at of every write datum
        self.written = 0
        self.head, self.rows_begun = 0, 0  # run at the head, row accesses of it that have begun
        self.ready = [0] * 5
        self.refreshes = 0
        self.is_open, self.row, self.tier, self.hits = False, 0, 0, 0
        self.began, self.access, self.left = 0, Run(), 0  # the row access begun last; columns left
        self.closing = ""  # why the row will be closed
        self.port: Port | None = None  # the port it holds
        self.asked: int | None = None  # cycle from which the next access could start, for `Wait`
        self.wait = Wait(self, 0, 0, 0, 0, 0)
        self.first_column = self.refreshes_before = 0

    # ------------------------------------------------------------------------------------------- refresh

    def _refresh(self, ahead: int) -> int:
        params = self.params
        if not params.refresh:
            return FOREVER
        due = params.nREFI * (self.refreshes + 1) + params.nREFI * self.number // params.banks
        return due + ahead * params.nREFI

    @property
    def early(self) -> int:
        return self._refresh(-self.params.pull_in)

    @property
    def due(self) -> int:
        return self._refresh(0)

    @property
    def limit(self) -> int:
        return self._refresh(self.params.postpone)

    # ------------------------------------------------------------------------------------- what it could do

    def next_row(self) -> int:
        run = self.runs[self.head]
        return run.first_row + self.rows_begun * run.row_stride

    def sees_run(self, t: int) -> bool:
        return self.head < len(self.runs) and self.runs[self.head].ready_at <= t * self.oracle.period

    def could_start(self, t: int) -> bool:
        if not self.sees_run(t):
            return False
        run = self.runs[self.head]
        return bool(run.is_write) or self.landing.free(t * self.oracle.period) >= run.columns

    def wants_act(self, t: int) -> bool:
        return not self.is_open and t < self.limit and self.could_start(t) and self.ready[ACT] <= t

    def datum_is_late(self, t: int) -> bool:
        if not self.access.is_write:
            return False
        return self.written >= len(self.datum_at) or self.datum_at[self.written] > t * self.oracle.period

    def column_is_legal(self, t: int) -> bool:
        command = WR if self.access.is_write else RD
        return self.left > 0 and self.ready[command] <= t and not self.datum_is_late(t)

    # ---------------------------------------------------------------------------------------- what it does

    def look(self, t: int) -> None:
        """Everything but columns and ACT."""
        if self.left == 0 and self.asked is None and self.could_start(t):
            self.asked, self.refreshes_before = t, self.refreshes
        if self.left == 0 and self.sees_run(t) and not self.could_start(t):
            self.met("landing space missing")
        if not self.is_open:
            self.look_closed(t)
        elif self.left == 0:
            self.look_open(t)

    def look_closed(self, t: int) -> None:
        if self.ready[REF] > t:
            return
        if t >= self.limit:
            self.met("forced refresh")
            self.refresh(t)
        elif not self.could_start(t):
            if t >= self.due:
                self.met("refresh while owed")
                self.refresh(t)
            elif t >= self.early and not self.sees_run(t):
                self.met("refresh ahead")
                self.refresh(t)

    def look_open(self, t: int) -> None:
        if not self.closing:
            self.closing = self.reason_to_close(t)
            if self.closing:
                self.met(self.closing)
        elif self.could_start(t) and self.next_row() == self.row and self.closing == "closed for refresh owed":
            self.met("closing not taken back")
        if self.closing:
            if self.ready[PRE] <= t:
                self.issue(t, PRE)
                self.is_open, self.closing = False, ""
        elif self.could_start(t):
            self.met("row hit")
            if self.rows_begun == 0:
                self.met("row hit of another run")
            self.begin(t)
        else:
            self.met("row stays open")

    def reason_to_close(self, t: int) -> str:
        if self.hits == self.params.row_hits:
            return "closed by the cap" if self.hits > 1 else "closed page"
        if t >= self.limit:
            return "closed at the refresh limit"
        if self.sees_run(t) and self.next_row() != self.row:
            return "closed by conflict"
        if t >= self.due and not self.could_start(t):
            return "closed for refresh owed"
        return ""

    def refresh(self, t: int) -> None:
        self.issue(t, REF)
        self.refreshes += 1
        self.oracle.look_again(self.early, self.due, self.limit)

    def activate(self, t: int) -> None:
        if t >= self.due:
            self.met("refresh postponed")
        self.is_open, self.hits, self.row = True, 0, self.next_row()
        self.tier = self.row // self.params.rows_per_tier
        self.begin(t)
        self.issue(t, ACT)

    def begin(self, t: int) -> None:
        """Begin the next row access of the run at the head."""
        assert self.asked is not None
        self.wait = Wait(self, self.asked, t, self.refreshes - self.refreshes_before, port=0, held=0)
        self.asked = None
        self.access = self.runs[self.head]
        self.began, self.left = t, self.access.columns
        self.hits += 1
        self.rows_begun += 1
        if not self.access.is_write:
            self.landing.used += self.left
        if self.rows_begun == self.access.rows:
            self.head, self.rows_begun = self.head + 1, 0
            self.queue.release((t + 1) * self.oracle.period)
            self.oracle.look_again(t + 1)

    def issue_column(self, t: int, port: int) -> None:
        params, period = self.params, self.oracle.period
        self.note_column(t)
        column = self.access.first_column + self.access.columns - self.left
        self.left -= 1
        if self.access.is_write:
            self.issue(t, WR, column, port)
            self.written += 1
            self.write_places.release((t + params.nCWL + params.nCREDIT) * period)
            self.oracle.look_again(t + params.nCWL + params.nCREDIT)
        else:
            self.issue(t, RD, column, port)
            self.beat_at.append((t + params.nCL + params.nPORT) * period)
            self.oracle.look_again(t + params.nCL + params.nPORT)

    def note_column(self, t: int) -> None:
        """Add a column of cycle t to the waits."""
        legal = max(self.began, self.ready[WR if self.access.is_write else RD])
        if self.access.is_write:
            legal = max(legal, -(-self.datum_at[self.written] // self.oracle.period))
        if self.left == self.access.columns:
            self.first_column = t
        self.wait = self.wait._replace(port=self.wait.port + t - legal, held=t - self.first_column)
        if self.left == 1:
            self.oracle.waits.append(self.wait)

    def issue(self, t: int, command: int, column: int = -1, port: int = -1) -> None:
        for following in range(5):
            latency = int(self.oracle.latency[self.tier, command, following])
            self.ready[following] = max(self.ready[following], t + max(latency, 1))
        self.oracle.look_again(t + 1, *self.ready)
        row = -1 if command == REF else self.row
        column = self.access.first_column if command == ACT else column
        tick = t * self.oracle.period
        self.oracle.commands.append(Command(tick, self.channel, self.number, command, row, column, port))

    def met(self, situation: str) -> None:
        assert situation in SITUATIONS
        self.oracle.met[situation] += 1


class Channel:
    def __init__(self, oracle: Oracle, number: int, worlds: list[World]) -> None:
        params = oracle.params
        self.banks = [Bank(oracle, number, b, world) for b, world in enumerate(worlds)]
        m = params.port_banks
        self.groups = [
            Group(self.banks[first : first + m], first // m * params.ports, oracle)
            for first in range(0, params.banks, m)
        ]
        self.budget = Budget(params.nRRD, params.nFAW, 4)
        self.next_bank = 0


class Oracle:
    """All channels of a die.

    Parameters
    ----------
    params : DramParams
    latency : array of int, shape (tier, 5, 5)
        Cycles between two commands of one bank; -1 = no rule.
    worlds : dict
        (channel, bank) -> World; every bank of every channel.
    period, world_period : int
        Ticks of a DRAM cycle; ticks between two visits of the worlds.
    every_cycle : bool
        Look at every tick instead of those of the agenda; must change nothing.
    """

    def __init__(
        self,
        params: DramParams,
        latency,
        worlds: dict[tuple[int, int], World],
        *,
        period: int = 1,
        world_period: int = 1,
        every_cycle: bool = False,
    ) -> None:
        self.params, self.latency, self.period, self.world_period = params, latency, period, world_period
        self.nRTW = max(1, int(latency[0, RD, WR]))  # on a shared port; the table of a bank may differ by tier
        self.nWTR = max(1, int(latency[0, WR, RD]))
        self.agenda: SortedSet[int] = SortedSet([0])
        self.every_cycle = every_cycle
        self.commands: list[Command] = []
        self.met: Counter[str] = Counter()
        self.waits: list[Wait] = []  # of row accesses whose columns are all issued
        channels = 1 + max(channel for channel, _ in worlds)
        self.channels = [Channel(self, c, [worlds[c, b] for b in range(params.banks)]) for c in range(channels)]
        self.banks = [bank for channel in self.channels for bank in channel.banks]
        self.budget = Budget(params.die_nRRD, params.die_nFAW, params.die_acts)
        self.next_channel = 0
        self.now = 0
        for bank in self.banks:
            self.look_again(bank.early, bank.due, bank.limit)
            self.agenda.update(run.post_at for run in bank.world.runs)

    def look_again(self, *cycles: int) -> None:
        self.agenda.update(cycle * self.period for cycle in cycles if 0 <= cycle < FOREVER)

    def run_until(self, tick: int) -> Oracle:
        """Let everything before `tick` happen."""
        if self.now < tick:
            self.agenda.update((self.now, self.now + self.world_period))
            self.agenda.update(run.post_at for bank in self.banks for run in bank.world.runs[bank.world.posted :])
        if self.every_cycle:
            self.agenda.update(range(self.now, tick))
        while self.agenda and self.agenda[0] < tick:
            self.visit(self.agenda.pop(0))
        self.now = tick
        return self

    def visit(self, now: int) -> None:
        """Whoever has a clock edge at `now` acts; others look again at their next edge."""
        if now < self.now:  # a stamp of the past is no news
            return
        self.now = now + 1
        if now % self.world_period == 0:
            for bank in self.banks:
                bank.world.step(now, bank)
        else:
            self.agenda.add(now - now % self.world_period + self.world_period)
        if now % self.period == 0:
            self.cycle(now // self.period)
        else:
            self.agenda.add(now - now % self.period + self.period)

    def cycle(self, t: int) -> None:
        for bank in self.banks:
            bank.look(t)
        for channel in self.channels:
            for group in channel.groups:
                group.serve(t)
        self.activate(t)

    def activate(self, t: int) -> None:
        """Hand out the ACT of cycle t: channels in turn, in each its banks in turn."""
        acts = []
        for channel in rotated(self.channels, self.next_channel):
            for bank in rotated(channel.banks, channel.next_bank):
                if not bank.wants_act(t):
                    continue
                if not channel.budget.allows(t):
                    bank.met("channel budget")
                elif not self.budget.allows(t):
                    bank.met("die budget")
                else:
                    bank.activate(t)
                    channel.budget.acts.append(t)
                    self.budget.acts.append(t)
                    channel.next_bank = (bank.number + 1) % len(channel.banks)
                    self.next_channel = (bank.channel + 1) % len(self.channels)
                    acts.append(bank)
        if acts:
            p = self.params
            self.look_again(t + p.nRRD, t + p.nFAW, t + p.die_nRRD, t + p.die_nFAW)
        channels = {bank.channel for bank in acts}
        if len(channels) > 1:
            acts[0].met("two channels activate in one cycle")
            if acts[0].channel > acts[-1].channel:
                acts[0].met("the turn of a later channel")
        if len(channels) < len(acts):
            acts[0].met("two banks of a channel activate in one cycle")

    def sorted_commands(self) -> list[Command]:
        return sorted(self.commands)

    def is_quiet(self) -> bool:
        """Whether everything that was posted or will be is done."""
        return all(
            bank.world.posted == len(bank.world.runs)
            and bank.head == len(bank.runs)
            and bank.left == 0
            and bank.world.eaten == len(bank.beat_at)
            for bank in self.banks
        )


def rotated(items: list, first: int) -> list:
    return items[first:] + items[:first]
