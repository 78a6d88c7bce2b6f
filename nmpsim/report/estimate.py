"""An estimate as numbers and as text, with the fields of a ``result.json`` and intervals beside them."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from nmpsim.errors import Fault, NmpsimError
from nmpsim.measure.estimate import Estimate

FORMAT = "nmpsim-estimate-1"
"""Name and version of the format."""


def estimate_tree(found: Estimate) -> dict[str, Any]:
    """Return an estimate as a tree: the fields of a result, each prediction with ``low`` and ``high``.

    What only a run can tell (stalls, start and end of operators, the network's links) is not there.

    Parameters
    ----------
    found : Estimate
    """
    batch = int(found.provenance["options"]["batch"])
    step = sum(found.energy_J.values())
    return {
        "format": FORMAT,
        "cycles": found.cycles,
        "cycles_low": found.low,
        "cycles_high": found.high,
        "clock_GHz": found.clock_GHz,
        "seconds_per_token": found.seconds,
        "tokens_per_second": batch / found.seconds,
        "bounds": dict(found.bounds),
        "mac_utilisation": found.counts["macs"] / (found.peaks["macs_per_cycle"] * found.cycles),
        "dram_utilisation": (found.counts["read_bytes"] + found.counts["write_bytes"])
        / (found.peaks["dram_bytes_per_second"] * found.seconds),
        "operators": [
            {
                "name": o.name,
                "kind": o.kind,
                "layer": o.layer,
                "plan": o.plan,
                "cycles": o.cycles,
                "cycles_low": o.low,
                "cycles_high": o.high,
                "bound_by": o.bound_by,
                "bounds": dict(o.bounds),
                "spent": dict(o.spent),
                **o.counts,
            }
            for o in found.operators
        ],
        "counts": dict(found.counts),
        "energy_J": {"step": step, "per_token": step / batch, "components": dict(found.energy_J)},
        "peaks": dict(found.peaks),
        "calibrated": found.calibrated,
        "outside": [{"variable": o.variable, "value": o.value, "allowed": o.allowed} for o in found.outside],
        "provenance": dict(found.provenance),
    }


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it: it is there as a whole, or the former one.

    Parameters
    ----------
    path : Path
    text : str

    Raises
    ------
    NmpsimError
        If it cannot be written.
    """
    part = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        fault = Fault(
            str(path), error.strerror or str(error), "a file in a folder that can be written to", "name another"
        )
        raise NmpsimError("the file cannot be written", [fault]) from error
    finally:
        part.unlink(missing_ok=True)


def _title(found: Estimate) -> str:
    """Model, chip and size of the step."""
    names, options = found.provenance, found.provenance["options"]
    size = f"batch {options['batch']}, context {options['context']}, {options['layers']} layers"
    return f"{names['model']['name']} on {names['chip']['name']}, {size}: estimate"


def estimate_text(found: Estimate) -> str:
    """Return an estimate in words: the step, the kinds of operators, and what lies outside the domain.

    Parameters
    ----------
    found : Estimate
    """
    options, fitted = found.provenance["options"], found.provenance["calibration"]
    lines = [
        _title(found),
        f"  {found.cycles:,.0f} cycles, 90 % between {found.low:,.0f} and {found.high:,.0f}"
        if found.calibrated
        else f"  {found.cycles:,.0f} cycles by closed forms alone: without calibration there is no interval",
        f"  {found.seconds * 1e6:,.2f} us a token, {int(options['batch']) / found.seconds:,.0f} tokens/s",
    ]
    if fitted is not None:
        error = fitted["held_out"]
        lines.append(
            f"  calibrated on {fitted['chip']}: held-out steps are off by {error['step_mean']:.1%} on average, "
            f"operators by {error['time_mean']:.1%} of their time"
        )
    total: dict[str, list[float]] = {}
    for o in found.operators:
        row = total.setdefault(o.kind, [0.0, 0.0])
        row[0] += 1
        row[1] += o.cycles
    width = max(len(kind) for kind in total)
    lines += ["", f"  {'kind':{width}}  number      cycles   share"]
    for kind, (number, cycles) in sorted(total.items(), key=lambda item: -item[1][1]):
        lines.append(f"  {kind:{width}}  {number:6.0f} {cycles:11,.0f}  {cycles / found.cycles:6.1%}")
    if found.outside:
        lines += ["", "OUTSIDE the domain of the calibration; errors and intervals do not hold:"]
        lines += [f"  {o.variable}: {o.value} (sample: {o.allowed})" for o in found.outside]
    return "\n".join(lines)
