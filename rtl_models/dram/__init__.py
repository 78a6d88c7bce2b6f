"""RTL of the DRAM controller: a bank with a port of its own.

Read in this order: docs/dram/native.md, bank_sequencer.py, timers.py, refresh.py.  tests/cosim compares it cycle by
cycle with the kernel, in PyRTL and as Verilog.
"""
