"""Networks inside PUs, gateways, and the network between PUs."""

import re
from pathlib import Path

import numpy as np
import pytest

from nmpsim.analytic.levels import flits_on_way
from nmpsim.errors import InternalError, SpecError
from nmpsim.noc.die.bridge_state import IN, OUT, check_bridge
from nmpsim.noc.die.levels import check_levels, pu_waits
from nmpsim.spec.params import CROSSBAR, MESH, RING, TORUS
from tests.conformance_kits.network import Driver, NetworkKit
from tests.unit.noc.bench import hops_between, router_cycles, run_messages, shaped
from tests.unit.noc.level_bench import LevelNetwork, inside

PAGE = Path(__file__).parents[3] / "docs/seams/network.md"


class TestCrossbarsWithNarrowFlits(NetworkKit):
    def make_network(self):
        return LevelNetwork(inside(CROSSBAR, 3), shaped(RING, 2, flit_bytes=256))


class TestRingsInARing(NetworkKit):
    def make_network(self):
        return LevelNetwork(inside(RING, 3), shaped(RING, 2), periods=(3, 4), core_period=5)


@pytest.mark.slow
class TestMeshesWithWideFlits(NetworkKit):
    def make_network(self):
        inner = inside(MESH, 2, 2, flit_bytes=128)
        return LevelNetwork(inner, shaped(CROSSBAR, 2, flit_bytes=32), periods=(2, 1), core_period=3)


@pytest.mark.slow
class TestToriOfOnePlaceEach(NetworkKit):
    def make_network(self):
        places = {"buffer_flits": 1, "inject_flits": 1, "eject_flits": 1}
        outer = shaped(MESH, 2, vcs=1, flit_bytes=256, **places)
        return LevelNetwork(inside(TORUS, 3, 1, **places), outer, periods=(4, 3), core_period=2, gateway_flits=1)


