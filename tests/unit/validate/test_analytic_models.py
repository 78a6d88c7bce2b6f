"""The analytical mode on the bench: it answers for every operator of a step, on a chip with overrides too."""

from nmpsim.prediction import estimate
from nmpsim.validate.models import closed_forms


def test_every_operator_has_the_cycles_of_the_estimate():
    settings = {"model": "llama-3.1-8b", "chip": "snake", "batch": 4, "context": 512, "layers": 1}
    found = closed_forms.predict(settings)
    expected = estimate("llama-3.1-8b", "snake", batch=4, context=512, layers=1, calibration="none")
    assert found == {one.name: one.cycles for one in expected.operators}
    assert closed_forms.predict({**settings, "overrides": {"clock.core_GHz": 0.4}}) != found
