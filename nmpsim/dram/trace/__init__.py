"""Trace files and what drives the controllers with them.

Read in this order: lines.py (text and faults), requests.py, commands.py, writing.py (whole or not at all), memory.py
(presets), run.py, summary.py, traffic.py (for benchmarks).
"""
