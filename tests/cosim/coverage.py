"""Counts of the states and rules that replays have reached."""

from __future__ import annotations

from collections import Counter


class Coverage:
    """Counts of reached points over any number of replays.

    Parameters
    ----------
    states, rules : tuple of str
        What can be reached, and must be.
    """

    def __init__(self, states: tuple[str, ...], rules: tuple[str, ...]) -> None:
        self.known = (*states, *rules)
        self.states: Counter[str] = Counter(dict.fromkeys(states, 0))
        self.rules: Counter[str] = Counter(dict.fromkeys(rules, 0))

    def missing(self) -> list[str]:
        """Points never reached."""
        return [name for counts in (self.states, self.rules) for name, count in counts.items() if not count]

    def unexpected(self) -> list[str]:
        """States reached that cannot be, and rules without a name."""
        return sorted((set(self.states) | set(self.rules)) - set(self.known))

    def report(self) -> str:
        """One line per point."""
        points = [*self.states.items(), *self.rules.items()]
        return "\n".join(f"{count:8}  {name}" for name, count in points)
