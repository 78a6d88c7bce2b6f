"""``nmpsim dram``: runs whose folders pass the checker, the recorded form, bad input by line, and interrupted runs."""

import csv
import gzip
import io
import json
import shutil
import signal
import time

import pytest

from nmpsim.dram.trace import config as run_config
from tests.unit.cli.bench import call, start
from tests.unit.dram.test_trace_files import BAD_COMMANDS, BAD_FILES

LEVELS = "Channel,PseudoChannel,BankGroup,Bank,Row,Column"
FILES = ["commands.csv.gz", "completions.csv.gz", "config.json", "requests.csv.gz", "summary.json"]
NATIVE = ("mono3d", "raptor", "vault", "hmc_vault")


def trace_file(folder, count=300, stride=64, name="trace.txt"):
    """Loads and stores that walk through the memory; every fifth is a store."""
    path = folder / name
    path.write_text("".join(f"{'ST' if n % 5 == 0 else 'LD'} {hex(n * stride)}\n" for n in range(count)))
    return path


def rows(path):
    return list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))


def refused(*words):
    """What is printed about wrong input: exit code 2, no traceback, nothing on stdout."""
    result = call("dram", *words)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert not result.stdout
    return result.stderr


# ------------------------------------------------------------------------------------------------------------------ run


