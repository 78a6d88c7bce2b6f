"""The one runner of many-run work: a study is a list of points, computed in parallel, kept, and resumed.

point.py        a point: the name of a function and its settings
tasks.py        functions of points: a decode step, a product on one core
estimates.py    the same for a decode step by closed forms
fingerprint.py  the key of a point: what its result hangs on
folder.py       finished points, a file each
work.py         what a worker does with a point
watch.py        workers end with their study
runner.py       `run_study`
table.py        outcomes as JSON and Parquet
"""

from nmpsim.study.point import Point, grid
from nmpsim.study.runner import Outcome, run_study, spawned_pool
from nmpsim.study.table import write_study

__all__ = ["Outcome", "Point", "grid", "run_study", "spawned_pool", "write_study"]
