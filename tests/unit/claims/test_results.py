"""The committed results: complete, of the claim file beside them, and with the verdict that their figures give."""

import hashlib
import json
from pathlib import Path

import jsonschema
import pytest

from nmpsim.claims import claim as claim_file
from nmpsim.claims.claim import VALIDATION, VERDICTS, claims
from nmpsim.claims.judge import judge, of_variants, worst
from nmpsim.claims.run import KINDS

SCHEMA = json.loads((Path(claim_file.__file__).parent / "schema" / "claim-result.schema.json").read_text())
CLAIMS = claims(VALIDATION)


def result(claim):
    return json.loads((claim.folder / "result.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_result_is_complete_and_of_the_claim_beside_it(claim):
    told = result(claim)
    jsonschema.Draft202012Validator(SCHEMA).validate(told)
    assert claim.kind in KINDS
    assert told["claim"] == claim.name
    assert told["rule"] == claim.rule
    own = hashlib.sha256((claim.folder / "claim.toml").read_bytes()).hexdigest()
    assert told["provenance"]["claim_sha256"] == own, f"run: nmpsim claims run {claim.name}"
    page = (claim.folder / "result.md").read_text(encoding="utf-8")
    assert f"**Verdict: {told['verdict']}.** {told['reason']}" in page
    assert (claim.folder / "result.png").read_bytes().startswith(b"\x89PNG")


def test_the_schema_refuses_what_is_no_result():
    told = result(CLAIMS[0])
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for wrong in ({"verdict": "maybe"}, {"rows": []}, {"extra": 1}, {"reason": ""}):
        assert not validator.is_valid({**told, **wrong})
    assert SCHEMA["properties"]["verdict"]["enum"] == list(VERDICTS)


@pytest.mark.parametrize("claim", [one for one in CLAIMS if one.kind == "comparison"], ids=lambda claim: claim.name)
def test_the_verdict_of_a_comparison_follows_from_its_figures(claim):
    told, wanted = result(claim), claim.settings
    sides = {True: [], False: []}
    for name in wanted["arrays"]:
        own = told["figures"][name]
        verdicts = {
            key: judge(wanted[key], own[key], own[f"{key}_ceiling"], wanted["tolerance"]) for key in ("speed", "energy")
        }
        assert own["verdicts"] == verdicts
        sides[own["fits"]].append(worst(list(verdicts.values())))
        ran = [row for row in told["rows"] if row["chip"] == name and "speed" in row]
        assert len(ran) == own["workloads"] > 0
        for row in ran:
            assert row["speed"] <= row["speed_most"], row["workload"]
    assert told["verdict"] == of_variants(sides[True], sides[False])