@pytest.mark.parametrize("preset", ["hbm2", "hbm3", "hbm4"])
def test_a_standard_runs_and_its_commands_pass_the_checker(tmp_path, preset):
    out = tmp_path / "run"
    result = call("dram", "run", trace_file(tmp_path), "--preset", preset, "--output", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert "requests    300: 240 reads, 60 writes" in result.stdout
    for of in (("--config", out / "config.json"), ("--preset", preset)):
        checked = call("dram", "check", out / "commands.csv.gz", *of)
        assert checked.exit_code == 0, checked.output
        assert "no rule broken" in checked.stdout


def test_the_folder_of_a_standard_is_a_case_for_the_conformance_run(tmp_path):
    words = ("--preset", "hbm3", "--refresh", "HBM34PerBankRefresh", "--row-policy", "ClosedCAP", "--cap", 3)
    call("dram", "run", trace_file(tmp_path), *words, "--output", tmp_path / "run")
    result = call("conformance", "dram", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "completions 300/300" in result.stdout


@pytest.mark.parametrize("preset", NATIVE)
def test_a_native_preset_runs_and_its_commands_pass_the_checker(tmp_path, preset):
    out = tmp_path / "run"
    trace = trace_file(tmp_path, stride=256 * 1000)
    result = call("dram", "run", trace, "--preset", preset, "--output", out, "--run-columns", 4)
    assert result.exit_code == 0, result.output
    checked = call("dram", "check", out / "commands.csv.gz", "--config", out / "config.json")
    assert checked.exit_code == 0, checked.output
    assert "no rule broken" in checked.stdout


def test_the_files_of_a_run_tell_the_same_story(tmp_path):
    out = tmp_path / "run"
    call("dram", "run", trace_file(tmp_path), "--preset", "hbm2", "--output", out, "--mapper", "RoBaPsCo-xor")
    summary = json.loads((out / "summary.json").read_text())
    commands, completions = rows(out / "commands.csv.gz"), rows(out / "completions.csv.gz")
    counts = {name: sum(row["command"] == name for row in commands) for name in summary["commands"]}
    assert counts == summary["commands"]
    assert counts["RD"] == 240
    assert counts["WR"] == 60
    assert summary["bandwidth"]["bytes"] == 300 * 32
    assert [int(row["id"]) for row in completions] == list(range(300))
    assert summary["last_completion_tick"] == max(int(row["done_cycle"]) for row in completions)
    assert sum(summary["reasons"].values()) == summary["ticks"]
    places = {tuple(row[level] for level in LEVELS.split(",")) for row in rows(out / "requests.csv.gz")}
    moved = {tuple(row[level] for level in LEVELS.split(",")) for row in commands if row["command"] in {"RD", "WR"}}
    assert moved == places
    config = json.loads((out / "config.json").read_text())
    assert config["controller"]["address_mapper"] == "RoBaPsCo-xor"
    assert config["driver"]["max_inject_per_tick"] == 1  # a trace without times


def test_plain_and_skip_mode_write_the_same_bytes(tmp_path):
    for preset in ("hbm3", "vault"):
        found = []
        for name, words in (("skip", ()), ("plain", ("--plain",))):
            out = tmp_path / preset / name
            trace = trace_file(tmp_path, stride=128)
            result = call("dram", "run", trace, "--preset", preset, "--output", out, *words)
            assert result.exit_code == 0, result.output
            found.append([(out / file).read_bytes() for file in FILES])
        assert found[0] == found[1]


def test_requests_of_a_run_give_the_same_run_again(tmp_path):
    words = ("--preset", "hbm2", "--max-inject", 1, "--output")
    call("dram", "run", trace_file(tmp_path), *words, tmp_path / "one")
    call("dram", "run", tmp_path / "one" / "requests.csv.gz", *words, tmp_path / "two")
    one, two = ((tmp_path / name / "commands.csv.gz").read_bytes() for name in ("one", "two"))
    assert one == two


def test_overrides_organisation_and_timing_are_used(tmp_path):
    out = tmp_path / "run"
    words = ("--organisation", "HBM2_4Gb", "--timing", "HBM2_1600Mbps", "--override", "nRCDRD=33")
    call("dram", "run", trace_file(tmp_path, 1, name="one.txt"), "--preset", "hbm2", *words, "--output", out)
    config = json.loads((out / "config.json").read_text())
    assert (config["org_preset"], config["timing_preset"]) == ("HBM2_4Gb", "HBM2_1600Mbps")
    assert config["overrides"] == {"nRCDRD": 33}
    assert config["timing_ticks"]["nRCDRD"] == 33


def test_joined_columns_need_fewer_activations(tmp_path):
    trace = trace_file(tmp_path, 64, stride=256)  # of mono3d: four rows of 16 columns, all stores apart
    trace.write_text("".join(f"R 0,0,0,0,{n // 16},{n % 16}\n" for n in range(64)))
    acts = []
    for columns in (1, 16):
        out = tmp_path / str(columns)
        result = call("dram", "run", trace, "--preset", "mono3d", "--output", out, "--run-columns", columns)
        assert result.exit_code == 0, result.output
        acts.append(json.loads((out / "summary.json").read_text())["commands"]["ACT"])
    assert acts == [64, 4]


# ------------------------------------------------------------------------------------------------------------ bad input

BAD_TRACES = {
    "unaligned": ("id,at,op,addr\n0,0,R,32\n1,0,R,33\n", ":3: got addr = 33; allowed: a multiple of 32"),
    "out of range": ("LD 0x0\nLD 0x100000000000\n", ":2: got addr = 17592186044416; allowed: 0 to "),
    "wrong column count": ("id,at,op,addr\n0,0,R\n", ":2: got 3 columns; allowed: 4 columns"),
    "not a number": ("id,at,op,addr\n0,zero,R,32\n", ":2: got at = 'zero'; allowed: an integer"),
    "negative": ("id,at,op,addr\n0,0,R,-32\n", ":2: got addr = '-32'; allowed: an integer of at least 0"),
    "unknown operation": ("LD 0x20\nPF 0x20\n", ":2: got op = 'PF'; allowed: LD or ST"),
    "time goes back": ("id,at,op,addr\n0,9,R,0\n1,8,R,32\n", ":3: got at = 8; allowed: at least 9"),
    "header missing": ("0,0,R,32\n", ":1: got first line '0,0,R,32'; allowed: id,at,op,addr"),
    "header of another memory": (
        "id,at,op,addr,Channel,Rank,Bank,Row,Column\n",
        f"; allowed: id,at,op,addr alone or followed by {LEVELS}",
    ),
    "truncated gzip": (gzip.compress(b"LD 0x20\n" * 100)[:-9], ":1: got the end of a truncated gzip file"),
}


@pytest.mark.parametrize("case", BAD_TRACES)
def test_a_bad_request_trace_is_refused_by_line_and_nothing_is_written(tmp_path, case):
    content, told = BAD_TRACES[case]
    path = tmp_path / "trace"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused("run", path, "--preset", "hbm2", "--output", tmp_path / "run")
    assert told in message
    assert f"{path}:" in message
    assert [entry.name for entry in tmp_path.iterdir()] == ["trace"]


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused(tmp_path, case):
    name, content, got = BAD_FILES[case]
    (tmp_path / name).write_bytes(content)
    told = refused("run", tmp_path / name, "--preset", "hbm2", "--output", tmp_path / "run")
    assert f"{tmp_path / name}: got {got}" in told


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_a_bad_command_trace_is_refused_by_line(tmp_path, case):
    content, line, _, _ = BAD_COMMANDS[case]
    text = content if isinstance(content, bytes) else content.replace("BankGroup", "PseudoChannel,BankGroup").encode()
    path = tmp_path / "commands.csv"
    path.write_bytes(text)
    assert f"{path}:{line}: got " in refused("check", path, "--preset", "hbm2")


def test_all_wrong_options_come_at_once(tmp_path):
    words = ("--scheduler", "FIFO", "--cap", "0", "--max-inject", "x", "--override", "nRCDRD", "--run-columns", "4")
    told = refused("run", trace_file(tmp_path), "--preset", "hbm2", "--output", tmp_path / "run", *words)
    for option in ("--cap: got '0'", "--max-inject: got 'x'", "--override: got 'nRCDRD'"):
        assert option in told
    told = refused(
        "run", trace_file(tmp_path), "--preset", "hbm2", "--output", tmp_path / "run", *words[:2], "--cap", "2"
    )
    for part in ("scheduler: got 'FIFO'; allowed: FRFCFS, FRFCFS-RowHit", "--cap: got 2; allowed: with --row-policy"):
        assert part in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--preset", "hbm5"), "--preset: got 'hbm5'; allowed: hbm2, hbm3, hbm4, "),
        (("--preset", "mono3d", "--scheduler", "FRFCFS"), "--scheduler: got 'FRFCFS'; allowed: nothing for the native"),
        (("--preset", "mono3d", "--organisation", "x"), "--organisation: got 'x' for the native preset mono3d"),
        (
            ("--preset", "mono3d", "--controller", "reference"),
            "--controller: got reference; allowed: native for mono3d",
        ),
        (("--preset", "hbm2", "--controller", "fpga"), "--controller: got 'fpga'; allowed: reference or native"),
        (("--preset", "hbm2", "--mapper", "BaRoBa"), "mapper: got 'BaRoBa'; allowed: RoBaRaCoCh"),
        (("--preset", "raptor", "--mapper", "MOP4CLXOR"), "got 3; allowed: a power of two; use a named order"),
        (("--preset", "hbm2", "--mapper", "PassThrough"), "give every request its fields"),
        (("--preset", "hbm2", "--run-columns", "4"), "--run-columns: got '4'; allowed: nothing for the standard hbm2"),
        (("--preset", "hbm2", "--refresh", "Never"), "refresh: got 'Never'; allowed: NoRefresh, AllBank"),
    ],
)
def test_a_wrong_choice_is_refused(tmp_path, words, told):
    assert told in refused("run", trace_file(tmp_path), *words, "--output", tmp_path / "run")


