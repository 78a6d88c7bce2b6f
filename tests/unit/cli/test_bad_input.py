"""A wrong input gives exit code 2 and says where, what was got, what is allowed and what to do; never a traceback."""

# ruff: noqa: E501 -- a table with one case per line

import re

import pytest

from tests.unit.cli.bench import call, run
from tests.unit.report.small import MIXTRAL, chip_text, config_text, write_inputs


class Desk:
    """A folder with a sound model and a sound chip, and means to spoil them."""

    def __init__(self, folder):
        self.folder = folder
        self.model, self.chip = write_inputs(folder)

    def words(self, **options):
        """Words of a simulate command; options replace or add to sound ones."""
        sound = {"model": self.model, "chip": self.chip, "batch": 1, "context": 16, "out": self.folder / "out"}
        pairs = {**sound, **options}
        return ["simulate", *(str(w) for k, v in pairs.items() for w in (f"--{k.replace('_', '-')}", v))]

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def with_chip(self, pattern, replacement):
        return self.words(chip=self.file("bad.toml", chip_text({pattern: replacement})))

    def with_chip_text(self, text):
        return self.words(chip=self.file("bad.toml", text))

    def with_model_text(self, text):
        return self.words(model=self.file("bad.json", text))

    def with_model(self, **changes):
        return self.with_model_text(config_text(**changes))

    def with_moe(self, routing=None, **changes):
        model = self.file("moe.json", config_text(MIXTRAL, **changes))
        given = {} if routing is None else {"routing": self.file("routing.jsonl", routing)}
        return self.words(model=model, **given)

    def with_folder(self, name, inside):
        (self.folder / name).mkdir()
        if inside:
            (self.folder / name / inside).write_text("mine")
        return self.words(out=self.folder / name)

    def with_chip_folder(self):
        (self.folder / "folder.toml").mkdir()
        return self.words(chip=self.folder / "folder.toml")


