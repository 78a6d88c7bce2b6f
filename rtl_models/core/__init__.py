"""RTL of the core: arithmetic, PEs and the array of them, MAC tree, vector lane, port arbiter, sequencer.

Read in this order: floats.py, fp16.py, fp32.py, pe.py; then the array, the MAC tree and the vector lane.
tests/cosim compares them with the kernels and with NumPy, in PyRTL and as Verilog.
"""
