"""A chip as text: every value with its origin, what rounding changed, and what follows from the values."""

from __future__ import annotations

from nmpsim.spec.params import ACT, PRE, RD, REF, MachineParams
from nmpsim.spec.resolve import resolve
from nmpsim.spec.schema import ChipSpec, numbers, words


def stream_cycles(machine: MachineParams, tier: int) -> int:
    """Return the DRAM cycles from one ACT to the next of a bank that streams whole rows of a tier.

    The greatest of the row cycle nRC, nRAS + nRP, and the reads themselves: nRCD, a read per nCCD, nRTP, nRP.

    Source
    ------
    The constraint table of `nmpsim.spec.resolve`.
    """
    n = machine.latency[tier]
    reads = n[ACT, RD] + (machine.dram.columns - 1) * n[RD, RD] + n[RD, PRE]
    return int(max(n[ACT, ACT], max(n[ACT, PRE], reads) + n[PRE, ACT]))


def peak_bandwidth(machine: MachineParams, tier: int, *, rounded: bool) -> float:
    """Return what all banks of the chip deliver when each streams whole rows of a tier, without refresh; TB/s.

    Parameters
    ----------
    machine : MachineParams
    tier : int
    rounded : bool
        False: one row per unrounded tRC, the published model.  True: at the command clock.

    Source
    ------
    Stratum, arXiv 2510.05245, Table 1: 256 banks x 4096 B / 34.56 ns = 30.34 TB/s.
    """
    dram = machine.dram
    row_bytes = dram.columns * dram.column_bytes
    period_ns = float(machine.dram_period * machine.tick_ps) / 1000
    row_ns = stream_cycles(machine, tier) * period_ns if rounded else machine.row_cycle_ns[tier]
    return machine.cores * dram.banks * row_bytes / row_ns / 1000


def peak_macs(machine: MachineParams) -> float:
    """Return the multiply-accumulates per second of the whole chip at full use."""
    return machine.cores * machine.core.macs_per_cycle / (float(machine.core_period * machine.tick_ps) * 1e-12)


def describe(spec: ChipSpec) -> str:
    """Return the whole chip as plain text for ``nmpsim show chip``."""
    machine = resolve(spec)
    lines = [
        f"chip {spec.chip.name}: {spec.chip.description}",
        f"file {spec.file}, sha256 {spec.sha256}",
        "",
        "values and their origin",
    ]
    found = list(numbers(spec))
    guessed = sum(number.assumed for _, number in found)
    lines[-1] += f" ({len(found) - guessed} published, {guessed} assumed)"
    shown = {path: _number(number.value) for path, number in found}
    path_width, value_width = max(map(len, shown)), max(len(v) for v in shown.values() if len(v) < 20)
    lines += [f"  {path:{path_width}}  {shown[path]:{value_width}}  {number.origin}" for path, number in found]
    settings = [(path, word) for path, word in words(spec) if not path.startswith("chip.")]
    lines += ["", "settings", *(f"  {path:{path_width}}  {word}" for path, word in settings)]
    lines += ["", "derived", *(f"  {line}" for line in _derived(machine))]
    lines += ["", "rounded to DRAM cycles", *(f"  {sentence}" for sentence in machine.rounding or ("nothing",))]
    return "\n".join(lines)


def _number(value: object) -> str:
    return " ".join(map(_number, value)) if isinstance(value, tuple) else str(value)


def _derived(machine: MachineParams) -> list[str]:
    """Return the lines of figures that follow from the values."""
    dram, core = machine.dram, machine.core
    capacity = machine.cores * dram.banks * dram.rows * dram.columns * dram.column_bytes
    periods = f"core {machine.core_period}, DRAM {machine.dram_period}, network {machine.noc_period}"
    periods += (
        f", links between stacks {machine.link.period} ticks" if machine.outer is None else _level_periods(machine)
    )
    compute = f"{machine.cores} x {core.macs_per_cycle}"
    noc, period = machine.between
    noc_ns = float(period * machine.tick_ps) / 1000
    link_ns = float(machine.link.period * machine.tick_ps) / 1000
    lines = [
        f"base tick {float(machine.tick_ps):g} ps; periods: {periods}",
        f"capacity {capacity / 1e9:.2f} GB",
        f"peak compute {peak_macs(machine) / 1e12:.2f} TMAC/s ({compute} multiply-accumulates per core cycle)",
        f"network link {noc.flit_bytes / noc_ns:.1f} GB/s per direction",
        f"link of a PU to other stacks {machine.link.bytes / link_ns:.1f} GB/s each way"
        if machine.cores_per_pu == 1
        else _inside(machine),
        f"refresh takes {100 * dram.refresh * machine.latency[0, REF, ACT] / dram.nREFI:.2f} % of a bank's time"
        if dram.refresh
        else "refresh is off",
        "tier  row cycle ns  peak TB/s  DRAM cycles  TB/s at the command clock",
    ]
    for tier, row_ns in enumerate(machine.row_cycle_ns):
        exact, clocked = (peak_bandwidth(machine, tier, rounded=r) for r in (False, True))
        lines.append(f"{tier:4}  {row_ns:12.2f}  {exact:9.2f}  {stream_cycles(machine, tier):11}  {clocked:10.2f}")
    return lines


def _level_periods(machine: MachineParams) -> str:
    """Return the periods of a machine whose PUs have networks inside, but those that all have."""
    return f" inside PUs, {machine.outer_period} between them, gateways {machine.link.period} ticks"


def _inside(machine: MachineParams) -> str:
    """Return what follows of the network inside a PU."""
    rate = machine.noc.flit_bytes * 1000 / float(machine.noc_period * machine.tick_ps)
    return f"network link inside a PU of {machine.cores_per_pu} cores {rate:.1f} GB/s per direction"