CASES = [
    # a chip file
    ("unknown key", lambda d: d.with_chip(r"^flit_bytes =", "flit_byte ="), ["bad.toml: noc.flit_byte", "did you mean noc.flit_bytes?", "2 faults"]),
    ("missing source", lambda d: d.with_chip(r"(?<=^rows_per_bank = \{ value = 32768), source = .*", " }"), ["dram.rows_per_bank", "got no origin", "name the source"]),
    ("impossible geometry", lambda d: d.with_chip(r"^granularity = \{ value = 8", "granularity = { value = 7"), ["core.array.rows", "got 128", "a multiple of core.array.granularity = 7"]),
    ("negative number", lambda d: d.with_chip(r"^tRP_ns = \{ value = 4.77", "tRP_ns = { value = -4.77"), ["dram.timing.tRP_ns", "got -4.77", "change the value"]),
    ("text for a number", lambda d: d.with_chip(r"^tRP_ns = \{ value = 4.77", 'tRP_ns = { value = "4.77"'), ["dram.timing.tRP_ns", "got '4.77'", "a number"]),
    ("buffer too small for any tile", lambda d: d.with_chip(r"^bytes = \{ value = 1048576", "bytes = { value = 2048"), ["layer0.", "core.buffer.bytes"]),
    ("no legal dataflow", lambda d: d.with_chip(r"^dataflows = .*", 'dataflows = ["WS"]'), ["core.array.dataflows", "got WS", "allow IS and OS"]),
    ("chip is no TOML", lambda d: d.with_chip_text("[chip\nname ="), ["bad.toml", "line 1", "TOML 1.0"]),
    ("chip is a folder", lambda d: d.with_chip_folder(), ["folder.toml", "got a directory", "give the path of a .toml file in it"]),
    ("chip file is not there", lambda d: d.words(chip=d.folder / "smal.toml"), ["smal.toml", "no such file", "small.toml?"]),
    ("unknown chip", lambda d: d.words(chip="snak"), ["got 'snak'", "snake, snake-fit, stratum", "did you mean snake?"]),
    # a model file
    ("unknown model", lambda d: d.words(model="lama-3.1-8b"), ["got 'lama-3.1-8b'", "mixtral-8x7b", "did you mean 'llama-3.1-8b'?"]),
    ("corrupt JSON", lambda d: d.with_model_text('{"architectures": ['), ["bad.json, line 1, column 20", "corrupt JSON", "repair the file"]),
    ("unsupported family", lambda d: d.with_model(architectures=["GPT2LMHeadModel"]), ["architectures", "GPT2LMHeadModel", "LlamaForCausalLM"]),
    ("missing key", lambda d: d.with_model(vocab_size=...), ["bad.json: vocab_size", "no such key", "add the key"]),
    ("negative width", lambda d: d.with_model(hidden_size=-1), ["hidden_size", "got -1", "an integer in 1.."]),
    ("heads do not divide", lambda d: d.with_model(num_key_value_heads=3), ["num_key_value_heads", "got 3", "a divisor of num_attention_heads = 8"]),
    ("more experts per token than experts", lambda d: d.with_moe(num_experts_per_tok=5), ["num_experts_per_tok", "got 5", "1..4"]),
    ("model too large for the stack", lambda d: d.words(model="llama-3.1-70b", chip="snake", stacks=1), ["141.11 GB", "at most 34.36 GB", "--layers 17 fits"]),
    ("model too large for the stacks", lambda d: d.words(model="llama-3.1-70b", chip="snake", stacks=2), ["fullest of 2 stacks", "at most 34.36 GB", "GB too much: use more stacks"]),
    ("heads that stacks do not divide", lambda d: d.words(model="llama-3.1-70b", chip="snake", stacks=7), ["7 stacks: heads not divisible", "a divisor of 64 query heads"]),
    ("no number of stacks", lambda d: d.words(stacks="two"), ["--stacks: got 'two'", "an integer of at least 1"]),
    ("skew without zipf", lambda d: [*d.with_moe(None), "--skew", "1.5"], ["--skew: got routing uniform", "add --routing zipf"]),
    ("router options with a dense model", lambda d: d.words(locality=0.5), ["--locality for a dense model"]),
    ("skew and locality out of range", lambda d: [*d.with_moe(None), "--routing", "zipf", "--skew", "9", "--locality", "1.5"], ["--skew: got '9'; allowed: a number in 0..8", "--locality: got '1.5'", "options are wrong"]),
    ("router options with a file", lambda d: [*d.with_moe("{}"), "--decode-step", "2"], ["--decode-step", "leave them out: the file says all"]),
    ("unknown placement", lambda d: [*d.with_moe(None), "--stacks", "2", "--placement", "random"], ["placement: got 'random'", "blocks or round_robin"]),
    ("no room behind the first tier", lambda d: d.words(model="llama-3.1-8b", chip="snake", first_tier=7), ["DRAM capacity", "32768 rows", "--layers"]),
    # a routing
    ("routing for a dense model", lambda d: d.words(routing="zipf"), ["--routing", "got 'zipf'", "leave out --routing"]),
    ("routing file with bad lines", lambda d: d.with_moe('{"layer": 0, "token": 0, "experts": [0, 9]}\nnonsense\n'), ["line 1: got expert 9", "line 2, column 1: got corrupt JSON", "layer 1: got no line for 1 of 1 tokens"]),
    ("routing file is not there", lambda d: [*d.with_moe(), "--routing", "absent.jsonl"], ["absent.jsonl", "No such file", "check the path"]),
    # options
    ("zero batch", lambda d: d.words(batch=0), ["--batch", "got '0'", "at least 1", "number of sequences"]),
    ("negative batch", lambda d: d.words(batch=-3), ["--batch", "got '-3'", "at least 1"]),
    ("half a batch", lambda d: d.words(batch=1.5), ["--batch", "got '1.5'", "an integer"]),
    ("batch out of reason", lambda d: d.words(batch=10**7), ["batch", "got 10000000", "1..65536"]),
    ("context longer than the model's", lambda d: d.words(context=1000), ["context", "got 1000", "1..512", "tiny knows 512 positions"]),
    ("context in words", lambda d: d.words(context="many"), ["--context", "got 'many'", "an integer"]),
    ("no layers", lambda d: d.words(layers=0), ["--layers", "got '0'", "at least 1"]),
    ("too many layers", lambda d: d.words(layers=3), ["layers", "got 3", "1..2"]),
    ("negative seed", lambda d: d.words(seed=-1), ["--seed", "got '-1'", "0..9223372036854775807"]),
    ("endless seed", lambda d: d.words(seed="9" * 5000), ["--seed", "give another seed"]),
    ("no such tier", lambda d: d.words(first_tier=8), ["first tier", "got 8", "0 to 7"]),
    ("negative tier", lambda d: d.words(first_tier=-1), ["--first-tier", "got '-1'", "at least 0"]),
    ("no such mode", lambda d: d.words(mode="fast"), ["--mode", "got 'fast'", "skip or plain"]),
    ("no such trace", lambda d: d.words(trace="all"), ["--trace", "got 'all'", "none or coarse or full"]),
    ("no cycles", lambda d: d.words(limit_cycles=0), ["--limit-cycles", "got '0'", "at least 1"]),
    # the folder of the result
    ("folder of others", lambda d: d.with_folder("mine", "thesis.tex"), ["--out", "files of others: thesis.tex", "choose another folder"]),
    ("result is a file", lambda d: d.words(out=d.file("x", "")), ["--out", "got a file", "choose another folder"]),
    ("no folder", lambda d: d.words(out=""), ["--out", "name the folder"]),
    ("folder that nobody may make", lambda d: d.words(out="/proc/nmpsim/out"), ["--out /proc/nmpsim/out", "a folder to write to"]),
]  # fmt: skip


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def check(code, out, err, folder, phrases):
    """What holds for every wrong input."""
    assert code == 2, err
    assert not out
    assert err.startswith("nmpsim: ")
    assert "Traceback" not in err
    assert re.search(r"^  - .+: got .+; allowed: .+; .+", err, re.MULTILINE), err
    for phrase in phrases:
        assert phrase in err
    assert not (folder / "out").exists()
    assert not list(folder.glob(".*nmpsim*"))


