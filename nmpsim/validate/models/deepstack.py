"""The bandwidth of stacked DRAM in DeepStack's manner, under a double-buffered pipeline of transaction waves.

    peak       ports x bytes per access / cycles per access
    recharge   a bank restores its row before the next one; banks that share ports hide that for each other:
               1 up to half as many ports as banks, T_read / (T_read + T_recharge) with a port each, linear between
    Little     at most the landing space is under way: x landing / (bandwidth x round trip), if that is less than 1
    waves      a wave is a row of every port; whole waves are moved
    pipeline   memory of the first wave, the slower of memory and compute for the others, compute of the last

Source: DeepStack (arXiv 2604.04750) and its public code: connectivity efficiency, wave quantisation, Little's law,
pipeline with two stages, ceiling of 0.9 on the use of compute units.

Leaves out: shapes of the array, refresh, tiers but the first, the network.
"""

import math

from nmpsim.validate.operator import Chip, Operator

CEILING = 0.9
"""Most of the peak that compute units reach."""


def connectivity(banks: int, ports: int, read: float, recharge: float) -> float:
    """Return the share of the ports' peak that `banks` banks sustain.

    Parameters
    ----------
    banks, ports : int
        Of a group: as many ports are shared by as many banks.
    read, recharge : float
        Cycles to read a row, and to close it and open the next one.
    """
    full = read / (read + recharge)
    if ports >= banks:
        return full
    if 2 * ports <= banks:
        return 1.0
    return 1 + (ports - banks / 2) / (banks / 2) * (full - 1)


def bandwidth(chip: Chip) -> float:
    """Return the bytes per core cycle that the stack sustains.

    Parameters
    ----------
    chip : Chip
    """
    ports = chip.banks // chip.port_banks * chip.ports
    peak = ports * chip.column_bytes / chip.column_cycles
    read = chip.row_bytes / chip.column_bytes * chip.column_cycles
    charged = peak * connectivity(chip.port_banks, chip.ports, read, chip.recharge_cycles[0])
    return charged * min(1.0, chip.fifo_bytes / (charged * chip.access_cycles[0]))


def predict(operator: Operator, chip: Chip) -> float:
    """Return core cycles.

    Parameters
    ----------
    operator : Operator
    chip : Chip
    """
    compute = max(operator.macs / (CEILING * chip.macs_per_cycle), operator.vector_elements / chip.lanes)
    moved = operator.read_bytes + operator.write_bytes
    if moved == 0:
        return compute
    wave = chip.row_bytes * chip.banks // chip.port_banks * chip.ports
    waves = math.ceil(moved / wave)
    memory, per_wave = wave / bandwidth(chip), compute / waves
    return chip.access_cycles[0] + memory + (waves - 1) * max(memory, per_wave) + per_wave
