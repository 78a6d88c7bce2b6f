"""Finding and reading chip files, and changing what was read."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from nmpsim.errors import SpecError
from nmpsim.spec import chip_names, load_chip, parse_chip, resolve, with_overrides
from nmpsim.spec.load import CHIP_FOLDER
from nmpsim.spec.schema import ChipSpec
from nmpsim.spec.standard.preset import PRESET_FOLDER
from tests.chip_text import chip_text


def test_the_shipped_chips_are_found_by_name() -> None:
    assert chip_names() == ("snake", "snake-fit", "stratum")
    for name in chip_names():
        assert load_chip(name).chip.name == name


def test_a_path_is_read_and_hashed_as_bytes(tmp_path: Path) -> None:
    raw = chip_text("snake").encode().replace(b"\n", b"\r\n")
    path = tmp_path / "mine.toml"
    path.write_bytes(raw)
    spec = load_chip(path)
    assert spec.sha256 == hashlib.sha256(raw).hexdigest()
    assert spec.file == str(path)
    assert load_chip(str(path)) == spec


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (CHIP_FOLDER / "snake.toml").read_bytes())
    assert load_chip(path).chip.name == "snake"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("snak", "got 'snak'; allowed: snake, snake-fit, stratum, or a path that ends in .toml; did you mean snake?"),
        ("STRATUM", "did you mean stratum?"),
        ("gpu", "use one of these, or give the path of a chip file"),
        ("", "got ''"),
    ],
)
def test_an_unknown_name_lists_the_known_ones(name: str, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_chip(name)
    assert text in str(caught.value)


def test_a_missing_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    with pytest.raises(SpecError, match=r"no such file; allowed: a chip file; did you mean .*mine\.toml\?"):
        load_chip(tmp_path / "mime.toml")
    told = "no such file; allowed: a chip file; check the path, or use snake, snake-fit, stratum"
    with pytest.raises(SpecError, match=told):
        load_chip(tmp_path / "none" / "zzzzzzzz.toml")


def test_a_directory_is_no_chip_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(SpecError, match="got a directory; allowed: a chip file"):
        load_chip(folder)


def test_a_path_with_a_null_byte_is_refused() -> None:
    with pytest.raises(SpecError, match="cannot read chip file"):
        load_chip("a\0b.toml")


def test_a_file_that_may_not_be_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.toml"
    path.write_text("")

    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(SpecError, match="Permission denied; allowed: a file that can be read"):
        load_chip(path)


def test_a_file_that_is_not_utf8_says_where(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'[chip]\nname = "\xfc"\n')
    with pytest.raises(SpecError, match=r"got byte 0xfc at offset 15; allowed: UTF-8 text; save the file as UTF-8"):
        load_chip(path)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("[chip\n", "Expected ']' at the end of a table declaration (at line 1, column 6)"),
        ("[chip]\n[chip]\n", "Cannot declare ('chip',) twice (at line 2, column 6)"),
        ("a = 1\na = 2\n", "Cannot overwrite a value (at line 2"),
        ("a = " + "9" * 5000, "Exceeds the limit"),
        ("a = " + "[" * 100_000, "recursion"),
    ],
)
def test_a_syntax_error_says_where(text: str, got: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_chip(text, "my.toml")
    assert got in str(caught.value)
    assert "allowed: TOML 1.0; correct the syntax at that place" in str(caught.value)


def test_an_empty_file_misses_every_section() -> None:
    with pytest.raises(SpecError) as caught:
        parse_chip("", "my.toml")
    assert [f.where for f in caught.value.faults] == [
        f"my.toml: {name}" for name in ("chip", "clock", "dram", "port", "core", "noc", "placement")
    ]
    assert "got nothing; allowed: a section with name, description, pus, cores_per_pu; add the section [chip]" in str(
        caught.value
    )


def test_an_override_changes_one_number_and_says_so(spec: ChipSpec) -> None:
    changed = with_overrides(spec, {"dram.timing.tRP_ns": 6.0})
    assert changed.dram.timing.tRP_ns.value == 6.0
    assert changed.dram.timing.tRP_ns.origin == "assumed: set by an override"
    assert changed.overrides == {"dram.timing.tRP_ns": 6.0}
    assert spec.dram.timing.tRP_ns.value == 4.77  # the original is as it was
    assert changed.file.endswith(".toml with overrides")


def test_overrides_take_words_lists_tables_and_sections(spec: ChipSpec) -> None:
    tiers = {"dram.tiers": 2, "dram.timing.tRCD_ns": [3.0, 9.0]}
    assert resolve(with_overrides(spec, tiers)).latency.shape == (2, 5, 5)
    assert resolve(with_overrides(spec, {"dram.refresh.mode": "off"})).dram.refresh == 0
    sourced = with_overrides(spec, {"chip.pus": {"value": 4, "source": "a paper"}})
    assert sourced.chip.pus.origin == "source: a paper"
    none = {"value": 0, "source": "a paper"}
    refresh = {"mode": "off", "postpone": none, "pull_in": none}
    assert with_overrides(spec, {"dram.refresh": refresh}).dram.refresh.postpone.value == 0


def test_overrides_can_change_the_kind_of_core() -> None:
    tree = load_chip("stratum").core.mac_tree
    assert tree is not None
    changes = {
        "core.kind": "mac_tree",
        "core.array": None,
        "core.mac_tree": tree.model_dump(exclude_defaults=True),
    }
    assert resolve(with_overrides(load_chip("snake"), changes)).core.macs_per_cycle == 4096


def test_overrides_are_checked_as_a_whole(spec: ChipSpec) -> None:
    with pytest.raises(SpecError) as caught:
        with_overrides(spec, {"dram.timing.tRP_ns": -1, "dram.tiers": 7})
    text = str(caught.value)
    assert "with overrides: dram.timing.tRP_ns: got -1; allowed: at least 0.001 (ns; PRE to ACT)" in text
    assert "dram.timing.tRCD_ns: got 8 figures; allowed: one per tier, dram.tiers = 7" in text
    assert "dram.rows_per_bank: got 32768; allowed: a multiple of dram.tiers = 7" in text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "dram.timing.tRPP_ns",
            "a path that no chip has; allowed: a dotted path of a key; did you mean dram.timing.tRP_ns?",
        ),
        ("dram.tRP_ns", "the key of that name is dram.timing.tRP_ns"),
        ("lanes", "the key of that name is core.vector.lanes"),
        ("core.mac_tree.taps", "no section core.mac_tree in this chip; allowed: a section that is there"),
        ("dram.timing.tRP_ns.value", "a part of a number; allowed: dram.timing.tRP_ns; set dram.timing.tRP_ns itself"),
        ("zzzzzz", "remove it"),
        ("", "remove it"),
    ],
)
def test_an_override_of_an_unknown_path_is_refused(path: str, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        with_overrides(load_chip("snake"), {path: 3})
    assert text in str(caught.value)


def test_the_hash_of_an_overridden_chip_depends_on_what_was_set_and_not_on_the_way(spec: ChipSpec) -> None:
    one = with_overrides(spec, {"dram.timing.tRP_ns": 6.0, "chip.pus": 8})
    two = with_overrides(with_overrides(spec, {"chip.pus": 8}), {"dram.timing.tRP_ns": 6.0})
    three = with_overrides(spec, {"dram.timing.tRP_ns": 6.5, "chip.pus": 8})
    assert one.sha256 == two.sha256
    assert len({spec.sha256, one.sha256, three.sha256}) == 3
    assert with_overrides(spec, {}) is spec


def test_a_spec_survives_pickling(spec: ChipSpec) -> None:
    changed = with_overrides(spec, {"chip.pus": 8})
    again = pickle.loads(pickle.dumps(changed))  # noqa: S301 (our own bytes)
    assert again == changed
    assert again.sha256 == changed.sha256


def test_a_spec_cannot_be_changed_in_place(spec: ChipSpec) -> None:
    with pytest.raises(ValueError, match="frozen"):
        spec.chip.pus.value = 3  # type: ignore[misc]


def test_text_parsed_without_a_hash_gets_that_of_the_text(text_of: Callable[..., str]) -> None:
    text = text_of("snake", {})
    assert parse_chip(text, "x.toml").sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_of_a_chip_covers_the_preset_it_names() -> None:
    raw = (CHIP_FOLDER / "snake.toml").read_bytes()
    preset = (PRESET_FOLDER / "mono3d.toml").read_bytes()
    own = hashlib.sha256(raw).hexdigest()
    assert load_chip("snake").sha256 == hashlib.sha256(own.encode() + preset).hexdigest()


def test_a_chip_and_its_text_with_the_preset_written_out_are_the_same_machine() -> None:
    for name in chip_names():
        written, named = parse_chip(chip_text(name), "x.toml"), load_chip(name)
        assert (written.dram, written.port) == (named.dram, named.port)


def test_a_number_of_the_chip_wins_over_that_of_its_preset(tmp_path: Path) -> None:
    text = (CHIP_FOLDER / "snake.toml").read_text("utf-8")
    text = text.replace("[core]\n", '[dram.timing]\ntRP_ns = { value = 9.0, source = "x" }\n\n[core]\n', 1)
    changed = parse_chip(text, "x.toml")
    assert changed.dram.timing.tRP_ns.value == 9.0
    assert changed.dram.timing.tRCD_ns == load_chip("snake").dram.timing.tRCD_ns


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    text = (CHIP_FOLDER / "snake.toml").read_text("utf-8").replace('"mono3d"', '"mono3"')
    with pytest.raises(SpecError, match=r"dram\.preset: got 'mono3'; allowed: .*mono3d.*; did you mean mono3d"):
        parse_chip(text, "x.toml")
