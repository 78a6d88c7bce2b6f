"""RTL of the blocks, generated with PyRTL, and benches that compare it with the cycle models.

A block is built from the hardware description alone: `nmpsim.spec` and `nmpsim.units` are the only parts of the
package it may import, so that the RTL cannot be derived from the kernel it is meant to check.
"""
