"""A run as one HTML file that needs nothing else: no network, no library.

The figures are the ``result.json`` itself, inside the page, and a summary of the trace if there is one.  All drawing is
done by ``page/page.js``.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "page"


def _json(tree: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")


def page_of(result: dict[str, Any], trace: dict[str, Any] | None = None) -> str:
    """Return the page of a result.

    Parameters
    ----------
    result : dict
        Tree of a ``result.json``.
    trace : dict, optional
        As ``nmpsim.trace.summary.summarise`` returns it.

    Returns
    -------
    str
        HTML 5.
    """
    provenance = result["provenance"]
    title = f"{provenance['model']['name']} on {provenance['chip']['name']}"
    parts = {name: (FOLDER / f"page.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    text = parts["html"].replace("{{title}}", html.escape(title))
    filled = {"css": parts["css"], "result": _json(result), "trace": _json(trace), "js": parts["js"]}
    page = ""
    for name, content in filled.items():  # in the order of the page: what was filled in is not looked at again
        before, _, text = text.partition("{{" + name + "}}")
        page += before + content
    return page + text
