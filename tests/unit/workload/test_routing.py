import hashlib
import itertools
import json
import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmpsim.errors import WorkloadError
from nmpsim.workload import Routing, decode_step, load_model, load_routing, routing_lines, synthetic_routing
from nmpsim.workload.routing import _Draws, zipf_weights
from tests.unit.workload.configs import LLAMA_CONFIG, MIXTRAL_CONFIG, changed, model_of

MODEL = model_of(MIXTRAL_CONFIG)  # 3 layers, 6 experts, 2 per token
DENSE = model_of(LLAMA_CONFIG)


def faults_of(make, *args, **kwargs):
    with pytest.raises(WorkloadError) as caught:
        make(*args, **kwargs)
    return caught.value.faults


# --- synthetic


@given(
    batch=st.integers(1, 20),
    layers=st.integers(1, 3),
    experts=st.integers(1, 9),
    chosen=st.integers(1, 9),
    distribution=st.sampled_from(["uniform", "zipf"]),
    exponent=st.floats(0, 8),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_token_has_distinct_experts_in_range(batch, layers, experts, chosen, distribution, exponent, seed):
    chosen = min(chosen, experts)
    model = model_of(changed(MIXTRAL_CONFIG, num_local_experts=experts, num_experts_per_tok=chosen))
    routing = synthetic_routing(model, batch, layers, distribution, exponent, seed)
    assert (routing.layers, routing.batch) == (layers, batch)
    for token in itertools.chain(*routing.assignment):
        assert len(set(token)) == len(token) == chosen
        assert set(token) <= set(range(experts))


def test_uniform_routing_is_the_same_on_every_machine():
    assert synthetic_routing(MODEL, 4, 2, seed=7).assignment == UNIFORM


def test_zipf_routing_is_the_same_on_every_machine():
    assert synthetic_routing(MODEL, 4, 2, "zipf", 1.5, seed=7).assignment == ZIPF


def test_a_whole_routing_is_the_same_on_every_machine():
    routing = synthetic_routing(load_model("mixtral-8x7b"), 64, distribution="zipf", exponent=0.9, seed=3)
    assert hashlib.sha256(json.dumps(routing.assignment).encode()).hexdigest() == WHOLE


def test_a_layer_does_not_depend_on_how_many_are_asked_for():
    few, all_layers = synthetic_routing(MODEL, 5, 1, "zipf"), synthetic_routing(MODEL, 5, None, "zipf")
    assert few.assignment == all_layers.assignment[:1]


def test_seeds_and_layers_differ():
    one, other = synthetic_routing(MODEL, 50, seed=1), synthetic_routing(MODEL, 50, seed=2)
    assert one != other
    assert len(set(one.assignment)) == 3


def test_zipf_with_exponent_zero_has_equal_weights():
    assert len(set(zipf_weights(9, 0.0))) == 1


@pytest.mark.parametrize("exponent", [1, 2, 3])
def test_zipf_weights_are_the_exact_powers_to_the_nearest_integer(exponent):
    for rank, weight in enumerate(zipf_weights(64, float(exponent)), start=1):
        assert abs(weight - Fraction(2**48, rank**exponent)) <= Fraction(1, 2)


def test_uniform_draws_every_expert_equally_often():
    """Each of 6 experts is one of a token's 2 with chance 1/3; n tokens: six standard deviations either way."""
    tokens = 6000
    count = Counter(itertools.chain(*synthetic_routing(MODEL, tokens, 1).assignment[0]))
    deviation = math.sqrt(tokens * (1 / 3) * (2 / 3))
    assert set(count) == set(range(6))
    assert all(abs(times - tokens / 3) <= 6 * deviation for times in count.values())


def test_zipf_draws_the_first_expert_of_a_token_by_rank():
    """First draw: rank r with chance r**-1 / H(6), H(6) = 2.45; six standard deviations either way."""
    tokens = 6000
    layer = synthetic_routing(MODEL, tokens, 1, "zipf", 1.0).assignment[0]
    times = [n for _, n in Counter(token[0] for token in layer).most_common()]
    chances = [1 / rank / 2.45 for rank in range(1, 7)]
    for seen, chance in zip(times, chances, strict=True):
        assert abs(seen - tokens * chance) <= 6 * math.sqrt(tokens * chance * (1 - chance))


def test_zipf_permutes_the_ranks_by_layer():
    layers = synthetic_routing(load_model("mixtral-8x7b"), 400, distribution="zipf", exponent=3.0).assignment
    favourites = {Counter(token[0] for token in layer).most_common(1)[0][0] for layer in layers}
    assert len(favourites) > 4


def test_tokens_of_each_expert_ascend():
    routing = Routing((((3, 0), (0, 5), (3, 5)),), "a test")
    assert routing.tokens == ({0: (0, 1), 3: (0, 2), 5: (1, 2)},)
    assert list(routing.tokens[0]) == [0, 3, 5]


def test_origin_tells_rule_and_seed():
    assert synthetic_routing(MODEL, 1, seed=5).origin == "synthetic uniform, seed 5"
    assert synthetic_routing(MODEL, 1, distribution="zipf").origin == "synthetic zipf, exponent 1, seed 0"


def test_all_faulty_arguments_are_told_at_once():
    faults = faults_of(synthetic_routing, DENSE, 0, 4, "normal", -1.0, -1)
    assert [fault.where for fault in faults] == ["model", "batch", "layers", "seed", "distribution", "exponent"]
    assert faults[0].allowed == "a mixture of experts"
    assert faults[4].allowed == "uniform or zipf"


@pytest.mark.parametrize("exponent", [float("nan"), float("inf"), 8.1, "1", True])
def test_exponent_is_a_number_in_range(exponent):
    (fault,) = faults_of(synthetic_routing, MODEL, 1, 1, "zipf", exponent)
    assert (fault.where, fault.allowed) == ("exponent", "a number in 0..8")


class ScriptedBits:
    """Raw 64-bit numbers as a test lists them."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def random_raw(self):
        return self.numbers.pop(0)


def scripted(*numbers):
    draws = _Draws(0, 0)
    draws._bits = ScriptedBits(*numbers)
    return draws


@pytest.mark.parametrize(("mark", "drawn"), [(0, 7), (1, 7), (2, 4), (3, 9), (4, 9), (5, 9)])
def test_a_draw_is_the_member_whose_share_holds_the_mark(mark, drawn):
    """Weights 2, 1, 3: member 7 has the marks 0 and 1, member 4 has 2, member 9 has 3 to 5."""
    assert scripted(mark).distinct([7, 4, 9], [2, 1, 3], 1) == (drawn,)


def test_a_drawn_member_is_not_put_back():
    """Mark 2 takes member 4 of weight 1; then member 7 has 0 and 1, member 9 has 2 to 4."""
    assert scripted(2, 2).distinct([7, 4, 9], [2, 1, 3], 2) == (4, 9)


def test_a_number_of_the_uneven_tail_is_redrawn():
    """2**64 = 1 modulo 3, so the last number is the one too many."""
    assert scripted(2**64 - 2).below(3) == 2
    assert scripted(2**64 - 1, 7).below(3) == 1


# --- from a file


@pytest.fixture
def written(tmp_path):
    """Write lines (dicts or texts) to a routing file."""

    def write(*lines):
        path = tmp_path / "routing.jsonl"
        path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
        return path

    return write


def entry(layer, token, *experts):
    return {"layer": layer, "token": token, "experts": list(experts)}


@given(routing=st.builds(lambda seed: synthetic_routing(MODEL, 3, seed=seed), st.integers(0, 99)), data=st.data())
def test_a_written_routing_is_read_back_in_any_order(routing, data, tmp_path_factory):
    lines = [
        json.dumps(entry(layer, token, *experts))
        for layer, tokens in enumerate(routing.assignment)
        for token, experts in enumerate(tokens)
    ]
    path = tmp_path_factory.mktemp("routing") / "routing.jsonl"
    path.write_text("\n\n".join(data.draw(st.permutations(lines))))
    loaded = load_routing(path, MODEL, 3)
    assert loaded.assignment == routing.assignment
    assert loaded.origin == f"file {path}"


def test_later_layers_of_the_file_are_not_used(written):
    path = written(entry(2, 0, 1, 2), entry(0, 0, 5, 4))
    assert load_routing(path, MODEL, 1, layers=1).assignment == (((5, 4),),)


@pytest.mark.parametrize(
    ("line", "where", "got", "allowed"),
    [
        ('{"layer": 0', ", column 12", "corrupt JSON (Expecting ',' delimiter)", "a JSON object"),
        ("[0, 0]", "", "[0, 0]", "an object of layer, token and experts"),
        ({"layer": 0, "token": 1}, "", "the keys 'layer', 'token'", "an object of layer, token and experts"),
        ({**entry(0, 1, 1, 2), "x": 1}, "", "the keys 'layer', 'token', 'experts', 'x'", "an object of"),
        (entry(3, 1, 1, 2), ": layer", "3", "an integer in 0..2"),
        (entry(True, 1, 1, 2), ": layer", "True", "an integer in 0..2"),
        (entry(0, 2, 1, 2), ": token", "2", "an integer in 0..1"),
        (entry(0, -1, 1, 2), ": token", "-1", "an integer in 0..1"),
        (entry(0, 1, 1), "", "1 experts", "2 experts per token"),
        (entry(0, 1, 1, 2, 3), "", "3 experts", "2 experts per token"),
        (entry(0, 1, 1, 6), "", "expert 6", "an integer in 0..5"),
        (entry(0, 1, 1, 2.0), "", "expert 2.0", "an integer in 0..5"),
        (entry(0, 1, 4, 4), "", "experts [4, 4]", "distinct experts"),
        ({**entry(0, 1), "experts": 3}, ": experts", "3", "a list"),
        (entry(0, 0, 1, 2), "", "layer 0, token 0 again (first in line 1)", "each layer and token once"),
    ],
)
def test_a_faulty_line_is_told_by_its_number(written, line, where, got, allowed):
    path = written(entry(0, 0, 1, 2), "", line)
    fault = faults_of(load_routing, path, MODEL, 2, 1)[0]
    assert fault.where == f"{path}, line 3{where}"
    assert fault.got == got
    assert fault.allowed.startswith(allowed)


def test_missing_lines_are_told_by_layer(written):
    path = written(entry(0, 0, 1, 2), entry(1, 1, 1, 2), *(entry(0, token, 0, 1) for token in range(1, 9)))
    (fault,) = faults_of(load_routing, path, MODEL, 9, 2)
    assert (fault.where, fault.got) == (f"{path}: layer 1", "no line for 8 of 9 tokens: 0, 2, 3, 4, 5, 6, ...")


def test_all_faults_of_a_file_come_at_once(written):
    path = written(entry(0, 0, 9, 9), "nonsense", entry(0, 1, 0))
    wheres = [fault.where for fault in faults_of(load_routing, path, MODEL, 2, 2)]
    line = f"{path}, line "
    expected = [line + "1", line + "1", line + "1", line + "2, column 1", line + "3", f"{path}: layer 1"]
    assert wheres == expected


@pytest.mark.parametrize("text", ['{"layer": ' + "9" * 5000 + "}", "[" * 100_000])
def test_monstrous_lines_are_refused(written, text):
    assert faults_of(load_routing, written(text), MODEL, 1, 1)[0].got.startswith("corrupt JSON (")


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    (fault,) = faults_of(load_routing, tmp_path / "none.jsonl", MODEL, 1)
    assert fault.got == "No such file or directory"
    (tmp_path / "binary").write_bytes(b"\xff\xff")
    (fault,) = faults_of(load_routing, tmp_path / "binary", MODEL, 1)
    assert fault.allowed == "JSON lines in UTF-8"


def test_arguments_are_checked_before_the_file():
    faults = faults_of(load_routing, "none.jsonl", DENSE, 0, 0)
    assert [fault.where for fault in faults] == ["model", "batch", "layers"]


# --- given to a step


def test_a_dense_model_takes_no_routing():
    (fault,) = faults_of(decode_step, DENSE, 1, 1, routing=synthetic_routing(MODEL, 1))
    assert (fault.where, fault.allowed) == ("routing", "none: small has no experts")


def test_a_routing_of_other_size_is_refused():
    (fault,) = faults_of(decode_step, MODEL, 1, 1, routing=synthetic_routing(MODEL, 1, 2))
    assert (fault.got, fault.allowed) == ("2 layers", "at least 3 layers")
    faults = faults_of(decode_step, MODEL, 2, 1, routing=synthetic_routing(MODEL, 1))
    assert [fault.got for fault in faults] == ["1 tokens"] * 3


def test_a_routing_of_another_model_is_refused():
    faults = faults_of(decode_step, MODEL, 1, 1, 1, routing=Routing((((6, 2, 2),),), "a test"))
    assert [fault.got for fault in faults] == ["expert 6", "3 experts", "experts [6, 2, 2]"]
    assert {fault.where for fault in faults} == {"routing: layer 0, token 0"}


# Recorded from the first version (2026-11-21), so that a change of the stream shows.
UNIFORM = (((4, 5), (3, 5), (3, 5), (3, 0)), ((5, 0), (2, 3), (1, 2), (1, 5)))
ZIPF = (((1, 3), (5, 2), (1, 4), (5, 3)), ((0, 5), (5, 4), (5, 2), (5, 4)))
WHOLE = "725ce6f1e91c5f78db78a3f7d7c56cfc781796760729c1c17c51e6a4b08cea5a"


# --- expert groups, dense layers, time


GROUPED = load_model("deepseek-v3")


@pytest.mark.parametrize("distribution", ["uniform", "zipf"])
def test_experts_of_a_token_come_from_the_groups_it_may_use(distribution):
    routing = synthetic_routing(GROUPED, 16, 5, distribution, seed=4)
    assert [len(layer) for layer in routing.assignment] == [0, 0, 0, 16, 16]
    for token in (token for layer in routing.assignment for token in layer):
        assert len(set(token)) == 8
        assert len({expert // 32 for expert in token}) <= 4


def test_a_synthetic_routing_of_every_step_is_legal():
    routing = synthetic_routing(GROUPED, 4, 5, "zipf", 1.2, locality=0.7, step=6)
    assert decode_step(GROUPED, 4, 9, 2, routing, first_layer=3).distinct_experts.keys() == {3, 4}


def shared(one, other):
    pairs = zip(one.assignment[3], other.assignment[3], strict=True)
    return sum(len(set(a) & set(b)) for a, b in pairs)


def test_locality_keeps_experts_from_step_to_step():
    """256 tokens of 8 experts: all are kept with locality 1; with 0.5 half of 2048, by 5 standard deviations of 22.6,
    and those drawn again by chance."""
    kept = [synthetic_routing(GROUPED, 256, 4, locality=1.0, step=step) for step in (0, 3)]
    assert kept[0].assignment == kept[1].assignment
    half = [synthetic_routing(GROUPED, 256, 4, locality=0.5, step=step) for step in (4, 5)]
    drawn = [synthetic_routing(GROUPED, 256, 4, locality=0.0, step=step) for step in (4, 5)]
    assert shared(*half) >= 1024 - 113
    assert shared(*drawn) < 1024 - 113
    assert synthetic_routing(GROUPED, 256, 4).assignment == synthetic_routing(GROUPED, 256, 4, locality=0.9).assignment


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"locality": 1.5}, "locality"),
        ({"locality": True}, "locality"),
        ({"step": -1}, "step"),
        ({"step": 1.0}, "step"),
    ],
)
def test_locality_and_step_are_checked(changes, where):
    assert [fault.where for fault in faults_of(synthetic_routing, GROUPED, 1, 4, **changes)] == [where]


def test_a_routing_is_written_as_it_is_read(tmp_path):
    routing = synthetic_routing(GROUPED, 3, 5, "zipf", seed=1)
    path = tmp_path / "trace.jsonl"
    path.write_text(routing_lines(routing))
    assert load_routing(path, GROUPED, 3, 5).assignment == routing.assignment
    assert load_routing(path, GROUPED, 3, 5, first_layer=4).assignment[:4] == ((), (), (), ())


def test_faults_of_a_trace_name_file_and_line(tmp_path):
    path = tmp_path / "trace.jsonl"
    rows = [
        {"layer": 3, "token": 0, "experts": [0, 1, 2, 3, 4, 5, 6, 256]},
        {"layer": 2, "token": 0, "experts": [0, 1, 2, 3, 4, 5, 6, 7]},
        {"layer": 3, "token": 1, "experts": [0, 32, 64, 96, 128, 1, 2, 3]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    faults = faults_of(load_routing, path, GROUPED, 2, 4)
    assert [(fault.where, fault.got, fault.allowed) for fault in faults] == [
        (f"{path}, line 1", "expert 256", "an integer in 0..255"),
        (f"{path}, line 2: layer", "2, a dense layer", "3..60: the layers with experts"),
        (
            f"{path}, line 3",
            "experts of 5 groups: [0, 32, 64, 96, 128, 1, 2, 3]",
            "experts of at most 4 of 8 groups",
        ),
    ]
