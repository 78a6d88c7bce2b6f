"""``nmpsim show stacks``, and the options of stacks and of the synthetic router."""

from nmpsim import api
from nmpsim.workload import load_model, synthetic_routing
from tests.unit.cli.bench import call
from tests.unit.report.small import MIXTRAL, config_text

STEP = ("--chip", "snake", "--batch", "16", "--context", "4096", "--layers", "1")


def test_show_stacks_prints_a_line_for_each_and_which_is_simulated():
    out = call("show", "stacks", "--model", "llama-3.1-70b", *STEP, "--stacks", "8").stdout.splitlines()
    assert len(out) == 1 + 8 + 1
    sent = 16 * 8192 * (2 + 2 * (4 + 2)) * 7 // 8 + 7 * 16 * 8
    assert f"{sent / 1e6:.3f}" in out[1].split()
    reason = "programs of all 8 stacks compared on 1 layer: alike but for addresses"
    assert out[-1] == f"simulated: stack 0; {reason}; imbalance 1.000"


def test_show_stacks_says_when_one_is_enough():
    out = call("show", "stacks", "--model", "llama-3.1-8b", *STEP).stdout
    assert out == "llama-3.1-8b fits into 1 stack of snake; for more, add --stacks\n"


def test_show_routing_takes_skew_and_locality():
    words = ("--model", "mixtral-8x7b", "--batch", "16", "--layers", "2", "--routing", "zipf")
    out = call("show", "routing", *words, "--skew", "2.5", "--locality", "0.5", "--decode-step", "3").stdout
    chosen = synthetic_routing(load_model("mixtral-8x7b"), 16, 2, "zipf", 2.5, 0, 0.5, 3)
    assert chosen.origin in out
    assert f" {len(chosen.tokens[0])} of 8 experts" in out


def test_a_skewed_routing_reaches_the_program(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(config_text(MIXTRAL))
    model = load_model(file)
    words = ("--model", file, "--chip", "snake", "--batch", "4", "--context", "16", "--routing", "zipf", "--skew", "3")
    out = call("show", "program", *words, "--limit", "1").stdout
    routing = synthetic_routing(model, 4, None, "zipf", 3.0)
    assert api.prepare(model, "snake", batch=4, context=16, routing=routing).program.sha256 in out
