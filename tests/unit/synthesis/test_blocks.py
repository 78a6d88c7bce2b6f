"""The blocks and the order of a run, without any mapping."""

import random
from pathlib import Path

import numpy as np
import pyrtl
import pytest

from nmpsim.program.isa import semaphores
from nmpsim.spec import load_chip
from rtl_models.core.mac_tree import _Datapath, tree_params
from rtl_models.synthesis import __main__ as command
from rtl_models.synthesis import flow
from rtl_models.synthesis.block import fp16_bits
from rtl_models.synthesis.blocks import blocks
from rtl_models.synthesis.compute_blocks import _engine_sums, registers_behind, tree_engine
from rtl_models.synthesis.control_blocks import SEMAPHORES
from tests.unit.synthesis.toy import KIT, LIBRARY

STRATUM = tree_params(load_chip("stratum"))
SMALL = STRATUM._replace(engines=1, taps=4, columns=4, latency=2)
BLOCKS = {block.name: block for block in blocks()}
FEW = [BLOCKS[name] for name in ("pe_int8_plain", "links", "skew_register")]


@pytest.mark.parametrize("name", BLOCKS)
def test_operands_are_those_that_the_block_has(name):
    block = BLOCKS[name]
    widths = {wire.name: len(wire) for wire in block.build().wirevector_subset(pyrtl.Input)} | {"rst": 1}
    for operation in block.operations:
        for cycle in block.stimulus(operation)[:40]:
            assert all(0 <= value < 1 << widths[port] for port, value in cycle.items())


def test_the_sequencer_has_the_semaphores_of_a_program():
    assert semaphores(16) == SEMAPHORES


def test_an_engine_has_its_registers_where_the_slice_has_them():
    for latency in range(STRATUM.levels + 1):
        params = STRATUM._replace(latency=latency)
        slice_ = _Datapath.__new__(_Datapath)
        slice_.params = params
        levels = range(1, params.levels + 1)
        assert [registers_behind(params, level) for level in levels] == [
            slice_.registers_behind(level) for level in levels
        ]


def test_an_engine_adds_pairwise_then_row_by_row():
    block = tree_engine(SMALL)
    inputs = _engine_sums(SMALL.taps, fp16_bits)(random.Random(1))
    stimulus = [next(inputs) for _ in range(20)]
    simulation = pyrtl.FastSimulation(
        block=block, tracer=pyrtl.SimulationTrace(block.wirevector_subset(pyrtl.Output), block=block)
    )
    simulation.step_multiple({name: [cycle[name] for cycle in stimulus] for name in ("x", "y", "first")})
    shown = np.array(simulation.tracer.trace["sum"], dtype=np.uint32).view(np.float32)
    total = np.float32(0)
    for k, cycle in enumerate(stimulus[: 20 - SMALL.latency - 1]):
        x, y = (np.array([cycle[side] >> 16 * tap & 0xFFFF for tap in range(4)], np.uint16) for side in "xy")
        products = x.view(np.float16).astype(np.float32) * y.view(np.float16).astype(np.float32)
        total = (np.float32(0) if k % 16 == 0 else total) + ((products[0] + products[1]) + (products[2] + products[3]))
        assert shown[k + SMALL.latency + 1] == total


@pytest.fixture
def toy_flow(monkeypatch, tmp_path):
    """The command with a toy library, and with a mapping that is only said to be done; what it was done for."""
    (tmp_path / "toy.lib").write_text(LIBRARY)
    files = (tmp_path / "toy.lib",)
    monkeypatch.setattr(command, "find_kit", lambda _: type(KIT)(**{**vars(KIT), "files": files, "flops": files[0]}))
    monkeypatch.setattr(command, "blocks", lambda: FEW)
    monkeypatch.setattr(flow, "tool_version", lambda: "Yosys of a test")
    done, broken = [], set()

    def entry(block, *_):
        if block.name in broken:
            raise RuntimeError(f"{block.name} failed")
        done.append(block.name)
        return f'sha256 = "{flow.source_hash(block)}"\nround = {len(done)}', "said"

    monkeypatch.setattr(flow, "entry_of", entry)
    return tmp_path, done, broken


def names_of(path: Path):
    return [line[8:-1] for line in path.read_text().splitlines() if line.startswith("[blocks.")]


def test_a_run_that_was_stopped_goes_on_and_the_table_is_replaced_at_the_end(toy_flow, capsys):
    folder, done, broken = toy_flow
    broken.add("links")
    assert command.main(["--out", str(folder)]) == 2
    assert "links failed" in capsys.readouterr().err
    assert not (folder / "toy.toml").exists()
    assert names_of(folder / "toy.part") == ["pe_int8_plain"]
    broken.clear()
    assert command.main(["--out", str(folder), "--keep", "--only", "skew_register"]) == 0  # without the broken one
    assert names_of(folder / "toy.toml") == ["pe_int8_plain", "skew_register"]
    broken.add("pe_int8_plain")  # not to be done again
    assert command.main(["--out", str(folder), "--keep"]) == 0
    assert done.count("pe_int8_plain") == 1
    assert names_of(folder / "toy.toml") == [block.name for block in FEW]
    assert sorted(path.name for path in folder.iterdir()) == ["toy.lib", "toy.toml"]


def test_a_choice_of_blocks_leaves_the_others_of_the_table(toy_flow):
    folder, done, _ = toy_flow
    assert command.main(["--out", str(folder)]) == 0
    before = (folder / "toy.toml").read_text()
    assert command.main(["--out", str(folder), "--only", "links"]) == 0
    assert done[len(FEW) :] == ["links"]
    after = (folder / "toy.toml").read_text()
    assert names_of(folder / "toy.toml") == [block.name for block in FEW]
    changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1  # its round
