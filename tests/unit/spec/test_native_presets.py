"""Native presets: published figures that follow from them, and how a chip file uses one."""

from __future__ import annotations

import tomllib
from fractions import Fraction

import numpy as np
import pytest

from nmpsim.errors import SpecError
from nmpsim.spec import load_chip, resolve
from nmpsim.spec.describe import stream_cycles
from nmpsim.spec.load import CHIP_FOLDER, _validated
from nmpsim.spec.params import COMMANDS, RD, WR, DramParams
from nmpsim.spec.protocol import Constraint, Protocol
from nmpsim.spec.schema import numbers
from nmpsim.spec.standard import (
    load_preset,
    machine_protocol,
    merge_preset,
    native_protocol,
    preset_names,
    preset_protocol,
)
from nmpsim.spec.standard.describe import peak_bandwidth, row_stream_ticks
from nmpsim.spec.standard.preset import checked_preset, preset_tree


def latency_of(protocol: Protocol, level: str, after: str, before: str, window: int = 1) -> tuple[int, ...]:
    """Latency of the row between two commands at a level."""
    (row,) = [
        row
        for row in protocol.constraints
        if (row.level, row.preceding, row.following, row.window) == (level, (after,), (before,), window)
    ]
    return row.latency


def test_the_shipped_presets() -> None:
    assert preset_names() == ("hmc_vault", "mono3d", "raptor", "vault")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_sound_and_named_as_its_file(name: str) -> None:
    preset = load_preset(name)
    assert preset.preset.name == name
    assert all(number.source or number.why for _, number in numbers(preset))
    protocol = preset_protocol(name)
    assert protocol.levels == ("Die", "Channel", "Group", "Bank")
    assert protocol.sizes[1] == preset.preset.channels.value
    assert protocol.banks == preset.preset.channels.value * preset.dram.banks_per_channel.value
    assert protocol.columns * protocol.transaction_bytes == preset.dram.row_bytes.value


@pytest.mark.parametrize("chip", ["snake", "stratum"])
def test_mono3d_is_the_dram_of_both_shipped_chips(chip: str) -> None:
    own = tomllib.loads((CHIP_FOLDER / f"{chip}.toml").read_text("utf-8"))
    assert own["dram"]["preset"] == "mono3d"
    machine = machine_protocol(resolve(load_chip(chip)))
    preset = preset_protocol("mono3d")
    assert (machine.sizes, machine.constraints, machine.timing) == (preset.sizes, preset.constraints, preset.timing)
    assert machine.tick_ps == preset.tick_ps == 1000


def test_a_chip_without_a_clock_of_its_dram_gets_that_of_the_preset() -> None:
    own = tomllib.loads((CHIP_FOLDER / "stratum.toml").read_text("utf-8"))
    del own["clock"]["dram_GHz"]
    assert _validated(own, "my.toml", "", {}).clock.dram_GHz == load_preset("mono3d").clock.dram_GHz


def test_mono3d_streams_whole_rows_as_published() -> None:
    """Stratum, arXiv 2510.05245, Table 1: a whole row per tRC in 256 banks is 30.34 TB/s; a grid of 1 ns is coarser."""
    machine = resolve(load_chip("stratum"))
    protocol = preset_protocol("mono3d")
    assert [row_stream_ticks(protocol, tier) for tier in range(8)] == [stream_cycles(machine, t) for t in range(8)]
    preset = load_preset("mono3d").dram.timing
    row_cycle = preset.tRCD_ns.value[0] + preset.tRAS_minus_tRCD_ns.value + preset.tRP_ns.value
    assert round(256 * 4096 / row_cycle / 1000, 2) == 30.34


