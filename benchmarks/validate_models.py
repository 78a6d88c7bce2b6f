# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""The simple models that ship with nmpsim against cycle runs: the table and the plot of docs/validate.md.

    python -m benchmarks.validate_models

Takes the table of the standard suite; after a change of the cycle mode ``make suite`` makes that anew first.
"""

from pathlib import Path

from nmpsim.study.table import replace_file
from nmpsim.validate.figure import draw, image_bytes
from nmpsim.validate.outcome import markdown_table
from nmpsim.validate.predict import predictions, shipped_models
from nmpsim.validate.reference import read_reference, table_file
from nmpsim.validate.score import score, sequence

PLOT = Path(__file__).parents[1] / "docs" / "validate.png"

if __name__ == "__main__":
    reference, _ = read_reference(table_file("standard"))
    scores = sequence([score(predictions(name, reference), reference) for name in shipped_models()])
    replace_file(PLOT, image_bytes(draw(scores, reference)))
    print(markdown_table(scores))
