"""PE-level mode: every register of every PE stepped, with values; docs/core/array.md is its contract.

=============  ==================================================================================================
`state`        the registers
`grid`         one advance of all PEs
`feed`         what enters the edges, and what leaves them
`control`      the native timing, equal to the wavefront mode cycle by cycle
`stationary`   its weight-stationary part
`folds`        finished folds and their writes
`run`          operands in, results and a record of every cycle out
`scale_sim`    the compatibility timing `scale_sim`
=============  ==================================================================================================
"""

from nmpsim.core.pe.run import ArrayPass, ArrayRun, run_passes

__all__ = ["ArrayPass", "ArrayRun", "run_passes"]