def test_raptor_gives_the_published_flit_rate_peak_and_refresh_loss() -> None:
    """128 B per 2.5 ns and channel of three banks, 137.6 TB/s of 8 chiplets, 5.46 % lost to refresh every ms."""
    protocol, preset = preset_protocol("raptor"), load_preset("raptor")
    cycle = 1 / Fraction("0.7")
    flit_ns = row_stream_ticks(protocol, 0) * cycle / (3 * 3968 // 128)
    assert float(flit_ns) == pytest.approx(2.5, abs=0.05)  # the published figure has two digits
    assert float(8 * 768 * 32 / cycle / 1000) == pytest.approx(137.6, abs=0.05)
    assert float(peak_bandwidth(protocol)) == pytest.approx(float(768 * 32 / cycle), rel=0.5 / 1428)  # tick in whole ps
    refresh = preset.dram.timing.tRFC_ns.value * preset.dram.rows_per_bank.value
    assert round(100 * refresh / 1e6, 2) == 5.46
    assert protocol.timing["nRC"] == 31  # 44 ns
    assert preset.dram.timing.tREFI_ns.value * 1364 == pytest.approx(32e6, rel=1e-6)
    hot = Fraction("23460.41") / 8 / cycle  # 4 ms above 85 degrees Celsius
    assert protocol.timing["nREFI"] == int(hot)


def test_vault_and_hmc_have_their_published_cycles() -> None:
    vault = preset_protocol("vault")
    names = ("nRCD", "nRAS", "nRP", "nCCD", "nWR", "nWTR", "nRRD", "nFAW")
    assert [vault.timing[name] for name in names] == [11, 17, 7, 3, 9, 8, 4, 15]
    hmc = preset_protocol("hmc_vault")
    names = ("nCL", "nRCD", "nRP", "nRAS", "nCCD", "nRRD", "nFAW", "nRFC", "nREFI")
    assert [hmc.timing[name] for name in names] == [17, 17, 17, 34, 6, 4, 27, 420, 9364]
    assert hmc.tick_ps == 800
    assert hmc.sizes == (1, 16, 1, 16)  # one group: all banks of a vault share one bus
    assert peak_bandwidth(hmc) == 16 * 10  # 32 bit at 2.5 Gb/s per vault


def test_the_columns_of_one_bank_never_undercut_its_access_time() -> None:
    for name in preset_names():
        protocol = preset_protocol(name)
        column = latency_of(protocol, "Bank", "RD", "RD")
        assert latency_of(protocol, "Bank", "RD", "WR") >= column, name
        assert latency_of(protocol, "Bank", "WR", "RD") >= column, name


PARAMS = DramParams(
    banks=6,
    rows=32,
    columns=4,
    column_bytes=64,
    tiers=2,
    rows_per_tier=16,
    fifo_columns=8,
    run_queue=2,
    nCL=5,
    nCWL=4,
    nPORT=2,
    nCREDIT=1,
    nRRD=0,
    nFAW=0,
    nREFI=1000,
    refresh=1,
    postpone=8,
)
LATENCY = np.arange(50, dtype=np.int64).reshape(2, 5, 5) + 100


def test_every_entry_of_the_latency_table_becomes_a_row_by_tier() -> None:
    protocol = native_protocol(PARAMS, LATENCY)
    for previous, after in enumerate(COMMANDS):
        for following, before in enumerate(COMMANDS):
            tiers = tuple(LATENCY[:, previous, following])
            assert latency_of(protocol, "Bank", after, before) == tiers
    assert sum(row.level == "Bank" for row in protocol.constraints) == 1 + 25
    assert {row.level for row in protocol.constraints} == {"Bank"}  # no budget, no shared port
    assert protocol.sizes == (1, 1, 6, 1)
    assert (protocol.rows, protocol.rows_per_tier, protocol.read_latency) == (32, 16, 7)


def test_a_pair_without_a_rule_has_no_row() -> None:
    latency = LATENCY.copy()
    latency[:, WR, RD] = -1
    pairs = {(row.preceding, row.following) for row in native_protocol(PARAMS, latency).constraints}
    assert (("WR",), ("RD",)) not in pairs
    assert (("RD",), ("WR",)) in pairs


def test_budgets_and_shared_ports_have_their_levels() -> None:
    params = PARAMS._replace(nRRD=2, nFAW=9, die_nRRD=1, die_nFAW=30, die_acts=12, port_banks=3, ports=2, nBL=3)
    protocol = native_protocol(params, LATENCY, channels=5)
    assert protocol.sizes == (1, 5, 2, 3)
    assert latency_of(protocol, "Channel", "ACT", "ACT") == (2,)
    assert latency_of(protocol, "Channel", "ACT", "ACT", 4) == (9,)
    assert latency_of(protocol, "Die", "ACT", "ACT") == (1,)
    assert latency_of(protocol, "Die", "ACT", "ACT", 12) == (30,)
    assert latency_of(protocol, "Port", "RD", "RD") == latency_of(protocol, "Port", "WR", "WR") == (3,)
    assert latency_of(protocol, "Port", "RD", "WR") == (LATENCY[0, RD, WR],)
    assert latency_of(protocol, "Port", "WR", "RD") == (LATENCY[0, WR, RD],)
    assert peak_bandwidth(protocol, ports=2) == Fraction(5 * 6 * 64, 112)  # the bank: nCCD of RD in tier 0
    fast = native_protocol(params, np.ones_like(LATENCY), channels=5)
    assert peak_bandwidth(fast, ports=2) == Fraction(5 * 2 * 2 * 64, 3)


def test_timings_that_differ_by_tier_are_named_by_tier() -> None:
    timing = machine_protocol(resolve(load_chip("snake"))).timing
    assert [timing[f"nRCD[{tier}]"] for tier in range(8)] == [3, 4, 6, 9, 12, 15, 19, 23]
    assert (timing["nRP"], timing["nWR"], timing["nWTR"], timing["nRTW"]) == (5, 16, 6, 3)
    assert "nRCD" not in timing


# -- a chip file with a preset


def test_single_values_of_a_chip_file_win_over_the_preset() -> None:
    tree = {
        "clock": {"core_GHz": {"value": 1.0, "source": "x"}, "dram_GHz": {"value": 2.0, "source": "mine"}},
        "dram": {"preset": "mono3d", "tiers": {"value": 1, "source": "mine"}, "timing": {"tRCD_ns": {"value": [9.0]}}},
        "chip": {"name": "mine"},
    }
    before = repr(tree)
    merged, faults = merge_preset(tree, "my.toml")
    base = preset_tree("mono3d")
    assert not faults
    assert repr(tree) == before
    assert "preset" not in merged["dram"]
    assert merged["dram"]["tiers"] == {"value": 1, "source": "mine"}
    assert merged["dram"]["timing"] == base["dram"]["timing"] | {"tRCD_ns": {"value": [9.0]}}  # as a whole, no source
    assert merged["dram"]["row_bytes"] == base["dram"]["row_bytes"]
    assert merged["dram"]["refresh"] == base["dram"]["refresh"]
    assert merged["port"] == base["port"]
    assert merged["clock"] == tree["clock"]
    assert merged["chip"] == {"name": "mine"}


def test_the_merged_tree_shares_nothing_with_the_preset_or_the_chip() -> None:
    tree = {"dram": {"preset": "vault", "timing": {}}}
    merged, _ = merge_preset(tree, "my.toml")
    merged["dram"]["timing"]["tRP_ns"]["value"] = 0.0
    assert merge_preset(tree, "my.toml")[0]["dram"]["timing"]["tRP_ns"]["value"] == 7.0


@pytest.mark.parametrize("tree", [{}, {"dram": {}}, {"dram": 3}, {"dram": {"tiers": 1}, "port": {}}])
def test_a_tree_without_a_preset_comes_back_as_it_is(tree: dict[str, object]) -> None:
    assert merge_preset(tree, "my.toml") == (tree, [])


@pytest.mark.parametrize("name", ["mono3", 3, ["vault"], {"value": "vault"}, True])
def test_an_unknown_preset_is_a_fault_of_the_file(name: object) -> None:
    merged, (fault,) = merge_preset({"dram": {"preset": name}, "port": {"banks": 1}}, "my.toml")
    assert "preset" not in merged["dram"]
    assert merged["port"]["banks"] == 1  # the rest is that of some preset, so that only the name is at fault
    assert merged["dram"].keys() == preset_tree("mono3d")["dram"].keys()
    assert name != "mono3" or merged["dram"] == preset_tree("mono3d")["dram"]
    assert fault.where == "my.toml: dram.preset"
    assert fault.allowed == "hmc_vault, mono3d, raptor, vault"
    assert ("mono3d" in fault.todo) == (name == "mono3")


@pytest.mark.parametrize("place", ["dram", "port", "clock"])
def test_a_section_that_is_no_table_is_left_to_the_schema(place: str) -> None:
    tree = {"dram": {"preset": "vault", "timing": 7}} | ({place: 5} if place != "dram" else {})
    merged, faults = merge_preset(tree, "my.toml")
    assert not faults
    assert merged["dram"]["timing"] == 7
    assert place == "dram" or merged[place] == 5


def test_faults_of_a_preset_come_together() -> None:
    tree = preset_tree("raptor")
    tree["dram"]["tiers"] = {"value": 3, "source": "x"}
    tree["port"]["fifo_bytes"] = {"value": 100, "source": "x"}
    with pytest.raises(SpecError) as caught:
        checked_preset(tree, "my.toml")
    assert {fault.where for fault in caught.value.faults} >= {"my.toml: dram.rows_per_bank", "my.toml: port.fifo_bytes"}
    del tree["dram"]["timing"]["tRP_ns"]
    tree["port"]["widh"] = 3
    with pytest.raises(SpecError) as caught:
        checked_preset(tree, "my.toml")
    assert {fault.where for fault in caught.value.faults} == {"my.toml: dram.timing.tRP_ns", "my.toml: port.widh"}
    with pytest.raises(SpecError, match="did you mean raptor"):
        load_preset("rapto")


def test_a_window_after_several_commands_is_refused() -> None:
    """It would be unclear whether the commands are counted together."""
    with pytest.raises(SpecError, match="window 4 after RD, WR; allowed: one preceding command"):
        Constraint("Bank", ("RD", "WR"), ("ACT",), (9,), "nX", window=4)
    assert Constraint("Bank", ("RD", "WR"), ("ACT",), (9,), "nX").window == 1
