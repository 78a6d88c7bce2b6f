"""Two batch sizes under the same roofs, and what changes between them.

Usage: python docs/examples/roofline.py [FOLDER]
"""

import sys
from pathlib import Path

import nmpsim
from nmpsim.report.compare import compare
from nmpsim.report.result import result_of


def main(folder: Path, model: str = "llama-3.1-8b", chip: str = "snake", **options: int) -> None:
    """Simulate, print, and save the pictures into a folder."""
    sizes = {"context": 128, "layers": 1} | options
    folder.mkdir(parents=True, exist_ok=True)
    runs = {batch: nmpsim.simulate(model, chip, batch=batch, **sizes) for batch in (1, 4)}
    for batch, run in runs.items():
        run.plot.roofline().savefig(folder / f"roofline-{batch}.png")
        run.plot.bounds().savefig(folder / f"bounds-{batch}.png")
    print(compare(result_of(runs[1]), result_of(runs[4]), ("batch 1", "batch 4")))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples"))
