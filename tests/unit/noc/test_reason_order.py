"""A link that waits for several things names the first reason of the page, whichever input it looks at first."""

import pytest

from nmpsim.noc import REASONS
from nmpsim.noc.endpoint import Pace
from nmpsim.noc.traffic import run_messages
from tests.unit.noc.bench import RING, Scenario
from tests.unit.noc.oracle import NaiveRing

CROWD = RING._replace(nodes=8, buffer_flits=1, inject_flits=32)


@pytest.mark.parametrize("plain", [False, True])
def test_lack_of_credit_is_named_before_a_busy_channel(plain):
    """On the link from node 2: its own packet holds the lower channel and lacks credit, one from node 1 waits for it.

    Flits that come over the dateline, on the upper channel, move the turn: so both orders of looking occur.
    """
    crossing, holder, waiting = (0, 7, 3, 12), (0, 2, 3, 30), (4, 1, 3, 1)
    run = run_messages(CROWD, [crossing, holder, waiting], plain=plain)
    spent = dict(zip(REASONS, run.network.stall[2, 0].tolist(), strict=True))
    assert run.delivered[2] > run.delivered[1] > run.delivered[0]
    assert spent["transfer"] == 12 + 30 + 1
    assert spent["no_credit"] > 0
    assert spent["vc_busy"] == 0


def test_a_conflict_at_a_read_port_is_named_before_a_lack_of_credit():
    """On the link from node 1: a head behind an ejected tail, and flits over the dateline that lack credit."""
    conflicts = 0
    for start in range(16):
        messages = [(start, 7, 2, 12), *[(0, 0, 1 + i % 2, 1) for i in range(12)]]
        scenario = Scenario(CROWD._replace(buffer_flits=3, eject_flits=1), (1, 1), Pace(1, 1), messages)
        run = scenario.run()
        assert run.network.stall.tolist() == NaiveRing(scenario).run().stall_table()
        conflicts += run.network.stall[1, 0, REASONS.index("switch_conflict")]
    assert conflicts
