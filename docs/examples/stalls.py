"""Which operator waits for what: a table of the stalls of the vector unit, from the intervals of a trace.

Usage: python docs/examples/stalls.py [FOLDER]
"""

import sys
from pathlib import Path

import nmpsim


def main(folder: Path, model: str = "llama-3.1-8b", chip: str = "snake", **options: int) -> None:
    """Simulate, print, and save the pictures into a folder."""
    run = nmpsim.simulate(model, chip, trace="coarse", **({"batch": 1, "context": 128, "layers": 1} | options))
    rows = run.tables.intervals(("vector",)).to_pylist()
    cycles: dict[tuple[str, str], float] = {}
    for row in rows:
        key = (row["operator"] or "-", row["reason"])
        cycles[key] = cycles.get(key, 0) + row["end"] - row["start"]
    for (operator, reason), count in sorted(cycles.items(), key=lambda item: -item[1])[:10]:
        print(f"{operator:24s} {reason:16s} {count:12,.0f}")
    folder.mkdir(parents=True, exist_ok=True)
    run.plot.stalls().savefig(folder / "stalls.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples"))
