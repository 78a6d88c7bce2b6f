"""Traces: what every unit did in every cycle, as intervals and events; stored while a run goes on, read, exported.

units.py         the table of units and reasons
options.py       what to record: level, units, window
writer.py        takes the logs of a die, writes Parquet
instructions.py  instructions as intervals, and which load serves which use
reader.py        opens a trace
expand.py        intervals and row accesses back to cycles and commands
perfetto.py waves.py lines.py export.py  other formats
"""

from nmpsim.trace.options import LEVELS, TraceOptions, trace_options
from nmpsim.trace.reader import Trace
from nmpsim.trace.writer import TraceWriter

__all__ = ["LEVELS", "Trace", "TraceOptions", "TraceWriter", "trace_options"]
