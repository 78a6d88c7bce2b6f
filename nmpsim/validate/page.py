"""A validation as one HTML file that needs nothing else: no network, no library.  The style is that of a run's page."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any

from nmpsim.report.page import FOLDER

HEADS = {
    "number": "operators", "share": "time", "time_mean": "mean by time", "time_p95": "p95 by time", "mean": "mean",
    "median": "median", "p95": "p95", "largest": "largest", "time_bias": "bias by time", "bias": "bias", "rank": "rank",
}  # fmt: skip


def page_of(result: Mapping[str, Any], image: bytes) -> str:
    """Return the page of a validation.

    Parameters
    ----------
    result : mapping
        Tree of its ``result.json``.
    image : bytes
        PNG of the plot.

    Returns
    -------
    str
        HTML 5.
    """
    suite, models = result["suite"], result["models"]
    names = ", ".join(one["model"] for one in models)
    title = f"{names} against cycle runs"
    parts = [_section("Suite", _suite(suite, result["provenance"]["stale"]))]
    picture = base64.b64encode(image).decode()
    alt = "Predicted against simulated cycles, one panel per model"
    plot = f'<p class="hint">Dotted: 10 % off.</p><img alt="{alt}" src="data:image/png;base64,{picture}">'
    parts.append(_section("Predicted and simulated", plot))
    parts.append(_section("Operators", _errors({one["model"]: one["operators"] for one in models})))
    parts.append(_section("Whole steps", _errors({one["model"]: one["steps"] for one in models})))
    for one in models:
        told = "".join(
            f"<h2>by {html.escape(name)}</h2>" + _errors(one[f"by_{name}"])
            for name in ("class", "kind", "bottleneck", "chip", "model")
        )
        small = one["small"]
        aside = (
            f"{small['number']:,} small operators are set aside ({small['hidden']:,} hidden behind others): "
            f"{_percent(small['share'])} of the time, predicted {_percent(small['predicted'])}."
        )
        parts.append(_section(one["model"], f'<p class="hint">{aside}</p>{told}'))
        parts.append(_section(f"Worst of {one['model']}", _worst(one["worst"])))
    origin = {key: value for key, value in result["provenance"].items() if not isinstance(value, Mapping)}
    parts.append(_section("Inputs and versions", _pairs({**origin, **result["provenance"].get("versions", {})})))
    css = (FOLDER / "page.css").read_text(encoding="utf-8")
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(title)} - nmpsim</title>\n<link rel="icon" href="data:,">\n'
        f"<style>\n{css}\nimg {{ max-width: 100%; background: #fff; }}\ntd.reason {{ white-space: normal; "
        "text-align: left; min-width: 24em; }\n</style>\n</head>\n<body>\n"
        f"<header><h1>{html.escape(title)}</h1></header>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{content}</section>"


def _suite(suite: Mapping[str, Any], stale: str) -> str:
    refused = len(suite["refused"])
    words = f"{suite['title']}: {suite['steps']} steps, {suite['operators']:,} operators"
    words += f"; {refused} steps are refused by their chip." if refused else "."
    words += f" The table is stale; changed since are {stale}." if stale else ""
    told = "".join(
        f"<tr><td>{html.escape(name)}</td><td class=reason>{html.escape(why)}</td></tr>"
        for name, why in suite["refused"].items()
    )
    details = f"<details><summary>refused steps</summary><table>{told}</table></details>" if refused else ""
    return f"<p>{html.escape(words)}</p>{details}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "number":
        return f"{value:,}"
    if name == "rank":
        return f"{value:.3f}"
    return f"{100 * value:+.1f} %" if name.endswith("bias") else _percent(value)


def _errors(lines: Mapping[str, Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{word}</th>" for word in ("", *HEADS.values()))
    body = "".join(
        f"<tr><td>{html.escape(name)}</td>" + "".join(f"<td>{_cell(key, told[key])}</td>" for key in HEADS) + "</tr>"
        for name, told in lines.items()
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _worst(lines: list[Mapping[str, Any]]) -> str:
    heads = ("operator", "step", "simulated", "predicted", "error", "of the step", "why")
    body = ""
    for one in lines:
        numbers = (f"{one['cycles']:,}", f"{one['predicted']:,.0f}", f"{100 * one['error']:+.1f} %")
        body += (
            f"<tr><td>{html.escape(one['operator'])}</td><td class=word>{html.escape(one['case'])}</td>"
            + "".join(f"<td>{number}</td>" for number in numbers)
            + f"<td>{_percent(one['share_of_step'])}</td><td class=reason>{html.escape(one['reason'])}</td></tr>"
        )
    return f'<div class="scroll"><table><tr>{"".join(f"<th>{h}</th>" for h in heads)}</tr>{body}</table></div>'


def _pairs(lines: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(str(key))}</td><td class=word>{html.escape(str(value))}</td></tr>"
        for key, value in lines.items()
    )
    return f"<table>{rows}</table>"
