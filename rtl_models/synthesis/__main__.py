"""Command line of the synthesis: ``python -m rtl_models.synthesis [--asap7 FOLDER] [--only BLOCK ...] [--keep]``.

Blocks that are done stand in a file beside the table until all are; a run that was stopped goes on with ``--keep``, and
the table itself is replaced at the end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtl_models.synthesis.blocks import blocks
from rtl_models.synthesis.flow import former_entries, run, source_hash, table_text, write_table
from rtl_models.synthesis.libraries import find_kit

TABLES = Path("nmpsim") / "cost" / "tables"


def main(arguments: Sequence[str] | None = None) -> int:
    """Synthesise; return the exit code: 0 done, 2 something is missing.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line unless given.
    """
    every = {block.name: block for block in blocks()}
    parser = argparse.ArgumentParser(
        prog="rtl_models.synthesis", description="Area, path and energy of the RTL blocks."
    )
    parser.add_argument(
        "--asap7", metavar="FOLDER", help="Liberty files of ASAP7 (RVT, TT); without it Debian's osu018"
    )
    parser.add_argument(
        "--only",
        metavar="BLOCK",
        nargs="+",
        choices=sorted(every),
        help="these blocks anew, the others from the old table; all by default",
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=TABLES, help=f"folder of the table; {TABLES}")
    parser.add_argument("--keep", action="store_true", help="take blocks whose Verilog is unchanged from the old table")
    asked = parser.parse_args(arguments)
    try:
        kit = find_kit(asked.asap7)
        target = asked.out / f"{kit.name}.toml"
        part = target.with_name(f"{kit.name}.part")
        command = f"make synth{' ASAP7_LIB=...' if asked.asap7 else ''}"
        former = former_entries(target) | former_entries(part)
        chosen = asked.only or list(every)
        hashes = {name: source_hash(block) for name, block in every.items()}
        kept = {h: former[h] for name, h in hashes.items() if h in former and (asked.keep or name not in chosen)}

        def save(entries: Mapping[str, str], to: Path = part) -> None:
            write_table(to, table_text(kit, entries, command))

        wanted = [block for name, block in every.items() if name in chosen or hashes[name] in kept]
        entries = run(kit, wanted, lambda line: print(line, flush=True), kept, save)  # noqa: T201 - progress
        save(entries, target)
        part.unlink(missing_ok=True)
    except (FileNotFoundError, RuntimeError) as error:
        print(f"nmpsim: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(f"wrote {target}: {len(entries)} blocks, library {kit.name}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
