"""The DRAM controllers.

``native``
    The die's own controllers, behind the seam of docs/seams/memory-port.md: a sequencer per bank, ports by bank or
    shared, tiers, activation budgets, refresh (docs/dram/native.md).
``reference``
    A controller exact to Ramulator 2.1, driven by request traces: the yardstick.
``trace``, ``address.py``, ``energy.py``
    Request and command files, what runs them, address mappings, energy of commands.
``check``
    Replays any command trace against the table of its protocol; shares no code with the two.
"""
