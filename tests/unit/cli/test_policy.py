"""``--policy`` of the commands that schedule a step, and ``show schedule --why``."""

from nmpsim import api
from nmpsim.prediction import estimate, schedule_of
from nmpsim.schedule.step import plan_step
from tests.unit.cli.bench import call

STEP = ("--model", "llama-3.1-8b", "--chip", "snake", "--batch", "16", "--context", "256", "--layers", "1")


def test_a_policy_reaches_schedule_and_program():
    job = api.prepare("llama-3.1-8b", "snake", batch=16, context=256, layers=1, policy="searched")
    assert job.options["policy"] == "searched"
    assert call("show", "schedule", *STEP, "--policy", "searched").stdout.splitlines() == job.schedule.lines()
    assert call("show", "schedule", *STEP).stdout.splitlines() != job.schedule.lines()
    assert job.program.sha256 in call("show", "program", *STEP, "--policy", "searched", "--limit", "1").stdout


def test_why_says_for_every_operator_what_else_there_was():
    out = call("show", "schedule", *STEP, "--why").stdout
    for name in ("layer0.qkv", "layer0.attn_out", "layer0.gate_up", "layer0.down", "lm_head"):
        assert f"\n{name}  M 16 " in out
    assert out.count("taken:") == 5
    assert "whole step: " in out
    assert "which predictions do not resolve" in out


def test_an_unknown_policy_is_refused_with_all_names(tmp_path):
    found = call("simulate", *STEP, "--policy", "best", "--out", tmp_path / "run")
    assert found.exit_code == 2
    assert "'best'" in found.output
    assert "operator-agnostic" in found.output
    assert not (tmp_path / "run").exists()


def test_an_estimate_takes_the_schedule_of_its_policy():
    step = {"batch": 4, "context": 256, "layers": 1, "calibration": "none"}
    plain, searched = (estimate("olmoe-1b-7b", "snake", policy=policy, **step) for policy in ("plain", "searched"))
    assert any("over teams of" in operator.plan for operator in searched.operators)
    assert searched.cycles < plain.cycles


def test_an_estimate_of_several_stacks_takes_the_schedule_that_is_simulated():
    options = {"batch": 2, "context": 64, "layers": 1, "stacks": 2, "policy": "searched"}
    schedule = schedule_of(plan_step("mixtral-8x7b", "snake", **options))
    assert schedule.ahead
    assert schedule == api.prepare("mixtral-8x7b", "snake", **options).schedule


def test_why_tells_of_a_plan_that_the_search_leaves_out():
    out = call("show", "schedule", *STEP, "--policy", "random-legal", "--why").stdout
    assert "over teams of" in out
    assert out.count("taken:") == 5
    assert "of them worth a comparison" in out
