"""Formats of a decode step: words, faults, bytes."""

from dataclasses import replace

import pytest

from nmpsim.errors import WorkloadError
from nmpsim.workload import (
    GEMM_KINDS,
    PLAIN,
    OperatorKind,
    Precision,
    decode_step,
    footprint_bytes,
    load_model,
    read_precision,
)
from tests.families import FAMILIES
from tests.unit.workload.configs import LLAMA_CONFIG, changed, model_of

LLAMA = load_model("llama-3.1-8b")
DEEPSEEK = load_model("deepseek-v3")
WHOLE = {OperatorKind.ROUTER, OperatorKind.LM_HEAD}


def graph(model, weights="", kv="", batch=2, context=64, layers=1, first_layer=0):
    return decode_step(
        model, batch, context, layers, first_layer=first_layer, precision=read_precision(weights, "", kv)
    )


def test_nothing_said_is_fp16_everywhere():
    assert read_precision() == PLAIN == Precision("fp16", "fp16", "fp16", 0)
    assert graph(LLAMA).sha256 == decode_step(LLAMA, 2, 64, 1).sha256
    assert graph(LLAMA).scale_bytes == 0


def test_words_name_format_and_group():
    assert read_precision("int4") == Precision("int4", "fp16", "fp16", 128)
    assert read_precision("int8:64", "fp16", "fp8") == Precision("int8", "fp16", "fp8", 64)
    assert read_precision("fp8").scaled == (128, 128)
    assert read_precision("int4:32").scaled == (32, 1)
    assert str(read_precision("int4:32", "", "int8")) == "weights int4:32, activations fp16, KV cache int8"


def test_config_takes_what_the_file_states():
    assert DEEPSEEK.stored == "fp8:128"
    assert read_precision("config", stored=DEEPSEEK.stored) == Precision("fp8", group=128)
    with pytest.raises(WorkloadError) as caught:
        read_precision("config", stored=LLAMA.stored, model=LLAMA.name)
    assert "llama-3.1-8b does not" in str(caught.value)


def test_all_faults_come_at_once():
    with pytest.raises(WorkloadError) as caught:
        read_precision("int3", "int8!", "nothing")
    assert [fault.where for fault in caught.value.faults] == ["--weights", "--activations", "--kv"]
    with pytest.raises(WorkloadError) as caught:
        read_precision("bf16", "int8", "int4")
    assert [fault.where for fault in caught.value.faults] == ["--weights", "--activations", "--kv"]
    assert all("FP16 by FP16" in fault.allowed for fault in caught.value.faults[:2])


def test_pes_of_bf16_take_bf16_and_no_fp16():
    assert read_precision(operands="bf16") == Precision("bf16", "bf16", "bf16", 0)
    assert read_precision("int4:64", "", "fp8", operands="bf16") == Precision("int4", "bf16", "fp8", 64)
    assert read_precision("config", stored=DEEPSEEK.stored, operands="bf16") == Precision("fp8", "bf16", "bf16", 128)
    with pytest.raises(WorkloadError) as caught:
        read_precision("fp16", "fp16", "fp16", operands="bf16")
    assert [fault.where for fault in caught.value.faults] == ["--weights", "--activations", "--kv"]
    assert "the 11 significant bits of FP16 do not fit into BF16" in caught.value.faults[0].allowed
    with pytest.raises(WorkloadError, match="the range of BF16 does not fit into FP16"):
        read_precision("bf16")


@pytest.mark.parametrize(
    "text", ["int4:", "int4:1", "int4:4097", "int4:x", "int4:99999999", "fp16:128", "int4:-8", "fp32"]
)
def test_a_word_without_a_meaning_is_refused(text):
    with pytest.raises(WorkloadError):
        read_precision(text)


