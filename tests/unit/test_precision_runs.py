"""Runs with narrow weights and a narrow cache through the API: bytes, time, energy, result, errors."""

import json

import jsonschema
import numpy as np
import pytest

import nmpsim
from nmpsim.api import prepare
from nmpsim.errors import IllegalScheduleError, InfeasibleError, WorkloadError
from nmpsim.program.isa import B_FP8, B_INT4, B_INT8, PASS, STORE, V_QUANTISE
from nmpsim.program.program import Program
from nmpsim.report.result import result_of, result_schema, to_json
from nmpsim.report.text import report_text
from nmpsim.schedule.check import check_program
from tests.builders import KINDS, SNAKE, small_chip, small_model, write_config
from tests.unit.cli.bench import call

MODEL = small_model()


def run_of(kind=SNAKE, model=MODEL, batch=1, **options):
    return nmpsim.simulate(model, small_chip(kind, 2), batch=batch, context=40, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moe", [False, True])
def test_plain_and_skip_mode_agree_and_work_is_that_of_the_shapes(kind, moe):
    model = small_model(moe=moe)
    plain = run_of(kind, model, weights="int4:8", kv="int8", mode="plain")
    skip = run_of(kind, model, weights="int4:8", kv="int8")
    assert plain.cycles == skip.cycles
    assert plain.stalls == skip.stalls
    assert plain.counts == skip.counts
    whole = run_of(kind, model)
    assert skip.counts["macs"] == whole.counts["macs"]
    assert skip.counts["kv_read_bytes"] * 2 == whole.counts["kv_read_bytes"]
    assert skip.counts["kv_write_bytes"] * 2 == whole.counts["kv_write_bytes"]
    graph = prepare(model, small_chip(kind, 2), context=40, weights="int4:8", kv="int8").graph
    assert skip.counts["weight_read_bytes"] == graph.weight_bytes
    assert skip.counts["scale_read_bytes"] >= graph.scale_bytes
    assert skip.counts["RD"] < whole.counts["RD"]
    assert "scale_read_bytes" not in whole.counts


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_names_the_formats_and_holds_its_schema(kind):
    run = run_of(kind, weights="fp8:8", kv="fp8")
    result = json.loads(to_json(result_of(run)))
    jsonschema.validate(result, result_schema())
    stated = {"weights": "fp8", "activations": "fp16", "kv": "fp8", "group": 8}
    assert result["provenance"]["options"]["precision"] == stated
    assert result["energy_J"]["components"]["decoder"] > 0
    assert "weights fp8 in groups of 8, KV cache fp8" in report_text(run)
    whole = run_of(kind)
    assert "precision" not in whole.provenance["options"]
    assert "decoder" not in whole.energy_J


def test_words_that_say_fp16_give_the_run_that_says_nothing():
    said, silent = run_of(weights="fp16", activations="fp16", kv="fp16"), run_of()
    assert said.provenance == silent.provenance
    assert said.counts == silent.counts


def test_what_has_no_datapath_is_refused_all_at_once():
    with pytest.raises(WorkloadError) as caught:
        run_of(weights="bf16", activations="int8", kv="int4")
    assert len(caught.value.faults) == 3


def test_a_fifo_of_one_row_is_refused_for_weights_with_scales():
    chip = small_chip(SNAKE, 2, port__fifo_bytes=256)
    with pytest.raises(InfeasibleError) as caught:
        prepare(MODEL, chip, context=8, weights="int4:8")
    assert [fault.where for fault in caught.value.faults] == ["port.fifo_bytes"]
    prepare(MODEL, chip, context=8, kv="fp8")


def broken(field, value, op=PASS, where=lambda ins: ins["imm"] > 0):
    """Faults of a legal narrow program in which one field of one instruction is changed."""
    job = prepare(MODEL, small_chip(SNAKE, 2), context=24, weights="int4:8", kv="int8")
    stream = job.program.streams[0]
    index = next(i for i in np.flatnonzero(stream["op"] == op) if where(stream[i]))
    stream[field][index] = value(stream[field][index]) if callable(value) else value
    with pytest.raises(IllegalScheduleError) as caught:
        check_program(job.program, job.params)
    return caught.value.faults


@pytest.mark.parametrize(
    ("field", "value", "got"),
    [("imm", 7, "format 7"), ("beats", -1, "scales for -1"), ("imm", B_FP8, "imm 1"), ("beats", 2, "beats 2")],
)
def test_a_pass_with_another_format_than_its_stream_is_refused(field, value, got):
    faults = broken(field, value, where=lambda ins: ins["imm"] == B_INT4)
    assert any(got in fault.got for fault in faults)


def test_a_step_outside_the_table_a_code_without_a_meaning_and_a_wrong_mask_are_refused():
    assert any("table offset" in f.got for f in broken("table", 10**6, where=lambda ins: ins["imm"] == B_INT8))
    assert any(f.got == "format 3" for f in broken("imm", B_INT4, V_QUANTISE))
    assert any("bytes of bank" in f.got for f in broken("n", 16, STORE, lambda ins: True))
    assert broken("imm", lambda byte: 8 - byte, STORE, lambda ins: True)


def test_a_saved_narrow_program_is_the_same_when_loaded(tmp_path):
    program = prepare(MODEL, small_chip(SNAKE, 2), context=24, weights="fp8:8", kv="fp8").program
    program.save(tmp_path / "p.npz")
    again = Program.load(tmp_path / "p.npz")
    assert again.sha256 == program.sha256
    assert again.images == program.images


def test_the_command_line_takes_the_formats_and_refuses_the_others(tmp_path):
    step = ["--model", write_config(tmp_path, small_model(hidden=256)), "--chip", "snake", "--context", "8"]
    shown = call("show", "program", *step, "--weights", "int4:64", "--kv", "fp8", "--core", "15")
    assert shown.exit_code == 0
    assert "imm=3" in shown.stdout
    wrong = call("show", "schedule", *step, "--weights", "int3", "--kv", "int2")
    assert wrong.exit_code == 2
    assert "--weights: got 'int3'" in wrong.output
    assert "--kv: got 'int2'" in wrong.output


@pytest.mark.parametrize("kind", KINDS)
def test_pes_of_bf16_take_the_time_of_fp16_and_other_energy(kind):
    chip = small_chip(kind, 2, core__operands="bf16")
    run, whole = nmpsim.simulate(MODEL, chip, context=40), run_of(kind)
    assert (run.cycles, run.counts, run.stalls) == (whole.cycles, whole.counts, whole.stalls)
    stated = {"weights": "bf16", "activations": "bf16", "kv": "bf16", "group": 0}
    assert run.provenance["options"]["precision"] == stated
    assert run.energy_J["mac"] != whole.energy_J["mac"]
    assert run.energy_J["vector_norm"] == whole.energy_J["vector_norm"]
    narrow = nmpsim.simulate(MODEL, chip, context=40, weights="fp8:8")
    other = run_of(kind, weights="fp8:8")
    assert narrow.cycles == other.cycles
    assert 0 < narrow.energy_J["decoder"] < other.energy_J["decoder"]


def test_weights_of_the_other_16_bits_are_refused_either_way():
    with pytest.raises(WorkloadError, match="11 significant bits of FP16 do not fit into BF16"):
        prepare(MODEL, small_chip(SNAKE, 2, core__operands="bf16"), context=40, weights="fp16")
    with pytest.raises(WorkloadError, match="range of BF16 does not fit into FP16"):
        prepare(MODEL, small_chip(SNAKE, 2), context=40, weights="bf16")
