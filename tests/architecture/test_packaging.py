"""What an installed package contains."""

import subprocess
import sys
import zipfile

import pytest

from tests.architecture.sources import ROOT, project_files


@pytest.mark.slow
def test_the_wheel_carries_sources_presets_and_workloads(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )
    (wheel,) = tmp_path.glob("nmpsim-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    relative = [path.relative_to(ROOT).as_posix() for path in project_files()]
    expected = {name for name in relative if name.startswith("nmpsim/")}
    expected |= {
        name.replace("workloads/", "nmpsim/_workloads/", 1) for name in relative if name.startswith("workloads/")
    }
    assert any(name.startswith("nmpsim/_workloads/") for name in expected)
    assert any(name.endswith(".toml") and name.startswith("nmpsim/spec/") for name in expected)
    assert expected - inside == set()
    assert not any(name.startswith(("tests/", "validation/")) for name in inside)
