"""A study in a process of its own, to be killed: ``python -m tests.unit.study.killed FOLDER LOG POINTS SECONDS``."""

import sys
from pathlib import Path

from nmpsim.study import grid, run_study

TASK = "tests.unit.study.trial:square"


def points(log, count, seconds):
    return grid(TASK, {"log": log, "seconds": seconds}, {"number": range(count)})


if __name__ == "__main__":
    folder, log, count, seconds = sys.argv[1:]
    run_study(points(log, int(count), float(seconds)), Path(folder), workers=2)
