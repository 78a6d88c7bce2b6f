"""Random traffic until its figures settle: warm-up, measured periods, drain.

The rules are those of BookSim 2 (28f43299, ``trafficmanager.cpp``).  After the warm-up periods statistics start anew
and grow until three successive periods change mean latency and accepted rate by less than a threshold, or all periods
are used.  Measured are the packets made in these periods; in latency mode they are drained with traffic going on.
A run is unstable if the mean latency, with the age of what is still in flight, passes a limit; it then tells
what was accepted so far and how fast the queues grew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nmpsim.kernel import NEVER, interrupts_held
from nmpsim.noc.router.build import Fabric
from nmpsim.noc.router.check import causes, raise_fault
from nmpsim.noc.router.network import RUN, UNTIL_DRAINED, UNTIL_EMPTY, run_cycles
from nmpsim.noc.router.state import CAUSES, DRAINING, MEASURING, WARMING
from nmpsim.noc.synthetic.traffic import Traffic

DRAIN_CYCLES = 1000
"""How often the latency limit is looked at while draining."""

SETTLED = 3
"""Successive periods that must change little."""


@dataclass(frozen=True)
class Sampling:
    """When random traffic has been measured long enough.

    Parameters
    ----------
    period : int
        Cycles.
    warmup_periods, most_periods : int
        Periods before measuring, and in all.
    latency_limit : float
        Mean latency above which a run is unstable; cycles.
    latency_change, accepted_change : float
        Relative changes below which a period counts as settled.
    throughput_only : bool
        Neither latency tests nor a drain.
    """

    period: int = 1000
    warmup_periods: int = 3
    most_periods: int = 10
    latency_limit: float = 500.0
    latency_change: float = 0.05
    accepted_change: float = 0.05
    throughput_only: bool = False


@dataclass(frozen=True)
class Measured:
    """What a run of random traffic showed; rates are flits per node and cycle, latencies cycles.

    Parameters
    ----------
    stable : bool
    packets : int
        In the latency statistics.
    latency, network_latency : tuple of float
        Mean, least, greatest: from the making of a packet, and from the sending of its head, to the arrival of its
        tail; nan if nothing arrived.
    hops : float
        Mean routers visited.
    injected, accepted : tuple of float
        Mean, least and greatest over nodes, in the measured periods; of an unstable run in its last period.
    backlog : float
        Flits per node that wait at the sources at the end of these periods.
    backlog_growth : float
        Flits per node and cycle by which that grew in them.
    cycles, skipped : int
        Simulated, and jumped over.
    flit_hops : int
        Flits sent by routers.
    causes : dict of str to int
        Cycles of input virtual channels that held flits.
    """

    stable: bool
    packets: int
    latency: tuple[float, float, float]
    network_latency: tuple[float, float, float]
    hops: float
    injected: tuple[float, float, float]
    accepted: tuple[float, float, float]
    backlog: float
    backlog_growth: float
    cycles: int
    skipped: int
    flit_hops: int
    causes: dict[str, int] = field(default_factory=dict)


def run(fabric: Fabric, traffic: Traffic, until: int, stop: int = RUN, *, plain: bool = False) -> None:
    """Run a network.

    Parameters
    ----------
    fabric : Fabric
        Changed.
    traffic : Traffic
    until, stop : int
        As for `run_cycles`.
    plain : bool
        Step every cycle.

    Raises
    ------
    InternalError
        If the network met a fault.
    """
    with interrupts_held():
        run_cycles(until, stop, int(plain), fabric.params, traffic.params, traffic.tables, fabric.state)
    raise_fault(fabric)


def waiting_flits(fabric: Fabric, rate: float) -> float:
    """Return the mean number of flits that wait at a source.

    Parameters
    ----------
    fabric : Fabric
    rate : float
        Offered; flits per node and cycle.

    Notes
    -----
    Packets are drawn when their predecessor has left; how many are due by now is known on the average only.
    """
    source, now = fabric.state.source, int(fabric.state.totals[0].now)
    due = np.maximum(now - source.next_at, 0) * rate
    begun = np.where(source.packet >= 0, source.flits - source.sent, 0)
    return float((due + begun).mean())


class _Sampler:
    """The state of one measurement."""

    def __init__(self, fabric: Fabric, traffic: Traffic, rate: float, sampling: Sampling, *, plain: bool) -> None:
        self.fabric, self.traffic, self.rate, self.sampling, self.plain = fabric, traffic, rate, sampling, plain
        self.totals = fabric.state.totals[0]
        self.clear()

    def clear(self) -> None:
        """Start the statistics anew."""
        totals, source = self.totals, self.fabric.state.source
        totals.packets = totals.latency = totals.network_latency = totals.hops = 0
        totals.latency_least = totals.network_least = NEVER
        totals.latency_most = totals.network_most = 0
        self.injected, self.accepted = source.injected.copy(), source.accepted.copy()
        self.began = int(totals.now)
        self.backlog = waiting_flits(self.fabric, self.rate)

    def advance(self, cycles: int, stop: int = RUN) -> None:
        """Run on."""
        run(self.fabric, self.traffic, int(self.totals.now) + cycles, stop, plain=self.plain)

    def mean_latency(self) -> float:
        """Return the mean latency of what arrived."""
        return float(self.totals.latency) / int(self.totals.packets) if self.totals.packets else float("nan")

    def latency_with_age(self, *, counted_only: bool) -> float:
        """Return the mean latency with the age of all flits still in flight, or of the measured ones."""
        packet = self.fabric.state.packet
        flying = np.ones(len(packet), bool)
        flying[self.fabric.state.free_row[: int(self.totals.free_rows)]] = False
        if counted_only:
            flying &= packet.counted == 1
        left = packet.flits[flying] - packet.received[flying]
        age = int((left * (int(self.totals.now) - packet.made_at[flying])).sum())
        number = int(self.totals.packets) + int(left.sum())
        return (int(self.totals.latency) + age) / number if number else 0.0

    def result(self, *, stable: bool) -> Measured:
        """Return what was seen; rates and backlog are those up to now if none were kept."""
        totals, state = self.totals, self.fabric.state
        rates = self.rates
        packets = int(totals.packets)
        spent = causes(self.fabric).sum(axis=0).tolist()
        return Measured(
            stable=stable,
            packets=packets,
            latency=_spread(totals.latency, totals.latency_least, totals.latency_most, packets),
            network_latency=_spread(totals.network_latency, totals.network_least, totals.network_most, packets),
            hops=int(totals.hops) / packets if packets else float("nan"),
            injected=rates[0],
            accepted=rates[1],
            backlog=self.backlog_now,
            backlog_growth=self.growth,
            cycles=int(totals.now),
            skipped=int(totals.skipped),
            flit_hops=int(state.output_port.flits.sum()),
            causes=dict(zip(CAUSES, spent, strict=True)),
        )

    def keep_rates(self) -> None:
        """Keep the rates since the statistics were started anew."""
        source, cycles = self.fabric.state.source, int(self.totals.now) - self.began
        self.rates = tuple(
            (float(rate.mean()), float(rate.min()), float(rate.max()))
            for rate in ((source.injected - self.injected) / cycles, (source.accepted - self.accepted) / cycles)
        )
        self.backlog_now = waiting_flits(self.fabric, self.rate)
        self.growth = (self.backlog_now - self.backlog) / cycles

    def measure(self) -> Measured:
        """Run all phases."""
        totals, sampling = self.totals, self.sampling
        settled = 0
        before = (0.0, 0.0)
        clear = False
        for period in range(sampling.most_periods):
            if totals.phase == MEASURING and settled >= SETTLED:
                break
            if clear or (totals.phase == WARMING and period % 2 == 0):
                self.clear()
                clear = False
            self.advance(sampling.period)
            self.keep_rates()
            latency, accepted = self.mean_latency(), self.rates[1][0]
            if not sampling.throughput_only and self.latency_with_age(counted_only=False) > sampling.latency_limit:
                return self.result(stable=False)
            if totals.phase == WARMING:
                if period + 1 >= sampling.warmup_periods:
                    totals.phase, clear = MEASURING, True
            else:
                calm = _changes_little(accepted, before[1], sampling.accepted_change)
                if not sampling.throughput_only:
                    calm = calm and _changes_little(latency, before[0], sampling.latency_change)
                settled = settled + 1 if calm else 0
            before = (latency, accepted)
        if not sampling.throughput_only:
            totals.phase, totals.drain_at = DRAINING, int(totals.now)
            while not self.drained():
                self.advance(DRAIN_CYCLES, UNTIL_DRAINED)
                if self.drained():
                    break
                if self.latency_with_age(counted_only=True) > sampling.latency_limit:
                    return self.result(stable=False)
        return self.result(stable=True)

    def drained(self) -> bool:
        """Return whether no measured packet is left, in flight or still to be made."""
        due = (self.fabric.state.source.next_at < self.totals.drain_at).any()
        return int(self.totals.counted_in_flight) == 0 and not due


def _changes_little(now: float, before: float, share: float) -> bool:
    """Return whether a figure has changed by less than a share."""
    return bool(now) and abs((now - before) / now) < share


def _spread(total: int, least: int, most: int, packets: int) -> tuple[float, float, float]:
    """Return mean, least and greatest; nan of nothing."""
    if not packets:
        return (float("nan"),) * 3
    return int(total) / packets, float(least), float(most)


def measure(fabric: Fabric, traffic: Traffic, rate: float, sampling: Sampling, *, plain: bool = False) -> Measured:
    """Run random traffic and return its figures.

    Parameters
    ----------
    fabric : Fabric
        Changed; new.
    traffic : Traffic
        Bernoulli traffic, made for it.
    rate : float
        Offered; flits per node and cycle.
    sampling : Sampling
    plain : bool
        Step every cycle; the same result.

    Raises
    ------
    InternalError
        If the network met a fault.
    """
    return _Sampler(fabric, traffic, rate, sampling, plain=plain).measure()


def finish(fabric: Fabric, traffic: Traffic, limit: int, *, plain: bool = False) -> bool:
    """Run a batch or a trace until its last packet has arrived; return whether it has.

    Parameters
    ----------
    fabric : Fabric
        Changed; new.
    traffic : Traffic
        A batch or a trace, made for it.
    limit : int
        Cycle at which to give up.
    plain : bool
        Step every cycle; the same result.

    Raises
    ------
    InternalError
        If the network met a fault.
    """
    run(fabric, traffic, limit, UNTIL_EMPTY, plain=plain)
    totals = fabric.state.totals[0]
    return int(totals.in_flight) == 0 and int(totals.remaining) == 0
