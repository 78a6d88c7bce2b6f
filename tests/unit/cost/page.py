"""The figures of docs/cost.md, from the committed table; ``python -m tests.unit.cost.page`` writes them into it."""

import re
from pathlib import Path

from nmpsim.cost.tables import tables
from nmpsim.cost.text import sections
from nmpsim.spec import load_chip, resolve

PAGE = Path(__file__).parents[3] / "docs" / "cost.md"
MARKED = re.compile(r"(<!-- figures: (\w+) (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def blocks_table():
    """Every block of the table as a row."""
    rows = ["| block | clock, GHz | cells | flip-flops | um2 | path, ps | pJ per operation (without glitches) |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- |")
    for block in tables().blocks.values():
        energies = ", ".join(
            f"{name} {pJ:.3g} ({block.energy_settled_pJ[name]:.3g})" for name, pJ in block.energy_pJ.items()
        )
        path = f"{block.path_ps:.0f}" if block.holds_clock else f"**{block.path_ps:.0f}**"
        size = f"{block.cells:,} | {block.flops:,} | {block.area_um2:,.1f}"
        rows.append(f"| `{block.name}` | {block.clock_GHz:g} | {size} | {path} | {energies} |")
    return "\n".join(rows)


def pe_text():
    """What the PE has more than the plainest one."""
    own, plain = tables().blocks["pe_int8_0"], tables().blocks["pe_int8_plain"]
    return (
        f"INT8: {own.flops} flip-flops instead of {plain.flops}, {own.cells:,} cells instead of {plain.cells:,}, "
        f"{own.area_um2:.0f} um2 instead of {plain.area_um2:.0f} ({own.area_um2 / plain.area_um2:.1f} times), "
        f"{own.path_ps:.0f} ps instead of {plain.path_ps:.0f}, {own.energy_pJ['OS']:.2f} pJ instead of "
        f"{plain.energy_pJ['OS']:.2f} ({own.energy_settled_pJ['OS']:.2f} and {plain.energy_settled_pJ['OS']:.2f} "
        "without glitches)."
    )


def efforts_text():
    """What the mapping efforts make of the adder and of the PE."""
    rows = ["| block | chosen, um2 and ps | smallest | fastest |", "| --- | --- | --- | --- |"]
    for name in ("fp32_adder_0", "pe_fp16_0", "pe_fp16_1"):
        block = tables().blocks[name]
        chosen, small = (block.area_um2, block.path_ps), min(block.tried_um2_ps.values())
        cells = [f"{area:.0f}, {path:.0f}" for area, path in (chosen, small, block.fastest_um2_ps)]
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def figures(what, of):
    """The text between two marks."""
    if what == "table":
        return blocks_table()
    if what == "efforts":
        return efforts_text()
    if what == "pe":
        return pe_text()
    return f"```\n{sections(resolve(load_chip(of)), tables())[what]}\n```"


def page():
    """The page with the figures of now."""
    text = PAGE.read_text(encoding="utf-8")
    return MARKED.sub(lambda found: f"{found[1]}\n{figures(found[2], found[3])}\n\n{found[4]}", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
