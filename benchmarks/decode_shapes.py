# ruff: noqa: INP001, T201  (a folder of scripts that print, no package)
"""What reconfigurable shapes and dataflows buy in decode: the tables and the plot of docs/core/decode-shapes.md.

Run: ``python benchmarks/decode_shapes.py [--write]``; with ``--write`` tables and plot in docs/core are replaced.
What is measured: `benchmarks/decode_study.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.decode_study import (
    CONFIGURATIONS,
    DATAFLOW,
    FIXED,
    FLOWS,
    SHAPE,
    TREE,
    Area,
    Found,
    areas,
    attention,
    gains,
    mean,
    study,
)
from nmpsim.sweep import Product
from nmpsim.sweep.figure import draw_panels, image_bytes

FOLDER = Path(__file__).parents[1] / "docs" / "core"
PAGE, PLOT = FOLDER / "decode-shapes.md", FOLDER / "decode-shapes.png"

STEPS = (
    ("strips and their best shape", FIXED, SHAPE),
    ("best dataflow for each operator", SHAPE, DATAFLOW),
    ("both", FIXED, DATAFLOW),
    ("MAC trees to best shape and dataflow", TREE, DATAFLOW),
)


def step_table(area: Area, found: Found) -> list[str]:
    """Return the gain of each step, over all GEMMs and batches and over attention, as lines of Markdown.

    Parameters
    ----------
    area : Area
    found : Found
    """
    lines = [
        "| step | GEMMs: mean | least | most, at | attention: mean | least | most, at |",
        "| --- | ---: | ---: | --- | ---: | ---: | --- |",
    ]
    for title, slow, fast in STEPS:
        gain = gains(area, found, slow, fast)
        cells = [title]
        first = min(batch for _, batch in gain)
        for part in (False, True):
            own = {key: x for key, x in gain.items() if attention(key[0]) == part and (not part or key[1] == first)}
            top = max(own, key=lambda key: own[key])
            at = top[0] if part else f"{top[0]}, batch {top[1]}"
            cells += [f"{mean(own.values()):.3f}", f"{min(own.values()):.3f}", f"{own[top]:.3f}, {at}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def batch_table(area: Area, found: Found) -> list[str]:
    """Return mean utilisation of the GEMMs by batch, and gains, as lines of Markdown.

    Parameters
    ----------
    area : Area
    found : Found
    """
    head = [*(f"{name}, %" for name in CONFIGURATIONS), "shape gains", "dataflow gains", "over tree"]
    lines = ["| batch | " + " | ".join(head) + " |", "| ---: " * (len(head) + 1) + "|"]
    for batch in sorted({batch for _, batch in found[FIXED]}):
        keys = [key for key in found[FIXED] if key[1] == batch and not attention(key[0])]
        cells = [f"{100 * mean(found[name][key].utilisation for key in keys):.2f}" for name in CONFIGURATIONS]
        for slow, fast in ((FIXED, SHAPE), (SHAPE, DATAFLOW), (TREE, DATAFLOW)):
            gain = gains(area, found, slow, fast)
            cells.append(f"{mean(gain[key] for key in keys):.3f}")
        lines.append(f"| {batch} | " + " | ".join(cells) + " |")
    return lines


def flow_table(area: Area, found: Found) -> list[str]:
    """Return the time of every single dataflow against the best of all, as lines of Markdown.

    Parameters
    ----------
    area : Area
    found : Found
    """
    lines = ["| dataflow | fixed square | chains only | best shape | best shape, worst operator |"]
    lines.append("| --- | ---: | ---: | ---: | --- |")
    for name in FLOWS:
        slower = [gains(area, found, f"{kind} {name}", DATAFLOW) for kind in (FIXED, "chain", SHAPE)]
        worst = max(slower[2], key=lambda key: slower[2][key])
        at = f"{slower[2][worst]:.3f}, {worst[0]}, batch {worst[1]}"
        cells = [name, *(f"{mean(gain.values()):.3f}" for gain in slower), at]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def operator_table(area: Area, found: Found, batches: Sequence[int]) -> list[str]:
    """Return utilisation and mapping of every operator, as lines of Markdown.

    Parameters
    ----------
    area : Area
    found : Found
    batches : sequence of int
        Which.
    """
    lines = ["| operator | M | N | K | fixed, % | shape, % | dataflow, % | with | tree, % | over tree |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: |")
    over = gains(area, found, TREE, DATAFLOW)
    listed: set[Product] = set()
    for key in sorted(key for key in found[FIXED] if key[1] in batches):
        if found[FIXED][key].product in listed:
            continue
        listed.add(found[FIXED][key].product)
        product, used = found[DATAFLOW][key].product, found[DATAFLOW][key].mapping
        shares = [f"{100 * found[name][key].utilisation:.2f}" for name in CONFIGURATIONS]
        cells = [key[0], str(product.m), str(product.n), str(product.k), *shares[:3], used.text(area.strips.core)]
        lines.append("| " + " | ".join([*cells, shares[3], f"{over[key]:.3f}"]) + " |")
    return lines


def plot(outcomes: Sequence[tuple[Area, Found]]) -> bytes:
    """Return the plot: utilisation over the batch, by operator, of the last area; and the mean of each area.

    Parameters
    ----------
    outcomes : sequence of Area, Found
    """
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for area, found in outcomes:
        batches = sorted({batch for _, batch in found[FIXED]})
        panels[f"mean of GEMMs, area by {area.name}"] = {
            name: [(b, mean(x.utilisation for k, x in found[name].items() if k[1] == b and not attention(k[0])))
                   for b in batches]
            for name in CONFIGURATIONS
        }  # fmt: skip
    _, found = outcomes[-1]
    for operator in dict.fromkeys(name for name, _ in found[FIXED] if name.startswith(("llama-3.1-8b", "deepseek"))):
        if not attention(operator):
            panels[operator] = {
                name: [(key[1], one.utilisation) for key, one in found[name].items() if key[0] == operator]
                for name in CONFIGURATIONS
            }
    title = "Utilisation over the batch (single operators: area by SNAKE's 4x)"
    return image_bytes(draw_panels(panels, title, over="batch"))


def page_parts(outcomes: Sequence[tuple[Area, Found, str]]) -> dict[str, list[str]]:
    """Return what the script writes into the page, by the name of its place.

    Parameters
    ----------
    outcomes : sequence of Area, Found, str
        The last is the dataflow of the fixed array.
    """
    parts = {}
    for number, (area, found, flow) in enumerate(outcomes):
        parts[f"area {number}"] = [f"{area.text}. The fixed array and step *shape* use {flow}."]
        parts[f"steps {number}"] = step_table(area, found)
        parts[f"batches {number}"] = batch_table(area, found)
        parts[f"flows {number}"] = flow_table(area, found)
    area, found, _ = outcomes[-1]
    parts["operators"] = operator_table(area, found, (1, 16, 64))
    return parts


def replaced(text: str, parts: dict[str, list[str]]) -> str:
    """Return the page with other parts, each between its marks ``<!-- name -->`` and ``<!-- end -->``.

    Parameters
    ----------
    text : str
    parts : dict of str to list of str
    """
    for name, lines in parts.items():
        before, rest = text.split(f"<!-- {name} -->\n", 1)
        after = rest.split("<!-- end -->", 1)[1]
        text = f"{before}<!-- {name} -->\n" + "\n".join(lines) + f"\n<!-- end -->{after}"
    return text


if __name__ == "__main__":
    measured = [(area, *study(area)) for area in areas()]
    made = page_parts(measured)
    for name, lines in made.items():
        print(f"\n{name}\n" + "\n".join(lines))
    if "--write" in sys.argv:
        PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
        PLOT.write_bytes(plot([(area, found) for area, found, _ in measured]))