def test_a_mapper_for_a_trace_with_fields_is_refused_not_ignored(tmp_path):
    path = tmp_path / "trace"
    path.write_text("R 0,0,0,0,0,0\n")
    told = refused("run", path, "--preset", "hbm2", "--mapper", "MOP4CLXOR", "--output", tmp_path / "run")
    assert "--mapper: got MOP4CLXOR; allowed: PassThrough; leave out --mapper" in told


def test_folders_of_others_are_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    told = refused("run", trace_file(tmp_path), "--preset", "hbm2", "--output", tmp_path / "mine")
    assert "a folder without a summary.json of a former run" in told
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
    assert "--output: got ''" in refused("run", trace_file(tmp_path), "--preset", "hbm2", "--output", "")


def test_a_limit_on_ticks_ends_with_exit_code_3_and_nothing_written(tmp_path):
    words = ("--preset", "hbm2", "--limit-ticks", 50, "--output", tmp_path / "run")
    result = call("dram", "run", trace_file(tmp_path), *words)
    assert result.exit_code == 3
    assert "the limit on ticks was reached" in result.stderr
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------------------------------------------------- interrupted


def test_an_interrupted_run_leaves_nothing_and_keeps_the_former_one(tmp_path, monkeypatch):
    words = ("run", trace_file(tmp_path), "--preset", "hbm2", "--output", tmp_path / "run")
    call("dram", *words)
    former = (tmp_path / "run" / "commands.csv.gz").read_bytes()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_config, "write_commands", interrupted)
    result = call("dram", *words, "--override", "nRCDRD=40")
    assert result.exit_code == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "trace.txt"]
    assert (tmp_path / "run" / "commands.csv.gz").read_bytes() == former