@pytest.mark.parametrize(("weights", "bits", "group"), [("fp8:64", 8, 64), ("int8:32", 8, 32), ("int4:128", 4, 128)])
@pytest.mark.parametrize("model", [LLAMA, DEEPSEEK, *FAMILIES.values()], ids=lambda model: model.name)
def test_bytes_of_weights_are_those_that_arithmetic_says(model, weights, bits, group):
    layers = min(model.layers, 4)
    plain, narrow = graph(model, layers=layers), graph(model, weights, layers=layers)
    width = group if weights.startswith("fp8") else 1
    elements = scales = 0
    for before, after in zip(plain, narrow, strict=True):
        if before.kind in GEMM_KINDS - WHOLE:
            copies = max(1, before.heads)
            assert after.weight_bytes * 16 == before.weight_bytes * bits
            assert after.scale_bytes == copies * 2 * -(-before.k // group) * -(-before.n // width)
            elements += after.weight_bytes
            scales += after.scale_bytes
        else:
            assert after == before
    assert narrow.scale_bytes == scales
    assert narrow.macs == plain.macs
    assert narrow.read_bytes - plain.read_bytes == elements - elements * 16 // bits + scales


@pytest.mark.parametrize("kv", ["fp8", "int8"])
def test_a_cache_of_8_bits_has_half_the_bytes(kv):
    plain, narrow = graph(LLAMA), graph(LLAMA, "", kv)
    assert narrow.kv_read_bytes * 2 == plain.kv_read_bytes
    assert narrow.kv_write_bytes * 2 == plain.kv_write_bytes
    assert narrow.weight_bytes == plain.weight_bytes


def test_the_footprint_of_deepseek_in_fp8_is_a_hand_count():
    """Layer 3 and what lies outside the layers, one sequence of one token; elements, scales, cache."""
    matrices = [
        (7168, 1536 + 512 + 64, 1),
        (1536, 128 * 192, 1),
        (128, 512, 128),
        (512, 128, 128),
        (128 * 128, 7168, 1),
    ]
    matrices += [(7168, 2 * 2048, 257), (2048, 7168, 257)]  # 256 experts and the shared one
    narrow = sum(copies * (k * n + 2 * -(-k // 128) * -(-n // 128)) for k, n, copies in matrices)
    whole = 2 * (2 * 7168 + 1536 + 512 + 7168 * 256) + 4 * 256  # norms, router; correction of the router
    outside = 2 * (2 * 129280 * 7168 + 7168)
    cache = 2 * (576 + 512)
    precision = read_precision("config", stored=DEEPSEEK.stored)
    assert footprint_bytes(DEEPSEEK, 1, 1, 1, 3, precision) == narrow + whole + outside + cache


def test_the_footprint_follows_the_formats():
    sizes = [
        footprint_bytes(LLAMA, 4, 1024, 2, precision=read_precision(w, "", kv))
        for w in ("", "int4")
        for kv in ("", "fp8")
    ]
    cache = 4 * 1024 * 2 * LLAMA.kv_bytes_per_token
    assert sizes[0] - sizes[1] == sizes[2] - sizes[3] == cache // 2
    matrices = 2 * sum(t.bytes for t in LLAMA.tensors_of(0) if t.name in ("qkv", "attn_out", "gate_up", "down"))
    assert sizes[0] - sizes[2] == matrices * 3 // 4 - matrices // 2 // 128 * 2


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}


@pytest.mark.parametrize(
    ("stated", "stored"),
    [
        (GPTQ, "int4:128"),
        (GPTQ | {"bits": 8, "group_size": 64}, "int8:64"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8:128"),
    ],
)
def test_a_file_states_the_format_of_its_weights(stated, stored):
    assert model_of(changed(LLAMA_CONFIG, quantization_config=stated)).stored == stored


@pytest.mark.parametrize(
    "stated",
    [
        GPTQ | {"sym": False},
        GPTQ | {"desc_act": True},
        GPTQ | {"group_size": -1},
        GPTQ | {"bits": 3},
        {"quant_method": "awq", "bits": 4},
        {"quant_method": "fp8", "weight_block_size": [128, 64]},
        "int4",
    ],
)
def test_a_file_with_a_format_that_is_not_modelled_is_refused(stated):
    with pytest.raises(WorkloadError) as caught:
        model_of(changed(LLAMA_CONFIG, quantization_config=stated))
    assert [fault.where for fault in caught.value.faults] == ["small.json: quantization_config"]


def test_a_model_with_a_stated_format_is_otherwise_the_same():
    plain = model_of(LLAMA_CONFIG)
    stated = model_of(changed(LLAMA_CONFIG, quantization_config=GPTQ))
    assert replace(stated, stored="", sha256=plain.sha256) == plain
