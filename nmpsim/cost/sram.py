"""Area and energy of on-chip memories.

A memory is subarrays of 8 KB and wires: an access takes the energy of one subarray per bit, and the wires from there to
the port, half the side of the memory long on average.  Area grows with the capacity alone.  Both are far simpler than a
memory compiler; sources and reasons stand with the coefficients.
"""

from __future__ import annotations

from nmpsim.cost.coefficients import value

KB = 1024


def sram_mm2(size_bytes: float, *, two_ports: bool) -> float:
    """Return the area of a memory; mm2.

    Parameters
    ----------
    size_bytes : float
        Capacity.
    two_ports : bool
        Each bank has a read and a write port.
    """
    return size_bytes / KB * value("sram_mm2_per_KB") * (value("sram_two_port") if two_ports else 1.0)


def sram_pJ_per_byte(size_bytes: float, *, two_ports: bool) -> float:
    """Return the energy of one byte read or written; pJ.

    Parameters
    ----------
    size_bytes : float
        Capacity.
    two_ports : bool
        As for `sram_mm2`.
    """
    way = sram_mm2(size_bytes, two_ports=two_ports) ** 0.5 / 2 if size_bytes > 8 * KB else 0.0
    return 8 * (value("sram_pJ_per_bit") + way * value("wire_pJ_per_bit_mm"))
