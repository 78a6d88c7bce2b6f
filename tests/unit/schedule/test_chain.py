"""The cheapest way through a chain is the one that trying everything finds."""

from hypothesis import given
from hypothesis import strategies as st

from nmpsim.schedule.chain import IMPOSSIBLE, Option, Stage, cheapest, enumerated

LAYOUTS = ("sliced", "packed", "whole")
costs = st.integers(0, 50)
layouts = st.sampled_from(LAYOUTS)
changes = st.dictionaries(st.tuples(layouts, layouts), st.one_of(costs, st.just(IMPOSSIBLE)), max_size=9)


def change_of(table):
    return lambda have, want: table.get((have, want), 0 if have == want else IMPOSSIBLE)


stages = st.lists(
    st.builds(
        lambda options, table, enters: Stage(tuple(options), change_of(table), enters),
        st.lists(st.builds(Option, costs, layouts, layouts), min_size=1, max_size=4),
        changes,
        st.sampled_from(("", "", *LAYOUTS)),
    ),
    min_size=1,
    max_size=5,
)


def cost_along(chain, start, choice):
    """Cost of one choice, added up stage by stage."""
    layout, total = start, 0
    for stage, number in zip(chain, choice, strict=True):
        option = stage.options[number]
        total += stage.change(stage.enters or layout, option.takes) + option.cost
        layout = option.gives
    return total


@given(chain=stages, start=layouts)
def test_the_way_found_is_the_cheapest_of_all(chain, start):
    found, least = cheapest(chain, start), enumerated(chain, start)
    assert (found is None) == (least is None)
    if found is not None:
        assert found[0] == least == cost_along(chain, start, found[1])


@given(chain=stages, start=layouts)
def test_the_way_is_the_same_every_time(chain, start):
    assert cheapest(chain, start) == cheapest(list(chain), start)


def test_a_dearer_operator_wins_if_it_saves_a_change():
    gather = change_of({("sliced", "whole"): 30, ("sliced", "sliced"): 0, ("whole", "sliced"): 0})
    chain = [Stage((Option(10, "whole", "sliced"), Option(25, "sliced", "sliced")), gather)]
    assert cheapest(chain, "sliced") == (25, (1,))
    assert cheapest(chain, "whole") == (10, (0,))