def struck(tmp_path, trace, blow):
    """Return a run that got a signal while it wrote its files, and what it told."""
    with start("dram", "run", trace, "--preset", "hbm2", "--output", tmp_path / "run") as program:
        limit = time.monotonic() + 120
        while not list(tmp_path.glob(".run.nmpsim-run-*/config.json")):  # files are being written
            assert program.poll() is None, program.stderr.read()
            assert time.monotonic() < limit
            time.sleep(0.002)
        program.send_signal(blow)
        _, told = program.communicate(timeout=60)
    return program, told


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_from_outside_has_no_half_written_folder(tmp_path, blow):
    assert call("dram", "run", trace_file(tmp_path), "--preset", "hbm2", "--output", tmp_path / "run").exit_code == 0
    whole = {path.name for path in (tmp_path / "run").iterdir()}
    shutil.rmtree(tmp_path / "run")
    trace = trace_file(tmp_path, 200_000)
    for _ in range(5):
        program, told = struck(tmp_path, trace, blow)
        assert "Traceback" not in told
        if program.returncode != 0:
            break
        assert {path.name for path in (tmp_path / "run").iterdir()} == whole, "half written"  # over before the signal
        shutil.rmtree(tmp_path / "run")
    assert program.returncode != 0
    assert not (tmp_path / "run").exists()
    if blow == signal.SIGINT:
        assert program.returncode == 130
        assert [path.name for path in tmp_path.iterdir()] == ["trace.txt"]


# ---------------------------------------------------------------------------------------------------------------- check


@pytest.fixture
def spoiled(tmp_path):
    """A run of HBM2, and what makes a spoiled copy of its commands."""
    call("dram", "run", trace_file(tmp_path), "--preset", "hbm2", "--output", tmp_path / "run")
    lines = gzip.decompress((tmp_path / "run" / "commands.csv.gz").read_bytes()).decode().splitlines()

    def spoil(change):
        path = tmp_path / "spoiled.csv"
        path.write_text("\n".join(change(lines)) + "\n")
        return path

    return spoil


def test_a_read_too_early_is_told_with_its_line_and_rule(tmp_path, spoiled):
    def too_early(lines):
        first = next(n for n, line in enumerate(lines) if ",RD," in line)
        clock, rest = lines[first].split(",", 1)
        return [*lines[:first], f"{int(clock) - 1},{rest}", *lines[first + 1 :]]

    path = spoiled(too_early)
    result = call("dram", "check", path, "--config", tmp_path / "run" / "config.json")
    assert result.exit_code == 1
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if ",RD," in text)
    assert result.stdout.startswith(f"{path}:{line}: tick ")
    assert "WR-RD at 0.0.0.0 after tick " in result.stdout
    assert "1 violation" in result.stdout


def test_a_missing_activation_is_told_and_the_list_is_cut(spoiled):
    path = spoiled(lambda lines: [line for line in lines if ",ACT," not in line])
    result = call("dram", "check", path, "--preset", "hbm2", "--limit", 3)
    assert result.exit_code == 1
    assert result.stdout.count("column command to a closed bank") == 3
    assert "more; raise --limit" in result.stdout


def test_missing_refreshes_are_told_when_asked_for(tmp_path):
    out = tmp_path / "run"
    trace = tmp_path / "trace"
    trace.write_text("id,at,op,addr\n0,0,R,0\n1,9000,R,32\n")
    call("dram", "run", trace, "--preset", "hbm2", "--refresh", "NoRefresh", "--output", out)
    words = ("check", out / "commands.csv.gz", "--config", out / "config.json")
    assert call("dram", *words).exit_code == 0
    result = call("dram", *words, "--refresh", "AllBank", "--refresh-delay", 500)
    assert result.exit_code == 1
    assert "missing: tick 9" in result.stdout
    assert "refresh later than the limit" in result.stdout


