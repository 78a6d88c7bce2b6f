"""Two results side by side, and one in a few lines: what changed, where, and why."""

from __future__ import annotations

from typing import Any

Tree = dict[str, Any]

IDLE = {"queue_empty", "finished"}
"""Reasons that say nothing about the unit itself."""


def _flat(tree: Tree, path: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{path}{key}.")
        else:
            found[f"{path}{key}"] = value
    return found


def _percent(new: float, old: float) -> str:
    return f"{100 * (new - old) / old:+.1f} %" if old else ("same" if new == old else "new")


def changed_inputs(one: Tree, other: Tree) -> list[str]:
    """Return what differs in inputs and versions, a line each.

    Parameters
    ----------
    one, other : dict
        Trees of two ``result.json``.
    """
    a, b = _flat(one["provenance"]), _flat(other["provenance"])
    peaks = [{f"peak {name}": value for name, value in tree["peaks"].items()} for tree in (one, other)]
    a |= peaks[0]
    b |= peaks[1]
    return [f"{key}: {a.get(key, '-')} -> {b.get(key, '-')}" for key in {**a, **b} if a.get(key) != b.get(key)]


def why(one: Tree, other: Tree) -> str:
    """Return in words why an operator takes another time.

    Parameters
    ----------
    one, other : dict
        The operator in two results.
    """
    told = []
    if one["plan"] != other["plan"]:
        told.append(f"plan {one['plan'] or '-'} -> {other['plan'] or '-'}")
    for name, word in (
        ("macs", "MACs"),
        ("read_bytes", "bytes read"),
        ("write_bytes", "bytes written"),
        ("flits", "flits"),
    ):
        if one[name] != other[name]:
            told.append(f"{word} {_percent(other[name], one[name])}")
    if one["bound_by"] != other["bound_by"]:
        told.append(f"bound by {one['bound_by']} -> {other['bound_by']}")
    else:
        name = one["bound_by"]
        old, new = one["bounds"].get(name, 0), other["bounds"].get(name, 0)
        if abs(new - old) > 0.005 * max(old, new):
            told.append(f"{name} bound {_percent(new, old)}")
    reasons = {*one["array_cycles"], *other["array_cycles"]} - IDLE
    moved = sorted(
        ((other["array_cycles"].get(r, 0) - one["array_cycles"].get(r, 0), r) for r in reasons),
        key=lambda m: -abs(m[0]),
    )
    if moved and moved[0][0]:
        told.append(f"array {moved[0][1]} {moved[0][0]:+,}")
    return "; ".join(told) or "starts at another time"


def compare(one: Tree, other: Tree, names: tuple[str, str] = ("A", "B")) -> str:
    """Return a text that compares two results, operator by operator.

    Parameters
    ----------
    one, other : dict
        Trees of two ``result.json``.
    names : (str, str)
        What to call them.
    """
    lines = [f"{names[0]} -> {names[1]}", "", "Inputs and versions"]
    lines += [f"  {line}" for line in changed_inputs(one, other)] or ["  the same"]
    lines += ["", "The step"]
    for key in ("cycles", "seconds_per_token", "tokens_per_second"):
        lines.append(f"  {key:20s} {one[key]:>16,.10g} {other[key]:>16,.10g}  {_percent(other[key], one[key])}")
    old, new = one["energy_J"]["step"], other["energy_J"]["step"]
    lines.append(f"  {'energy_J':20s} {old:>16.6g} {new:>16.6g}  {_percent(new, old)}")
    lines += ["", "Stalls that changed most (cycles of the units' own clocks)"]
    lines += _stalls(one, other) or ["  none"]
    lines += ["", "Operators (cycles by which each moves the end of the step)"]
    a = {o["name"]: o for o in one["operators"]}
    b = {o["name"]: o for o in other["operators"]}
    width = max((len(name) for name in {**a, **b}), default=4)
    same = 0
    rows = []
    for name in {**a, **b}:
        if name not in b:
            rows.append(
                (-a[name]["cycles"], f"  {name:{width}s} {a[name]['cycles']:>12,} {'-':>12s}  only in {names[0]}")
            )
        elif name not in a:
            rows.append(
                (b[name]["cycles"], f"  {name:{width}s} {'-':>12s} {b[name]['cycles']:>12,}  only in {names[1]}")
            )
        else:
            change = b[name]["cycles"] - a[name]["cycles"]
            reason = why(a[name], b[name])
            if change == 0 and reason == "starts at another time":
                same += 1
                continue
            figures = f"{a[name]['cycles']:>12,} {b[name]['cycles']:>12,} {change:>+12,}"
            rows.append((change, f"  {name:{width}s} {figures}  {reason}"))
    lines += [line for _, line in sorted(rows, key=lambda row: -abs(row[0]))] or ["  all the same"]
    lines.append(f"  {same} operators without a change" if same else "")
    return "\n".join(lines).rstrip() + "\n"


def _stalls(one: Tree, other: Tree) -> list[str]:
    changes = []
    for unit in {**one["stalls"], **other["stalls"]}:
        a, b = one["stalls"].get(unit, {}), other["stalls"].get(unit, {})
        changes += [(b.get(r, 0) - a.get(r, 0), unit, r) for r in {**a, **b}]
    changes.sort(key=lambda change: -abs(change[0]))
    return [f"  {unit} {reason}: {change:+,}" for change, unit, reason in changes[:8] if change]


def brief(result: Tree) -> str:
    """Return a result in a few lines for a terminal.

    Parameters
    ----------
    result : dict
        Tree of a ``result.json``.
    """
    provenance = result["provenance"]
    options = provenance["options"]
    lines = [
        f"{provenance['model']['name']} on {provenance['chip']['name']}",
        f"batch {options['batch']}, context {options['context']}, layers {options['layers']}",
        f"{result['cycles']:,} core cycles, {result['seconds_per_token'] * 1e6:,.2f} us per token",
        f"{result['tokens_per_second']:,.1f} tokens/s, {result['energy_J']['per_token'] * 1e3:.3g} mJ per token",
    ]
    lines += [
        f"  {name} bound {cycles:,.0f} ({100 * cycles / result['cycles']:.1f} %)"
        for name, cycles in result["bounds"].items()
    ]
    kinds: dict[str, int] = {}
    for operator in result["operators"]:
        kinds[operator["kind"]] = kinds.get(operator["kind"], 0) + operator["cycles"]
    lines.append("Cycles by kind of operator")
    for kind, cycles in sorted(kinds.items(), key=lambda item: -item[1])[:10]:
        share = cycles / result["cycles"]
        lines.append(f"  {kind:16s} {cycles:>14,}  {100 * share:5.1f} %  {'#' * round(40 * share)}")
    whole = sum(result["stalls"]["array"].values())
    lines.append("Compute units")
    for reason, cycles in sorted(result["stalls"]["array"].items(), key=lambda item: -item[1]):
        lines.append(f"  {reason:16s} {100 * cycles / whole:19.1f} %  {'#' * round(40 * cycles / whole)}")
    return "\n".join(lines) + "\n"
