"""Mappings of a core, and the products of decode steps."""

from nmpsim.program.beats import legal
from nmpsim.program.isa import IS, K_CONTIGUOUS, OS, SPLIT_K, TREE
from nmpsim.program.schedule import PassPlan
from nmpsim.spec import load_chip, resolve
from nmpsim.sweep import Product, decode_products, mappings
from nmpsim.sweep.decode import share_of
from nmpsim.sweep.mapping import most_rows
from nmpsim.workload import load_model

SNAKE, STRATUM = resolve(load_chip("snake")), resolve(load_chip("stratum"))


def test_a_core_has_every_shape_relation_and_dataflow_once():
    found = mappings(SNAKE.core, ("OS", "WS", "IS"))
    assert len(found) == len(set(found)) == 3 * (4 * 3 + 1)
    assert {mapping.group for mapping in found} == {1, 2, 4, 8, 16}
    assert all(legal(mapping.flow, mapping.split, mapping.contiguous) for mapping in found)
    assert mappings(SNAKE.core, ("IS",)) == [mapping for mapping in found if mapping.flow == IS]
    assert len(mappings(STRATUM.core, ())) == 3


def test_a_pass_takes_the_rows_of_its_shape():
    rows = {mapping.text(SNAKE.core): most_rows(SNAKE.core, mapping) for mapping in mappings(SNAKE.core, ("OS", "WS"))}
    assert rows["OS 8x2048 chain"] == 8
    assert rows["OS 4*32x128 fission-K"] == 32
    assert rows["WS 128x128 chain"] is None
    assert most_rows(STRATUM.core, mappings(STRATUM.core, ())[0]) == 65536 // 2 // (4 * 128)


def test_fission_over_k_leaves_a_plane_per_group_but_the_reducer_of_a_tree_none():
    assert PassPlan(OS, 4, SPLIT_K, 0).planes(SNAKE.core) == 4
    assert PassPlan(TREE, 1, SPLIT_K, 0).planes(STRATUM.core) == 1


def test_columns_are_dealt_out_in_whole_beats():
    assert share_of(SNAKE, 16 * 128) == 128
    assert share_of(SNAKE, 16 * 128 + 1) == 256
    assert share_of(SNAKE, 5) == 5


def test_decode_products_have_grouped_heads_and_shares_of_columns():
    found = decode_products(load_model("llama-3.1-8b"), SNAKE, 16, 4096)
    assert found == [
        Product("llama-3.1-8b qkv", 16, 384, 4096),
        Product("llama-3.1-8b score", 4, 4096, 128),
        Product("llama-3.1-8b value", 4, 128, 4096),
        Product("llama-3.1-8b attn_out", 16, 256, 4096),
        Product("llama-3.1-8b gate_up", 16, 1792, 4096),
        Product("llama-3.1-8b down", 16, 256, 14336),
        Product("llama-3.1-8b lm_head", 16, 8064, 4096),
    ]


def test_experts_take_the_tokens_routed_to_them():
    found = decode_products(load_model("mixtral-8x7b"), SNAKE, 8, 128)
    tokens = [product.m for product in found if product.name == "mixtral-8x7b down"]
    assert len(tokens) == len(set(tokens)) > 1
    assert Product("mixtral-8x7b router", 8, 8, 4096) in found


def test_scores_can_be_taken_as_keys_lie_by_is_and_trees_only():
    flows = {mapping.flow for mapping in mappings(SNAKE.core, ("OS", "WS", "IS")) if mapping.contiguous == K_CONTIGUOUS}
    assert flows == {IS}
    assert any(mapping.contiguous == K_CONTIGUOUS for mapping in mappings(STRATUM.core, ()))
