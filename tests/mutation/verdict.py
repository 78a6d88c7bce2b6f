"""What became of the mutants: killed, explained, or neither; the verdict of 90 %."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EXPLANATIONS = Path(__file__).parent / "survivors.toml"
LEAST = 0.9
"""Share of the mutants that must be killed."""


@dataclass
class Mutant:
    """One mutant; `killer` is empty if it survived."""

    kind: str  # netlist or code
    identity: str
    change: str
    killer: str = ""
    reason: str = ""
    seconds: float = 0.0


def explanations(path: Path = EXPLANATIONS) -> dict[str, str]:
    """Return why mutants survive, by identity.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        If an identity stands twice.
    """
    found: dict[str, str] = {}
    for entry in tomllib.loads(path.read_text()).get("survivor", []):
        for identity in entry["mutants"]:
            if identity in found:
                raise ValueError(f"{path.name}: {identity} stands twice; allowed: once")
            found[identity] = f"{entry['class']}: {entry['why']}"
    return found


@dataclass
class Verdict:
    """Figures of a run."""

    mutants: Sequence[Mutant]
    known: dict[str, str]

    def survivors(self) -> list[Mutant]:
        """Mutants that nothing killed."""
        return [one for one in self.mutants if not one.killer]

    def unexplained(self) -> list[Mutant]:
        """Survivors without an explanation."""
        return [one for one in self.survivors() if one.identity not in self.known]

    def stale(self) -> list[Mutant]:
        """Mutants that have an explanation and were killed."""
        return [one for one in self.mutants if one.killer and one.identity in self.known]

    def rate(self) -> float:
        """Killed share of all mutants, equivalent ones not taken out."""
        return (len(self.mutants) - len(self.survivors())) / len(self.mutants)

    def holds(self) -> bool:
        """Whether enough were killed and every survivor is explained."""
        return self.rate() >= LEAST and not self.unexplained()

    def lines(self) -> list[str]:
        """The figures as text."""
        killers = Counter(one.killer for one in self.mutants if one.killer)
        by = ", ".join(f"{count} by the {name}" for name, count in killers.most_common())
        seconds = sum(one.seconds for one in self.mutants)
        killed = f"{len(self.mutants) - len(self.survivors())} killed ({100 * self.rate():.1f} %"
        all_of, killed = len(self.mutants), len(self.mutants) - len(self.survivors())
        rate = f"{100 * self.rate():.1f} %; at least {100 * LEAST:.0f} % asked"
        found = [f"{all_of} mutants, {killed} killed ({rate}): {by}; {seconds:.0f} CPU s"]
        for one in self.survivors():
            found += [
                f"survived  {one.identity}: {one.change}",
                f"          {self.known.get(one.identity, 'UNEXPLAINED')}",
            ]
        found += [f"explained, but killed: {one.identity}: {one.reason}" for one in self.stale()]
        found.append("verdict: " + ("holds" if self.holds() else "does not hold"))
        return found