@pytest.mark.parametrize(("words", "phrases"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_bad_input_is_refused_with_what_to_do(desk, words, phrases):
    done = call(*words(desk))
    check(done.exit_code, done.stdout, done.stderr, desk.folder, phrases)


@pytest.mark.parametrize("name", ["unknown key", "corrupt JSON", "zero batch", "model too large for the stack"])
def test_the_installed_command_refuses_it_alike(desk, name):
    words, phrases = next(case[1:] for case in CASES if case[0] == name)
    code, out, err = run(*words(desk))
    check(code, out, err, desk.folder, phrases)


def test_sound_inputs_are_not_refused(desk):
    assert call(*desk.words()).exit_code == 0


def test_all_wrong_options_are_told_at_once(desk):
    done = call(*desk.words(batch=0, context=0, seed="x", mode="fast"))
    assert done.exit_code == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()[1:]] == [
        "  - --batch",
        "  - --context",
        "  - --seed",
        "  - --mode",
    ]


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["simulate"], "Missing option"),
        (["simulate", "--modle", "x"], "No such option"),
        (["simulte"], "No such command"),
        (["show", "chips"], "No such command"),
        (["show", "chip"], "Missing argument"),
    ],
)
def test_a_wrong_command_exits_with_2(words, phrase):
    done = call(*words)
    assert done.exit_code == 2
    assert phrase in done.stderr


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["show", "chip", "snak"], "did you mean snake?"),
        (["show", "chip", "snake", "absent.toml"], "absent.toml"),
        (["show", "model", "llama"], "mixtral-8x7b"),
        (["show", "schedule", "--model", "llama-3.1-8b", "--chip", "snake", "--batch", "0"], "--batch"),
        (["show", "program", "--model", "llama-3.1-8b", "--chip", "snake", "--limit", "0"], "--limit"),
        (["show", "program", "--model", "llama-3.1-8b", "--chip", "snake", "--layers", "1", "--core", "16"], "0..15"),
    ],
)
def test_show_refuses_alike(words, phrase):
    done = call(*words)
    assert done.exit_code == 2
    assert phrase in done.stderr
    assert not done.stdout
