"""``nmpsim sweep``: what it refuses, all at once with exit code 2."""

import pytest

from tests.unit.cli.bench import call

STUDY = 'model = "llama-3.1-8b"\nchip = "snake"\nlayers = 1\n[vary]\n"clock.core_GHz" = [0.4, 0.8]\n'


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        (("--by", "deepstak"), ["--by 'deepstak'", "did you mean deepstack"]),
        (("--by", "missing.py:f", "--workers", "0", "--out", ""), ["no such file", "--workers", "--out"]),
    ],
)
def test_wrong_words_are_refused_all_at_once(study, words, faults):
    result = call("sweep", study, *words)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    for fault in faults:
        assert fault in result.stderr


def test_a_wrong_study_is_refused(study):
    study.write_text(STUDY.replace("core_GHz", "cores"))
    result = call("sweep", study)
    assert result.exit_code == 2
    assert "a path that no chip has" in result.stderr


def test_a_model_that_raises_is_refused_with_the_reason(study, tmp_path):
    (tmp_path / "bad.py").write_text("def predict(operator, chip):\n    return 1 / 0\n")
    words = ("--by", f"{tmp_path / 'bad.py'}:predict", "--cache", tmp_path / "cache", "--workers", "1")
    result = call("sweep", study, *words)
    assert result.exit_code == 2
    assert "ZeroDivisionError" in result.stderr
    assert "Traceback" not in result.stderr
