"""``python -m nmpsim.cli``: the command line without an installed console script."""

from nmpsim.cli import main

main()
