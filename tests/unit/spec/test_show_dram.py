"""``nmpsim show dram``: what is printed, and what is refused."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from nmpsim.cli import app
from nmpsim.errors import SpecError
from nmpsim.spec.standard import describe_protocol, load_standard, preset_names, preset_protocol, show_dram

NAMES = ("hbm2", "hbm3", "hbm4", *preset_names())


@pytest.mark.parametrize("name", NAMES)
def test_everything_of_a_protocol_is_printed(name: str) -> None:
    protocol = preset_protocol(name) if name in preset_names() else load_standard(name)
    cells = [line.split() for line in describe_protocol(protocol).splitlines()]
    for level, size in zip(protocol.levels, protocol.sizes, strict=True):
        assert any(words[:2] == [level, str(size)] for words in cells), level
    for command in protocol.commands:
        assert [command.name, command.bus, str(command.ticks), command.level, command.effect] in cells
    for key, ticks in protocol.timing.items():
        assert [key, str(ticks), f"{ticks * protocol.tick_ps / 1000:g}"] in cells
    for row in protocol.constraints:
        figures = row.latency[:1] if len(set(row.latency)) == 1 else row.latency
        start = [row.level, ",".join(row.preceding), ",".join(row.following), *map(str, figures)]
        which = ["siblings"] if row.sibling else [str(row.window), "back"] if row.window > 1 else []
        rule = (row.rule + (", not in Ramulator 2.1" if row.beyond_peer else "")).split()
        assert [*start, *which, *rule] in cells, row


def test_the_figures_of_one_standard() -> None:
    text = show_dram(["HBM2"])
    assert "organisation HBM2_8Gb (of HBM2_1Gb, HBM2_2Gb, HBM2_4Gb, HBM2_8Gb)" in text
    assert "peak bandwidth 32.00 GB/s (2 x PseudoChannel, 32 B per 2 ticks)" in text
    assert "transaction 32 B, 32 banks, 2.147 GB" in text
    assert "read latency 16 ticks, 16 ns" in text
    assert "nRFCpb, not in Ramulator 2.1" in text


def test_peer_exact_leaves_out_what_ramulator_has_not() -> None:
    text = show_dram(["hbm3"], peer_exact=True)
    assert "not in Ramulator" not in text
    assert "constraints (52)" in text
    assert "tick 312 ps, 1/2 of a command clock, half-clock edges" in text


def test_several_are_printed_with_an_empty_line_between() -> None:
    assert show_dram(["vault", "hbm4"]) == show_dram(["vault"]) + "\n\n" + show_dram(["hbm4"])


def test_options_choose_device_and_bin() -> None:
    result = CliRunner().invoke(
        app, ["show", "dram", "hbm2", "--organisation", "HBM2_1Gb", "--timing", "HBM2_1600Mbps", "--peer-exact"]
    )
    assert result.exit_code == 0
    assert "tick 1250 ps" in result.output
    assert "organisation HBM2_1Gb (of" in result.output
    assert "not in Ramulator" not in result.output


def test_all_faults_come_together_with_exit_code_two() -> None:
    with pytest.raises(SpecError) as caught:
        show_dram(["hbm", "raptor", "hbm2"], "HBM2_9Gb", peer_exact=True)
    assert [fault.where for fault in caught.value.faults] == [
        "dram",
        "--organisation",
        "--peer-exact",
        "organisation of HBM2",
    ]
    result = CliRunner().invoke(app, ["show", "dram", "hbmm2"])
    assert result.exit_code == 2
    assert "did you mean hbm2?" in result.output
    assert "Traceback" not in result.output
