"""``python -m tests.mutation``: draw mutants by a seed, run them, report; exit code 1 if the verdict does not hold."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from tests.mutation import code_trials, netlist_trials
from tests.mutation.designs import STAGES
from tests.mutation.verdict import Mutant, Verdict, explanations


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--netlist", type=int, default=0, metavar="N", help="mutants of the core's netlists")
    parser.add_argument("--code", type=int, default=0, metavar="N", help="mutants of the core's kernels")
    parser.add_argument("--seed", type=int, default=1, help="what is drawn depends on it alone")
    parser.add_argument("--stages", type=int, default=len(STAGES), help="1: the default lane's recordings only")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="run those whose names have it")
    parser.add_argument("--list", action="store_true", help="draw them, do not run them")
    return parser.parse_args(words)


def report(title: str, mutants: Iterable[Mutant], *, listed: bool) -> bool:
    """Print mutants as they come, then the figures; return whether the verdict holds."""
    print(f"== {title}", flush=True)
    seen = []
    for one in mutants:
        seen.append(one)
        state = "" if listed else f"{one.killer or 'SURVIVED'} ({one.seconds:.1f} s) "
        print(f"{len(seen):4} {state}{one.identity}: {one.change}  {one.reason[:110]}", flush=True)
    if listed or not seen:
        return True
    verdict = Verdict(seen, explanations())
    print(*verdict.lines(), sep="\n", flush=True)
    return verdict.holds()


def main(words: list[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    asked = arguments(words)
    holds = True
    for title, count, run in (("netlist", asked.netlist, netlist_trials.run), ("code", asked.code, code_trials.run)):
        if count:
            mutants = run(count, asked.seed, asked.stages, asked.only, dry=asked.list)
            holds = report(title, mutants, listed=asked.list) and holds
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