WIDTHS = [(64, 128), (128, 128), (128, 64)]
CLOCKS = [((1, 1), 1), ((2, 5), 3), ((5, 2), 4), ((3, 4), 5)]


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize(("periods", "core"), CLOCKS, ids=str)
def test_a_lone_flit_to_another_pu_takes_the_zero_load_latency(widths, periods, core):
    """The formula of the page, with settings of each level of its own."""
    inner = inside(RING, 4, pus=3, flit_bytes=widths[0], nSYNC=2, nLINK=2)
    outer = shaped(RING, 3, flit_bytes=widths[1], nROUTE=1, nPORT=1, nSYNC=3)
    for source, destination, port in ((1, 6, 0), (3, 8, 1)):
        network = LevelNetwork(inner, outer, periods=periods, core_period=core)
        driver = run_messages(network, [(source, destination, 1, port, 0)])
        ((_, _, flit),) = driver.arrivals()
        ((ready, _),) = driver.written.values()
        one, gate = inner._replace(nodes=4), 2 * port
        p, q, g = *periods, periods[0] if widths[0] < widths[1] else periods[1]
        own = widths[0] < widths[1]  # the gateways have the clock of the network inside

        def cycles(noc, hops):
            return 1 + (hops + 1) * router_cycles(noc) + hops * noc.nLINK + 2 * noc.nPORT

        at = ready + cycles(one, hops_between(one, source % 4, gate)) * p
        at = (at // g + (1 if own else outer.nSYNC)) * g
        at = (at // q + (outer.nSYNC if own else 1)) * q
        at += cycles(outer, hops_between(outer, source // 4, destination // 4)) * q
        at = (at // g + (inner.nSYNC if own else 1)) * g
        at = (at // p + (1 if own else inner.nSYNC)) * p
        at += cycles(one, hops_between(one, gate, destination % 4)) * p
        assert flit.ready_at == (at // core + inner.nSYNC) * core


class OfRows(Driver):
    """Every message is one of `rows` rows of `size` bytes, `pitch` bytes apart."""

    rows, size, pitch = 3, 200, 200

    def flit(self, message, i):
        width = self.network.params.flit_bytes
        each = -(-self.size // width)
        row, n = divmod(i, each)
        size = min(width, self.size - n * width)
        return super().flit(message, i) | {"address": row * self.pitch + n * width, "bytes": size}


@pytest.mark.parametrize("widths", [(32, 128), (64, 64), (128, 32), (96, 32)], ids=str)
@pytest.mark.parametrize(("rows", "size", "pitch"), [(1, 500, 500), (3, 200, 200), (3, 200, 256), (5, 30, 30)])
def test_gateways_cut_flits_anew_as_is_counted(widths, rows, size, pitch):
    inner = inside(CROSSBAR, 2, flit_bytes=widths[0])
    network = LevelNetwork(inner, shaped(RING, 2, flit_bytes=widths[1]))
    driver = OfRows(network)
    driver.rows, driver.size, driver.pitch = rows, size, pitch
    first, middle, last = flits_on_way(rows, size, pitch, *widths)
    driver.send(0, 2, first, 0)
    driver.run(200 + 60 * first)
    half = network.bridge.half
    assert (half[0, 0, OUT].taken, half[0, 0, OUT].sent) == (first, middle)
    assert (half[1, 0, IN].taken, half[1, 0, IN].sent) == (middle, last)
    assert len(driver.arrivals()) == last
    assert int(half[0, 0, OUT].bytes_sent) == int(half[1, 0, IN].bytes_sent) == rows * size
    assert sum(flit.bytes for *_, flit in driver.arrivals()) == rows * size
    network.settle(driver.now)


def test_messages_out_and_in_would_wait_for_ever_on_common_channels():
    check_levels(pu_waits(shared=False))
    with pytest.raises(SpecError) as caught:
        check_levels(pu_waits(shared=True))
    text = str(caught.value)
    for word in ("channel inside a PU, outward -> gateway out of a PU", "gateway into a PU -> channel inside a PU"):
        assert word in text


@pytest.mark.parametrize(("kind", "radix", "dims", "vcs"), [(RING, 4, 1, 2), (MESH, 2, 2, 1), (TORUS, 3, 2, 3)])
def test_networks_inside_with_too_few_channels_are_refused(kind, radix, dims, vcs):
    with pytest.raises(SpecError, match=r"wait for each other|too few"):
        LevelNetwork(inside(kind, radix, dims, vcs=vcs), shaped(RING, 2))


def test_a_gateway_that_loses_a_byte_is_seen():
    network = LevelNetwork(inside(CROSSBAR, 2), shaped(RING, 2))
    run_messages(network, [(0, 3, 4, 0, 0)])
    check_bridge(network.bridge)
    network.bridge.half[0, 0, OUT].bytes_sent -= 1
    with pytest.raises(InternalError, match=r"gateway of PU 0, port 0, out: \d+ bytes went in"):
        check_bridge(network.bridge)


def drawing():
    """Rows of the table of the page: two PUs of two cores, crossbars inside, a message of five narrow flits."""
    inner = inside(CROSSBAR, 2, flit_bytes=64, nSYNC=1)
    network = LevelNetwork(inner, shaped(RING, 2, flit_bytes=128, nSYNC=1))
    driver = OfRows(network)
    driver.size = driver.pitch = 320
    driver.send(0, 2, 5, 0)
    half, rows = network.bridge.half, []
    halves = (half[0, 0, OUT], half[1, 0, IN])
    for cycle in range(45):
        before = [(int(h.taken), int(h.sent)) for h in halves]
        taken = len(driver.arrivals())
        driver.run(1)
        cells = [f"{h.taken - t} in, {h.sent - s} out" for h, (t, s) in zip(halves, before, strict=True)]
        cells = ["" if cell == "0 in, 0 out" else cell for cell in cells]
        rows.append((str(cycle), *cells, str(len(driver.arrivals()) - taken) if len(driver.arrivals()) > taken else ""))
    return rows


def test_the_table_of_the_page_is_what_the_networks_do():
    text = PAGE.read_text()
    text = text[text.index("## First cycles over two levels") :]
    told = [
        tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in text.splitlines() if re.match(r"\| \d", line)
    ]
    made = {row[0]: row for row in drawing()}
    assert len(told) > 10
    assert told == [made[row[0]] for row in told]
    assert sum(bool(np.array(row[1:], bool).any()) for row in made.values()) == sum(any(row[1:]) for row in told)
