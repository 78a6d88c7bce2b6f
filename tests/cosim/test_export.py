"""Verilog on the command line, and what cannot be built."""

import re

import pyrtl
import pytest

from nmpsim.spec import load_chip, resolve
from rtl_models.dram.bank_sequencer import bank_sequencer, for_chip
from rtl_models.verilog import export, size_of, verilog, write_verilog
from tests.unit.dram.chips import SMALL, SMALL_TIERS, latency_table

TABLE = latency_table(*SMALL_TIERS)


@pytest.mark.parametrize("chip", ["snake", "stratum"])
def test_the_sequencer_of_a_shipped_chip_is_written(chip, tmp_path, capsys):
    path = tmp_path / "bank.v"
    assert export("bank_of_chip", for_chip, ["--export", str(path), "--chip", chip]) == 0
    assert re.search(rf"bank_of_chip for chip {chip}: [1-9]\d* flops, [1-9]\d* gates\n", capsys.readouterr().out)
    text = path.read_text(encoding="utf-8")
    assert text == verilog(for_chip(resolve(load_chip(chip))), "bank_of_chip")
    assert "module bank_of_chip(" in text
    assert [p.name for p in tmp_path.iterdir()] == ["bank.v"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export", "bank.v", "--chip", "snail"], "invalid choice: 'snail' (choose from"),
        (["--chip", "snake"], "the following arguments are required: --export"),
        (["--export", "missing/bank.v"], "--export: got missing/bank.v: No such file or directory; allowed: a file"),
    ],
)
def test_a_wrong_command_line_ends_with_exit_code_two(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        export("bank", for_chip, arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_file_that_cannot_be_finished_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "bank.v"
    path.mkdir()
    with pytest.raises(OSError, match=r"bank\.v"):
        write_verilog(bank_sequencer(SMALL, TABLE), "bank", path)
    assert path.is_dir()


def test_size_counts_flops_and_gates():
    with pyrtl.set_working_block(pyrtl.Block()):
        a, b = pyrtl.Input(3, "a"), pyrtl.Input(3, "b")
        held = pyrtl.Register(3, "held")
        held.next <<= a & b
        shown = pyrtl.Output(3, "shown")
        shown <<= held
        size = size_of(pyrtl.working_block())
    assert tuple(size) == (3, 3, 6, 3)


def test_banks_that_share_ports_are_refused():
    with pytest.raises(ValueError, match="got port_banks 2; allowed: 1"):
        bank_sequencer(SMALL._replace(port_banks=2), TABLE)


def test_a_cycle_count_that_is_too_narrow_is_refused():
    params = SMALL._replace(refresh=1, nREFI=200, postpone=1, pull_in=0)  # a debt of 400 cycles, with its sign
    bank_sequencer(params, TABLE, cycle_bits=10)
    with pytest.raises(ValueError, match="got 9 bits; allowed: at least 10 bits"):
        bank_sequencer(params, TABLE, cycle_bits=9)
