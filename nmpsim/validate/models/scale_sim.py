"""SCALE-Sim's closed forms: an array without stalls, the best dataflow that the chip has, one share per PU.

Source: Samajdar et al., "A Systematic Methodology for Characterizing Scalability of DNN Accelerators using SCALE-Sim"
(ISPASS 2020); the forms are those that SCALE-Sim 3.0.0 computes, ``compute_cycles`` of all its dataflows:

    OS  ceil(M/R) ceil(N/C) (K + R + C - 2) - 1
    WS  ceil(K/R) ceil(N/C) (M + 2R + C - 2) - 1
    IS  ceil(K/R) ceil(M/C) (N + 2R + C - 2) - 1

Leaves out: memory, every operator that is no matrix product (0 cycles), shapes of a reconfigurable array, overlap of
one fold's drain with the next one's fill.  MAC trees count as the array of as many multipliers nearest to a square.
"""

from nmpsim.validate.operator import Chip, Operator


def array_cycles(flow: str, m: int, n: int, k: int, rows: int, cols: int) -> int:
    """Return the cycles of one product (m, k) times (k, n) on an array.

    Parameters
    ----------
    flow : str
        ``OS``, ``WS`` or ``IS``.
    m, n, k : int
    rows, cols : int
        Of the array.
    """
    if flow == "OS":
        return -(-m // rows) * -(-n // cols) * (k + rows + cols - 2) - 1
    if flow == "WS":
        return -(-k // rows) * -(-n // cols) * (m + 2 * rows + cols - 2) - 1
    return -(-k // rows) * -(-m // cols) * (n + 2 * rows + cols - 2) - 1


def predict(operator: Operator, chip: Chip) -> float:
    """Return core cycles.

    Parameters
    ----------
    operator : Operator
    chip : Chip
    """
    if operator.product is None:
        return 0.0
    count, m, n, k = operator.product.share(chip.pus)
    return count * min(array_cycles(flow, m, n, k, chip.array_rows, chip.array_cols) for flow in chip.dataflows)
