"""docs/cost.md says what the committed table says."""

import re

from nmpsim.cost.tables import tables
from tests.unit.cost.page import MARKED, PAGE, page

SHOWN = {"parts", "limits", "stages", "verdict", "table", "pe", "efforts"}


def test_the_figures_of_the_page_are_those_of_the_table():
    assert page() == PAGE.read_text(encoding="utf-8"), "run `python -m tests.unit.cost.page`"


def test_the_page_shows_every_section_and_both_chips():
    marks = [(what, of) for _, what, of, _ in MARKED.findall(PAGE.read_text(encoding="utf-8"))]
    assert {what for what, _ in marks} == SHOWN
    assert {of for what, of in marks if what == "parts"} == {"snake", "stratum"}


def test_blocks_that_the_page_names_exist():
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:pe|tree|fp16|fp32|lane|bank|array|slice|skew|operand)_\w+)`", text))
    fields = {"tree_latency", "pe_latency"}
    assert named - fields <= set(tables().blocks)