def test_a_column_on_the_wrong_port_of_a_die_is_told(tmp_path):
    out = tmp_path / "run"
    trace = trace_file(tmp_path, 40, stride=256 * 16)
    call("dram", "run", trace, "--preset", "hmc_vault", "--output", out)
    lines = gzip.decompress((out / "commands.csv.gz").read_bytes()).decode().splitlines()
    first = next(n for n, line in enumerate(lines) if ",RD," in line)
    lines[first] = lines[first].rpartition(",")[0] + ",7"
    path = tmp_path / "spoiled.csv"
    path.write_text("\n".join(lines) + "\n")
    result = call("dram", "check", path, "--config", out / "config.json")
    assert result.exit_code == 1
    assert f"{path}:{first + 1}: " in result.stdout
    assert "port of another group" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--preset, --chip, --config: got none"),
        (("--preset", "hbm2", "--config", "x"), "--preset, --chip, --config: got 2 of them"),
        (("--config", "x", "--timing", "y"), "--timing: got y; allowed: with --preset only"),
        (("--preset", "hbm2", "--refresh", "AllBank"), "with --refresh-delay only"),
        (("--preset", "hbm2", "--refresh", "x", "--refresh-delay", "9"), "--refresh: got 'x'; allowed: NoRefresh"),
        (("--preset", "mono3d", "--refresh-delay", "9"), "--refresh-delay: got 9; allowed: nothing for a native"),
        (("--preset", "mono3d"), "no column count"),
        (("--config", "nowhere.json"), "nowhere.json: got No such file"),
    ],
)
def test_a_check_that_cannot_be_made_is_refused(tmp_path, words, told):
    path = tmp_path / "commands.csv"
    levels = "Die,Channel,Group,Bank,Row,Column" if "mono3d" in words else LEVELS
    path.write_text(f"clock,command,{levels}\n1,ACT,0,0,0,0,0,0\n")
    assert told in refused("check", path, *words)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "nmpsim-dram-native-1"}', "{"])
def test_a_wrong_configuration_is_refused(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    assert str(path) in refused("check", "commands.csv", "--config", path)


# ---------------------------------------------------------------------------------------------------------------- bench


@pytest.mark.parametrize("preset", ["hbm2", "hbm3", *NATIVE])
@pytest.mark.parametrize("traffic", ["stream", "random", "mix", "pingpong"])
def test_every_traffic_runs_on_every_kind_of_memory(preset, traffic):
    result = call("dram", "bench", "--preset", preset, "--traffic", traffic, "--requests", 500)
    assert result.exit_code == 0, result.output
    assert f"{preset}, {traffic}: 500 requests" in result.stdout
    assert "per CPU second" in result.stdout


@pytest.mark.parametrize(
    ("words", "ticks"),
    [
        (("--preset", "hbm2", "--organisation", "HBM2_8Gb", "--timing", "HBM2_2000Mbps"), 1142256),
        (("--preset", "hbm3", "--organisation", "HBM3_16Gb_8hi", "--timing", "HBM3_6400Mbps"), 2301609),
    ],
)
def test_a_million_streamed_reads_take_the_ticks_that_ramulator_takes(words, ticks):
    """Ramulator 2.1 (c5b1c3a): same walk, two requests offered per tick; ours adds the 400 ticks of the drain."""
    result = call("dram", "bench", *words, "--requests", 1_000_000)
    assert f"simulated   {ticks + 400} ticks" in result.stdout


def test_a_bench_that_cannot_be_made_is_refused():
    told = refused("bench", "--preset", "hbm2", "--requests", "none", "--seed", "-1")
    assert "--requests: got 'none'" in told
    assert "--seed: got '-1'" in told
    assert "--traffic: got 'flood'; allowed: stream or random or mix or pingpong" in refused(
        "bench", "--preset", "hbm2", "--traffic", "flood"
    )
