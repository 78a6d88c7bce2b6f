"""Where the time of a decode step goes: spans of the operators, and one core cycle by cycle.

Usage: python docs/examples/timeline.py [FOLDER]
"""

import sys
from pathlib import Path

import nmpsim


def main(folder: Path, model: str = "llama-3.1-8b", chip: str = "snake", **options: int) -> None:
    """Simulate, print, and save the pictures into a folder."""
    run = nmpsim.simulate(model, chip, trace="coarse", **({"batch": 1, "context": 128, "layers": 1} | options))
    folder.mkdir(parents=True, exist_ok=True)
    run.plot.timeline().savefig(folder / "timeline.png")
    run.plot.units(pu=0, start=0, end=2000).savefig(folder / "units.png")
    print(f"{run.cycles:,} core cycles; the compute units were busy in {run.stalls['array']['busy']:,}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples"))
