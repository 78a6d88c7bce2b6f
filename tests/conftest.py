"""Settings for all tests: the same examples on every machine, plain text from the command line, no windows."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.update(COLUMNS="120", MPLBACKEND="Agg", NO_COLOR="1", TERM="dumb")

# No deadlines: the first call of a kernel compiles it.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", settings.get_profile("repeatable"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def root() -> Path:
    """Top folder of the project."""
    return Path(__file__).parents[1]
