"""``result.json``: valid by its schema, the same bytes for the same input, sums that hold."""

import copy
import json

import jsonschema
import pytest

from nmpsim.report.result import result_of, result_schema, to_json
from tests.unit.report.small import run_of, simulate_small


def without_speed(run):
    """Text of a result with its only part that differs from run to run emptied."""
    return to_json({**result_of(run), "speed": {}})


def validator():
    """Check of results against the shipped schema."""
    schema = result_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("base", ["snake", "stratum"])
def test_a_real_run_is_valid_by_the_schema(base, moe):
    validator().validate(json.loads(to_json(result_of(run_of(base, moe=moe)))))


def places(tree, path=()):
    """Every key of every object of a tree."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield (*path, key)
            yield from places(value, (*path, key))
    elif isinstance(tree, list) and tree:
        yield from places(tree[0], (*path, 0))


REQUIRED = [
    *((key,) for key in result_schema()["required"]),
    *(("operators", 0, key) for key in result_schema()["$defs"]["operator"]["required"]),
    *(("bounds", key) for key in ("compute", "vector", "dram", "noc")),
    ("provenance", "model", "sha256"),
    ("provenance", "chip", "sha256"),
    ("provenance", "options", "batch"),
    ("speed", "cpu_seconds"),
    ("counts", "macs"),
    ("peaks", "dram_bytes_per_second"),
]


@pytest.mark.parametrize("path", REQUIRED, ids=lambda path: ".".join(map(str, path)))
def test_the_schema_refuses_a_result_without_a_required_key(path):
    result = json.loads(to_json(result_of(run_of())))
    assert path in set(places(result))
    node = result
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    with pytest.raises(jsonschema.ValidationError, match="is a required property"):
        validator().validate(result)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r.update(cycles=-1), "-1"),
        (lambda r: r.update(cycles=1.5), "1.5"),
        (lambda r: r.update(extra=1), "extra"),
        (lambda r: r["operators"][0].update(extra=1), "extra"),
        (lambda r: r["stalls"]["array"].update(other=1), "other"),
        (lambda r: r["bounds"].update(magic=1), "magic"),
        (lambda r: r.update(operators=[]), "non-empty|too short"),
        (lambda r: r["provenance"].update(graph_sha256="abc"), "abc"),
        (lambda r: r.update(mac_utilisation=1.01), "1.01"),
    ],
)
def test_the_schema_refuses_what_a_result_never_holds(change, complaint):
    result = copy.deepcopy(result_of(run_of()))
    change(result)
    with pytest.raises(jsonschema.ValidationError, match=complaint):
        validator().validate(result)


def test_the_same_input_gives_the_same_bytes_apart_from_speed():
    assert without_speed(simulate_small()) == without_speed(simulate_small())


def test_another_input_gives_other_bytes():
    assert without_speed(simulate_small(context=17)) != without_speed(run_of())


def test_keys_are_sorted():
    def pairs(found):
        assert [key for key, _ in found] == sorted(key for key, _ in found)
        return dict(found)

    json.loads(to_json(result_of(run_of())), object_pairs_hook=pairs)


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("base", ["snake", "stratum"])
def test_sums_and_ratios_hold(base, moe):
    run = run_of(base, moe=moe)
    result = result_of(run)
    assert sum(o["cycles"] for o in result["operators"]) == result["cycles"]
    assert max(o["end"] for o in result["operators"]) == result["cycles"]
    assert result["seconds_per_token"] == pytest.approx(result["cycles"] / (result["clock_GHz"] * 1e9))
    assert result["tokens_per_second"] == pytest.approx(2 / result["seconds_per_token"])
    assert sum(o["macs"] for o in result["operators"]) == result["counts"]["macs"]
    assert all(result["cycles"] >= bound for bound in result["bounds"].values())
    assert result["mac_utilisation"] == pytest.approx(result["bounds"]["compute"] / result["cycles"])
    for unit, reasons in result["stalls"].items():
        assert "other" not in reasons, unit
        assert sum(reasons.values()) > 0


def test_an_operator_is_no_faster_in_its_span_than_the_peaks_allow():
    for operator in result_of(run_of())["operators"]:
        for key in ("span_mac_utilisation", "span_dram_utilisation"):
            assert operator[key] is None or 0 <= operator[key] <= 1, operator["name"]
