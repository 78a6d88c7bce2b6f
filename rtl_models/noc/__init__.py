"""RTL of the network on chip: allocator.py, input_vc.py, output_vc.py, then the router made of them.

tests/cosim compares the router with the kernel of nmpsim/noc/router, in PyRTL and as Verilog.
"""
