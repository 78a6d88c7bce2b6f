"""The mutation script itself: it changes things, it does not kill what is right, and it has sites of every kind."""

from __future__ import annotations

import ast
from collections import Counter

import pyrtl
import pytest

from rtl_models.core.pe import FLOW_OS, PeParams, pe_block
from tests.cosim.array_replay import first_difference
from tests.cosim.pe_model import record
from tests.cosim.replay import PyrtlRun, Replay
from tests.mutation import __main__ as command
from tests.mutation import code_trials, folding, netlist, netlist_trials, source
from tests.mutation.drawing import draw
from tests.mutation.verdict import LEAST, Mutant, Verdict, explanations

PE = PeParams("int8", 1)
MODULES = ("streaming", "stationary", "folds", "geometry", "array")


@pytest.fixture(scope="module")
def design():
    return netlist.design_of(lambda: pe_block(PE))


@pytest.fixture(scope="module")
def sites(design):
    return netlist.sites_of(design)


@pytest.fixture(scope="module")
def replay():
    return record(PE, FLOW_OS, 60, seed=1)


def shape(block):
    """The netlist as text, free of the names that PyRTL gives."""
    return Counter((net.op, str(net.op_param), *(str(getattr(a, "val", len(a))) for a in net.args)) for net in block)


def test_there_are_netlist_sites_of_every_kind(sites):
    assert {site.kind for site in sites} == set(netlist.KINDS)
    assert len({site.identity for site in sites}) == len(sites)


def test_every_function_of_the_pe_has_sites(sites):
    assert {site.function for site in sites} == {
        "pe.pe",
        "pe.int8_multiply",
        "pe.int32_add",
        "pe._of_set",
        "floats.held",
    }


def test_a_mutant_differs_and_the_right_netlist_comes_back(design, sites):
    before = shape(design.block), len(design.block.wirevector_set), {id(net) for net in design.block.logic}
    resets = {wire.name: wire.reset_value for wire in design.block.wirevector_subset() if hasattr(wire, "reset_value")}
    for site in draw(sites, 60, "1"):
        with netlist.mutated(design, site) as block:
            same = {id(net) for net in block.logic} == before[2]
            if same:
                assert site.text == "begins with ones"
                assert site.net.dests[0].reset_value != resets[site.net.dests[0].name]
        assert (shape(design.block), len(design.block.wirevector_set)) == before[:2], site
        assert site.net.dests[0].__dict__.get("reset_value") == resets.get(site.net.dests[0].name)


def test_the_right_netlist_lives_and_mutants_of_every_kind_die(design, sites, replay):
    assert first_difference(design.block, replay) == (-1, "")
    dead = set()
    for site in draw(sites, 40, "2"):
        with netlist.mutated(design, site) as block:
            dead |= {site.kind} if first_difference(block, replay)[1] else set()
    assert dead >= set(netlist.KINDS) - {"concat"}


def test_what_is_folded_away_is_no_site():
    block = pyrtl.Block()
    with pyrtl.set_working_block(block):
        a, b = pyrtl.Input(4, "a"), pyrtl.Input(4, "b")
        stuck, free = pyrtl.Register(1, "stuck"), pyrtl.Register(4, "free")
        stuck.next <<= stuck & a[0]  # never leaves its reset value
        free.next <<= pyrtl.select(stuck, a ^ b, a & b)
        unheard = a + b
        y, z = pyrtl.Output(4, "y"), pyrtl.Output(2, "z")
        y <<= free | pyrtl.Const(0, 4)
        z <<= pyrtl.concat(stuck, free == 16)
    assert len(unheard) == 5
    design = netlist.design_of(lambda: block)
    bits = folding.known_bits(block)
    by_name = {wire.name: bits[id(wire)] for wire in block.wirevector_subset()}
    assert by_name["stuck"] == (1, 0)
    assert by_name["free"] == (0, 0)
    assert by_name["z"] == (3, 0)
    kept = {net.op for net in block.logic if id(net) in folding.heard(block, bits)}
    assert kept == {"w", "|", "x", "&", "r"}
    assert not design.nets  # none of them was made in rtl_models while design_of looked


def test_known_bits_hold_in_every_cycle(design, replay):
    probed = pe_block(PE)
    known = [
        (w, *bits) for w in probed.wirevector_subset(pyrtl.Register) for bits in [folding.known_bits(probed)[id(w)]]
    ]
    run = PyrtlRun(Replay("pe", probed, replay.inputs, replay.outputs))
    for cycle in range(len(replay.inputs)):
        _, registers = run.step(cycle)
        assert all(registers[wire.name] & mask == value for wire, mask, value in known)


def test_the_seed_alone_says_what_is_drawn(sites):
    first, again, other = (draw(sites, 50, seed) for seed in ("1", "1", "2"))
    assert [one.identity for one in first] == [one.identity for one in again]
    assert [one.identity for one in first] != [one.identity for one in other]
    assert len({one.identity for one in first}) == 50
    assert {one.kind for one in first[: len(netlist.KINDS)]} == set(netlist.KINDS)
    assert draw(sites, 20, "1") == first[:20]
    assert len(draw(sites, 10**6, "1")) == len(sites)


def test_there_are_code_sites_of_every_kind_and_each_changes_its_function():
    found = [site for module in MODULES for site in source.sites_of(f"nmpsim.core.{module}")]
    assert {site.kind for site in found} == set(source.KINDS)
    assert len({site.identity for site in found}) == len(found)
    for site in draw(found, 60, "1"):
        right = next(
            one
            for one in source.kernels(ast.parse(source.path_of(site.module).read_text()))
            if one.name == site.function.split(".")[-1]
        )
        assert ast.unparse(source.changed(site)) != ast.unparse(right), site


@pytest.mark.parametrize(("killed", "known", "holds"), [(90, 10, True), (89, 11, False), (95, 4, False)])
def test_the_verdict_asks_for_the_rate_and_for_explanations(killed, known, holds):
    mutants = [Mutant("code", str(n), "", "traces" if n < killed else "") for n in range(100)]
    verdict = Verdict(mutants, {str(n): "equivalent: said so" for n in range(killed, killed + known)})
    assert LEAST == 0.9
    assert verdict.holds() == holds
    assert f"{killed}.0 %" in verdict.lines()[0]
    assert verdict.lines()[-1] == f"verdict: {'holds' if holds else 'does not hold'}"


def test_explanations_have_a_class_and_stand_once(tmp_path):
    assert all(text.split(":")[0] in CLASSES for text in explanations().values())
    twice = tmp_path / "survivors.toml"
    twice.write_text('[[survivor]]\nclass = "equivalent"\nwhy = "x"\nmutants = ["a", "a"]\n')
    with pytest.raises(ValueError, match="a stands twice; allowed: once"):
        explanations(twice)


CLASSES = ("equivalent", "unreachable", "parameters", "hole")


def test_a_list_runs_nothing(capsys):
    assert command.main(["--code", "9", "--seed", "3", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert not any("killed" in line or "SURVIVED" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("run", [netlist_trials.run, code_trials.run], ids=["netlist", "code"])
def test_a_sample_is_killed_or_explained(run):
    verdict = Verdict(list(run(60, 1)), explanations())  # the rate is asked of the whole run: docs/core/mutation.md
    print(*verdict.lines(), sep="\n")
    assert not verdict.unexplained()
    assert not verdict.stale()
