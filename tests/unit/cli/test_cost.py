"""``nmpsim cost``."""

import pytest

from nmpsim.cost.area import die_area
from nmpsim.cost.tables import tables
from nmpsim.spec import load_chip, parse_chip, resolve
from tests.unit.cli.bench import call
from tests.unit.report.small import chip_text


@pytest.mark.parametrize("chip", ["snake", "stratum"])
def test_every_block_stands_with_its_number_its_area_and_its_power(chip):
    lines = {line[:30].strip(): line[30:66].split() for line in call("cost", "--chip", chip).stdout.splitlines()}
    area = die_area(resolve(load_chip(chip)), tables())
    for part in area.parts:
        assert lines[part.name] == [f"{part.count:,}", f"{part.mm2:.2f}", f"{part.watts:.2f}"]
    assert lines["sum"] == [f"{area.mm2:.2f}", f"{area.watts:.2f}"]


def test_a_chip_file_of_ones_own_is_taken(tmp_path):
    (tmp_path / "four.toml").write_text(chip_text())
    out = call("cost", "--chip", tmp_path / "four.toml").stdout
    pes = die_area(resolve(parse_chip(chip_text(), "four.toml")), tables()).parts[0].count
    assert pes == 4 * 128 * 128
    assert f"{pes:,}" in out


def test_an_unknown_chip_ends_with_code_2_and_what_is_allowed():
    result = call("cost", "--chip", "nonesuch")
    assert result.exit_code == 2
    assert "got 'nonesuch'; allowed: snake, snake-fit, stratum" in result.stderr
    assert not result.stdout


def test_every_fault_of_a_chip_file_comes_at_once(tmp_path):
    text = chip_text(
        {r"^lanes = \{ value = 256": "lanes = { value = -3", r"^vcs = \{ value = 2": 'vcs = { value = "x"'}
    )
    (tmp_path / "bad.toml").write_text(text)
    result = call("cost", "--chip", tmp_path / "bad.toml")
    assert result.exit_code == 2
    for word in ("bad.toml", "core.vector.lanes", "noc.vcs"):
        assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_help_says_what_it_prints():
    assert "area and power" in call("cost", "--help").stdout
