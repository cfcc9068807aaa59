"""What is installed: a small code wheel without an answer in it, and the suite as a wheel of its own."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy  # ten seconds: the suite is packed, too
ROOT = Path(__file__).parents[1]
MEGABYTES = 3


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both distributions, built from the checkout: name → file."""
    out = tmp_path_factory.mktemp("wheels")
    sources = [str(ROOT), str(ROOT / "packages" / "assay-suite-embedded")]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out)]
    done = subprocess.run([*command, *sources], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.name.partition("-")[0]: path for path in out.glob("*.whl")}


def test_the_code_is_small_and_holds_no_answer(wheels: dict[str, Path]) -> None:
    wheel = wheels["assay_audit"]
    assert wheel.stat().st_size < MEGABYTES * 1_000_000
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith((".safetensors", "truth.yaml", "testbed.yaml"))]
    assert not [name for name in names if "/behaviours/" in name or "/recipes/" in name]


def test_the_suite_is_data_with_answers_in_a_tree_apart(wheels: dict[str, Path]) -> None:
    names = zipfile.ZipFile(wheels["assay_suite_embedded"]).namelist()
    inside = [name.partition("assay_suite_embedded/")[2] for name in names if name.startswith("assay_suite_embedded/")]
    assert {name.partition("/")[0] for name in inside} == {
        "__init__.py",
        "testbeds",
        "answers",
        "recipes",
        "behaviours",
    }
    assert not [name for name in inside if name.startswith("testbeds/") and "truth" in name]
    assert [name for name in inside if name.endswith(".py")] == ["__init__.py"]
