"""The tutorials run."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=[script.stem for script in EXAMPLES])
def test_example(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if script.stem == "molecule":
        pytest.importorskip("openmm")
    runpy.run_path(str(script), run_name="__main__")
    assert len(capsys.readouterr().out) > 100
